//! Single commands to Redis, Valkey and their sentinels, to set them up.

use std::time::Duration;

use redis::{FromRedisValue, RedisResult};

/// How long an answer may take; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(10);

/// Sends one command on a connection of its own, and blocks until it is answered.
pub(super) fn ask<T: FromRedisValue>(url: &str, words: &[&str]) -> RedisResult<T> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_connection_with_timeout(LIMIT)?;
    connection.set_read_timeout(Some(LIMIT))?;
    let mut command = redis::Cmd::new();
    command.arg(words).query(&mut connection)
}
