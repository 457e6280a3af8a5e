//! One function a backend: from a location to a store.

#[allow(unused_imports, reason = "each backend may be there")]
use crate::{Location, Result, Schemes};

/// Registers a backend for these schemes, or that its feature is off.
macro_rules! register {
    ($schemes:ident, $feature:literal, $connect:ident, [$($scheme:literal),+]) => {
        #[cfg(feature = $feature)]
        {
            $schemes = $schemes$(.scheme($scheme, $connect))+;
        }
        #[cfg(not(feature = $feature))]
        {
            $schemes = $schemes$(.missing($scheme, $feature))+;
        }
    };
}

/// Registers the built-in backends, and which of them need a feature that is off.
pub(crate) fn register(mut schemes: Schemes) -> Schemes {
    register!(schemes, "memory", memory, ["memory:"]);
    register!(
        schemes,
        "redis",
        redis,
        [
            "redis://",
            "rediss://",
            "valkey://",
            "valkeys://",
            "redis+cluster://",
            "rediss+cluster://",
            "valkey+cluster://",
            "valkeys+cluster://",
            "redis+sentinel://",
            "rediss+sentinel://",
            "valkey+sentinel://",
            "valkeys+sentinel://",
            "redis-sentinel://",
            "rediss-sentinel://",
            "unix:",
            "redis+unix:",
            "valkey+unix:"
        ]
    );
    register!(schemes, "mongo", mongo, ["mongodb://", "mongodb+srv://"]);
    register!(schemes, "mysql", mysql, ["mysql://", "mariadb://"]);
    register!(
        schemes,
        "postgres",
        postgres,
        ["postgres://", "postgresql://"]
    );
    register!(schemes, "sqlite", sqlite, ["sqlite:"]);
    schemes
}

/// Passes the options that are set in the URL to a backend's builder.
#[allow(unused_macros, reason = "each backend may be there")]
macro_rules! set {
    ($builder:ident, $($option:ident = $value:expr),+ $(,)?) => {
        $(if let Some(value) = $value {
            $builder = $builder.$option(value);
        })+
    };
}

#[cfg(feature = "memory")]
async fn memory(mut location: Location) -> Result<session_memory::MemoryStore> {
    let mut builder = session_memory::MemoryStore::builder();
    set!(
        builder,
        max_sessions = location.take_parsed("max_sessions", "100000")?,
        max_data = location.take_max_data()?,
        expiry_grace = location.take_duration("expiry_grace")?,
    );
    location.finish_with(&[])?;
    builder.build()
}

#[cfg(feature = "redis")]
async fn redis(mut location: Location) -> Result<session_redis::RedisStore> {
    let mut builder = session_redis::RedisStore::builder();
    set!(
        builder,
        prefix = location.take("prefix"),
        expiry_reports = location.take_parsed("expiry_reports", "true")?,
        timeout = location.take_timeout()?,
        max_data = location.take_max_data()?,
        migrate = location.take_migrate()?,
    );
    let drivers = session_redis::url_options(location.scheme());
    location.finish_with(drivers)?;
    builder.connect(&location.driver_url()).await
}

#[cfg(feature = "mongo")]
async fn mongo(mut location: Location) -> Result<session_mongo::MongoStore> {
    let mut builder = session_mongo::MongoStore::builder();
    set!(
        builder,
        collection = location.take("collection"),
        timeout = location.take_timeout()?,
        max_data = location.take_max_data()?,
        migrate = location.take_migrate()?,
        expiry_grace = location.take_duration("expiry_grace")?,
    );
    location.finish()?;
    builder.connect(&location.driver_url()).await
}

#[cfg(feature = "mysql")]
async fn mysql(mut location: Location) -> Result<session_mysql::MysqlStore> {
    let mut builder = session_mysql::MysqlStore::builder();
    set!(
        builder,
        table = location.take("table"),
        timeout = location.take_timeout()?,
        max_data = location.take_max_data()?,
        migrate = location.take_migrate()?,
        connections = location.take_parsed("connections", "16")?,
    );
    location.finish()?;
    builder.connect(&location.driver_url()).await
}

#[cfg(feature = "postgres")]
async fn postgres(mut location: Location) -> Result<session_postgres::PostgresStore> {
    let mut builder = session_postgres::PostgresStore::builder();
    set!(
        builder,
        table = location.take("table"),
        schema = location.take("schema"),
        unlogged = location.take_parsed("unlogged", "true")?,
        named_statements = location.take_parsed("named_statements", "false")?,
        notices = location.take_parsed("notices", "false")?,
        timeout = location.take_timeout()?,
        max_data = location.take_max_data()?,
        migrate = location.take_migrate()?,
        connections = location.take_parsed("connections", "16")?,
    );
    location.finish()?;
    builder.connect(&location.driver_url()).await
}

#[cfg(feature = "sqlite")]
async fn sqlite(mut location: Location) -> Result<session_sqlite::SqliteStore> {
    let mut builder = session_sqlite::SqliteStore::builder();
    set!(
        builder,
        table = location.take("table"),
        timeout = location.take_timeout()?,
        max_data = location.take_max_data()?,
        migrate = location.take_migrate()?,
        readers = location.take_parsed("readers", "4")?,
        durability = location.take_parsed("durability", "full or normal")?,
    );
    location.finish_with(&[])?;
    builder.connect(&location.driver_url()).await
}
