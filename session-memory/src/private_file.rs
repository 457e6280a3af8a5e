//! A file that only the user of this process can write or read.
//!
//! Owner and mode are checked on the open handle that the bytes are read from, so the file can't be
//! replaced between the check and the read.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use session_core::{Error, Result, Stamp};

/// Reads the file at `path`; `None` if there is none.
///
/// # Errors
/// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured), naming the file, if
/// another user owns it or may read or replace it, or it is not a regular file;
/// [`ErrorKind::Refused`](session_core::ErrorKind::Refused) if it can't be read.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    platform::check_folder(folder(path))?;
    let mut file = match platform::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(platform::open_error(path, error)),
    };
    platform::check_file(path, &file)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(|error| io_error(path, error))?;
    Ok(Some(bytes))
}

/// Writes `bytes` to `path`, atomically and readable only by the user of this process.
///
/// # Errors
/// [`ErrorKind::Refused`](session_core::ErrorKind::Refused), naming the file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = temporary_path(path);
    let written = write_new(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // Best effort: a file that remains is private and never read.
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(|error| io_error(path, error))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    // An existing file is not opened, and an existing link is not followed.
    options.write(true).create_new(true);
    platform::make_private(&mut options);
    let mut file = options.open(path)?;
    platform::keep_readable(&file)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A new name in the same folder, because a rename is atomic only within one file system.
fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    let unique = u128::from_le_bytes(*Stamp::generate().as_bytes());
    name.push(format!(".{unique:032x}.tmp"));
    path.with_file_name(name)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn io_error(path: &Path, error: io::Error) -> Error {
    Error::refused(
        "snapshot",
        io::Error::new(error.kind(), FileError::new(path, error)),
    )
}

/// An I/O error and the file's path.
#[derive(Debug)]
struct FileError {
    path: PathBuf,
    source: io::Error,
}

impl FileError {
    fn new(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self { path, source }
    }
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(unix)]
mod platform {
    use std::fs::{File, FileType, OpenOptions, Permissions};
    use std::io;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
    use std::path::Path;

    use rustix::fs::OFlags;
    use rustix::io::Errno;
    use session_core::{Error, Result};

    /// Readable and writable by the owner only.
    const PRIVATE: u32 = 0o600;
    /// The rights of all users but the owner.
    const OTHERS: u32 = 0o077;
    /// Every user may replace the files of the folder.
    const WORLD_WRITABLE: u32 = 0o002;
    /// In a world-writable folder, only a file's owner may replace it.
    const STICKY: u32 = 0o1000;

    /// Opens a file without following a link or waiting for the writer of a fifo.
    pub(super) fn open(path: &Path) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags.bits() as i32);
        options.open(path)
    }

    pub(super) fn open_error(path: &Path, error: io::Error) -> Error {
        let path = path.display();
        match Errno::from_io_error(&error) {
            Some(Errno::LOOP | Errno::MLINK) => Error::misconfigured(format!(
                "the snapshot file {path} is a symbolic link, which the store does not follow: give \
                 the path of the file itself"
            )),
            Some(Errno::NXIO) => not_regular(path, "a socket"),
            Some(Errno::ACCESS | Errno::PERM) => Error::misconfigured(format!(
                "the snapshot file {path} can't be read by user {}: {error}",
                user()
            )),
            _ => super::io_error(Path::new(&path.to_string()), error),
        }
    }

    pub(super) fn check_file(path: &Path, file: &File) -> Result<()> {
        let metadata = file
            .metadata()
            .map_err(|error| super::io_error(path, error))?;
        if !metadata.is_file() {
            return Err(not_regular(path.display(), kind(metadata.file_type())));
        }
        match file_refusal(metadata.uid(), metadata.mode(), user()) {
            None => Ok(()),
            Some(why) => Err(Error::misconfigured(format!(
                "the snapshot file {} {why}",
                path.display()
            ))),
        }
    }

    /// Why `user` must not read a file of this owner and mode; `None` if it may.
    pub(super) fn file_refusal(owner: u32, mode: u32, user: u32) -> Option<String> {
        let mode = mode & 0o7777;
        if owner != user {
            return Some(format!(
                "belongs to user {owner} (mode {mode:04o}), but this process runs as user {user}: \
                 remove the file, or change its owner if you trust its contents"
            ));
        }
        (mode & OTHERS != 0).then(|| {
            format!(
                "has mode {mode:04o} (owner {owner}), which lets other users read or change it: set \
                 its mode to {PRIVATE:04o} if you trust its contents"
            )
        })
    }

    /// Fails if another user may replace a file of the folder. A missing folder passes.
    pub(super) fn check_folder(folder: &Path) -> Result<()> {
        let Ok(metadata) = std::fs::metadata(folder) else {
            return Ok(());
        };
        match folder_refusal(metadata.uid(), metadata.mode(), user()) {
            None => Ok(()),
            Some(why) => Err(Error::misconfigured(format!(
                "the folder {} of the snapshot file {why}",
                folder.display()
            ))),
        }
    }

    /// Why `user` must not use a folder of this owner and mode; `None` if it may.
    pub(super) fn folder_refusal(owner: u32, mode: u32, user: u32) -> Option<String> {
        let mode = mode & 0o7777;
        if owner != user && owner != 0 {
            return Some(format!(
                "belongs to user {owner} (mode {mode:04o}), who can replace the snapshot with an \
                 older one: use a folder of user {user}"
            ));
        }
        let is_shared = mode & WORLD_WRITABLE != 0 && mode & STICKY == 0;
        is_shared.then(|| {
            format!(
                "has mode {mode:04o} (owner {owner}), which lets every user replace the snapshot \
                 with an older one: use a folder of mode 0700"
            )
        })
    }

    pub(super) fn make_private(options: &mut OpenOptions) {
        options.mode(PRIVATE);
    }

    /// A umask may have removed the owner's rights too.
    pub(super) fn keep_readable(file: &File) -> io::Result<()> {
        file.set_permissions(Permissions::from_mode(PRIVATE))
    }

    fn user() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn not_regular(path: std::path::Display<'_>, what: &str) -> Error {
        Error::misconfigured(format!(
            "the snapshot file {path} is {what}: give the path of a regular file, which need not \
             exist"
        ))
    }

    fn kind(kind: FileType) -> &'static str {
        if kind.is_dir() {
            "a folder"
        } else if kind.is_fifo() {
            "a fifo"
        } else {
            "a device"
        }
    }
}

