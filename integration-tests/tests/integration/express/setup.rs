//! An Express program and a server of this library on the same store.

use std::sync::OnceLock;
use std::time::Duration;

use integration_tests::servers::{self, Client, ExpressApp, Kind, is_express_skipped};
use serde_json::{Value, json};
use session_core::{SessionId, Sessions, Stamp};
use session_mongo::crypto::{Kruptein, WebCrypto};
use session_mongo::mongodb;
use session_mysql::sqlx::{self, AssertSqlSafe, Connection as _};
use session_postgres::sqlx::postgres::PgConnection;
use session_redis::redis;
use session_web::SessionLayer;
use session_web::express::{Express, ExpressLayout};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::rust_app;

pub(crate) const SECRET: &str = "keyboard cat";
const CRYPTO_SECRET: &str = "a secret of the app's own";

/// The stores that Express apps have, and what they can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Redis,
    /// Valkey, by a user who may run no scripts.
    Unscripted,
    Mongo,
    MongoDocuments,
    MongoHashed,
    MongoWebCrypto,
    MongoKruptein,
    Mysql,
    MysqlNamed,
    MysqlJson,
    /// The table `session`, in a schema of its own.
    Postgres,
    /// A table of another name, which Express makes, in a database with a time zone.
    PostgresZoned,
    /// A table with columns of types `jsonb` and `timestamptz`.
    PostgresJsonb,
}

/// The time zone of the database [`Store::PostgresZoned`]: no other is a quarter of an hour off.
const ZONE: &str = "Asia/Kathmandu";

impl Store {
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Redis | Self::Unscripted => Kind::Redis,
            Self::Mysql | Self::MysqlNamed | Self::MysqlJson => Kind::Mysql,
            Self::Postgres | Self::PostgresZoned | Self::PostgresJsonb => Kind::Postgres,
            _ => Kind::Mongo,
        }
    }

    /// Whether a test of it shall return at once, loudly.
    pub(crate) fn is_skipped(self) -> bool {
        is_express_skipped()
            || servers::is_skipped(self.kind())
            || self == Self::Unscripted && servers::valkey().is_none()
    }

    /// How long a record lives whose cookie ends with the browser.
    pub(crate) const fn ttl(self) -> Duration {
        match self.kind() {
            Kind::Mongo => Duration::from_secs(14 * 86_400),
            _ => Duration::from_secs(86_400),
        }
    }

    pub(crate) fn url(self) -> &'static str {
        static ZONED: OnceLock<String> = OnceLock::new();
        static UNSCRIPTED: OnceLock<String> = OnceLock::new();
        let server = match self.kind() {
            Kind::Redis if self == Self::Unscripted => servers::valkey(),
            Kind::Redis => servers::redis(),
            Kind::Mongo => servers::mongo(),
            Kind::Mysql => servers::mysql(),
            Kind::Postgres => servers::postgres(),
        };
        let url = &server.expect("it is not skipped").url;
        match self {
            Self::Unscripted => UNSCRIPTED.get_or_init(|| url_of_user(url, "unscripted")),
            Self::PostgresZoned => ZONED.get_or_init(|| database_of(url, "zoned")),
            _ => url,
        }
    }
}

/// The URL of another database of PostgreSQL.
pub(crate) fn database_of(url: &str, database: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("a URL with a database");
    format!("{server}/{database}")
}

/// The URL of a user of Valkey, whose password is the name.
fn url_of_user(url: &str, name: &str) -> String {
    let (scheme, server) = url.split_once("://").expect("a URL");
    let (_, server) = server.split_once('@').unwrap_or(("", server));
    format!("{scheme}://{name}:{name}@{server}")
}

/// The id of a session that a program has shown.
pub(crate) fn session_id(shown: &Value) -> SessionId {
    let id = shown.as_str().expect("an id");
    SessionId::plain(id).expect("any text")
}

/// A name that nobody else has.
pub(crate) fn namespace() -> String {
    let random = u128::from_be_bytes(*Stamp::generate().as_bytes());
    format!("ex{:016x}", random as u64)
}

/// What an Express program is told of its store.
pub(crate) fn config(store: Store, namespace: &str) -> Value {
    let mut config = json!({
        "secret": SECRET,
        "resave": false,
        "saveUninitialized": false,
        "url": store.url(),
    });
    let own = match store {
        Store::Redis | Store::Unscripted => json!({ "store": "redis", "prefix": namespace }),
        Store::Mongo => json!({ "touchAfter": 1, "timestamps": true }),
        Store::MongoDocuments => json!({ "stringify": false }),
        Store::MongoHashed => json!({ "transformId": "sha256" }),
        Store::MongoWebCrypto => json!({ "webcrypto": { "secret": CRYPTO_SECRET } }),
        Store::MongoKruptein => json!({ "crypto": { "secret": CRYPTO_SECRET } }),
        Store::Mysql | Store::MysqlJson => json!({ "store": "mysql", "table": namespace }),
        Store::MysqlNamed => json!({
            "store": "mysql",
            "table": namespace,
            "columns": { "session_id": "the sid", "expires": "ends", "data": "what" },
        }),
        Store::Postgres | Store::PostgresJsonb => {
            json!({ "store": "postgres", "schemaName": namespace })
        }
        Store::PostgresZoned => json!({
            "store": "postgres",
            "schemaName": namespace,
            "tableName": "the \"sessions\"",
            "createTableIfMissing": true,
        }),
    };
    if store.kind() == Kind::Mongo {
        merge(
            &mut config,
            json!({ "store": "mongo", "collectionName": namespace }),
        );
    }
    merge(&mut config, own);
    config
}

