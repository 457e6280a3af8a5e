//! PostgreSQL.

use async_trait::async_trait;
use integration_tests::servers::{Kind, Launch, Private};
use tokio::task::block_in_place;

use super::sql::{Arrangement, Database};
use super::sql_admin::{Admin, Administration};
use crate::Result;

const ADMINISTRATION: Administration = Administration {
    kill: &["SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'"],
    another_password: &["ALTER ROLE app PASSWORD 'another'"],
    password: &["ALTER ROLE app PASSWORD 'secret'"],
    read_only: &[
        "ALTER SYSTEM SET default_transaction_read_only = on",
        "SELECT pg_reload_conf()",
    ],
    // The administrator's own transactions are read-only as well.
    writable: &[
        "SET default_transaction_read_only = off",
        "ALTER SYSTEM RESET default_transaction_read_only",
        "SELECT pg_reload_conf()",
    ],
};

/// The user of workers, who owns the database and logs in with a password.
const USER: &[&str] = &[
    "CREATE ROLE app LOGIN PASSWORD 'secret'",
    "CREATE ROLE hog LOGIN PASSWORD 'secret'",
    "ALTER DATABASE test OWNER TO app",
];

/// The first rule that fits a connection counts.
const LOGINS: &str = "host all app 127.0.0.1/32 scram-sha-256\n\
                      host all postgres,hog 127.0.0.1/32 trust\n\
                      host replication postgres 127.0.0.1/32 trust\n";

pub(super) struct Postgres;

#[async_trait]
impl Database for Postgres {
    fn settings(&self, arrangement: Arrangement) -> &'static str {
        match arrangement {
            Arrangement::One | Arrangement::WithClock => "one server, synchronous_commit=on",
            Arrangement::WithReplica => {
                "a primary and a synchronous standby (synchronous_standby_names='*', \
                 synchronous_commit=on)"
            }
        }
    }

    fn launch(&self, _arrangement: Arrangement) -> Launch {
        Launch::of(Kind::Postgres, &["postgres"]).arguments(&["-c", "max_connections=80"])
    }

    async fn version(&self, admin: &mut Admin) -> Result<String> {
        let version = admin.text("SHOW server_version").await?;
        let number = version.split(' ').next().unwrap_or_default();
        Ok(format!("PostgreSQL {number}"))
    }

    async fn prepare(&self, server: &Private) -> Result<()> {
        let mut admin = Admin::connect(&server.url).await?;
        admin.run(USER).await?;
        let file = admin.text("SHOW hba_file").await?;
        std::fs::write(file, LOGINS)?;
        admin.run(&["SELECT pg_reload_conf()"]).await
    }

    fn url(&self, user: &str, port: u16) -> String {
        format!("postgres://{user}:secret@127.0.0.1:{port}/test")
    }

    fn administration(&self) -> &'static Administration {
        &ADMINISTRATION
    }

    fn has_processes(&self) -> bool {
        true
    }

    async fn use_disk(&self, server: &Private) {
        let Ok(mut admin) = Admin::connect(&server.url).await else {
            return;
        };
        // A segment of the log is ended, and there is no room for the next. The server ends.
        for _ in 0..4 {
            let _ = admin.run(&["SELECT pg_switch_wal()"]).await;
            let write = "SELECT pg_logical_emit_message(false, 'faults', repeat('x', 100000))";
            let _ = admin.run(&[write]).await;
        }
    }

    async fn attach(&self, primary: &Private) -> Result<Private> {
        let standby = block_in_place(|| Private::standby(primary));
        let mut admin = Admin::connect(&primary.url).await?;
        let wait = [
            "ALTER SYSTEM SET synchronous_standby_names = '*'",
            "SELECT pg_reload_conf()",
        ];
        admin.run(&wait).await?;
        let state = "SELECT COALESCE(MAX(sync_state), '') FROM pg_stat_replication";
        admin.wait_for(state, "sync").await?;
        Ok(standby)
    }

    async fn catch_up(&self, primary: &Private, replica: &Private) -> Result<()> {
        let mut from = Admin::connect(&primary.url).await?;
        let position = from.text("SELECT pg_current_wal_lsn()::text").await?;
        let mut to = Admin::connect(&replica.url).await?;
        let reached = format!("SELECT (pg_last_wal_replay_lsn() >= '{position}')::text");
        to.wait_for(&reached, "true").await
    }

    async fn promote(&self, replica: &Private) -> Result<()> {
        let mut admin = Admin::connect(&replica.url).await?;
        admin.run(&["SELECT pg_promote()"]).await?;
        // The primary was read-only, or had a standby, when these were copied from it.
        admin.run(ADMINISTRATION.writable).await?;
        let alone = [
            "ALTER SYSTEM RESET synchronous_standby_names",
            "SELECT pg_reload_conf()",
        ];
        admin.run(&alone).await
    }
}
