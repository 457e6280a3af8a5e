//! The command line of `compare`.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Memory,
    Redis,
    RedisCluster,
    Mysql,
    Mongo,
    Postgres,
    Sqlite,
}

impl Backend {
    const ALL: [Self; 7] = [
        Self::Memory,
        Self::Redis,
        Self::RedisCluster,
        Self::Mysql,
        Self::Mongo,
        Self::Postgres,
        Self::Sqlite,
    ];

    /// Whether it is measured if none is named: a cluster on one machine says nothing of one on
    /// several.
    fn is_default(self) -> bool {
        self != Self::RedisCluster
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "redis",
            Self::RedisCluster => "redis-cluster",
            Self::Mysql => "mysql",
            Self::Mongo => "mongo",
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        }
    }
}

/// The help text.
pub(crate) const USAGE: &str = "\
compare [--backend memory,redis,redis-cluster,mysql,mongo,postgres,sqlite]
        [--redis-server PATH|URL] [--callers 1,64,256] [--payload 300,16384] [--sessions 20000]
        [--rounds 5] [--time 600ms] [--delay 0us]
        [--json] [--write FILE] [--title TEXT] [--commit HASH]
charts

compare measures all backends but redis-cluster, or those that are named.
--redis-server  starts this binary of Redis or Valkey, or uses the server at this URL; for
            redis-cluster it starts three nodes, or uses the cluster of the node at the URL
--delay     delays each message between client and server, through a relay
--json      prints a JSON object for each line instead of a table
--write     writes the run to FILE too, in the format of benches/results/*.jsonl
--title     the heading of the run in FILE
--commit    the measured version, for FILE

charts makes the tables and charts in benches/results from the .jsonl files there.";

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) backends: Vec<Backend>,
    pub(crate) redis_server: Option<String>,
    pub(crate) callers: Vec<usize>,
    pub(crate) payloads: Vec<usize>,
    pub(crate) sessions: usize,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) delay: Duration,
    pub(crate) json: bool,
    pub(crate) write: Option<String>,
    pub(crate) title: String,
    pub(crate) commit: Option<String>,
}

impl Options {
    /// Reads the arguments after the command's name.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            backends: Backend::ALL
                .into_iter()
                .filter(|one| one.is_default())
                .collect(),
            redis_server: None,
            callers: vec![1, 64, 256],
            payloads: vec![300],
            sessions: 20_000,
            rounds: 5,
            time: Duration::from_millis(600),
            delay: Duration::ZERO,
            json: false,
            write: None,
            title: "Each backend beside its raw driver and its peers".to_owned(),
            commit: None,
        };
        while let Some(name) = arguments.next() {
            if name == "--json" {
                options.json = true;
                continue;
            }
            let value = arguments
                .next()
                .ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--backend" => options.backends = list(&value, backend)?,
                "--redis-server" => options.redis_server = Some(value),
                "--callers" => options.callers = list(&value, |n| number(n, 1))?,
                // It must fit the number of the write.
                "--payload" => options.payloads = list(&value, |n| number(n, 28))?,
                "--sessions" => options.sessions = number(&value, 512)?,
                "--rounds" => options.rounds = number(&value, 1)?,
                "--time" => options.time = duration(&value)?,
                "--delay" => options.delay = duration(&value)?,
                "--write" => options.write = Some(value),
                "--title" => options.title = value,
                "--commit" => options.commit = Some(value),
                _ => return Err(format!("unknown option {name}")),
            }
        }
        if !options.delay.is_zero() && options.backends.contains(&Backend::RedisCluster) {
            return Err("--delay: the nodes of a cluster name addresses past the relay".to_owned());
        }
        Ok(options)
    }
}

fn list<T>(text: &str, item: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(item).collect()
}

fn backend(name: &str) -> Result<Backend, String> {
    let found = Backend::ALL
        .into_iter()
        .find(|backend| backend.name() == name);
    found.ok_or_else(|| format!("unknown backend {name:?}"))
}

fn number(text: &str, least: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number >= least);
    number.ok_or_else(|| format!("{text:?} is not a number of at least {least}"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    );
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{text:?} is not a duration"))?;
    match unit {
        "us" => Ok(Duration::from_micros(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        _ => Err(format!("{text:?} is not a duration in us, ms or s")),
    }
}
