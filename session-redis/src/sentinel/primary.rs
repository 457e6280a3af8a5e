//! The primary of a group, as a Sentinel names it.

use std::collections::HashMap;

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Pipeline, RedisResult, Value};

/// The primary of a group, as a Sentinel names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Primary {
    pub(super) host: String,
    pub(super) port: u16,
    /// Grows with each failover that the Sentinels agree on; 0 if the user may not ask.
    pub(super) epoch: u64,
    /// The index of the Sentinel.
    pub(super) by: usize,
}

impl Primary {
    /// Asks the Sentinel with the index `by`; `None` if it does not know the group. One round trip.
    pub(super) async fn ask(
        group: &str,
        by: usize,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<Option<Self>> {
        let mut commands = Pipeline::with_capacity(2);
        for question in ["GET-MASTER-ADDR-BY-NAME", "MASTER"] {
            commands.cmd("SENTINEL").arg(question).arg(group);
        }
        let answers = connection.send_packed_commands(&commands, 0, 2).await?;
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or(Value::Nil);
        Self::read(by, next(), next())
    }

    fn read(by: usize, address: Value, state: Value) -> RedisResult<Option<Self>> {
        let address = Option::<(String, u16)>::from_redis_value(address.extract_error()?)?;
        let state = HashMap::<String, Value>::from_redis_value(state).unwrap_or_default();
        let epoch = state.get("config-epoch").cloned();
        let epoch = epoch.and_then(|epoch| u64::from_redis_value(epoch).ok());
        Ok(address.map(|(host, port)| Self {
            host,
            port,
            epoch: epoch.unwrap_or(0),
            by,
        }))
    }

    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether this is another server than `other`, named by a Sentinel that does not lag behind: it
    /// knows of a later failover, or has named `other` before (`has_agreed`). An epoch of 0 is
    /// unknown rather than old.
    pub(super) fn replaces(&self, other: &Self, has_agreed: bool) -> bool {
        (self.epoch > other.epoch || has_agreed) && self.address() != other.address()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn refusal(line: &str) -> Value {
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("an error")
    }

    fn primary(port: u16, epoch: u64) -> Primary {
        Primary {
            host: "10.0.0.1".to_owned(),
            port,
            epoch,
            by: 2,
        }
    }

    #[test]
    fn the_address_is_read_whether_or_not_the_epoch_is_told() {
        let address = || Value::Array(vec![text("10.0.0.1"), text("6380")]);
        let pair = || (text("config-epoch"), text("7"));
        let flat = Value::Array(vec![text("ip"), text("old"), pair().0, pair().1]);
        for (state, epoch) in [
            (Value::Map(vec![pair()]), 7),
            (flat, 7),
            (refusal("NOPERM this user has no permissions"), 0),
            (Value::Nil, 0),
        ] {
            let read = Primary::read(2, address(), state).expect("readable");
            assert_eq!(read, Some(primary(6380, epoch)));
        }
        let no_such = refusal("ERR No such master with that name");
        assert_eq!(Primary::read(2, Value::Nil, no_such), Ok(None));
        Primary::read(2, refusal("NOPERM no"), Value::Nil).expect_err("refused");
        Primary::read(2, Value::Array(vec![text("h")]), Value::Nil).expect_err("no port");
    }

    #[test]
    fn a_sentinel_that_lags_behind_is_not_believed() {
        assert!(primary(1, 8).replaces(&primary(2, 7), false));
        assert!(!primary(1, 7).replaces(&primary(2, 7), false));
        assert!(!primary(1, 6).replaces(&primary(2, 7), false));
        assert!(!primary(1, 0).replaces(&primary(2, 0), false));
        assert!(primary(1, 0).replaces(&primary(2, 7), true), "it changed");
        assert!(!primary(1, 8).replaces(&primary(1, 7), true));
    }
}
