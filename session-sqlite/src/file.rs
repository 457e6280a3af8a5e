//! The file of a store: where it is, and whether it is still the one that was opened.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use session_core::SessionToken;
use session_sql::Destination;
use sqlx::sqlite::SqliteConnectOptions;

/// What the driver's names of databases in memory begin with. Files are never named so: SQLite would
/// read the name as a URI.
pub(crate) const URI: &str = "file:";

/// A new name of a database in memory, which no other has in this process. The driver counts, and two
/// versions of it in one program would count alike.
pub(crate) fn name_in_memory() -> String {
    format!("{URI}{}", SessionToken::generate().id().as_str())
}

/// Whether these options lead to a database in memory.
pub(crate) fn is_in_memory(options: &SqliteConnectOptions) -> bool {
    path(options).is_none()
}

/// The path of the file; `None` in memory.
pub(crate) fn path(options: &SqliteConnectOptions) -> Option<&Path> {
    let path = options.get_filename();
    let is_file = path.to_str().is_none_or(|path| !path.starts_with(URI));
    is_file.then_some(path)
}

/// The files that SQLite keeps beside one in write-ahead-log mode: the log, and what the processes
/// share about it.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Makes an empty file, which only its user may read, if there is none. SQLite gives the files
/// beside it the same permissions. If it can't be made, opening it fails, with SQLite's reason.
///
/// # Errors
/// If the log of another file is at its place: it may be in the middle of being deleted, or belong to
/// a file that is still to come.
pub(crate) fn create(path: &Path) -> io::Result<()> {
    // A look before, because most connections are opened on a file that exists.
    if is_there(path) {
        return Ok(());
    }
    let left = BESIDE.iter().find(|end| is_there(&beside(path, end)));
    if let Some(end) = left {
        return Err(io::Error::other(format!(
            "the file does not exist, but the one that ends with {end} does: put the file back, or \
             stop the programs that use it and delete the files that end with -wal and -shm"
        )));
    }
    let mut open = OpenOptions::new();
    open.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut open, 0o600);
    let _ = open.open(path);
    Ok(())
}

/// Fails if the log was deleted while a process has it open: SQLite would begin another log, which
/// that process does not read.
///
/// # Errors
/// That says so.
pub(crate) fn check_log(path: &Path) -> io::Result<()> {
    let is_log_there = || is_there(&beside(path, "-wal"));
    // Twice, because another process may make both meanwhile: the log first.
    match is_log_there() || !is_there(&beside(path, "-shm")) || is_log_there() {
        true => Ok(()),
        false => Err(lost("-wal")),
    }
}

/// Fails if one of the files that a connection has just opened is not at its path: the connection
/// shares it with an older one of this process.
///
/// # Errors
/// That says so.
pub(crate) fn check_all(files: &Destination) -> io::Result<()> {
    let [_, log, shared] = files;
    match (log, shared) {
        (None, _) => Err(lost("-wal")),
        (_, None) => Err(lost("-shm")),
        _ => Ok(()),
    }
}

fn lost(end: &str) -> io::Error {
    io::Error::other(format!(
        "the file that ends with {end} was deleted while a program has the database open: stop the \
         programs that use it, and delete the other of -wal and -shm too"
    ))
}

/// Names the file that is at the path now.
#[cfg(unix)]
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;

    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// Names the files that are there now: the one at the path and those beside it; `None` in memory. A
/// file that was deleted stays writable for each program that has it open, and no other program ever
/// reads what is written there.
#[cfg(unix)]
pub(crate) fn destination(options: &SqliteConnectOptions) -> Option<Destination> {
    let path = path(options)?;
    let [log, shared] = BESIDE.map(|end| identity(&beside(path, end)));
    Some([identity(path), log, shared])
}

/// An open file can't be deleted or replaced here.
#[cfg(not(unix))]
pub(crate) fn destination(_: &SqliteConnectOptions) -> Option<Destination> {
    None
}

#[cfg(not(unix))]
pub(crate) fn identity(_: &Path) -> Option<(u64, u64)> {
    None
}
