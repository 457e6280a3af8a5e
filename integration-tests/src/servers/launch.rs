//! How a server of one test is started, where that differs from the others.

use std::net::Ipv4Addr;
use std::path::Path;

use super::binary::{Place, Setup, command, find_binary, prepare};
use super::{Kind, Private, on_own_runtime, postgres, version};

/// A server of one test that is still to be started.
#[derive(Clone, Debug)]
pub struct Launch {
    kind: Kind,
    names: Vec<String>,
    arguments: Vec<String>,
    /// The words before its command.
    through: Vec<String>,
    place: Place,
    setup: Setup,
}

impl Launch {
    /// A server of this kind from the first of these binaries that is on `PATH`; MongoDB does not become
    /// a replica set.
    #[must_use]
    pub fn of(kind: Kind, names: &[&str]) -> Self {
        Self {
            kind,
            names: names.iter().map(|&name| name.to_owned()).collect(),
            arguments: Vec::new(),
            through: Vec::new(),
            place: Place::default(),
            setup: Setup::Standalone,
        }
    }

    /// Adds arguments, which come after those that every server is started with.
    #[must_use]
    pub fn arguments<T: AsRef<str>>(mut self, arguments: &[T]) -> Self {
        let added = arguments.iter().map(|one| one.as_ref().to_owned());
        self.arguments.extend(added);
        self
    }

    /// Puts its folder into this one, which is on another disk for instance.
    #[must_use]
    pub fn inside(mut self, folder: &Path) -> Self {
        self.place.parent = Some(folder.to_owned());
        self
    }

    /// Puts words before its command, such as `env NAME=VALUE` or `ip netns exec NAME`: programs that
    /// become the server.
    #[must_use]
    pub fn through<T: AsRef<str>>(mut self, words: &[T]) -> Self {
        let added = words.iter().map(|one| one.as_ref().to_owned());
        self.through.extend(added);
        self
    }

    /// Has it listen at this address instead of 127.0.0.1; PostgreSQL does not heed this.
    #[must_use]
    pub const fn at(mut self, address: Ipv4Addr) -> Self {
        self.place.address = address;
        self
    }

    pub(super) const fn replica_set(mut self) -> Self {
        self.setup = Setup::ReplicaSet;
        self
    }

    /// Starts it; blocks until it answers.
    ///
    /// # Errors
    /// If there is no binary or the server does not start.
    pub fn try_start(self) -> Result<Private, String> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let binary = match self.kind {
            Kind::Postgres => postgres::find(&names)?,
            Kind::Redis | Kind::Mongo | Kind::Mysql => find_binary(&names)?,
        };
        let mut server = Private::in_new_folder(self.kind, binary, &self.place)?;
        prepare(self.kind, &server.binary, &server.folder)?;
        server.command = command(
            self.kind,
            &server.binary,
            server.address,
            server.port,
            &server.folder,
        );
        // Where another user runs the server, that user runs these too.
        let own = server
            .command
            .iter()
            .position(|word| *word == server.binary);
        let own = own.unwrap_or_default();
        server.command.splice(own..own, self.through);
        let is_set = self.kind == Kind::Mongo && self.setup == Setup::ReplicaSet;
        if is_set {
            let member = ["--replSet", "rs0"];
            server.command.extend(member.map(str::to_owned));
        }
        server.command.extend(self.arguments);
        server.run()?;
        if is_set {
            on_own_runtime(version::initiate_replica_set(&server.url))?;
        }
        server.wait_until_ready()?;
        Ok(server)
    }
}
