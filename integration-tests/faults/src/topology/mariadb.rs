//! MariaDB.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use integration_tests::servers::{Kind, Launch, Private};
use tokio::task::block_in_place;

use super::sql::{Arrangement, Database};
use super::sql_admin::{Admin, Administration};
use crate::Result;

const ADMINISTRATION: Administration = Administration {
    kill: &["KILL CONNECTION USER app"],
    another_password: &["ALTER USER app IDENTIFIED BY 'another'"],
    password: &["ALTER USER app IDENTIFIED BY 'secret'"],
    read_only: &["SET GLOBAL read_only = 1"],
    writable: &["SET GLOBAL read_only = 0"],
};

/// The user of workers may not write while the server is read-only, and root may.
const USER: &[&str] = &[
    "CREATE USER app IDENTIFIED BY 'secret'",
    "GRANT ALL ON test.* TO app",
    "CREATE USER hog IDENTIFIED BY 'secret'",
    "GRANT SELECT ON test.* TO hog",
    "CREATE USER replica",
    "GRANT REPLICATION SLAVE ON *.* TO replica",
];

pub(super) struct Mariadb {
    /// Of the next server.
    id: AtomicU32,
}

impl Mariadb {
    pub(super) const fn new() -> Self {
        Self {
            id: AtomicU32::new(1),
        }
    }
}

#[async_trait]
impl Database for Mariadb {
    fn settings(&self, arrangement: Arrangement) -> &'static str {
        match arrangement {
            Arrangement::One | Arrangement::WithClock => {
                "one server, innodb_flush_log_at_trx_commit=1"
            }
            Arrangement::WithReplica => {
                "a primary and a semi-synchronous replica (AFTER_SYNC, never degraded), \
                 innodb_flush_log_at_trx_commit=1, sync_binlog=1"
            }
        }
    }

    fn launch(&self, arrangement: Arrangement) -> Launch {
        let launch = Launch::of(Kind::Mysql, &["mariadbd"]).arguments(&[
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=32M",
            "--max-connections=80",
        ]);
        if arrangement != Arrangement::WithReplica {
            return launch;
        }
        let id = self.id.fetch_add(1, Ordering::Relaxed);
        launch.arguments(&[
            &format!("--server-id={id}")[..],
            "--log-bin=log",
            "--log-slave-updates",
            "--sync-binlog=1",
            "--binlog-format=ROW",
            "--rpl-semi-sync-slave-enabled=ON",
            "--rpl-semi-sync-master-wait-point=AFTER_SYNC",
            "--rpl-semi-sync-master-timeout=3600000",
            "--skip-slave-start",
        ])
    }

    async fn version(&self, admin: &mut Admin) -> Result<String> {
        let version = admin.text("SELECT VERSION()").await?;
        let number = version.split('-').next().unwrap_or_default();
        Ok(format!("MariaDB {number}"))
    }

    async fn prepare(&self, server: &Private) -> Result<()> {
        let mut admin = Admin::connect(&server.url).await?;
        if admin.text("SELECT IF(@@log_bin, 'on', 'off')").await? == "on" {
            // Replicas begin with the same empty server.
            admin.run(&["RESET MASTER"]).await?;
        }
        admin.run(USER).await
    }

    fn url(&self, user: &str, port: u16) -> String {
        format!("mysql://{user}:secret@127.0.0.1:{port}/test")
    }

    fn administration(&self) -> &'static Administration {
        &ADMINISTRATION
    }

    fn has_processes(&self) -> bool {
        false
    }

    async fn use_disk(&self, _server: &Private) {}

    async fn attach(&self, primary: &Private) -> Result<Private> {
        let launch = self.launch(Arrangement::WithReplica);
        let replica = block_in_place(|| launch.try_start())?;
        let mut admin = Admin::connect(&replica.url).await?;
        let port = primary.port;
        let source = format!(
            "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='replica', \
             MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1"
        );
        let begin = [
            "RESET MASTER",
            &source,
            "SET GLOBAL read_only = 1",
            "START SLAVE",
        ];
        admin.run(&begin).await?;
        self.catch_up(primary, &replica).await?;
        let mut of_primary = Admin::connect(&primary.url).await?;
        of_primary
            .run(&["SET GLOBAL rpl_semi_sync_master_enabled = ON"])
            .await?;
        let clients = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS \
                       WHERE VARIABLE_NAME = 'RPL_SEMI_SYNC_MASTER_CLIENTS'";
        of_primary.wait_for(clients, "1").await?;
        Ok(replica)
    }

    async fn catch_up(&self, primary: &Private, replica: &Private) -> Result<()> {
        let mut from = Admin::connect(&primary.url).await?;
        let mut to = Admin::connect(&replica.url).await?;
        let position = from
            .text("SELECT CONVERT(@@gtid_binlog_pos USING utf8mb4)")
            .await?;
        let wait = format!("SELECT CONVERT(MASTER_GTID_WAIT('{position}', 30), CHAR)");
        match to.text(&wait).await?.as_str() {
            "0" => Ok(()),
            other => Err(format!("the replica does not reach {position}: {other}").into()),
        }
    }

    async fn promote(&self, replica: &Private) -> Result<()> {
        let mut admin = Admin::connect(&replica.url).await?;
        // What it has confirmed it has, though it may not have done it.
        admin.run(&["STOP SLAVE IO_THREAD"]).await?;
        applied(&mut admin).await?;
        let lead = ["STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0"];
        admin.run(&lead).await
    }
}

/// Waits until the replica has done all that it has received.
async fn applied(admin: &mut Admin) -> Result<()> {
    let state = "SELECT IF(COUNT(*) = 1, 'yes', 'no') FROM information_schema.PROCESSLIST \
                 WHERE COMMAND = 'Slave_SQL' AND STATE LIKE 'Slave has read all relay log%'";
    admin.wait_for(state, "yes").await
}
