//! Rights that are taken away from a store that works: what scripts have written stays when they
//! fail, and must never be half a session.

use integration_tests::servers::{self, Kind, Private};
use session_core::{Draft, Error, Lifetime, Saved, SessionId, SessionStore, Timeout, TokenChange};
use session_redis::express::{Express, ExpressStore};
use session_redis::{ErrorKind, RedisStore};

use super::{SECOND, ask, id, owner};

/// What docs/operations.md lists.
const NATIVE: &str = "setrange evalsha get mget time unlink scan zscan zrem \
    del getrange persist pexpireat set strlen zadd zcount zrange zremrangebyrank pttl getdel \
    zremrangebyscore";
const EXPRESS: &str = "evalsha get pttl set unlink scan exists expire persist del";

/// Below and above the size from which a save writes over the stored value.
const SIZES: [usize; 2] = [10, 5_000];

fn filled(size: usize, with: u8, owned: bool) -> Draft {
    let draft = Draft::new(vec![with; size], Lifetime::idle(3_600 * SECOND));
    draft.with_owner(owned.then(|| owner("ann")))
}

async fn acl(server: &Private, rule: &str) {
    ask(&server.url, &["ACL", "SETUSER", "default", rule]).await;
}

/// Whether it was done; if not, the missing right is why.
fn is_done<T>(what: &str, right: &str, outcome: Result<T, Error>) -> bool {
    if let Err(error) = &outcome {
        // Without scripts, a write whose index is refused may be done, and the error says so.
        let is_half = error.kind() == ErrorKind::Refused
            && error.is_doubtful()
            && error.to_string().contains("refuses a right");
        assert!(
            is_half || error.kind() == ErrorKind::Misconfigured,
            "{what}, -{right}: {error:?}"
        );
    }
    outcome.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_right_that_is_taken_away_costs_no_session() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for server in [Private::start(Kind::Redis, &[]), Private::valkey(&[])] {
        let store = RedisStore::connect(&server.url).await.expect("up");
        for right in NATIVE.split_whitespace() {
            for (size, owned) in SIZES
                .into_iter()
                .flat_map(|size| [(size, false), (size, true)])
            {
                let id = id();
                let first = filled(size, b'1', owned);
                assert!(store.create(&id, &first).await.expect("up").is_done());

                acl(&server, &format!("-{right}")).await;
                let second = filled(size, b'2', owned);
                let saved = store.save(&id, &second, &first.stamp.into()).await;
                let is_saved = is_done("save", right, saved);
                let longer = Timeout::After(7_200 * SECOND);
                let touched = is_done("touch", right, store.touch(&id, longer).await);
                let forever = is_done("touch", right, store.touch(&id, Timeout::Never).await);
                let made = id_and(&store, right, size, owned).await;
                acl(&server, &format!("+{right}")).await;

                let record = store.load(&id).await;
                let record = record.unwrap_or_else(|error| panic!("-{right}, {size}: {error:?}"));
                let record = record.unwrap_or_else(|| panic!("-{right}, {size}: it is gone"));
                let byte = record.data.first().copied();
                assert_eq!(record.data.len(), size, "-{right}");
                // With an owner a save goes in one pipeline with the index, and may be done though
                // that is refused.
                let is_second = record.version.stamp() == second.stamp;
                assert!(
                    is_second || !is_saved,
                    "-{right}, {size}: {touched} {forever}"
                );
                assert!(owned || is_second == is_saved, "-{right}, {size}");
                assert_eq!(byte, Some(if is_second { b'2' } else { b'1' }));
                let key = format!("session:{{{}}}", id.as_str());
                let left = super::number(&server.url, &["PTTL", &key]).await;
                assert_eq!(left == -1, record.ttl.left().is_none(), "-{right}: {left}");

                acl(&server, &format!("-{right}")).await;
                let ended = is_done("destroy", right, store.destroy(&id, None).await);
                acl(&server, &format!("+{right}")).await;
                assert_eq!(
                    store.load(&id).await.expect("up").is_none(),
                    ended,
                    "-{right}"
                );
                if let Some(id) = made {
                    assert!(store.load(&id).await.expect("up").is_some(), "-{right}");
                }
            }
        }
    }
}

/// Creates a session, if the missing right lets it.
async fn id_and(store: &RedisStore, right: &str, size: usize, owned: bool) -> Option<SessionId> {
    let id = id();
    let created = store.create(&id, &filled(size, b'3', owned)).await;
    is_done("create", right, created).then_some(id)
}

#[tokio::test(flavor = "multi_thread")]
async fn any_right_that_is_taken_away_costs_no_express_session() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let json = |n: u32| Draft::new(format!("{{\"n\":{n}}}"), Lifetime::idle(3_600 * SECOND));
    for (server, more) in [
        (Private::start(Kind::Redis, &[]), ""),
        (Private::valkey(&[]), " delifeq"),
    ] {
        let store = ExpressStore::builder(Express::new("keyboard cat"));
        let store = store.connect(&server.url).await.expect("up");
        for right in format!("{EXPRESS}{more}").split_whitespace() {
            let id = SessionId::plain(&id().as_str().repeat(2)).expect("valid");
            let created = store.create(&id, &json(1)).await.expect("up");
            let Saved::Done(version) = created else {
                panic!("{created:?}");
            };
            acl(&server, &format!("-{right}")).await;
            let mut moved = json(2);
            moved.token = TokenChange::New;
            let saved = store.save(&id, &moved, &version).await;
            let ended = store.destroy(&id, Some(&version)).await;
            acl(&server, &format!("+{right}")).await;
            let there = match saved {
                Ok(Saved::Done(version)) => {
                    let to = version.moved_to().cloned().expect("a new id");
                    store.load(&to).await.expect("up").is_some()
                }
                saved => {
                    let is_saved = is_done("save", right, saved);
                    is_done("destroy", right, ended.as_ref().map_err(Clone::clone));
                    let is_ended = matches!(ended, Ok(Some(_)));
                    let there = store.load(&id).await.expect("up").is_some();
                    there || is_saved || is_ended
                }
            };
            assert!(there, "-{right}: the session is gone");
        }
    }
}
