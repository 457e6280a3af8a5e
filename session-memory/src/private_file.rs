//! A file that nobody but this process' user has written or may read.
//!
//! All that is known of a file is asked of the open handle that its bytes are read from, so no
//! other file can take its place in between.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use session_core::{Error, Result, Stamp};

/// The bytes of the file at `path`, if there is one.
///
/// # Errors
/// [`ErrorKind::Misconfigured`], naming the file, if another user has written or may read or replace
/// it, or it is no regular file; [`ErrorKind::Refused`] if it can't be read.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    platform::check_folder(folder(path))?;
    let mut file = match platform::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(platform::unopened(path, error)),
    };
    platform::check_file(path, &file)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(|error| failed(path, error))?;
    Ok(Some(bytes))
}

/// Puts `bytes` at `path`, atomically and for this process' user only.
///
/// # Errors
/// [`ErrorKind::Refused`], naming the file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = unfinished_beside(path);
    let written = write_new(&unfinished, bytes).and_then(|()| std::fs::rename(&unfinished, path));
    if written.is_err() {
        // Best effort: what is left behind is private and never read.
        let _ = std::fs::remove_file(&unfinished);
    }
    written.map_err(|error| failed(path, error))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    // A file or link that is there already is neither opened nor followed.
    options.write(true).create_new(true);
    platform::make_private(&mut options);
    let mut file = options.open(path)?;
    platform::keep_readable(&file)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A new name in the same folder: a rename is atomic only within one file system.
fn unfinished_beside(path: &Path) -> PathBuf {
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

fn failed(path: &Path, error: io::Error) -> Error {
    Error::refused(
        "snapshot",
        io::Error::new(error.kind(), Named::new(path, error)),
    )
}

/// An error of the file system, with the file's name.
#[derive(Debug)]
struct Named {
    path: PathBuf,
    source: io::Error,
}

impl Named {
    fn new(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self { path, source }
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.source)
    }
}

impl std::error::Error for Named {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

#[cfg(unix)]
mod platform {
    use std::fs::{File, FileType, Metadata, OpenOptions, Permissions};
    use std::io;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
    use std::path::Path;

    use rustix::fs::OFlags;
    use rustix::io::Errno;
    use session_core::{Error, Result};

    /// Read and written by the owner, by nobody else.
    const PRIVATE: u32 = 0o600;
    /// What anybody but the owner may do.
    const OTHERS: u32 = 0o077;
    /// A folder in which anybody may replace what is in it.
    const WRITABLE_BY_ALL: u32 = 0o002;
    /// In such a folder, only a file's owner may replace it.
    const STICKY: u32 = 0o1000;

    /// Neither follows a link nor waits for the writer of a fifo.
    pub(super) fn open(path: &Path) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags.bits() as i32);
        options.open(path)
    }

    pub(super) fn unopened(path: &Path, error: io::Error) -> Error {
        let path = path.display();
        match Errno::from_io_error(&error) {
            Some(Errno::LOOP | Errno::MLINK) => Error::misconfigured(format!(
                "the snapshot file {path} is a symbolic link, which is not followed: give the \
                 path of the file itself"
            )),
            Some(Errno::NXIO) => no_file(path, "a socket"),
            Some(Errno::ACCESS | Errno::PERM) => Error::misconfigured(format!(
                "the snapshot file {path} can't be read by user {}: {error}",
                user()
            )),
            _ => super::failed(Path::new(&path.to_string()), error),
        }
    }

    pub(super) fn check_file(path: &Path, file: &File) -> Result<()> {
        let metadata = file
            .metadata()
            .map_err(|error| super::failed(path, error))?;
        if !metadata.is_file() {
            return Err(no_file(path.display(), kind(metadata.file_type())));
        }
        match refusal(&metadata, user()) {
            None => Ok(()),
            Some(why) => Err(Error::misconfigured(format!(
                "the snapshot file {} {why}",
                path.display()
            ))),
        }
    }

    /// Why a file of this owner and mode is not read by `user`.
    fn refusal(metadata: &Metadata, user: u32) -> Option<String> {
        why_not_read(metadata.uid(), metadata.mode(), user)
    }

    pub(super) fn why_not_read(owner: u32, mode: u32, user: u32) -> Option<String> {
        let mode = mode & 0o7777;
        if owner != user {
            return Some(format!(
                "belongs to user {owner} (mode {mode:04o}) and is read by user {user}, who trusts \
                 none but its own: remove the file, or change its owner if its contents are known"
            ));
        }
        (mode & OTHERS != 0).then(|| {
            format!(
                "has mode {mode:04o} (owner {owner}), so that others may read or change it: set \
                 its mode to {PRIVATE:04o} if its contents are known"
            )
        })
    }

    /// Fails if another user may put another file in the place of one that is in it. A folder that
    /// is not there has no file either.
    pub(super) fn check_folder(folder: &Path) -> Result<()> {
        let Ok(metadata) = std::fs::metadata(folder) else {
            return Ok(());
        };
        match why_not_used(metadata.uid(), metadata.mode(), user()) {
            None => Ok(()),
            Some(why) => Err(Error::misconfigured(format!(
                "the folder {} of the snapshot file {why}",
                folder.display()
            ))),
        }
    }

    /// Why a folder of this owner and mode is not used by `user`.
    pub(super) fn why_not_used(owner: u32, mode: u32, user: u32) -> Option<String> {
        let mode = mode & 0o7777;
        if owner != user && owner != 0 {
            return Some(format!(
                "belongs to user {owner} (mode {mode:04o}), who can put an older snapshot in the \
                 place of a newer one: use a folder of user {user}"
            ));
        }
        let is_shared = mode & WRITABLE_BY_ALL != 0 && mode & STICKY == 0;
        is_shared.then(|| {
            format!(
                "has mode {mode:04o} (owner {owner}), so that every user can put an older snapshot \
                 in the place of a newer one: use a folder of mode 0700"
            )
        })
    }

    pub(super) fn make_private(options: &mut OpenOptions) {
        options.mode(PRIVATE);
    }

    /// A umask may have taken the owner's own rights too.
    pub(super) fn keep_readable(file: &File) -> io::Result<()> {
        file.set_permissions(Permissions::from_mode(PRIVATE))
    }

    fn user() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn no_file(path: std::path::Display<'_>, what: &str) -> Error {
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

    pub(super) fn unopened(path: &Path, error: io::Error) -> Error {
        super::failed(path, error)
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
    use super::platform::{why_not_read, why_not_used};
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
            let why = why_not_read(owner, mode, ME);
            assert_eq!(why.is_some(), named.is_some(), "{owner} {mode:o}: {why:?}");
            let shown = why.unwrap_or_default();
            assert!(shown.contains(named.unwrap_or_default()), "{shown}");
        }
        let root_reads = why_not_read(ME, 0o600, 0);
        assert!(root_reads.is_some(), "root trusts no other user either");
    }

    #[test]
    fn a_folder_is_used_if_no_other_user_can_replace_what_is_in_it() {
        for (owner, mode, is_used) in [
            (ME, 0o700, true),
            (ME, 0o755, true),
            // A group is somebody's choice.
            (ME, 0o2775, true),
            (0, 0o755, true),
            (0, 0o1777, true),
            (0, 0o777, false),
            (ME, 0o777, false),
            (ME, 0o1777, true),
            (OTHER, 0o700, false),
            (OTHER, 0o1777, false),
        ] {
            let why = why_not_used(owner, mode, ME);
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
