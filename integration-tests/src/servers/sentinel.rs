//! A primary, its replica and three sentinels that watch them, from binaries on `PATH`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::binary::free_port;
use super::command::ask;
use super::{Authority, Certificate, ClientCertificates, Private};

/// How long the sentinels may take to agree; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(60);

/// The name by which the sentinels know the primary.
const SERVICE: &str = "sessions";

/// The passwords of a group.
#[derive(Clone, Copy)]
pub struct Passwords {
    /// Of the primary and the replica, for the user `default`.
    pub servers: &'static str,
    /// Of the sentinels, for the user `default`.
    pub sentinels: &'static str,
}

/// How the members of a group speak to each other and to clients.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Plain,
    /// By TLS with certificates of this authority on both sides. The plain port serves tests too.
    Tls(&'a Authority, &'a Certificate),
}

/// A primary, its replica and three sentinels. They end when it is dropped.
#[derive(Debug)]
pub struct SentinelGroup {
    /// The first primary, and the server that was its replica at first.
    pub servers: [Private; 2],
    /// The sentinels.
    pub sentinels: [Private; 3],
    /// The ports that sentinels and replicas know the servers by.
    announced: [u16; 2],
    /// The ports by which the sentinels know each other.
    sentinel_ports: [u16; 3],
}

impl SentinelGroup {
    /// Starts a group from `binary`, a path or a name on `PATH`, with or without passwords. It takes
    /// one to three seconds, blocks, and returns when the group is [settled](Self::settle). The URLs of
    /// servers and sentinels have their passwords.
    ///
    /// # Panics
    /// If there is no binary, or the group does not settle.
    #[must_use]
    pub fn start(binary: &str, passwords: Option<Passwords>) -> Self {
        Self::start_with(binary, passwords, Wire::Plain, |_, port| port)
    }

    /// Starts a group from `binary` whose members speak TLS to each other, with certificates of
    /// `authority`, and require them of their clients. [`addresses`](Self::addresses) and the ports
    /// that methods return are those of TLS; the URLs of servers and sentinels are plain.
    ///
    /// # Panics
    /// As [`start`](Self::start), and if the binary is built without TLS.
    #[must_use]
    pub fn start_with_tls(binary: &str, authority: &Authority) -> Self {
        let own = authority.issue("group", "IP:127.0.0.1");
        let wire = Wire::Tls(authority, &own);
        Self::start_with(binary, None, wire, |_, port| port)
    }