#[cfg(not(unix))]
mod platform {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::path::Path;

    use session_core::{Error, Result};

    pub(super) fn open(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    pub(super) fn open_error(path: &Path, error: io::Error) -> Error {
        super::io_error(path, error)
    }

    pub(super) fn check_file(_path: &Path, _file: &File) -> Result<()> {
        Ok(())
    }

    pub(super) fn check_folder(_folder: &Path) -> Result<()> {
        Ok(())
    }

    pub(super) fn make_private(_options: &mut OpenOptions) {}

    pub(super) fn keep_readable(_file: &File) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::platform::{file_refusal, folder_refusal};
    use super::*;

    const ME: u32 = 1_000;
    const OTHER: u32 = 1_001;

    #[test]
    fn a_file_is_read_if_it_is_the_users_own_and_private() {
        for (owner, mode, named) in [
            (ME, 0o600, None),
            (ME, 0o400, None),
            (ME, 0o100_600, None),
            (ME, 0o640, Some("0640")),
            (ME, 0o604, Some("0604")),
            (ME, 0o620, Some("0620")),
            (ME, 0o601, Some("0601")),
            (OTHER, 0o600, Some("user 1001")),
            (0, 0o600, Some("user 0")),
        ] {
            let why = file_refusal(owner, mode, ME);
            assert_eq!(why.is_some(), named.is_some(), "{owner} {mode:o}: {why:?}");
            let shown = why.unwrap_or_default();
            assert!(shown.contains(named.unwrap_or_default()), "{shown}");
        }
        let by_root = file_refusal(ME, 0o600, 0);
        assert!(by_root.is_some(), "root refuses a user's file too");
    }

    #[test]
    fn a_folder_is_used_if_no_other_user_can_replace_its_files() {
        for (owner, mode, is_used) in [
            (ME, 0o700, true),
            (ME, 0o755, true),
            // An administrator has chosen the group.
            (ME, 0o2775, true),
            (0, 0o755, true),
            (0, 0o1777, true),
            (0, 0o777, false),
            (ME, 0o777, false),
            (ME, 0o1777, true),
            (OTHER, 0o700, false),
            (OTHER, 0o1777, false),
        ] {
            let why = folder_refusal(owner, mode, ME);
            assert_eq!(why.is_none(), is_used, "{owner} {mode:o}: {why:?}");
        }
    }

    #[test]
    fn the_folder_of_a_bare_name_is_the_current_one() {
        for (path, expected) in [("a", "."), ("./a", "."), ("/a", "/"), ("b/a", "b")] {
            assert_eq!(folder(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}
