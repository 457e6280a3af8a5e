//! The lane of a server that compares and sets by its own commands: `SET … IFEQ`.
//!
//! It writes the same bytes as the scripts do, so instances of both lanes may share keys. What a
//! script reads on the server, this lane knows from the load ([`Version::stored`]) or asks for; the
//! value then replaces exactly the one that was read. A deadline comes from a reading of the
//! server's clock, so it is composed anew for each attempt to send.
//!
//! The old value travels too, and still a script costs the server more at every size, because it
//! hands the new value to Lua: on Valkey 9.1, 2.8 µs for a save of 370 bytes in place of 12.4, 13 in
//! place of 32 for 16 KB, 430 in place of 740 for 1 MB, all on the same busy machine.
//!
//! [`Version::stored`]: session_core::Version::stored

mod change;
mod deadline;
mod destroy;
mod index;
mod inspect;
mod touch;
mod write;

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use redis::{Pipeline, RedisResult, Value};
use session_core::Result;

use crate::RedisBackend;
use crate::answers::shared_refusal;
use crate::clock::Reading;
use crate::command::{Refusal, send_with};
use crate::lane::Lane;
use crate::route::Route;
use crate::server::Server;

pub(crate) use index::scores;

/// The operations in this lane.
#[derive(Clone, Copy)]
pub(crate) struct Compare<'a> {
    backend: &'a RedisBackend,
    route: Route<'a>,
}

/// What has come of an operation.
#[derive(Debug)]
pub(crate) struct Compared<T> {
    /// `None` if the server takes scripts instead: the operation is to be done by them.
    pub(crate) answer: Option<T>,
    /// Whether it may have been done before: an answer was lost.
    pub(crate) is_repeated: bool,
}

/// The answers to what was composed.
struct Exchange<T> {
    composed: T,
    answers: std::vec::IntoIter<Value>,
    now: Reading,
}

impl<'a> Compare<'a> {
    pub(crate) fn new(backend: &'a RedisBackend, route: impl Into<Route<'a>>) -> Self {
        let route = route.into();
        Self { backend, route }
    }

    /// Sends what `compose` makes of a reading of the server's clock, in one pipeline, for a write
    /// that sets a `limit`. No answer if the server takes scripts instead.
    async fn exchange<T>(
        self,
        limit: Option<Duration>,
        compose: impl Fn(Reading, Lane) -> (Pipeline, T),
    ) -> Result<Compared<Exchange<T>>> {
        let Self { backend, route } = self;
        if backend.takes_scripts() {
            return Ok(Compared {
                answer: None,
                is_repeated: false,
            });
        }
        let compose = &compose;
        let sent = send_with(route, |server| async move {
            server.lane(&backend.scratch).await?;
            let lane = backend.lane_of(&server);
            if lane == Lane::Scripts {
                return Ok(None);
            }
            let now = server.time(limit).await?;
            let (commands, composed) = compose(now, lane);
            let answers = server.answers(commands).await?.into_iter();
            Ok(Some(Exchange {
                composed,
                answers,
                now,
            }))
        })
        .await?;
        Ok(Compared {
            answer: sent.answer,
            is_repeated: sent.is_repeated,
        })
    }
}

impl RedisBackend {
    /// Whether the last server that was met takes scripts. Without this, each write to such a
    /// server would begin with an exchange that sends nothing and passes for its answer.
    fn takes_scripts(&self) -> bool {
        self.takes_scripts.load(Relaxed)
    }

    /// The lane of a server that was asked for it. One that could not tell is taken for a server
    /// like the last one that could.
    fn lane_of(&self, server: &Server) -> Lane {
        let known = server.known_lane();
        self.note(known);
        known.unwrap_or(if self.has_compared.load(Relaxed) {
            Lane::Compare { deletes: false }
        } else {
            Lane::Scripts
        })
    }

    /// Notes the lane of a server that was met; the next write asks if it is not known.
    pub(crate) fn note(&self, lane: Option<Lane>) {
        if let Some(lane) = lane {
            let compares = lane != Lane::Scripts;
            if compares != self.has_compared.load(Relaxed) {
                self.has_compared.store(compares, Relaxed);
            }
        }
        // In a cluster an index and its session are on different nodes.
        let takes_scripts = self.is_cluster || lane == Some(Lane::Scripts);
        if takes_scripts != self.takes_scripts() {
            self.takes_scripts.store(takes_scripts, Relaxed);
        }
    }
}

impl Server {
    /// A reading of this server's clock for a write that sets a limit of `limit`. One round trip
    /// if there is no good one, which is rare: writes renew it in passing. Up to three on a new
    /// connection.
    async fn time(&self, limit: Option<Duration>) -> RedisResult<Reading> {
        loop {
            if let Some(reading) = self.clock.for_write(limit) {
                return Ok(reading);
            }
            let requested = Instant::now();
            let time = redis::cmd("TIME").query_async(&mut &*self).await?;
            let reading = Reading::new(time, requested);
            self.clock.set(reading);
            if self.clock.knows_link() {
                return Ok(self.clock.for_write(limit).unwrap_or(reading));
            }
        }
    }

    /// Sends `commands` in one pipeline. Errors in the answers concern their own command only.
    async fn answers(&self, mut commands: Pipeline) -> Result<Vec<Value>, Refusal> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let asks_time = self.clock.is_due();
        if asks_time {
            commands.cmd("TIME");
        }
        let requested = Instant::now();
        let mut each = commands.cmd_iter();
        let mut answers = match (each.next(), each.next()) {
            // The driver spends less on a single command.
            (Some(only), None) => vec![self.send(only).await?],
            _ => self.send_all(&commands).await?,
        };
        if asks_time
            && let Some(time) = answers.pop()
            // The writes count, even if the user may not ask for the time.
            && let Ok(time) = redis::from_redis_value(time)
        {
            self.clock.set(Reading::new(time, requested));
        }
        shared_refusal(&answers).map_or(Ok(answers), Err)
    }
}
