//! Servers started from binaries on `PATH`, on free loopback ports, in temporary folders.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::guard::{REMOVE_FOLDER, RUN_SERVER, guarded, release};
use super::launch::Launch;
use super::lookup::Found;
use super::product::{self, Product};
use super::{Kind, on_own_runtime, postgres, version};

/// How long a server may take to answer.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A server of one test, which may stop it, kill it or count its commands. It ends when it is
/// dropped.
#[derive(Debug)]
pub struct Private {
    /// The URL to connect by. A restart keeps it.
    pub url: String,
    /// The port it listens on, at 127.0.0.1 unless its [`Launch`] says otherwise.
    pub port: u16,
    pub(super) address: Ipv4Addr,
    pub(super) kind: Kind,
    pub(super) binary: String,
    pub(super) command: Vec<String>,
    /// The signal that ends it at once.
    signal: &'static str,
    pub(super) folder: PathBuf,
    pub(super) running: Option<Child>,
    /// Removes the folder.
    folder_guard: Option<Child>,
}

/// Where a server of a test runs.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The folder that its folder is made in; `None` for the system's temporary one.
    pub(super) parent: Option<PathBuf>,
    pub(super) address: Ipv4Addr,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            parent: None,
            address: Ipv4Addr::LOCALHOST,
        }
    }
}

/// Whether MongoDB becomes a replica set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    ReplicaSet,
    Standalone,
}

