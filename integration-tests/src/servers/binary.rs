//! Servers started from binaries on `PATH`, on free loopback ports, in temporary folders.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::guard::{REMOVE_FOLDER, RUN_SERVER, guarded, release};
use super::lookup::Found;
use super::{Kind, on_own_runtime, version};

/// How long a server may take to answer.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A server of one test, which may stop it, kill it or count its commands. It ends when it is
/// dropped.
#[derive(Debug)]
pub struct Private {
    /// The URL to connect by. A restart keeps it.
    pub url: String,
    /// The port it listens on, at 127.0.0.1.
    pub port: u16,
    command: Vec<String>,
    folder: PathBuf,
    running: Option<Child>,
    /// Removes the folder.
    folder_guard: Option<Child>,
}

/// Whether MongoDB becomes a replica set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Setup {
    ReplicaSet,
    Standalone,
}

/// Starts the shared server of a kind, which ends with this process.
pub(super) fn start_shared(kind: Kind) -> Result<Found, String> {
    share(Private::try_start(
        kind,
        names(kind),
        &[],
        Setup::ReplicaSet,
    )?)
}

/// Starts the shared Valkey server, which ends with this process.
pub(super) fn start_shared_valkey() -> Result<Found, String> {
    share(Private::try_start(
        Kind::Redis,
        VALKEY,
        &[],
        Setup::ReplicaSet,
    )?)
}

fn share(server: Private) -> Result<Found, String> {
    let found = Found {
        url: server.url.clone(),
        how: format!("binary {}", server.command[0]),
    };
    // Leaked, because dropping it would end the server before the process ends.
    std::mem::forget(server);
    Ok(found)
}

impl Private {
    /// Starts a server from a binary on `PATH` with additional `arguments`. MongoDB becomes a
    /// replica set of one node.
    ///
    /// # Panics
    /// If there is no binary or the server does not start.
    #[must_use]
    pub fn start(kind: Kind, arguments: &[&str]) -> Self {
        let started = Self::try_start(kind, names(kind), arguments, Setup::ReplicaSet);
        started.unwrap_or_else(|why| panic!("a private {} server: {why}", kind.name()))
    }

    /// Starts a server like [`start`](Self::start), but does not make MongoDB a replica set: with
    /// the argument `--replSet rs0`, it waits to become a member of one.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_bare(kind: Kind, arguments: &[&str]) -> Self {
        let started = Self::try_start(kind, names(kind), arguments, Setup::Standalone);
        started.unwrap_or_else(|why| panic!("a private {} server: {why}", kind.name()))
    }

    /// Starts a Valkey server from a binary on `PATH` with additional `arguments`.
    ///
    /// # Panics
    /// If there is no binary or the server does not start.
    #[must_use]
    pub fn valkey(arguments: &[&str]) -> Self {
        let started = Self::try_start(Kind::Redis, VALKEY, arguments, Setup::ReplicaSet);
        started.unwrap_or_else(|why| panic!("a private Valkey server: {why}"))
    }

    fn try_start(
        kind: Kind,
        names: &[&str],
        arguments: &[&str],
        setup: Setup,
    ) -> Result<Self, String> {
        let binary = find_binary(names)?;
        let folder = tempfile::Builder::new()
            .prefix("session-test-")
            .tempdir()
            .map_err(|error| format!("no temporary folder: {error}"))?
            .keep();
        let folder_guard = guarded(REMOVE_FOLDER, &[&folder.to_string_lossy()])
            .map_err(|error| format!("no shell: {error}"))?;
        let port = free_port();
        let mut server = Self {
            url: url(kind, port),
            port,
            command: Vec::new(),
            folder,
            running: None,
            folder_guard: Some(folder_guard),
        };
        prepare(kind, &binary, &server.folder)?;
        server.command = command(kind, &binary, port, &server.folder);
        if kind == Kind::Mongo && setup == Setup::ReplicaSet {
            let member = ["--replSet", "rs0"];
            server.command.extend(member.map(str::to_owned));
        }
        server
            .command
            .extend(arguments.iter().map(|&argument| argument.to_owned()));
        server.run()?;
        if kind == Kind::Mongo && setup == Setup::ReplicaSet {
            on_own_runtime(version::initiate_replica_set(&server.url))?;
        }
        on_own_runtime(version::of(kind, &server.url)).map_err(|error| server.failure(&error))?;
        Ok(server)
    }

    /// Starts the server again after [`kill`](Self::kill), with the same port and data.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        self.run().unwrap_or_else(|why| panic!("{why}"));
    }

    /// Kills the server, which loses its memory as in a power failure.
    pub fn kill(&mut self) {
        if let Some(guard) = self.running.take() {
            release(guard);
        }
    }

    /// Returns the server's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.folder.join("pid")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    fn run(&mut self) -> Result<(), String> {
        let folder = self.folder.to_string_lossy().into_owned();
        let mut arguments = vec![folder.as_str()];
        arguments.extend(self.command.iter().map(String::as_str));
        let guard =
            guarded(RUN_SERVER, &arguments).map_err(|error| format!("no shell: {error}"))?;
        self.running = Some(guard);
        let began = Instant::now();
        while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if began.elapsed() > START_LIMIT {
                return Err(self.failure("it does not listen"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn failure(&self, why: &str) -> String {
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(15).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        format!(
            "{}: {why}; its log ends:\n{}",
            self.command[0],
            last.join("\n")
        )
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        self.kill();
        if let Some(guard) = self.folder_guard.take() {
            release(guard);
        }
    }
}

/// A free port. Rarely, another process takes it before the server does.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    listener.local_addr().expect("bound").port()
}

/// The name of Valkey's server binary.
const VALKEY: &[&str] = &["valkey-server"];

/// The names of a kind's server binaries.
fn names(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Redis => &["redis-server", "valkey-server"],
        Kind::Mongo => &["mongod"],
        Kind::Mysql => &["mariadbd", "mysqld"],
    }
}

