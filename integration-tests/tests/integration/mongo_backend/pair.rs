//! A primary, and a secondary that is behind it: it has stopped to apply what the primary writes.

use std::time::{Duration, Instant};

use integration_tests::servers::{Kind, Private};
use session_mongo::mongodb::bson::{Document, doc};
use session_mongo::mongodb::{Client, Database};
use tokio::sync::OnceCell;

pub(crate) struct Pair {
    pub(crate) primary: Private,
    pub(crate) secondary: Private,
}

/// The one of this process.
pub(crate) async fn pair() -> &'static Pair {
    static PAIR: OnceCell<Pair> = OnceCell::const_new();
    PAIR.get_or_init(Pair::start).await
}

impl Pair {
    async fn start() -> Self {
        let member = || {
            let set = ["--replSet", "rs0", "--setParameter", "enableTestCommands=1"];
            let start = move || Private::start_bare(Kind::Mongo, &set);
            tokio::task::spawn_blocking(start)
        };
        let (primary, secondary) = tokio::join!(member(), member());
        let (primary, secondary) = (primary.expect("started"), secondary.expect("started"));
        let host = |server: &Private| format!("127.0.0.1:{}", server.port);
        let set = doc! { "_id": "rs0", "members": [
            { "_id": 0, "host": host(&primary) },
            { "_id": 1, "host": host(&secondary), "priority": 0, "votes": 0 },
        ] };
        let admin = admin(&primary).await;
        let initiate = admin.run_command(doc! { "replSetInitiate": set }).await;
        initiate.expect("initiated");
        until(&admin, "isWritablePrimary").await;
        let behind = self::admin(&secondary).await;
        until(&behind, "secondary").await;
        let stop = doc! { "configureFailPoint": "rsSyncApplyStop", "mode": "alwaysOn" };
        behind.run_command(stop).await.expect("stopped");
        Self { primary, secondary }
    }

    /// The URL of both, with these options.
    pub(crate) fn url(&self, options: &str) -> String {
        let (primary, secondary) = (self.primary.port, self.secondary.port);
        format!("mongodb://127.0.0.1:{primary},127.0.0.1:{secondary}/app?replicaSet=rs0&{options}")
    }
}

pub(crate) async fn admin(server: &Private) -> Database {
    let client = Client::with_uri_str(&server.url).await.expect("a good URL");
    client.database("admin")
}

pub(crate) async fn until(admin: &Database, field: &str) {
    let began = Instant::now();
    loop {
        let hello = admin.run_command(doc! { "hello": 1 }).await;
        if hello.is_ok_and(|hello: Document| hello.get_bool(field).unwrap_or_default()) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{field}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
