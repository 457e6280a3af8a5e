//! What an administrator does to SQL servers.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Executor as _, Row as _};
use tokio::time::{sleep, timeout};

use crate::Result;
use crate::dice::Dice;
use crate::fault::FaultKind;

/// A server may be busy to recover.
const LIMIT: Duration = Duration::from_secs(60);

/// How many connections are made at the same time to take all.
const HOGS_AT_ONCE: usize = 16;
/// No server here allows so many.
const MORE_THAN_ALL: usize = 500;

/// A connection to one server.
pub(super) enum Admin {
    Mysql(MySqlConnection),
    Postgres(PgConnection),
}

impl Admin {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let connecting = async {
            Ok(if url.starts_with("mysql:") {
                Self::Mysql(url.parse::<MySqlConnectOptions>()?.connect().await?)
            } else {
                Self::Postgres(url.parse::<PgConnectOptions>()?.connect().await?)
            })
        };
        timeout(LIMIT, connecting).await?
    }

    /// Runs these statements, each in a transaction of its own.
    pub(super) async fn run(&mut self, statements: &[&str]) -> Result<()> {
        for statement in statements {
            self.run_one(statement).await?;
        }
        Ok(())
    }

    /// Runs one statement.
    pub(super) async fn run_one(&mut self, statement: &str) -> Result<()> {
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        let running = async {
            match self {
                Self::Mysql(to) => to.execute(sqlx::raw_sql(statement)).await.map(drop),
                Self::Postgres(to) => to.execute(sqlx::raw_sql(statement)).await.map(drop),
            }
        };
        Ok(timeout(LIMIT, running).await??)
    }

    /// The first column of the first row of an answer, which is text.
    pub(super) async fn text(&mut self, query: &str) -> Result<String> {
        let query = sqlx::AssertSqlSafe(query.to_owned());
        let asking = async {
            match self {
                Self::Mysql(to) => to.fetch_one(sqlx::raw_sql(query)).await?.try_get(0),
                Self::Postgres(to) => to.fetch_one(sqlx::raw_sql(query)).await?.try_get(0),
            }
        };
        Ok(timeout(LIMIT, asking).await??)
    }

    /// Waits until the answer to a query is this text.
    pub(super) async fn wait_for(&mut self, query: &str, text: &str) -> Result<()> {
        let began = Instant::now();
        loop {
            let answer = self.text(query).await?;
            if answer == text {
                return Ok(());
            }
            if began.elapsed() > LIMIT {
                return Err(format!("{query}: {answer} instead of {text}").into());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The statements of a database.
pub(super) struct Administration {
    /// Ends the connections of the user `app`.
    pub(super) kill: &'static [&'static str],
    /// Changes the password of the user.
    pub(super) another_password: &'static [&'static str],
    /// Changes it back.
    pub(super) password: &'static [&'static str],
    /// Refuses writes.
    pub(super) read_only: &'static [&'static str],
    /// Takes them again.
    pub(super) writable: &'static [&'static str],
}

impl Administration {
    /// The connections of the user are closed by the server, 3 to 20 times.
    pub(super) const CLIENT_KILL: FaultKind = FaultKind::new("client-kill");
    /// The user has another password than workers have.
    pub(super) const PASSWORD: FaultKind =
        FaultKind::new("password").explains(&["Misconfigured", "Refused"]);
    /// The server refuses writes.
    pub(super) const READ_ONLY: FaultKind = FaultKind::new("read-only");
    /// Other clients have all connections.
    pub(super) const MAX_CONNECTIONS: FaultKind = FaultKind::new("max-connections");

    /// Makes a fault of the server at `url` and ends it; `hogs` is the URL
    /// of other clients.
    pub(super) async fn inject(
        &self,
        url: &str,
        hogs: &str,
        fault: &str,
        dice: &mut Dice,
    ) -> Result<String> {
        let mut admin = Admin::connect(url).await?;
        let period = dice.duration(Duration::from_millis(500), Duration::from_secs(4));
        if fault == Self::CLIENT_KILL.name {
            let times = dice.number(3..21);
            for _ in 0..times {
                admin.run(self.kill).await?;
                let pause = dice.duration(Duration::from_millis(10), Duration::from_millis(200));
                sleep(pause).await;
            }
            return Ok(format!("{times} times"));
        }
        if fault == Self::PASSWORD.name {
            admin.run(self.another_password).await?;
            admin.run(self.kill).await?;
            sleep(period).await;
            admin.run(self.password).await?;
        } else if fault == Self::READ_ONLY.name {
            admin.run(self.read_only).await?;
            sleep(period).await;
            admin.run(self.writable).await?;
        } else if fault == Self::MAX_CONNECTIONS.name {
            let hogged = self.hog(&mut admin, hogs, period).await?;
            return Ok(format!("{hogged} by others for {period:?}"));
        } else {
            return Err(format!("an SQL server can't have the fault {fault}").into());
        }
        Ok(format!("for {period:?}"))
    }

    /// Takes all connections that are free, and those that the user loses, and keeps them so long.
    async fn hog(&self, admin: &mut Admin, url: &str, period: Duration) -> Result<usize> {
        let (mut hogs, mut full) = (Vec::new(), None);
        while full.is_none_or(|since: Instant| since.elapsed() < period) {
            let some = join_all((0..HOGS_AT_ONCE).map(|_| Admin::connect(url))).await;
            let taken = hogs.len();
            hogs.extend(some.into_iter().flatten());
            if hogs.len() < taken + HOGS_AT_ONCE {
                full.get_or_insert_with(Instant::now);
                admin.run(self.kill).await?;
            }
            if hogs.len() > MORE_THAN_ALL {
                return Err("the server has more connections than expected".into());
            }
        }
        Ok(hogs.len())
    }
}