/// Starts a shared server of a kind, which ends with this process.
pub(super) fn start_shared(kind: Kind, binaries: &[&str]) -> Result<Found, String> {
    let server = Private::try_start(kind, binaries, &[], Setup::ReplicaSet)?;
    let found = Found {
        url: server.url.clone(),
        how: server.how(),
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
        Self::start_product(&Product::of(kind), arguments, Setup::ReplicaSet)
    }

    /// Starts a server like [`start`](Self::start), but does not make MongoDB a replica set: with
    /// the argument `--replSet rs0`, it waits to become a member of one.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_bare(kind: Kind, arguments: &[&str]) -> Self {
        Self::start_product(&Product::of(kind), arguments, Setup::Standalone)
    }

    /// Starts a Valkey server from a binary on `PATH` with additional `arguments`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn valkey(arguments: &[&str]) -> Self {
        Self::start_product(&product::VALKEY, arguments, Setup::Standalone)
    }

    /// Starts a Redis 8 server from the binary `redis-server-8` on `PATH` with additional
    /// `arguments`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn redis_8(arguments: &[&str]) -> Self {
        Self::start_product(&product::REDIS_8, arguments, Setup::Standalone)
    }

    /// Starts Redis or Valkey from `binary`, a path or a name on `PATH`, with additional
    /// `arguments`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn redis_binary(binary: &str, arguments: &[&str]) -> Self {
        let started = Self::try_start(Kind::Redis, &[binary], arguments, Setup::Standalone);
        started.unwrap_or_else(|why| panic!("a private server of {binary}: {why}"))
    }

    /// Starts Redis or Valkey from `binary` with a configuration file that contains `lines`, which
    /// may hold secrets, besides port, address and folder. With a password in them, it is needed in
    /// `url` to see that the server is ready.
    pub(super) fn redis_configured(
        binary: &str,
        lines: &[String],
        arguments: &[&str],
        password: Option<&str>,
    ) -> Result<Self, String> {
        let binary = find_binary(&[binary])?;
        let mut server = Self::in_new_folder(Kind::Redis, binary, &Place::default())?;
        prepare(Kind::Redis, &server.binary, &server.folder)?;
        if let Some(password) = password {
            server.url = format!("redis://:{password}@127.0.0.1:{}/", server.port);
        }
        let data = server.folder.join("data");
        let place = format!(
            "port {}\nbind 127.0.0.1\ndir {}\n",
            server.port,
            data.display()
        );
        let file = server.folder.join("server.conf");
        std::fs::write(&file, place + &lines.join("\n") + "\n")
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let file = file.to_string_lossy().into_owned();
        server.command = vec![server.binary.clone(), file];
        server
            .command
            .extend(arguments.iter().map(|&argument| argument.to_owned()));
        server.run()?;
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Starts a hot standby of `primary`, a PostgreSQL server, with a copy of its data: it serves reads
    /// and refuses writes until it is promoted (`SELECT pg_promote()`).
    ///
    /// # Panics
    /// If there is no binary or the server does not start.
    #[must_use]
    pub fn standby(primary: &Self) -> Self {
        let started = Self::try_standby(primary);
        started.unwrap_or_else(|why| panic!("a standby of {}: {why}", primary.url))
    }

    /// Starts PgBouncer in transaction mode in front of the PostgreSQL server at `url`: a statement gets
    /// whichever of at most `connections` server connections is free, so that what is bound to a
    /// connection does not last. Only the user `postgres` is known to it.
    ///
    /// # Panics
    /// If there is no binary or it does not start.
    #[must_use]
    pub fn pgbouncer(url: &str, connections: u32) -> Self {
        let started = Self::try_pgbouncer(url, connections);
        started.unwrap_or_else(|why| panic!("PgBouncer in front of {url}: {why}"))
    }

    fn start_product(product: &Product, arguments: &[&str], setup: Setup) -> Self {
        let started = Self::try_start(product.kind, product.binaries, arguments, setup);
        started.unwrap_or_else(|why| panic!("a private {} server: {why}", product.name))
    }

    fn try_start(
        kind: Kind,
        names: &[&str],
        arguments: &[&str],
        setup: Setup,
    ) -> Result<Self, String> {
        let launch = Launch::of(kind, names).arguments(arguments);
        match setup {
            Setup::ReplicaSet => launch.replica_set().try_start(),
            Setup::Standalone => launch.try_start(),
        }
    }

    fn try_standby(primary: &Self) -> Result<Self, String> {
        let mut server =
            Self::in_new_folder(Kind::Postgres, primary.binary.clone(), &Place::default())?;
        postgres::copy(&server.binary, primary.port, &server.folder)?;
        server.command = postgres::command(&server.binary, server.port, &server.folder);
        server.run()?;
        server.wait_until_ready()?;
        Ok(server)
    }

    fn try_pgbouncer(url: &str, connections: u32) -> Result<Self, String> {
        let binary = find_binary(&["pgbouncer"])?;
        let mut server = Self::in_new_folder(Kind::Postgres, binary, &Place::default())?;
        server.signal = "KILL";
        server.command = postgres::bouncer_command(
            &server.binary,
            url,
            connections,
            server.port,
            &server.folder,
        )?;
        server.run()?;
        server.wait_until_ready()?;
        Ok(server)
    }

    /// How it was started, for a report.
    pub(super) fn how(&self) -> String {
        let file = Path::new(&self.binary).file_name().unwrap_or_default();
        format!("binary {}", file.display())
    }

    /// A server that does not run yet, with a folder and a port.
    pub(super) fn in_new_folder(kind: Kind, binary: String, place: &Place) -> Result<Self, String> {
        let mut folder = tempfile::Builder::new();
        folder.prefix("session-test-");
        let folder = match &place.parent {
            Some(parent) => folder.tempdir_in(parent),
            None => folder.tempdir(),
        };
        let folder = folder
            .map_err(|error| format!("no temporary folder: {error}"))?
            .keep();
        let folder_guard = guarded(REMOVE_FOLDER, &[&folder.to_string_lossy()])
            .map_err(|error| format!("no shell: {error}"))?;
        let port = free_port();
        Ok(Self {
            url: url(kind, place.address, port),
            port,
            address: place.address,
            kind,
            binary,
            command: Vec::new(),
            signal: match kind {
                // Its other processes end with the first, and its shared memory is freed.
                Kind::Postgres => "QUIT",
                Kind::Redis | Kind::Mongo | Kind::Mysql => "KILL",
            },
            folder,
            running: None,
            folder_guard: Some(folder_guard),
        })
    }

    pub(super) fn wait_until_ready(&self) -> Result<(), String> {
        let answered = on_own_runtime(version::of(self.kind, &self.url));
        answered.map(drop).map_err(|error| self.failure(&error))
    }

    pub(super) fn run(&mut self) -> Result<(), String> {
        let folder = self.folder.to_string_lossy().into_owned();
        let mut arguments = vec![folder.as_str(), self.signal];
        arguments.extend(self.command.iter().map(String::as_str));
        let guard =
            guarded(RUN_SERVER, &arguments).map_err(|error| format!("no shell: {error}"))?;
        self.running = Some(guard);
        let began = Instant::now();
        while std::net::TcpStream::connect((self.address, self.port)).is_err() {
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
        format!("{}: {why}; its log ends:\n{}", self.binary, last.join("\n"))
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        self.kill();
        if let Some(guard) = self.folder_guard.take() {
            // It takes a second, for each node of a cluster.
            std::thread::spawn(|| release(guard));
        }
    }
}

/// A free port. Rarely, another process takes it before the server does.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    listener.local_addr().expect("bound").port()
}

