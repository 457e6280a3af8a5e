//! Invalidations of sessions that are written, by the server's tracking of keys (`CLIENT TRACKING`
//! in broadcasting mode, RESP3), on a connection of its own.
//!
//! The server tells of every key with the prefix that is written, deleted or evicted, or expires,
//! by any program. The driver's own cache is not used: it knows keys and not sessions, and drops
//! nothing when its connection is silent.

use std::future::ready;
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, RedisResult, Value};
use session_core::backend::Call;
use session_core::{Error, Invalidation, InvalidationStream, Result};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::RedisClient;
use crate::connection::Origin;
use crate::error::from_redis;
use crate::keys::Keys;
use crate::opener::Opener;

/// How many messages a listener may be behind. One that is further behind is told that anything may
/// have been written.
const BACKLOG: usize = 4_096;

/// What listens to the writes of one store.
pub(crate) struct Invalidations {
    keys: Keys,
    opener: Opener,
}

impl Invalidations {
    pub(crate) const fn new(keys: Keys, opener: Opener) -> Self {
        Self { keys, opener }
    }

    /// The invalidations from now on; `None` if the store can't make a connection for them, or its
    /// client does not use RESP3.
    pub(crate) fn listen(
        &self,
        call: Call<RedisClient>,
        silence: Duration,
    ) -> Option<InvalidationStream> {
        let Origin::Client(client) = &self.opener.origin else {
            return None;
        };
        let protocol = client.get_connection_info().redis_settings().protocol();
        if !protocol.supports_resp3() {
            return None;
        }
        let (opener, client) = (self.opener.clone(), client.clone());
        let keys = self.keys.clone();
        let opened = async move {
            let failed = |error| from_redis(call.place(), call.name(), error);
            let limit = call.timeout();
            let (connection, pushed) =
                match tokio::time::timeout(limit, track(&opener, &client, &keys)).await {
                    Ok(tracked) => tracked.map_err(failed)?,
                    Err(_) => return Err(Error::no_answer(call.name(), call.place(), limit)),
                };
            let told = told(pushed, keys);
            let silent = stream::once(silence_of(connection, call, silence)).map(Err);
            let first = stream::iter([Ok(Invalidation::All)]);
            Ok(first.chain(until_error(stream::select(told, silent))))
        };
        Some(Box::pin(stream::once(opened).try_flatten()))
    }
}

/// A connection that tells of writes to keys of sessions, and what it has pushed.
async fn track(
    opener: &Opener,
    client: &Client,
    keys: &Keys,
) -> RedisResult<(MultiplexedConnection, broadcast::Receiver<PushInfo>)> {
    let (sender, pushed) = broadcast::channel(BACKLOG);
    // The driver's own limits are off: the caller has one for all of it, and pings another.
    let config = AsyncConnectionConfig::new()
        .set_push_sender(sender)
        .set_connection_timeout(None)
        .set_response_timeout(None);
    let client = opener.client(client).await?;
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = connecting.await?;
    opener.options.introduce(&connection).await?;
    let mut track = redis::cmd("CLIENT");
    track.arg("TRACKING").arg("ON").arg("BCAST");
    track.arg("PREFIX").arg(keys.session_prefix());
    let () = track.query_async(&mut connection).await?;
    Ok((connection, pushed))
}

/// What the server pushes, until the driver has seen the connection close.
fn told(
    pushed: broadcast::Receiver<PushInfo>,
    keys: Keys,
) -> impl Stream<Item = Result<Invalidation>> + Send {
    let told = stream::unfold(pushed, |mut pushed| async move {
        let told = match pushed.recv().await {
            Ok(push) => push,
            Err(RecvError::Lagged(_)) => PushInfo {
                kind: PushKind::Invalidate,
                data: vec![Value::Nil],
            },
            Err(RecvError::Closed) => return None,
        };
        (told.kind != PushKind::Disconnection).then_some((told, pushed))
    });
    let told = told.flat_map(move |push| stream::iter(read(&push, &keys)).map(Ok));
    let lost = Error::unavailable("invalidations", "the connection was closed");
    told.chain(stream::iter([Err(lost)]))
}

/// The sessions that a push names. The server pushes nothing in place of keys when all are deleted.
fn read(push: &PushInfo, keys: &Keys) -> Vec<Invalidation> {
    if push.kind != PushKind::Invalidate {
        return Vec::new();
    }
    let Some(Value::Array(names)) = push.data.first() else {
        return vec![Invalidation::All];
    };
    let id = |name: &Value| match name {
        Value::BulkString(key) => keys.session_in(key),
        _ => None,
    };
    names
        .iter()
        .filter_map(id)
        .map(Invalidation::Session)
        .collect()
}

/// Pings until an answer takes too long. An answer is awaited for half of `silence`, the pause
/// before the ping is the other half.
async fn silence_of(
    mut connection: MultiplexedConnection,
    call: Call<RedisClient>,
    silence: Duration,
) -> Error {
    let half = silence / 2;
    let ping = redis::cmd("PING");
    loop {
        tokio::time::sleep(half).await;
        let answer = ping.query_async::<Value>(&mut connection);
        match tokio::time::timeout(half, answer).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return from_redis(call.place(), call.name(), error),
            Err(_) => return Error::no_answer(call.name(), call.place(), half),
        }
    }
}

/// The stream until its first error, and that.
fn until_error(
    stream: impl Stream<Item = Result<Invalidation>> + Send,
) -> impl Stream<Item = Result<Invalidation>> + Send {
    stream.scan(false, |has_failed, item| {
        let item = (!*has_failed).then_some(item);
        *has_failed = matches!(item, None | Some(Err(_)));
        ready(item)
    })
}

#[cfg(test)]
mod tests {
    use session_core::SessionId;

    use super::*;

    fn push(kind: PushKind, data: Value) -> PushInfo {
        let data = vec![data];
        PushInfo { kind, data }
    }

    #[test]
    fn pushes_name_sessions_or_all_of_them() {
        let keys = Keys::new("p {x} ");
        let ids = ["abc", "a b%-~*{ü}"].map(|id| SessionId::from_stored(id).expect("valid"));
        let key = |key: String| Value::BulkString(key.into_bytes());
        let names = ids.iter().map(|id| key(keys.session(id)));
        let foreign = [key("p {x} owner:abc".to_owned()), Value::Int(1)];
        let names = Value::Array(names.chain(foreign).collect());
        let told = read(&push(PushKind::Invalidate, names.clone()), &keys);
        assert_eq!(told, ids.map(Invalidation::Session));
        let all = read(&push(PushKind::Invalidate, Value::Nil), &keys);
        assert_eq!(all, [Invalidation::All]);
        assert_eq!(read(&push(PushKind::Message, names), &keys), []);
    }
}
