//! A server that asks for a name and password, has a TLS certificate that nobody trusts, and fails
//! when it is told to.

use integration_tests::servers::{Kind, Private};
use session_mongo::mongodb::bson::{Bson, Document, doc};
use session_mongo::mongodb::{Client, Database};
use tokio::sync::OnceCell;

pub(crate) const PASSWORD: &str = "hunter2";

pub(crate) struct Guarded {
    pub(crate) port: u16,
    _server: Private,
}

/// The one of this process.
pub(crate) async fn guarded() -> &'static Guarded {
    static GUARDED: OnceCell<Guarded> = OnceCell::const_new();
    GUARDED.get_or_init(Guarded::start).await
}

impl Guarded {
    async fn start() -> Self {
        let certificate = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/integration/mongo_backend/server.pem"
        );
        let start = move || {
            let tls = [
                "--tlsMode",
                "preferTLS",
                "--tlsCertificateKeyFile",
                certificate,
            ];
            let others = ["--auth", "--setParameter", "enableTestCommands=1"];
            Private::start_bare(Kind::Mongo, &[&tls[..], &others].concat())
        };
        let server = tokio::task::spawn_blocking(start).await.expect("started");
        let client = Client::with_uri_str(&server.url).await.expect("a good URL");
        let create = |name: &str, roles: Vec<Bson>| doc! { "createUser": name, "pwd": PASSWORD, "roles": roles };
        // As long as there is no user, who is local may make one.
        let admin = client.database("admin");
        let root = admin.run_command(create("root", vec!["root".into()]));
        root.await.expect("created");
        let server = Self {
            port: server.port,
            _server: server,
        };
        let app = server.admin().await.client().database("app");
        let on = |role: &str| doc! { "role": role, "db": "app" };
        for (name, role) in [("writer", "readWrite"), ("reader", "read")] {
            let created = app.run_command(create(name, vec![on(role).into()]));
            created.await.expect("created");
        }
        server
    }

    /// The URL of this user.
    pub(crate) fn url(&self, user: &str, options: &str) -> String {
        format!(
            "mongodb://{user}:{PASSWORD}@127.0.0.1:{}/app?{options}",
            self.port
        )
    }

    pub(crate) async fn admin(&self) -> Database {
        let url = self.url("root", "authSource=admin");
        let client = Client::with_uri_str(&url).await.expect("a good URL");
        client.database("admin")
    }

    /// Has the next command of this name that a program called `app` sends fail.
    pub(crate) async fn fail(&self, app: &str, command: &str, how: Document) {
        let mut data = doc! { "failCommands": [command], "appName": app };
        data.extend(how);
        let fail = doc! {
            "configureFailPoint": "failCommand",
            "mode": { "times": 1 },
            "data": data,
        };
        self.admin().await.run_command(fail).await.expect("told");
    }
}
