//! Network namespaces for servers, so that some of them can't reach each other.

use std::net::Ipv4Addr;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use super::binary::run_to_end;
use super::guard::{REMOVE_NETWORKS, guarded, release};

/// Numbers the networks of this process.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Network namespaces that a switch connects, with each other and with this machine. They are removed
/// a moment after it is dropped.
#[derive(Debug)]
pub struct Networks {
    /// What the names of the namespaces begin with.
    name: String,
    /// The third byte of the addresses.
    subnet: u8,
    count: u8,
    guard: Option<Child>,
}

impl Networks {
    /// Makes so many, at most 200.
    ///
    /// # Errors
    /// Where network namespaces are not permitted.
    pub fn new(count: u8) -> Result<Self, String> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let pid = std::process::id();
        let name = format!("st{pid}x{number}");
        let subnet = (pid.wrapping_mul(7).wrapping_add(number) % 250).to_le_bytes()[0] + 1;
        let mut networks = Self {
            name,
            subnet,
            count,
            guard: None,
        };
        let (switch, host) = (networks.switch(), networks.name.clone());
        let mut names = vec![switch.clone()];
        names.extend((0..count).map(|one| networks.namespace(one)));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let guard =
            guarded(REMOVE_NETWORKS, &names).map_err(|error| format!("no shell: {error}"))?;
        networks.guard = Some(guard);
        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add switch type bridge"))?;
        ip(&format!("-n {switch} link set switch up"))?;
        ip(&format!(
            "link add {host} type veth peer name host netns {switch}"
        ))?;
        ip(&format!("address add 10.213.{subnet}.1/24 dev {host}"))?;
        ip(&format!("link set {host} up"))?;
        ip(&format!("-n {switch} link set host master switch up"))?;
        for one in 0..count {
            networks.connect(one)?;
        }
        Ok(networks)
    }

    fn connect(&self, one: u8) -> Result<(), String> {
        let (switch, own, address) = (self.switch(), self.namespace(one), self.address(one));
        ip(&format!("netns add {own}"))?;
        ip(&format!(
            "-n {own} link add eth0 type veth peer name port{one} netns {switch}"
        ))?;
        ip(&format!("-n {own} address add {address}/24 dev eth0"))?;
        ip(&format!("-n {own} link set lo up"))?;
        ip(&format!("-n {own} link set eth0 up"))?;
        ip(&format!("-n {switch} link set port{one} master switch up"))
    }

    /// Returns the address of a server in this namespace, counted from 0.
    #[must_use]
    pub const fn address(&self, one: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.subnet, one + 2)
    }

    /// Returns the words before a command that run it in this namespace.
    #[must_use]
    pub fn words(&self, one: u8) -> Vec<String> {
        ["ip", "netns", "exec", &self.namespace(one)]
            .map(str::to_owned)
            .into()
    }

    /// Cuts this namespace from all others and from this machine; nothing is refused, all is lost.
    ///
    /// # Errors
    /// If `ip` fails.
    pub fn unplug(&self, one: u8) -> Result<(), String> {
        ip(&format!("-n {} link set port{one} down", self.switch()))
    }

    /// Ends [`unplug`](Self::unplug).
    ///
    /// # Errors
    /// If `ip` fails.
    pub fn plug(&self, one: u8) -> Result<(), String> {
        ip(&format!("-n {} link set port{one} up", self.switch()))
    }

    /// Cuts this namespace from all others, but not from this machine.
    ///
    /// # Errors
    /// If `ip` fails.
    pub fn isolate(&self, one: u8) -> Result<(), String> {
        self.routes("add", one)
    }

    /// Ends [`isolate`](Self::isolate).
    ///
    /// # Errors
    /// If `ip` fails.
    pub fn join(&self, one: u8) -> Result<(), String> {
        self.routes("del", one)
    }

    fn routes(&self, change: &str, one: u8) -> Result<(), String> {
        for other in (0..self.count).filter(|other| *other != one) {
            for (from, to) in [(one, other), (other, one)] {
                let (namespace, address) = (self.namespace(from), self.address(to));
                ip(&format!(
                    "-n {namespace} route {change} blackhole {address}/32"
                ))?;
            }
        }
        Ok(())
    }

    fn switch(&self) -> String {
        format!("{}s", self.name)
    }

    fn namespace(&self, one: u8) -> String {
        format!("{}n{one}", self.name)
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.take() {
            // It waits until the servers have ended.
            std::thread::spawn(|| release(guard));
        }
    }
}

fn ip(words: &str) -> Result<(), String> {
    run_to_end(Command::new("ip").args(words.split(' ')))
}
