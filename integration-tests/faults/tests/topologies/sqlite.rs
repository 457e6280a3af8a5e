//! SQLite.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Executor as _};

use super::probe::{Expected, Probe, all_happen_and_end};

const FAULTS: Expected = &[("locked", &["locked"]), ("disk-full", &["full"])];

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_sqlite() {
    all_happen_and_end("sqlite", File::of, FAULTS).await;
}

struct File {
    path: String,
    connection: Option<SqliteConnection>,
}

impl File {
    fn of(url: &str) -> Self {
        let path = url.strip_prefix("sqlite:").expect("a URL of SQLite");
        Self {
            path: path.split('?').next().unwrap_or_default().to_owned(),
            connection: None,
        }
    }

    async fn try_look(&mut self) -> sqlx::Result<()> {
        let mut to = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let options = SqliteConnectOptions::new().filename(&self.path);
                let options = options.create_if_missing(true);
                options
                    .busy_timeout(Duration::from_millis(20))
                    .connect()
                    .await?
            }
        };
        to.execute("CREATE TABLE IF NOT EXISTS probe (text TEXT)")
            .await?;
        to.execute("INSERT INTO probe VALUES (HEX(ZEROBLOB(30000)))")
            .await?;
        self.connection = Some(to);
        Ok(())
    }
}

#[async_trait]
impl Probe for File {
    async fn look(&mut self) -> Result<Option<&'static str>, String> {
        let looked = self.try_look().await;
        looked.map(|()| None).map_err(|error| error.to_string())
    }

    fn forget(&mut self) {
        self.connection = None;
    }
}
