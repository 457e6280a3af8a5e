//! How a server compares and sets: by its own commands, or by scripts.

use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisError, RedisResult, Value};

use crate::error::serves_nothing;

/// How writes compare what is stored with what they expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// `SET … IFEQ`: Valkey 8.1, Redis 8.4.
    Compare {
        /// Whether the server has `DELIFEQ`: Valkey 9.0.
        deletes: bool,
    },
    /// Scripts: any version, for a user that may run them.
    Scripts,
}

impl Lane {
    /// What the server at the other end can do, by the commands themselves, on the unused key
    /// `scratch`; `None` if it can't tell now, because it has no memory for example. One round trip.
    /// Fails if the server serves nothing now, because it loads its data for example.
    pub(crate) async fn of(
        connection: &MultiplexedConnection,
        scratch: &str,
    ) -> RedisResult<Option<Self>> {
        let mut commands = Pipeline::with_capacity(2);
        let compare = commands
            .cmd("SET")
            .arg(scratch)
            .arg("")
            .arg("IFEQ")
            .arg("-");
        compare.arg("PX").arg(1);
        commands.cmd("DELIFEQ").arg(scratch).arg("-");
        let mut connection = connection.clone();
        let answers = connection.send_packed_commands(&commands, 0, 2).await?;
        Self::told(&answers)
    }

    /// What the answers to both commands tell.
    fn told(answers: &[Value]) -> RedisResult<Option<Self>> {
        let known = |at: usize| answers.get(at).and_then(is_known);
        Ok(match (known(0), known(1)) {
            (Some(true), Some(deletes)) => Some(Self::Compare { deletes }),
            (Some(false), _) => Some(Self::Scripts),
            // It has the older command too, and has no memory for it.
            (None, Some(true)) => Some(Self::Compare { deletes: true }),
            _ => match answers.iter().find_map(reason_to_leave) {
                Some(error) => return Err(error),
                None => None,
            },
        })
    }
}

/// The error in an answer, if it says that another server or a later time is the remedy.
fn reason_to_leave(answer: &Value) -> Option<RedisError> {
    let Value::ServerError(error) = answer else {
        return None;
    };
    Some(RedisError::from(error.clone())).filter(serves_nothing)
}

/// Whether the server knows a command that it has answered so, and lets the user run it; `None` if
/// the answer does not tell.
fn is_known(answer: &Value) -> Option<bool> {
    let Value::ServerError(error) = answer else {
        return Some(true);
    };
    let said = error.details().unwrap_or_default();
    let is_unknown = said.contains("syntax error") || said.contains("unknown command");
    (is_unknown || error.code() == "NOPERM").then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answers: [&str; 2]) -> Result<Option<Lane>, String> {
        let answers = answers.map(|line| {
            redis::parse_redis_value(format!("{line}\r\n").as_bytes()).expect("an answer")
        });
        Lane::told(&answers).map_err(|error| error.code().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_server_tells_its_lane() {
        let unknown = "-ERR unknown command 'DELIFEQ'";
        for (set, delete, lane) in [
            ("$-1", ":0", Some(Lane::Compare { deletes: true })),
            ("$-1", unknown, Some(Lane::Compare { deletes: false })),
            ("$-1", "-NOPERM no", Some(Lane::Compare { deletes: false })),
            ("-ERR syntax error", unknown, Some(Lane::Scripts)),
            ("-NOPERM no", ":0", Some(Lane::Scripts)),
            ("-OOM full", ":0", Some(Lane::Compare { deletes: true })),
            ("-OOM full", unknown, None),
            ("-NOREPLICAS few", "-NOREPLICAS few", None),
        ] {
            assert_eq!(told([set, delete]), Ok(lane), "{set} {delete}");
        }
    }

    #[test]
    fn a_server_that_serves_nothing_is_not_taken_for_one_of_scripts() {
        for code in ["READONLY", "LOADING", "MASTERDOWN", "BUSY"] {
            let line = format!("-{code} not now");
            assert_eq!(told([&line, &line]), Err(code.to_owned()));
            let unknown = "-ERR unknown command 'DELIFEQ'";
            assert_eq!(told([&line, unknown]), Err(code.to_owned()));
        }
    }
}