pub(crate) fn merge(config: &mut Value, more: Value) {
    let (Value::Object(config), Value::Object(more)) = (config, more) else {
        panic!("both are objects");
    };
    config.extend(more);
}

/// The same store, in this library's hands, and the rules that its app's sessions live by.
pub(crate) async fn open(store: Store, namespace: &str, express: Express) -> Box<dyn Opened> {
    match store.kind() {
        Kind::Redis => {
            let builder = session_redis::express::ExpressStore::builder(express).prefix(namespace);
            Box::new(builder.connect(store.url()).await.expect("it is up"))
        }
        Kind::Mongo => {
            let builder = session_mongo::express::ExpressStore::builder(express);
            // Deriving keys counts, and takes its time without optimization on a busy machine.
            let builder = builder.timeout(Duration::from_secs(60));
            let builder = builder.collection(namespace);
            let builder = match store {
                Store::Mongo => builder.touch_after(Duration::from_secs(1)).timestamps(true),
                Store::MongoDocuments => builder.stringify(false),
                Store::MongoHashed => builder.transform_id(|sid| hex(&Sha256::digest(sid))),
                Store::MongoWebCrypto => {
                    builder.crypto(WebCrypto::new(CRYPTO_SECRET).expect("a secret"))
                }
                Store::MongoKruptein => {
                    builder.crypto(Kruptein::new(CRYPTO_SECRET).expect("a secret"))
                }
                other => panic!("{other:?} is none of MongoDB's"),
            };
            Box::new(builder.connect(store.url()).await.expect("it is up"))
        }
        Kind::Mysql => {
            let builder = session_mysql::express::ExpressStore::builder(express).table(namespace);
            let builder = match store {
                Store::MysqlNamed => builder.columns("the sid", "ends", "what"),
                _ => builder,
            };
            Box::new(builder.connect(store.url()).await.expect("it is up"))
        }
        Kind::Postgres => {
            let builder = session_postgres::express::ExpressStore::builder(express);
            let builder = builder.schema(namespace);
            let builder = match store {
                Store::PostgresZoned => builder.table("the \"sessions\""),
                _ => builder,
            };
            Box::new(builder.connect(store.url()).await.expect("it is up"))
        }
    }
}

/// A store of any of the types, for what is common to them.
pub(crate) trait Opened: Send {
    fn layer(self: Box<Self>) -> SessionLayer;
    fn sessions(self: Box<Self>) -> Sessions;
}

impl<S: ExpressLayout> Opened for S {
    fn layer(self: Box<Self>) -> SessionLayer {
        let builder = SessionLayer::express_compatible(*self).expect("good options");
        builder.build().expect("good options")
    }