pub(super) fn find_binary(names: &[&str]) -> Result<String, String> {
    let found = names.iter().find(|name| on_path(name).is_some());
    found
        .map(|name| (*name).to_owned())
        .ok_or_else(|| format!("no {} on PATH", names.join(" or ")))
}

/// The path of the program of this name.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian installs servers in folders that only root's PATH has.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

fn url(kind: Kind, address: Ipv4Addr, port: u16) -> String {
    match kind {
        Kind::Redis => format!("redis://{address}:{port}/"),
        Kind::Mongo => format!("mongodb://{address}:{port}/app?directConnection=true"),
        Kind::Mysql => format!("mysql://root@{address}:{port}/test"),
        Kind::Postgres => format!("postgres://postgres@{address}:{port}/test"),
    }
}

/// Creates the files that a server needs to start.
pub(super) fn prepare(kind: Kind, binary: &str, folder: &Path) -> Result<(), String> {
    let data = folder.join("data");
    std::fs::create_dir(&data).map_err(|error| format!("{}: {error}", data.display()))?;
    match kind {
        Kind::Mysql => prepare_mysql(binary, folder, &data),
        Kind::Postgres => postgres::prepare(binary, folder),
        Kind::Redis | Kind::Mongo => Ok(()),
    }
}

fn prepare_mysql(binary: &str, folder: &Path, data: &Path) -> Result<(), String> {
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
    run_to_end(&mut install)
}

/// Runs a program that has to succeed.
pub(super) fn run_to_end(program: &mut Command) -> Result<(), String> {
    let output = program
        .output()
        .map_err(|error| format!("{program:?}: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program:?} failed: {stderr}"));
    }
    Ok(())
}

pub(super) fn command(
    kind: Kind,
    binary: &str,
    address: Ipv4Addr,
    port: u16,
    folder: &Path,
) -> Vec<String> {
    let data = folder.join("data").to_string_lossy().into_owned();
    let files = folder.display();
    let arguments = match kind {
        Kind::Postgres => return postgres::command(binary, port, folder),
        Kind::Redis => vec![
            format!("--port {port}"),
            format!("--bind {address}"),
            "--save ".to_owned(),
            "--appendonly no".to_owned(),
            format!("--dir {data}"),
        ],
        Kind::Mongo => vec![
            format!("--port {port}"),
            format!("--bind_ip {address}"),
            "--wiredTigerCacheSizeGB 0.5".to_owned(),
            "--nounixsocket".to_owned(),
            format!("--dbpath {data}"),
        ],
        Kind::Mysql => {
            let mut arguments = vec![
                "--no-defaults".to_owned(),
                format!("--port={port}"),
                format!("--bind-address={address}"),
                format!("--datadir={data}"),
                format!("--socket={files}/s"),
                format!("--init-file={files}/init.sql"),
                "--max-connections=1000".to_owned(),
                "--max-allowed-packet=64M".to_owned(),
            ];
            // They require it from root and refuse it from other users.
            arguments.extend(is_root().then(|| "--user=root".to_owned()));
            arguments
        }
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

/// Whether the tests run as root.
pub(super) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
