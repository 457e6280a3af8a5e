//! PostgreSQL and PgBouncer. Debian keeps PostgreSQL's programs off `PATH`; they refuse to run as root,
//! so root's tests run them as the user that Debian's package makes.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::binary::{is_root, on_path, run_to_end};

/// The user of Debian's package.
const USER: &str = "postgres";

/// Where Debian's packages put the programs of each major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Returns the path of the server: on `PATH`, or of the newest version that Debian's packages have
/// installed. Its other programs lie beside it.
pub(super) fn find(names: &[&str]) -> Result<String, String> {
    // A link on PATH has none of the other programs beside it.
    let path = names
        .iter()
        .find_map(|name| on_path(name)?.canonicalize().ok());
    path.or_else(newest_of_debian)
        .map(|path| path.to_string_lossy().into_owned())
        .ok_or_else(|| format!("no {} on PATH or in {DEBIAN}", names.join(" or ")))
}

fn newest_of_debian() -> Option<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN).ok()?;
    let installed = versions.filter_map(|version| {
        let version = version.ok()?;
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        let server = version.path().join("bin/postgres");
        server.is_file().then_some((number, server))
    });
    installed.max().map(|(_, server)| server)
}

/// Creates the data of a server in `folder`, with the database `test`.
pub(super) fn prepare(binary: &str, folder: &Path) -> Result<(), String> {
    give(folder)?;
    let data = data(folder);
    run_to_end(program(&beside(binary, "initdb")).args([
        "--pgdata",
        &data,
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--no-locale",
        "--no-sync",
    ]))?;
    let create = folder.join("create.sql");
    std::fs::write(&create, "CREATE DATABASE test\n").map_err(|error| error.to_string())?;
    let create = std::fs::File::open(&create).map_err(|error| error.to_string())?;
    let mut single = program(binary);
    single.args(["--single", "-D", &data, "postgres"]);
    run_to_end(single.stdin(create))
}

/// Copies the data of the server at `port` into `folder`, to follow that server.
pub(super) fn copy(binary: &str, port: u16, folder: &Path) -> Result<(), String> {
    give(folder)?;
    let mut copy = program(&beside(binary, "pg_basebackup"));
    copy.args(["--host=127.0.0.1", "--username=postgres", "--no-sync"]);
    copy.args(["--checkpoint=fast", "--write-recovery-conf"]);
    copy.arg(format!("--port={port}"));
    run_to_end(copy.args(["--pgdata", &data(folder)]))
}

/// The command of a server with a socket at 127.0.0.1 only. It writes to disk before it answers, as a
/// server in use does.
pub(super) fn command(binary: &str, port: u16, folder: &Path) -> Vec<String> {
    let mut command = as_user(binary);
    let data = data(folder);
    let port = port.to_string();
    command.extend(["-D", &data, "-h", "127.0.0.1", "-p", &port, "-k", ""].map(str::to_owned));
    command.extend(["-c", "max_connections=1000"].map(str::to_owned));
    command
}

/// Writes PgBouncer's settings into `folder`, and returns its command.
pub(super) fn bouncer_command(
    binary: &str,
    url: &str,
    connections: u32,
    port: u16,
    folder: &Path,
) -> Result<Vec<String>, String> {
    let server = server_port(url).ok_or_else(|| format!("no port in {url}"))?;
    let users = folder.join("users");
    let settings = folder.join("pgbouncer.ini");
    let text = format!(
        "[databases]\n\
         * = host=127.0.0.1 port={server}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = trust\n\
         auth_file = {}\n\
         pool_mode = transaction\n\
         default_pool_size = {connections}\n\
         max_client_conn = 1000\n",
        users.display()
    );
    std::fs::write(&users, "\"postgres\" \"\"\n")
        .and_then(|()| std::fs::write(&settings, text))
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    give(folder)?;
    let mut command = as_user(binary);
    command.push(settings.to_string_lossy().into_owned());
    Ok(command)
}

fn server_port(url: &str) -> Option<u16> {
    let (_, place) = url.rsplit_once('@')?;
    let (place, _) = place.split_once('/')?;
    place.rsplit_once(':')?.1.parse().ok()
}

fn data(folder: &Path) -> String {
    folder.join("data").to_string_lossy().into_owned()
}

/// Another program of the server's version.
fn beside(binary: &str, name: &str) -> String {
    let path = Path::new(binary).with_file_name(name);
    path.to_string_lossy().into_owned()
}

/// The words that run a program as a user who may.
fn as_user(program: &str) -> Vec<String> {
    let mut words = Vec::new();
    if is_root() {
        words = vec!["setpriv".to_owned()];
        words.extend(["--reuid", "--regid"].map(|option| format!("{option}={USER}")));
        words.push("--clear-groups".to_owned());
    }
    words.push(program.to_owned());
    words
}

fn program(program: &str) -> Command {
    let words = as_user(program);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    command
}

/// Gives a folder and the files in it to the user of the servers.
fn give(folder: &Path) -> Result<(), String> {
    match is_root() {
        true => run_to_end(Command::new("chown").args(["-R", USER]).arg(folder)),
        false => Ok(()),
    }
}
