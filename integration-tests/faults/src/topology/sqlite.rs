//! A SQLite file that several processes share.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use integration_tests::servers::Disk;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tempfile::TempDir;
use tokio::time::sleep;

use super::Topology;
use crate::dice::Dice;
use crate::fault::{DISK_FULL, FaultKind, Injected};
use crate::{Result, clock::Micros};

/// The file and its log have room for a run.
const DISK: u32 = 256;
/// How long the lock may be held by workers.
const LIMIT: Duration = Duration::from_secs(30);

/// Another process has the lock of writers.
const LOCKED: FaultKind = FaultKind::new("locked");

pub(super) struct Sqlite {
    place: Place,
    /// Why there is no disk of its own.
    why: String,
}

enum Place {
    Folder(TempDir),
    Disk(Disk),
}

impl Sqlite {
    pub(super) fn new() -> Result<Self> {
        let (place, why) = match Disk::mount(DISK) {
            Ok(disk) => (Place::Disk(disk), String::new()),
            Err(why) => (
                Place::Folder(tempfile::tempdir()?),
                format!(", no fault {}: {why}", DISK_FULL.name),
            ),
        };
        Ok(Self { place, why })
    }

    fn file(&self) -> PathBuf {
        let folder = match &self.place {
            Place::Folder(folder) => folder.path(),
            Place::Disk(disk) => disk.folder(),
        };
        folder.join("sessions.db")
    }

    async fn lock(&self, period: Duration) -> Result<()> {
        let options = SqliteConnectOptions::new()
            .filename(self.file())
            .busy_timeout(LIMIT);
        let mut connection = options.connect().await?;
        connection.execute("BEGIN IMMEDIATE").await?;
        sleep(period).await;
        connection.execute("ROLLBACK").await?;
        Ok(connection.close().await?)
    }
}

#[async_trait]
impl Topology for Sqlite {
    fn description(&self) -> String {
        format!("SQLite, one file, durability=full{}", self.why)
    }

    fn url(&self) -> String {
        format!("sqlite:{}?durability=full", self.file().display())
    }

    fn faults(&self) -> &'static [FaultKind] {
        match &self.place {
            Place::Folder(_) => &[LOCKED],
            Place::Disk(_) => &[LOCKED, DISK_FULL],
        }
    }

    async fn inject(&self, fault: &'static str, dice: &mut Dice) -> Result<Injected> {
        let period = dice.duration(Duration::from_millis(500), Duration::from_secs(4));
        let began = Micros::now();
        match &self.place {
            _ if fault == LOCKED.name => self.lock(period).await?,
            Place::Disk(disk) if fault == DISK_FULL.name => {
                disk.fill()?;
                sleep(period).await;
                disk.free()?;
            }
            _ => return Err(format!("SQLite can't have the fault {fault}").into()),
        }
        Ok(Injected::since(began, format!("for {period:?}")))
    }
}