    /// Starts a group like [`start`](Self::start), whose servers announce another port than they listen
    /// on: `announce` gets the place of each in `servers` and its port, and returns the other one, which
    /// leads there. Methods that return ports return those.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_announced(
        binary: &str,
        passwords: Option<Passwords>,
        announce: impl Fn(usize, u16) -> u16 + Sync,
    ) -> Self {
        Self::start_with(binary, passwords, Wire::Plain, announce)
    }

    fn start_with(
        binary: &str,
        passwords: Option<Passwords>,
        wire: Wire<'_>,
        announce: impl Fn(usize, u16) -> u16 + Sync,
    ) -> Self {
        let (primary, port) = server(binary, passwords, wire);
        let port = announce(0, port);
        let ((replica, of_replica), sentinels) = std::thread::scope(|scope| {
            let replica = scope.spawn(|| {
                let (replica, own) = server(binary, passwords, wire);
                let announced = announce(1, own);
                announces(&replica, announced);
                let follow = ["REPLICAOF", "127.0.0.1", &port.to_string()];
                ask::<()>(&replica.url, &follow).expect("a server that can follow");
                rewrite(&replica);
                (replica, announced)
            });
            let sentinels =
                [(); 3].map(|()| scope.spawn(move || sentinel(binary, passwords, wire, port)));
            let replica = replica.join().expect("a replica");
            (
                replica,
                sentinels.map(|one| one.join().expect("a sentinel")),
            )
        });
        announces(&primary, port);
        rewrite(&primary);
        let sentinel_ports = sentinels.each_ref().map(|(_, port)| *port);
        let group = Self {
            servers: [primary, replica],
            sentinels: sentinels.map(|(sentinel, _)| sentinel),
            announced: [port, of_replica],
            sentinel_ports,
        };
        group.settle();
        group
    }

    /// Returns the name by which the sentinels know the primary.
    #[must_use]
    pub const fn service(&self) -> &'static str {
        SERVICE
    }

    /// Returns the addresses of the sentinels, as `127.0.0.1:26379`.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let ports = self.sentinel_ports.iter();
        ports.map(|port| format!("127.0.0.1:{port}")).collect()
    }

    /// Returns the server that all running sentinels name as the primary, or `None` while they
    /// differ or none runs.
    #[must_use]
    pub fn primary(&self) -> Option<&Private> {
        let ports: Vec<Option<u16>> = self.running().map(named_by).collect();
        let port = (*ports.first()?)?;
        let agree = ports.iter().all(|one| *one == Some(port));
        self.at(port).filter(|_| agree)
    }

    /// Makes the sentinels promote the replica, and returns the port of the new primary when they
    /// all name it. The old primary runs on and takes writes until the sentinels make it a replica,
    /// which takes them a few seconds ([`settle`](Self::settle) waits for that).
    ///
    /// # Panics
    /// If that does not happen.
    pub fn failover(&self) -> u16 {
        let old = self.settle();
        let sentinel = self.running().next().expect("a sentinel that runs");
        wait_until("the sentinels don't promote the replica", || {
            if named_by(sentinel)? != old {
                return Some(());
            }
            // Refused while a failover is under way. One that has begun may be given up, if the replica
            // answers late, and is not begun again by itself.
            let _ = ask::<()>(&sentinel.url, &["SENTINEL", "FAILOVER", SERVICE]);
            None
        });
        self.promoted(old)
    }

    /// Kills the primary, and returns the port of the new one when all sentinels name it, after
    /// three to ten seconds. The old one can be [restarted](Private::restart): it becomes a replica.
    ///
    /// # Panics
    /// If no server becomes the primary.
    pub fn kill_primary(&mut self) -> u16 {
        let old = self.settle();
        let place = self.announced.iter().position(|port| *port == old);
        self.servers[place.expect("one of the two")].kill();
        self.promoted(old)
    }

    /// Waits until the sentinels know each other and agree, and the other server follows the
    /// primary. Returns the primary's port.
    ///
    /// # Panics
    /// If that does not happen, for instance because a server does not run.
    pub fn settle(&self) -> u16 {
        wait_until("the group does not settle", || {
            let port = self.named()?;
            let mut servers = self.servers.iter().zip(self.announced);
            let is_settled = self.running().all(knows_the_others)
                && servers.all(|(one, announced)| plays_its_part(one, announced, port));
            is_settled.then_some(port)
        })
    }

    fn promoted(&self, old: u16) -> u16 {
        wait_until("no other primary is named", || {
            let port = self.named()?;
            (port != old && role_is(&self.primary()?.url, "master")).then_some(port)
        })
    }

    /// The port of the primary, if all sentinels name the same.
    fn named(&self) -> Option<u16> {
        let primary = self.primary()?;
        let place = self.servers.iter().position(|one| one.port == primary.port);
        place.map(|place| self.announced[place])
    }

    fn at(&self, announced: u16) -> Option<&Private> {
        let place = self.announced.iter().position(|port| *port == announced)?;
        Some(&self.servers[place])
    }

    fn running(&self) -> impl Iterator<Item = &Private> {
        self.sentinels.iter().filter(|one| one.is_running())
    }
}

impl Wire<'_> {
    /// The settings of a member, and the port by which the others know it; `None` for that of its
    /// URL.
    fn settings(self) -> (Vec<String>, Option<u16>) {
        let Self::Tls(authority, own) = self else {
            return (Vec::new(), None);
        };
        let port = free_port();
        let settings = authority.redis_settings(own, port, ClientCertificates::Required);
        let lines = settings
            .iter()
            .map(|(name, value)| format!("{name} {value}"));
        let lines = lines.chain(["tls-replication yes".to_owned()]);
        (lines.collect(), Some(port))
    }
}

/// Has a server say that it is at this port. A restart forgets that unless the file is written.
fn announces(server: &Private, port: u16) {
    let words = ["CONFIG", "SET", "replica-announce-port", &port.to_string()];
    ask::<()>(&server.url, &words).expect("a server that can announce a port");
}

