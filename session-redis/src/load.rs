//! Loads.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use redis::{Cmd, Pipeline, RedisResult, Value};
use session_core::{Record, Result, SessionId};

use crate::RedisBackend;
use crate::clock::Reading;
use crate::command::{send_by, unexpected};
use crate::error::from_redis;
use crate::record::StoredSession;
use crate::route::Route;
use crate::server::Server;

impl RedisBackend {
    /// The commands that read `ids` from one server: in a cluster, their keys are in several slots.
    fn gets(&self, ids: &[SessionId]) -> Pipeline {
        let in_one = if self.is_cluster { 1 } else { ids.len().max(1) };
        let mut gets = Pipeline::with_capacity(ids.len().div_ceil(in_one) + 1);
        let mut key = String::new();
        for ids in ids.chunks(in_one) {
            let length: usize = ids.iter().map(|id| self.keys.session_length(id)).sum();
            let mut get = Cmd::with_capacity(1 + ids.len(), 4 + length);
            get.arg(if ids.len() == 1 { "GET" } else { "MGET" });
            for id in ids {
                self.keys.write_session(id, &mut key);
                get.arg(&key);
            }
            gets.add_command(get);
        }
        gets
    }

    /// Sends `gets`. Returns the answers, of which some may be that the key holds a value of
    /// another type, and the server's time in milliseconds.
    async fn get_with_time(&self, route: Route<'_>, gets: &Pipeline) -> Result<(Vec<Value>, u64)> {
        let ask = |server: Arc<Server>| async move {
            self.note(server.known_lane());
            let reading = server.clock.reading();
            let mut each = gets.cmd_iter();
            if let (Some(reading), Some(only), None) = (reading, each.next(), each.next()) {
                let answer = server.send(only).await?.extract_error()?;
                return Ok((vec![answer], reading.latest()));
            }
            let requested = Instant::now();
            let Some(reading) = reading else {
                let mut commands = gets.clone();
                commands.cmd("TIME");
                let mut answers = answers(server.send_all(&commands).await?)?;
                let time = answers.pop().unwrap_or(Value::Nil);
                let reading = Reading::new(redis::from_redis_value(time)?, requested);
                server.clock.set(reading);
                return Ok((answers, reading.reported()));
            };
            let answers = answers(server.send_all(gets).await?)?;
            Ok((answers, reading.latest()))
        };
        Ok(send_by(route, gets.len() + 1, ask).await?.answer)
    }

    /// Loads sessions that are on one node.
    pub(crate) async fn load_on(
        &self,
        route: Route<'_>,
        ids: &[SessionId],
    ) -> Result<Vec<Result<Option<Record>>>> {
        let (mut answers, now) = self.get_with_time(route, &self.gets(ids)).await?;
        let record = |value| match value {
            Value::Nil => Ok(None),
            Value::BulkString(value) => {
                let session = StoredSession::decode(Bytes::from(value))?;
                Ok(session.into_live_record(now))
            }
            Value::ServerError(error) => {
                let Route { call, .. } = route;
                Err(from_redis(call.place(), call.name(), error.into()))
            }
            _ => Err(unexpected()),
        };
        if ids.len() > 1 && !self.is_cluster {
            let Some(Value::Array(values)) = answers.pop() else {
                return Err(unexpected());
            };
            answers = values;
        }
        Ok(answers.into_iter().map(record).collect())
    }
}

/// `answers`, of which only such may be errors that concern a single key.
fn answers(answers: Vec<Value>) -> RedisResult<Vec<Value>> {
    let other = answers.iter().find_map(|answer| match answer {
        Value::ServerError(error) if error.code() != "WRONGTYPE" => Some(error.clone()),
        _ => None,
    });
    other.map_or(Ok(answers), |error| Err(error.into()))
}
