//! What a SQLite file is on, and what of it a crash undoes.

use std::fs;
use std::path::Path;

use session_core::{Finding, Inspection, Result, Severity};
use session_sql::Commands;

use crate::Sqlite;

const VERSION: &str = "SELECT CAST(sqlite_version() AS BLOB)";
/// Empty in memory.
const FILE: &str = "SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'";
/// Of this connection: the store sets 1 or 2.
const SYNCHRONOUS: &str = "SELECT CAST(synchronous AS BLOB) FROM pragma_synchronous";
/// The one that is due first is found by its index.
const OVERDUE: &str = "\
SELECT CAST(unixepoch('now') - deadline / 1000 AS BLOB)
FROM {table} WHERE due IS NOT NULL ORDER BY due LIMIT 1";

/// File systems whose files are gone after a restart.
const IN_MEMORY: [&str; 3] = ["tmpfs", "ramfs", "devtmpfs"];
/// File systems of another machine, where the memory that processes share about the log is not shared,
/// and locks may not hold.
const NETWORK: [&str; 10] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "fuse.sshfs",
    "glusterfs",
];

pub(crate) async fn run(commands: Commands<'_, Sqlite>) -> Result<Inspection> {
    let version = commands.ask(VERSION, 1).await?;
    let version = version.text().unwrap_or("of an unknown version");
    let mut found = Inspection::of(format!("SQLite {version}"));
    let file = commands.ask(FILE, 1).await?;
    match file.text().filter(|file| !file.is_empty()) {
        None => found.add(in_memory("the database is in memory")),
        Some(file) => {
            found.extend(mounts().and_then(|mounts| file_system(&mounts, file)));
            found.extend(permissions(Path::new(file)));
            if commands.ask(SYNCHRONOUS, 1).await?.number() == Some(1) {
                found.add(Finding::new(
                    "sqlite-durability",
                    Severity::Weaker,
                    "durability is normal",
                    "A power failure undoes the writes since the last checkpoint: a session that was \
                     signed out may be there again",
                    "leave the option `durability` out",
                ));
            }
        }
    }
    let overdue = OVERDUE.replace("{table}", &commands.target().quoted_table());
    commands.check_overdue(&overdue, &mut found).await?;
    Ok(found)
}

fn in_memory(what: impl Into<String>) -> Finding {
    Finding::new(
        "sqlite-memory",
        Severity::Weaker,
        what,
        "A restart ends all sessions. No ended session comes back",
        "put the file on a disk",
    )
}

/// The list of what is mounted where; `None` where there is no such list.
fn mounts() -> Option<String> {
    fs::read_to_string("/proc/self/mounts").ok()
}

/// What the file system of `file` does, by the list of `mounts`. The last mount whose folder contains
/// the file, and has the longest name, is the one.
fn file_system(mounts: &str, file: &str) -> Option<Finding> {
    let kind = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let folder = unescaped(words.next()?);
        let is_there = Path::new(file).starts_with(&folder);
        is_there.then_some((folder.len(), words.next()?))
    });
    let (_, kind) = kind.max_by_key(|(length, _)| *length)?;
    if IN_MEMORY.contains(&kind) {
        return Some(in_memory(format!(
            "the file {file} is on a {kind}, which is in memory"
        )));
    }
    NETWORK.contains(&kind).then(|| {
        Finding::new(
            "sqlite-network",
            Severity::Broken,
            format!("the file {file} is on the network file system {kind}"),
            "SQLite's write-ahead log needs memory that all processes share: with a second machine \
             the file is damaged, and writes are lost",
            "put the file on a local disk, or use a database server",
        )
    })
}

/// The kernel writes spaces, tabs, line ends and backslashes as three octal digits.
fn unescaped(folder: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(folder.to_owned(), |text, (code, plain)| {
        text.replace(code, plain)
    })
}

#[cfg(unix)]
fn permissions(file: &Path) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt;

    let mode = fs::metadata(file).ok()?.permissions().mode() & 0o777;
    (mode & 0o007 != 0).then(|| {
        Finding::new(
            "sqlite-permissions",
            Severity::Weaker,
            format!("the file {} has the mode {mode:o}", file.display()),
            "Other users of this machine can read the data of sessions, or change it",
            "run chmod 600 on it, and on the files beside it that end with -wal and -shm",
        )
    })
}

#[cfg(not(unix))]
fn permissions(_: &Path) -> Option<Finding> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_of_a_file_decides() {
        let mounts = "/dev/sda1 / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n\
                      host:/x /run/with\\040space nfs4 rw 0 0\n/dev/sdb /run/disk xfs rw 0 0\n";
        let name = |file| file_system(mounts, file).map(|finding| finding.name);
        assert_eq!(name("/var/lib/s.db"), None);
        assert_eq!(name("/run/s.db"), Some("sqlite-memory"));
        assert_eq!(name("/running/s.db"), None);
        assert_eq!(name("/run/with space/s.db"), Some("sqlite-network"));
        assert_eq!(name("/run/disk/s.db"), None);
    }
}