    fn sessions(self: Box<Self>) -> Sessions {
        let lifetime = self.lifetime();
        let sessions = Sessions::builder(std::sync::Arc::new(*self)).lifetime(lifetime);
        sessions.build().expect("good rules")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Both on one store, and a browser at each, with the cookies of one.
pub(crate) struct Pair {
    pub(crate) namespace: String,
    pub(crate) express: Client,
    pub(crate) rust: Client,
    _app: ExpressApp,
}

impl Pair {
    pub(crate) async fn start(store: Store) -> Self {
        Self::start_with(store, json!({}), Express::new(SECRET)).await
    }

    /// The app is told `more`, and this library the same in `express`.
    pub(crate) async fn start_with(store: Store, more: Value, express: Express) -> Self {
        let namespace = namespace();
        prepare(store, &namespace).await;
        let mut config = config(store, &namespace);
        merge(&mut config, more);
        let app = ExpressApp::start(&config);
        let opened = open(store, &namespace, express).await;
        let port = rust_app::serve(opened.layer()).await;
        let express = Client::new(app.port);
        Self {
            namespace,
            rust: express.at(port),
            express,
            _app: app,
        }
    }

    /// The data that each of them shows, which must be the same, and the id.
    pub(crate) async fn both_see(&self) -> (Value, Value) {
        let mut theirs = self.express.get("/session").await.json();
        let ours = self.rust.get("/session").await.json();
        // With `touchAfter`, connect-mongo puts that of its own among the variables.
        if let Some(data) = theirs["data"].as_object_mut() {
            data.remove("lastModified");
        }
        assert_eq!(ours["data"], theirs["data"]);
        // A new session has an id in Express before it is stored.
        if ours["data"] != json!({}) {
            assert_eq!(ours["id"], theirs["id"]);
        }
        (ours["data"].clone(), ours["id"].clone())
    }
}

/// What neither side makes by itself, or only this library does.
pub(crate) async fn prepare(store: Store, namespace: &str) {
    match store {
        Store::Unscripted => {
            let url = servers::valkey().expect("it is not skipped").url.as_str();
            let client = redis::Client::open(url).expect("a good URL");
            let mut valkey = client.get_multiplexed_async_connection().await.expect("up");
            let mut user = redis::cmd("ACL");
            user.arg("SETUSER").arg("unscripted").arg("on");
            user.arg(&[">unscripted", "~*", "&*", "+@all", "-@scripting"]);
            let () = user.query_async(&mut valkey).await.expect("made");
        }
        Store::MysqlJson => {
            let create = format!(
                "CREATE TABLE `{namespace}` (session_id varchar(128) COLLATE utf8mb4_bin NOT NULL \
                 PRIMARY KEY, expires int unsigned NOT NULL, data JSON)"
            );
            let pool = sqlx::MySqlPool::connect(store.url()).await.expect("up");
            let create = sqlx::query(AssertSqlSafe(create));
            create.execute(&pool).await.expect("created");
        }
        Store::Postgres => {
            run_on_postgres(store.url(), format!("CREATE SCHEMA {namespace}")).await;
            // Before the app starts, which does not.
            open(store, namespace, Express::new(SECRET)).await;
        }
        Store::PostgresZoned => {
            static ZONED: OnceCell<()> = OnceCell::const_new();
            ZONED.get_or_init(make_zoned_database).await;
            run_on_postgres(store.url(), format!("CREATE SCHEMA {namespace}")).await;
        }
        Store::PostgresJsonb => {
            let create = format!(
                "CREATE SCHEMA {namespace}; CREATE TABLE {namespace}.session (sid varchar(64) PRIMARY \
                 KEY, sess jsonb NOT NULL, expire timestamptz NOT NULL)"
            );
            run_on_postgres(store.url(), create).await;
        }
        _ => {}
    }
}

async fn make_zoned_database() {
    let url = Store::Postgres.url();
    // An earlier run may have made it.
    let _ = execute(url, "CREATE DATABASE zoned".to_owned()).await;
    let zone = format!("ALTER DATABASE zoned SET timezone TO '{ZONE}'");
    run_on_postgres(url, zone).await;
}

/// Runs statements on a connection of its own.
pub(crate) async fn run_on_postgres(url: &str, statements: String) {
    execute(url, statements).await.expect("valid");
}

async fn execute(url: &str, statements: String) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    let done = sqlx::raw_sql(AssertSqlSafe(statements));
    done.execute(&mut connection).await.map(drop)
}

/// What is left of the record of session `id`, in seconds, as the database says.
pub(crate) async fn seconds_left(store: Store, namespace: &str, id: &str) -> i64 {
    match store.kind() {
        Kind::Redis => {
            let client = session_redis::redis::Client::open(store.url()).expect("a good URL");
            let mut connection = client.get_multiplexed_async_connection().await.expect("up");
            let mut ttl = session_redis::redis::cmd("TTL");
            ttl.arg(format!("{namespace}{id}"));
            ttl.query_async(&mut connection).await.expect("answered")
        }
        Kind::Mongo => {
            let client = mongodb::Client::with_uri_str(store.url())
                .await
                .expect("up");
            let database = client.default_database();
            let database = database.unwrap_or_else(|| client.database("test"));
            let documents = database.collection::<mongodb::bson::Document>(namespace);
            let document = documents.find_one(mongodb::bson::doc! {}).await;
            let document = document.expect("answered").expect("one");
            let expires = document.get_datetime("expires").expect("a date");
            (expires.timestamp_millis() - mongodb::bson::DateTime::now().timestamp_millis()) / 1_000
        }
        Kind::Mysql => {
            let pool = sqlx::MySqlPool::connect(store.url())
                .await
                .expect("it is up");
            let (sid, expires) = match store {
                Store::MysqlNamed => ("the sid", "ends"),
                _ => ("session_id", "expires"),
            };
            let ask = format!(
                "SELECT CAST(`{expires}` AS SIGNED) - UNIX_TIMESTAMP() FROM `{namespace}` WHERE `{sid}` = ?"
            );
            let ask = sqlx::query_scalar(AssertSqlSafe(ask)).bind(id.to_owned());
            ask.fetch_one(&pool).await.expect("answered")
        }
        Kind::Postgres => {
            let (table, end) = match store {
                Store::PostgresZoned => (
                    "the \"\"sessions\"\"",
                    format!("expire AT TIME ZONE '{ZONE}'"),
                ),
                Store::PostgresJsonb => ("session", "expire".to_owned()),
                // Clients are told no other setting of the server's, and `initdb` makes both the same.
                _ => (
                    "session",
                    "expire AT TIME ZONE current_setting('log_timezone')".to_owned(),
                ),
            };
            let ask = format!(
                "SELECT (extract(epoch FROM {end} - now()))::bigint FROM {namespace}.\"{table}\" \
                 WHERE sid = $1"
            );
            let ask = sqlx::query_scalar(AssertSqlSafe(ask)).bind(id.to_owned());
            let mut connection = PgConnection::connect(store.url()).await.expect("up");
            ask.fetch_one(&mut connection).await.expect("answered")
        }
    }
}
