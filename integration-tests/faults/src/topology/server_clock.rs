//! Clocks that differ from the machine's, by libfaketime.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::sleep;

use crate::Result;
use crate::dice::Dice;
use crate::fault::FaultKind;

/// How far the clock of a server jumps.
const FAR: i64 = 20;
/// A process looks at its file this often.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

/// The clock of the server jumps by up to 20 s, forward or back, and later to the right time again.
pub(super) const JUMP: FaultKind =
    FaultKind::new("clock-jump").moves_clock(Duration::from_secs(FAR.unsigned_abs()));

/// The clock of one server.
pub(super) struct ServerClock {
    file: PathBuf,
    _folder: TempDir,
}

impl ServerClock {
    /// A clock that is right.
    ///
    /// # Errors
    /// If libfaketime is not installed.
    pub(super) fn new() -> Result<Self> {
        library()?;
        let folder = tempfile::tempdir()?;
        // Servers run as other users.
        fs::set_permissions(
            folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )?;
        let file = folder.path().join("clock");
        let clock = Self {
            file,
            _folder: folder,
        };
        clock.set(0)?;
        Ok(clock)
    }

    /// The words before the command of a server that give it this clock.
    pub(super) fn words(&self) -> Vec<String> {
        let file = format!("FAKETIME_TIMESTAMP_FILE={}", self.file.display());
        let every = format!("FAKETIME_CACHE_DURATION={}", LOOKS_EVERY.as_secs());
        let preload = format!("LD_PRELOAD={}", library().unwrap_or_default());
        [
            "env",
            &preload,
            &file,
            &every,
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
        ]
        .map(str::to_owned)
        .into()
    }

    fn set(&self, seconds: i64) -> Result<()> {
        // A file is read whole or not at all.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}s\n"))?;
        Ok(fs::rename(&new, &self.file)?)
    }

    pub(super) async fn jump(&self, dice: &mut Dice) -> Result<String> {
        let by = i64::try_from(dice.number(1..FAR.unsigned_abs() + 1))?;
        let by = if dice.one_in(2) { by } else { -by };
        let period = dice.duration(LOOKS_EVERY, Duration::from_secs(5));
        self.set(by)?;
        sleep(LOOKS_EVERY + period).await;
        self.set(0)?;
        sleep(LOOKS_EVERY * 3 / 2).await;
        Ok(format!("by {by:+} s for {period:?}"))
    }
}

/// The environment of a worker whose clock is `apart` seconds ahead of that of the one before.
pub(super) fn of_worker(worker: usize, apart: i64) -> Vec<(String, String)> {
    if apart == 0 {
        return Vec::new();
    }
    let ahead = apart.saturating_mul(i64::try_from(worker).unwrap_or(i64::MAX));
    let preload = library().unwrap_or_default();
    [
        ("LD_PRELOAD", preload),
        ("FAKETIME", format!("{ahead:+}s")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Where Debian's package `faketime` puts the library for programs with threads.
///
/// # Errors
/// If it is not installed.
pub(super) fn library() -> Result<String> {
    let machine = std::env::consts::ARCH;
    let path = format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1");
    match Path::new(&path).is_file() {
        true => Ok(path),
        false => Err(format!("no {path}: install the package faketime").into()),
    }
}
