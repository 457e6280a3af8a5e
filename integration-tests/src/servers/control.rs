//! What a test does to a server of its own.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::binary::run_to_end;
use super::guard::release;
use super::{Kind, Private};

/// How long an orderly end may take.
const STOP_LIMIT: Duration = Duration::from_secs(60);

impl Private {
    /// Starts the server again after [`kill`](Self::kill), with the same port and data. PostgreSQL
    /// listens while it recovers, so that is waited for.
    ///
    /// # Panics
    /// If it does not start.
    pub fn restart(&mut self) {
        let started = self.try_restart();
        started.unwrap_or_else(|why| panic!("{why}"));
    }

    /// Starts the server again like [`restart`](Self::restart).
    ///
    /// # Errors
    /// If it does not start.
    pub fn try_restart(&mut self) -> Result<(), String> {
        self.run()?;
        match self.kind {
            Kind::Postgres => self.wait_until_ready(),
            Kind::Redis | Kind::Mongo | Kind::Mysql => Ok(()),
        }
    }

    /// Waits until the server answers a command of its kind, which may be later than it listens.
    ///
    /// # Errors
    /// If it does not within 30 s.
    pub fn ready(&self) -> Result<(), String> {
        self.wait_until_ready()
    }

    /// Ends the server as an operator does, without waiting for its clients, and waits until it has
    /// ended. It can be [restarted](Self::restart).
    ///
    /// # Errors
    /// If it does not end within a minute; it is then killed.
    pub fn stop(&mut self) -> Result<(), String> {
        let pid = self.pid();
        let signal = match self.kind {
            // It would wait for its clients.
            Kind::Postgres => "INT",
            Kind::Redis | Kind::Mongo | Kind::Mysql => "TERM",
        };
        let sent = send(signal, &[pid]);
        let gone = sent.and_then(|()| wait_until_gone(pid));
        // The guard finds no process any more, and ends.
        self.kill();
        gone
    }

    /// Waits until the server has ended by itself. It can be [restarted](Self::restart).
    ///
    /// # Errors
    /// If it does not end within a minute; it is then killed.
    pub fn wait_for_end(&mut self) -> Result<(), String> {
        let gone = wait_until_gone(self.pid());
        self.kill();
        gone
    }

    /// Returns whether the process of the server runs, or is stopped by a signal.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        is_there(self.pid())
    }

    /// Kills the server, which loses its memory as in a power failure.
    pub fn kill(&mut self) {
        if let Some(guard) = self.running.take() {
            release(guard);
        }
    }

    /// Returns whether the server was started and not [killed](Self::kill).
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Returns the server's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.folder.join("pid")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Lets all processes of the server stand still (`SIGSTOP`) until they
    /// [go on](Self::go_on).
    ///
    /// # Errors
    /// If there is none.
    pub fn stand_still(&self) -> Result<(), String> {
        self.signal_all("STOP")
    }

    /// Lets a server go on that [stands still](Self::stand_still).
    ///
    /// # Errors
    /// If it has ended.
    pub fn go_on(&self) -> Result<(), String> {
        self.signal_all("CONT")
    }

    fn signal_all(&self, signal: &str) -> Result<(), String> {
        // From then on it starts no others.
        send(signal, &[self.pid()])?;
        for child in self.children() {
            // It may have ended by itself.
            let _ = send(signal, &[child]);
        }
        Ok(())
    }

    /// Returns the ids of the processes that the server's process has started, such as those that
    /// serve one connection of PostgreSQL each.
    #[must_use]
    pub fn children(&self) -> Vec<u32> {
        let pid = self.pid();
        let file = format!("/proc/{pid}/task/{pid}/children");
        let ids = std::fs::read_to_string(file).unwrap_or_default();
        ids.split_whitespace()
            .filter_map(|id| id.parse().ok())
            .collect()
    }
}

fn send(signal: &str, pids: &[u32]) -> Result<(), String> {
    let pids = pids.iter().map(u32::to_string);
    run_to_end(Command::new("kill").arg(format!("-{signal}")).args(pids))
}

fn wait_until_gone(pid: u32) -> Result<(), String> {
    let began = Instant::now();
    while is_there(pid) {
        if began.elapsed() > STOP_LIMIT {
            return Err(format!("process {pid} does not end"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Whether there is a process of this id that is not a zombie.
fn is_there(pid: u32) -> bool {
    let file = Path::new("/proc").join(pid.to_string()).join("stat");
    let stat = std::fs::read_to_string(file).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != Some('Z'))
}
