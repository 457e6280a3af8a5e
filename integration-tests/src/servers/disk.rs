//! A small disk in memory, which a test can fill.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::binary::run_to_end;
use super::guard::{REMOVE_DISK, guarded, release};

/// A file system of a fixed size, mounted at a folder of its own. It is removed a moment after it is
/// dropped.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    guard: Option<Child>,
}

impl Disk {
    /// Mounts a disk of so many MiB.
    ///
    /// # Errors
    /// Where mounting is not permitted.
    pub fn mount(mebibytes: u32) -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix("session-test-disk-")
            .tempdir()
            .map_err(|error| format!("no temporary folder: {error}"))?;
        let size = format!("size={mebibytes}m");
        let mut mount = Command::new("mount");
        run_to_end(
            mount
                .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
                .arg(folder.path()),
        )?;
        let folder = folder.keep();
        let guard = guarded(REMOVE_DISK, &[&folder.to_string_lossy()])
            .map_err(|error| format!("no shell: {error}"))?;
        let disk = Self {
            folder,
            guard: Some(guard),
        };
        // Servers may run as other users.
        std::fs::set_permissions(&disk.folder, PermissionsExt::from_mode(0o755))
            .map_err(|error| error.to_string())?;
        Ok(disk)
    }

    /// Returns the folder that the disk is mounted at.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file until the disk is full, and again what others have given back meanwhile.
    ///
    /// # Errors
    /// If the file can't be written for another reason.
    pub fn fill(&self) -> io::Result<()> {
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(self.filler())?;
        // The large pieces are quick, the small ones fill the rest.
        for length in [1 << 20, 1 << 12] {
            let piece = vec![0; length];
            loop {
                match file.write_all(&piece) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Removes that file.
    ///
    /// # Errors
    /// If there is none.
    pub fn free(&self) -> io::Result<()> {
        std::fs::remove_file(self.filler())
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.take() {
            // It waits until the servers have ended.
            std::thread::spawn(|| release(guard));
        }
    }
}
