//! The products that tests look for, each by a name of its own.

use super::Kind;

/// A product, or a line of its versions, of which tests share one server.
pub(super) struct Product {
    /// The name in variables and reports.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The names of its server binaries, the preferred one first.
    pub(super) binaries: &'static [&'static str],
    /// The official image; `None` if it is started from a binary wherever the others come from.
    pub(super) image: Option<&'static str>,
}

pub(super) const REDIS: Product = Product {
    name: "redis",
    kind: Kind::Redis,
    binaries: &["redis-server", "valkey-server"],
    image: Some("redis:7.0"),
};

pub(super) const REDIS_8: Product = Product {
    name: "redis8",
    kind: Kind::Redis,
    binaries: &["redis-server-8"],
    image: Some("redis:8.2"),
};

pub(super) const VALKEY: Product = Product {
    name: "valkey",
    kind: Kind::Redis,
    binaries: &["valkey-server"],
    image: None,
};

const MONGO: Product = Product {
    name: "mongo",
    kind: Kind::Mongo,
    binaries: &["mongod"],
    image: Some("mongo:8.0"),
};

const MYSQL: Product = Product {
    name: "mysql",
    kind: Kind::Mysql,
    binaries: &["mariadbd", "mysqld"],
    image: Some("mysql:9.4"),
};

const POSTGRES: Product = Product {
    name: "postgres",
    kind: Kind::Postgres,
    binaries: &["postgres"],
    image: Some("postgres:18.1"),
};

impl Product {
    /// The product that stands for its kind.
    pub(super) const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Redis => REDIS,
            Kind::Mongo => MONGO,
            Kind::Mysql => MYSQL,
            Kind::Postgres => POSTGRES,
        }
    }

    /// A variable about this product: `URL` or `IMAGE`.
    pub(super) fn variable(&self, what: &str) -> String {
        format!("SESSION_TEST_{}_{what}", self.name.to_uppercase())
    }
}
