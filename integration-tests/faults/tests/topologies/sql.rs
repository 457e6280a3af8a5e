//! MariaDB and PostgreSQL.

use async_trait::async_trait;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Executor as _, Row as _};

use super::probe::{
    Expected, OTHER_CLOCK, Probe, SLOW, TIMED_OUT, all_happen_and_end, is_other_clock,
};

/// What a connection that breaks says.
const BROKEN: &[&str] = &[
    "roken pipe",
    "reset by peer",
    "refused",
    "expected to read",
    "unexpected end",
    "onnection was killed",
    "terminating connection",
    "closed",
];

const MARIADB: Expected = &[
    ("kill", BROKEN),
    ("restart", BROKEN),
    ("stop", &[TIMED_OUT]),
    ("disk-full", &["full", "Errcode: 28", TIMED_OUT]),
    ("client-kill", BROKEN),
    (
        "password",
        &["Access denied", "password authentication failed"],
    ),
    ("read-only", &["read-only"]),
    (
        "max-connections",
        &[
            "Too many connections",
            "too many clients",
            "connection slots",
        ],
    ),
    ("network-delay", &[SLOW, TIMED_OUT]),
    ("network-drip", &[SLOW, TIMED_OUT]),
    ("network-cut-answers", BROKEN),
    ("network-silence", &[TIMED_OUT]),
    ("network-black-hole", &[TIMED_OUT]),
    ("network-resets", BROKEN),
    ("network-cut", BROKEN),
];

const POSTGRES: Expected = &[
    ("kill", BROKEN),
    ("restart", BROKEN),
    ("stop", &[TIMED_OUT]),
    ("kill-backend", BROKEN),
    (
        "disk-full",
        &[
            "No space left",
            "recovery mode",
            "refused",
            "expected to read",
            "shutting down",
        ],
    ),
    MARIADB[4],
    MARIADB[5],
    ("read-only", &["read-only transaction"]),
    MARIADB[7],
    MARIADB[8],
    MARIADB[9],
    MARIADB[10],
    MARIADB[11],
    MARIADB[12],
    MARIADB[13],
    MARIADB[14],
];

const WITH_REPLICA: Expected = &[
    ("kill-primary", BROKEN),
    ("switchover", BROKEN),
    ("stop-replica", &[TIMED_OUT]),
    ("stop", &[TIMED_OUT]),
    ("kill-primary", BROKEN),
    MARIADB[4],
    MARIADB[5],
    MARIADB[6],
    MARIADB[7],
    MARIADB[8],
    MARIADB[9],
    MARIADB[10],
    MARIADB[11],
    MARIADB[12],
    MARIADB[13],
    MARIADB[14],
];

const WITH_CLOCK: Expected = &[("clock-jump", &[OTHER_CLOCK]), ("kill", BROKEN)];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 60 s: `./faults.sh smoke` runs it"]
async fn faults_of_mariadb() {
    all_happen_and_end("mariadb", Sql::of, MARIADB).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 60 s: `./faults.sh smoke` runs it"]
async fn faults_of_mariadb_with_a_replica() {
    all_happen_and_end("mariadb-replica", Sql::of, WITH_REPLICA).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 15 s: `./faults.sh smoke` runs it"]
async fn the_clock_of_mariadb_jumps_and_is_right_again() {
    all_happen_and_end("mariadb-clock", Sql::of, WITH_CLOCK).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 60 s: `./faults.sh smoke` runs it"]
async fn faults_of_postgres() {
    all_happen_and_end("postgres", Sql::of, POSTGRES).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 60 s: `./faults.sh smoke` runs it"]
async fn faults_of_postgres_with_a_standby() {
    all_happen_and_end("postgres-standby", Sql::of, WITH_REPLICA).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes 15 s: `./faults.sh smoke` runs it"]
async fn the_clock_of_postgres_jumps_and_is_right_again() {
    all_happen_and_end("postgres-clock", Sql::of, WITH_CLOCK).await;
}

struct Sql {
    url: String,
    connection: Option<Connection>,
    has_table: bool,
}

enum Connection {
    Mysql(MySqlConnection),
    Postgres(PgConnection),
}

impl Sql {
    fn of(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            connection: None,
            has_table: false,
        }
    }

    async fn connect(&self) -> sqlx::Result<Connection> {
        Ok(if self.url.starts_with("mysql:") {
            Connection::Mysql(self.url.parse::<MySqlConnectOptions>()?.connect().await?)
        } else {
            Connection::Postgres(self.url.parse::<PgConnectOptions>()?.connect().await?)
        })
    }

    async fn try_look(&mut self) -> sqlx::Result<f64> {
        let mut to = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        if !self.has_table {
            to.run("CREATE TABLE IF NOT EXISTS probe (text TEXT)")
                .await?;
            self.has_table = true;
        }
        to.run("INSERT INTO probe VALUES (REPEAT('x', 60000))")
            .await?;
        let seconds = match &mut to {
            Connection::Mysql(to) => {
                let query = "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) AS DOUBLE), REPEAT('x', 2000)";
                to.fetch_one(sqlx::raw_sql(query)).await?.try_get(0)?
            }
            Connection::Postgres(to) => {
                let query =
                    "SELECT EXTRACT(EPOCH FROM clock_timestamp())::float8, REPEAT('x', 2000)";
                to.fetch_one(sqlx::raw_sql(query)).await?.try_get(0)?
            }
        };
        self.connection = Some(to);
        Ok(seconds)
    }
}

impl Connection {
    async fn run(&mut self, statement: &'static str) -> sqlx::Result<()> {
        match self {
            Self::Mysql(to) => to.execute(sqlx::raw_sql(statement)).await.map(drop),
            Self::Postgres(to) => to.execute(sqlx::raw_sql(statement)).await.map(drop),
        }
    }
}

#[async_trait]
impl Probe for Sql {
    async fn look(&mut self) -> Result<Option<&'static str>, String> {
        match self.try_look().await {
            Ok(seconds) => Ok(is_other_clock(seconds).then_some(OTHER_CLOCK)),
            Err(error) => Err(error.to_string()),
        }
    }

    fn forget(&mut self) {
        self.connection = None;
    }
}
