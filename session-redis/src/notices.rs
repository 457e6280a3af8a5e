//! Notices of sessions that end, by pub/sub: one channel for each prefix and database.
//!
//! The destroy script publishes what it has destroyed; without scripts, a `PUBLISH` follows whose
//! answer is not waited for. Neither costs a round trip. A message is:
//!
//! | message | meaning |
//! |---|---|
//! | `-` and ids, percent-encoded, with a space before each | they have ended |
//! | `~` and one id | it has been signed in anew |
//! | `*` | all sessions of the store have been cleared |
//!
//! In a cluster, a message is passed to all nodes: it is not sharded, because one script call
//! can't publish to another slot than that of its keys.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use redis::{Client, Msg, RedisResult};
use session_core::backend::Call;
use session_core::{Ended, Error, Notice, NoticeStream, Result, SessionId};

use crate::RedisClient;
use crate::command::{send, unawaited};
use crate::connection::Origin;
use crate::error::from_redis;
use crate::keys::Keys;
use crate::opener::Opener;

type Messages = Pin<Box<dyn Stream<Item = Vec<u8>> + Send>>;

/// Where notices are published, and what listens to them.
#[derive(Clone)]
pub(crate) struct Notices {
    channel: String,
    opener: Opener,
}

impl Notices {
    /// For the store of `keys` in this database; channels know no databases.
    pub(crate) fn new(keys: &Keys, database: i64, opener: Opener) -> Self {
        Self {
            channel: keys.channel(database),
            opener,
        }
    }

    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// Publishes that `id` was signed in anew. The caller does not wait for the answer.
    pub(crate) fn publish_changed(&self, call: &Call<RedisClient>, keys: &Keys, id: &SessionId) {
        self.publish(call, format!("~{}", keys.encoded(id)));
    }

    /// Publishes that `ended` have ended. The caller does not wait for the answer.
    pub(crate) fn publish_ended(&self, call: &Call<RedisClient>, keys: &Keys, ended: &[Ended]) {
        let mut message = "-".to_owned();
        for ended in ended {
            message.push(' ');
            message.push_str(&keys.encoded(&ended.id));
        }
        self.publish(call, message);
    }

    /// Publishes that there are no sessions any more.
    pub(crate) fn publish_cleared(&self, call: &Call<RedisClient>) {
        self.publish(call, "*".to_owned());
    }

    fn publish(&self, call: &Call<RedisClient>, message: String) {
        let mut command = redis::cmd("PUBLISH");
        command.arg(&self.channel).arg(message);
        let call = call.detached();
        unawaited(async move {
            if let Err(error) = send(&call, &command).await {
                tracing::debug!(%error, "cannot publish the notice of a session");
            }
        });
    }

    /// The notices from now on, over a connection of their own; `None` if the store can't make one.
    pub(crate) fn listen(&self, call: Call<RedisClient>) -> Option<NoticeStream> {
        if let Origin::Manager(_) = &self.opener.origin {
            return None;
        }
        let notices = self.clone();
        let opened = async move {
            let messages = notices.subscribe(&call).await?;
            notices.warn_if_forbidden(&call).await;
            let read = messages.map(|message| Ok(read(&message)));
            let lost = Error::unavailable("notices", "the connection was closed");
            let first = stream::iter([Ok(vec![Notice::Missed])]);
            let all = first.chain(read).chain(stream::iter([Err(lost)]));
            Ok::<_, Error>(all.map_ok(|notices| stream::iter(notices).map(Ok)))
        };
        let all = stream::once(opened).try_flatten().try_flatten();
        Some(Box::pin(all))
    }

    async fn subscribe(&self, call: &Call<RedisClient>) -> Result<Messages> {
        let subscribed = async {
            match &self.opener.origin {
                Origin::Client(client) => self.messages(self.opener.client(client).await?).await,
                Origin::Sentinel(sentinel) => {
                    let subscribe = |client, _| self.messages(client);
                    let limit = self.opener.timeout;
                    let (messages, primary) = sentinel.connect(limit, subscribe).await?;
                    // The old primary may stay silent, and what is published there is not for us.
                    let sentinel = Arc::clone(sentinel);
                    let moved = async move { sentinel.moved_from(&primary, limit).await };
                    Ok(Box::pin(messages.take_until(Box::pin(moved))) as Messages)
                }
                // Messages are passed to all nodes.
                Origin::Cluster(cluster) => {
                    let node = cluster.node(None).await?;
                    let client = self.opener.client(&node.client).await?;
                    let messages = self.messages(client).await;
                    messages.inspect_err(|_| node.suspect())
                }
                Origin::Manager(_) => Ok(Box::pin(stream::empty()) as Messages),
            }
        };
        match tokio::time::timeout(call.timeout(), subscribed).await {
            Ok(subscribed) => {
                subscribed.map_err(|error| from_redis(call.place(), call.name(), error))
            }
            Err(_) => Err(Error::no_answer(call.name(), call.place(), call.timeout())),
        }
    }

    /// What is published at the server of `client`.
    async fn messages(&self, client: Client) -> RedisResult<Messages> {
        let mut connection = client.get_async_pubsub().await?;
        connection.subscribe(&self.channel).await?;
        let messages = connection.into_on_message();
        let content = |message: Msg| message.get_payload_bytes().to_vec();
        Ok(Box::pin(messages.map(content)))
    }

    /// The scripts publish what they may and do not fail otherwise, so it is said here.
    async fn warn_if_forbidden(&self, call: &Call<RedisClient>) {
        let mut command = redis::cmd("PUBLISH");
        command.arg(&self.channel).arg("");
        if let Err(error) = send(call, &command).await {
            let why = "sessions that this process ends are not announced to others, whose streams \
                       close within the lease";
            tracing::warn!(%error, channel = self.channel, "{why}");
        }
    }
}

/// What a message says. One of another version may say anything.
fn read(message: &[u8]) -> Vec<Notice> {
    let text = std::str::from_utf8(message).unwrap_or_default();
    let id = |encoded: &str| Keys::decoded(encoded);
    match text.split_at_checked(1) {
        Some(("-", ids)) => {
            let ids = ids.split(' ').filter_map(id);
            ids.map(Notice::Ended).collect()
        }
        Some(("~", one)) => id(one).into_iter().map(Notice::Changed).collect(),
        Some(_) => vec![Notice::Missed],
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SessionId {
        SessionId::from_stored(text).expect("valid")
    }

    #[test]
    fn messages_are_read_as_they_are_written() {
        let ids = [id("abc"), id("a b%-~*{ü}")];
        let keys = Keys::new("p {x} ");
        let encoded: Vec<String> = ids.iter().map(|id| keys.encoded(id)).collect();
        let ended = format!("- {} {}", encoded[0], encoded[1]);
        assert_eq!(
            read(ended.as_bytes()),
            ids.clone().map(Notice::Ended),
            "{ended}"
        );
        let changed = format!("~{}", encoded[1]);
        assert_eq!(read(changed.as_bytes()), [Notice::Changed(ids[1].clone())]);
        assert_eq!(read(b"*"), [Notice::Missed]);
        assert_eq!(read(b""), [], "a test of the right to publish");
        assert_eq!(read(b"- %zz "), [], "nonsense ends nothing");
    }
}