fn rewrite(server: &Private) {
    ask::<()>(&server.url, &["CONFIG", "REWRITE"]).expect("a server with a file");
}

/// A server, and the port by which the sentinels know it.
fn server(binary: &str, passwords: Option<Passwords>, wire: Wire<'_>) -> (Private, u16) {
    let mut lines: Vec<String> = ["save \"\"", "appendonly no", "repl-diskless-sync-delay 0"]
        .map(str::to_owned)
        .into();
    if let Some(Passwords { servers, .. }) = passwords {
        lines.push(format!("requirepass {servers}"));
        // Each of the two follows the other some day.
        lines.push(format!("masterauth {servers}"));
    }
    let (tls, port) = wire.settings();
    lines.extend(tls);
    let password = passwords.map(|passwords| passwords.servers);
    let started = Private::redis_configured(binary, &lines, &[], password);
    let started = started.unwrap_or_else(|why| panic!("a server of a group: {why}"));
    let port = port.unwrap_or(started.port);
    (started, port)
}

/// A sentinel, and the port by which the others know it.
fn sentinel(
    binary: &str,
    passwords: Option<Passwords>,
    wire: Wire<'_>,
    primary: u16,
) -> (Private, u16) {
    let (mut lines, port) = wire.settings();
    lines.extend([
        format!("sentinel monitor {SERVICE} 127.0.0.1 {primary} 2"),
        format!("sentinel down-after-milliseconds {SERVICE} 2000"),
        // An election without a result is repeated after twice this time.
        format!("sentinel failover-timeout {SERVICE} 5000"),
    ]);
    if let Some(Passwords { servers, sentinels }) = passwords {
        lines.push(format!("sentinel auth-pass {SERVICE} {servers}"));
        lines.push(format!("requirepass {sentinels}"));
        lines.push(format!("sentinel sentinel-pass {sentinels}"));
    }
    let password = passwords.map(|passwords| passwords.sentinels);
    let started = Private::redis_configured(binary, &lines, &["--sentinel"], password);
    let started = started.unwrap_or_else(|why| panic!("a sentinel: {why}"));
    hurry(&started);
    let port = port.unwrap_or(started.port);
    (started, port)
}

/// Shortens the periods of looking around, which are up to ten seconds, and makes a busy machine no
/// reason to stop working for 30 seconds. A restart forgets that.
fn hurry(sentinel: &Private) {
    // A replica that has not answered for three of the first kind is not promoted.
    let periods = [
        "INFO-PERIOD",
        "1000",
        "PUBLISH-PERIOD",
        "200",
        "ASK-PERIOD",
        "200",
    ];
    let words = ["SENTINEL", "DEBUG", "TILT-TRIGGER", "60000"];
    let words = [&words[..], &periods].concat();
    ask::<()>(&sentinel.url, &words).expect("a sentinel that can be hurried");
}

/// The port of the primary that a sentinel names.
fn named_by(sentinel: &Private) -> Option<u16> {
    let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE];
    let named: Option<(String, u16)> = ask(&sentinel.url, &words).ok()?;
    named.map(|(_, port)| port)
}

/// Whether a sentinel knows the two others and the replica, and does not think that the primary is
/// down.
fn knows_the_others(sentinel: &Private) -> bool {
    let words = ["SENTINEL", "MASTER", SERVICE];
    let known: HashMap<String, String> = ask(&sentinel.url, &words).unwrap_or_default();
    let is = |name: &str, value: &str| known.get(name).is_some_and(|it| it == value);
    is("flags", "master") && is("num-slaves", "1") && is("num-other-sentinels", "2")
}

/// Whether a server is the primary at this port, or a replica that is connected to it.
fn plays_its_part(server: &Private, announced: u16, primary: u16) -> bool {
    if announced == primary {
        return role_is(&server.url, "master");
    }
    let info: String = ask(&server.url, &["INFO", "replication"]).unwrap_or_default();
    info.contains("master_link_status:up") && info.contains(&format!("master_port:{primary}\r"))
}

fn role_is(url: &str, role: &str) -> bool {
    let info: String = ask(url, &["INFO", "replication"]).unwrap_or_default();
    info.contains(&format!("role:{role}\r"))
}

fn wait_until<T>(failure: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "{failure}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
