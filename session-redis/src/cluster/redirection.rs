//! Redirections: answers that name another node.

use std::io;
use std::sync::Arc;

use futures_util::future::join_all;
use redis::{Cmd, RedisError, RedisResult, Value};

use super::Cluster;
use super::layout::Address;
use super::node::Node;

/// How often a command follows redirections: two nodes may disagree for a moment.
const HOPS: usize = 5;

/// An answer that names another node.
#[derive(Debug, PartialEq, Eq)]
struct Redirection {
    slot: u16,
    to: Address,
    /// Whether it is for this command alone, because the slot is on its way.
    asks: bool,
}

impl Redirection {
    fn read(answer: &Value, from: &Address) -> Option<Self> {
        let Value::ServerError(error) = answer else {
            return None;
        };
        let asks = match error.code() {
            "MOVED" => false,
            "ASK" => true,
            _ => return None,
        };
        let (slot, to) = error.details()?.split_once(' ')?;
        Some(Self {
            slot: slot.parse().ok()?,
            to: Address::parse(to.trim(), from)?,
            asks,
        })
    }
}

/// The commands that go to one node.
struct Part {
    node: Arc<Node>,
    asking: bool,
    /// Their places in the pipeline.
    places: Vec<usize>,
}

impl Cluster {
    /// Sends those of `commands` again whose `answers`, of the node `from`, are redirections. The
    /// others were executed, and their answers stand.
    ///
    /// # Errors
    /// If it is not known whether a command was executed. One that was not sent keeps its
    /// redirection.
    pub(super) async fn follow(
        &self,
        from: &Node,
        commands: &[&Cmd],
        answers: &mut [Value],
    ) -> RedisResult<()> {
        for _ in 0..HOPS {
            let parts = self.parts(from, answers);
            if parts.is_empty() {
                break;
            }
            let sent = parts.iter().map(|part| async move {
                let own: Vec<&Cmd> = part.places.iter().map(|at| commands[*at]).collect();
                // Without a connection, nothing is sent.
                part.node.server().await.map_err(|_| None)?;
                let sent = Self::send_to(&part.node, &own, part.asking).await;
                sent.map_err(Some)
            });
            let sent = join_all(sent).await;
            let places = parts.into_iter().map(|part| part.places);
            if !write_back(places.zip(sent), answers)? {
                break;
            }
        }
        Ok(())
    }

    fn parts(&self, from: &Node, answers: &[Value]) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        for (at, answer) in answers.iter().enumerate() {
            let Some(redirection) = Redirection::read(answer, &from.address) else {
                continue;
            };
            let Redirection { slot, to, asks } = redirection;
            let node = if asks {
                self.node_at(to)
            } else {
                self.moved(slot, to)
            };
            let is_same = |part: &&mut Part| Arc::ptr_eq(&part.node, &node) && part.asking == asks;
            match parts.iter_mut().find(is_same) {
                Some(part) => part.places.push(at),
                None => parts.push(Part {
                    node,
                    asking: asks,
                    places: vec![at],
                }),
            }
        }
        parts
    }
}

/// Answers of a node; `Err(None)` if nothing was sent to it.
type Sent = Result<Vec<Value>, Option<RedisError>>;

/// Puts what was sent to each node into its places in `answers`. Returns whether all was sent.
fn write_back(
    parts: impl Iterator<Item = (Vec<usize>, Sent)>,
    answers: &mut [Value],
) -> RedisResult<bool> {
    let (mut all_sent, mut doubt) = (true, None);
    for (places, sent) in parts {
        match sent {
            Ok(again) => {
                for (at, answer) in places.into_iter().zip(again) {
                    answers[at] = answer;
                }
            }
            Err(None) => all_sent = false,
            Err(Some(error)) => doubt = Some(error),
        }
    }
    match doubt {
        Some(error) => Err(lost(&error)),
        None => Ok(all_sent),
    }
}

/// The error of a pipeline of which a part may have been executed.
fn lost(error: &RedisError) -> RedisError {
    io::Error::new(io::ErrorKind::ConnectionReset, error.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_was_not_sent_hides_no_answer_and_no_doubt() {
        let mut answers = [Value::Nil, Value::Nil];
        let not_sent = || (vec![0], Err(None));
        let sent = (vec![1], Ok(vec![Value::Okay]));
        let all_sent = write_back([not_sent(), sent].into_iter(), &mut answers);
        assert!(!all_sent.expect("nothing is in doubt"));
        assert_eq!(answers, [Value::Nil, Value::Okay]);

        let broken = io::Error::from(io::ErrorKind::ConnectionReset).into();
        let doubtful = (vec![1], Err(Some(broken)));
        let all_sent = write_back([not_sent(), doubtful].into_iter(), &mut answers);
        assert!(all_sent.is_err());
    }

    #[test]
    fn redirections_are_read() {
        let from = Address {
            host: "from".to_owned(),
            port: 1,
        };
        let read = |line: &str| {
            let answer = redis::parse_redis_value(format!("{line}\r\n").as_bytes());
            Redirection::read(&answer.expect("RESP"), &from)
        };
        let to = |slot, host: &str, asks| {
            let (host, port) = (host.to_owned(), 7001);
            let to = Address { host, port };
            Some(Redirection { slot, to, asks })
        };
        assert_eq!(
            read("-MOVED 3999 127.0.0.1:7001"),
            to(3999, "127.0.0.1", false)
        );
        assert_eq!(read("-ASK 1 :7001"), to(1, "from", true));
        for line in [
            "-TRYAGAIN later",
            "+MOVED 1 h:7001",
            "-MOVED 1",
            "-ERR ASK 1 h:7001",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