fn find_binary(names: &[&str]) -> Result<String, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian installs servers in folders that only root's PATH has.
    let folders: Vec<PathBuf> = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .collect();
    let is_there = |name: &str| folders.iter().any(|folder| folder.join(name).is_file());
    let found = names.iter().find(|name| is_there(name));
    found
        .map(|name| (*name).to_owned())
        .ok_or_else(|| format!("no {} on PATH", names.join(" or ")))
}

fn url(kind: Kind, port: u16) -> String {
    match kind {
        Kind::Redis => format!("redis://127.0.0.1:{port}/"),
        Kind::Mongo => format!("mongodb://127.0.0.1:{port}/app?directConnection=true"),
        Kind::Mysql => format!("mysql://root@127.0.0.1:{port}/test"),
    }
}

/// Creates the files that a server needs to start.
fn prepare(kind: Kind, binary: &str, folder: &Path) -> Result<(), String> {
    let data = folder.join("data");
    std::fs::create_dir(&data).map_err(|error| format!("{}: {error}", data.display()))?;
    if kind != Kind::Mysql {
        return Ok(());
    }
    let init = "CREATE USER IF NOT EXISTS 'root'@'%';\n\
                GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;\n\
                CREATE DATABASE IF NOT EXISTS test;\n";
    std::fs::write(folder.join("init.sql"), init).map_err(|error| error.to_string())?;
    let data = format!("--datadir={}", data.display());
    let mut install = if binary == "mariadbd" {
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
        // Concurrent installations would conflict in the shared temporary folder.
        let temporary = format!("--tmpdir={}", folder.display());
        install.args(["--skip-test-db", &data, &temporary]);
        install
    } else {
        let mut install = Command::new(binary);
        install.args(["--no-defaults", "--initialize-insecure", &data]);
        install
    };
    let output = install
        .output()
        .map_err(|error| format!("{install:?}: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{install:?} failed: {stderr}"));
    }
    Ok(())
}

fn command(kind: Kind, binary: &str, port: u16, folder: &Path) -> Vec<String> {
    let data = folder.join("data").to_string_lossy().into_owned();
    let folder = folder.display();
    let arguments = match kind {
        Kind::Redis => vec![
            format!("--port {port}"),
            "--bind 127.0.0.1".to_owned(),
            "--save ".to_owned(),
            "--appendonly no".to_owned(),
            format!("--dir {data}"),
        ],
        Kind::Mongo => vec![
            format!("--port {port}"),
            "--bind_ip 127.0.0.1".to_owned(),
            "--wiredTigerCacheSizeGB 0.5".to_owned(),
            "--nounixsocket".to_owned(),
            format!("--dbpath {data}"),
        ],
        Kind::Mysql => vec![
            "--no-defaults".to_owned(),
            format!("--port={port}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--datadir={data}"),
            format!("--socket={folder}/s"),
            format!("--init-file={folder}/init.sql"),
            "--max-connections=1000".to_owned(),
            "--max-allowed-packet=64M".to_owned(),
        ],
    };
    let arguments: Vec<String> = match kind {
        Kind::Mysql => arguments
            .into_iter()
            .chain(as_root().map(str::to_owned))
            .collect(),
        Kind::Redis | Kind::Mongo => arguments,
    };
    let split = arguments
        .iter()
        .flat_map(|argument| match argument.split_once(' ') {
            Some((name, value)) if argument.starts_with("--") => vec![name, value],
            _ => vec![argument.as_str()],
        });
    let words = split.map(str::to_owned);
    std::iter::once(binary.to_owned()).chain(words).collect()
}

/// An argument that MySQL and MariaDB require from root and refuse from other users.
fn as_root() -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt;
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    is_root.then_some("--user=root")
}
