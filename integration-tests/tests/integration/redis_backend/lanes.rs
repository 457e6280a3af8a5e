//! The lane without scripts.

mod both;
mod indexes;

use std::sync::Arc;

use session_core::Session;
use session_redis::redis::aio::ConnectionManager;

use super::proxy::Proxy;
use super::*;
use crate::redis::user_without_scripts;

/// A Valkey server, and a store whose user may not run scripts.
struct Stage {
    server: Private,
    store: RedisStore,
}

impl Stage {
    /// `None` if it is to be skipped.
    async fn new() -> Option<Self> {
        servers::valkey()?;
        let server = Private::valkey(&[]);
        let url = user_without_scripts(&server.url);
        let store = RedisStore::connect(&url).await.expect("set up");
        Some(Self { server, store })
    }

    /// A store of the same server that uses scripts: the connection is not its own.
    async fn with_scripts(&self) -> RedisStore {
        let client = redis::Client::open(&*self.server.url).expect("a good URL");
        let manager = ConnectionManager::new(client).await.expect("it is up");
        let builder = RedisStore::builder();
        builder.build(manager).await.expect("set up")
    }

    async fn created(&self, draft: &Draft) -> (SessionId, Version) {
        let id = id();
        let created = self.store.create(&id, draft).await.expect("up");
        (id, version(created))
    }

    async fn version(&self, id: &SessionId) -> Version {
        let record = self.store.load(id).await.expect("up").expect("there");
        record.version
    }

    async fn number(&self, words: &[&str]) -> i64 {
        number(&self.server.url, words).await
    }

    async fn value(&self, id: &SessionId) -> Vec<u8> {
        let value = ask(&self.server.url, &["GET", &key(id)]).await;
        redis::from_redis_value(value).expect("bytes")
    }

    async fn time(&self) -> u64 {
        let time = ask(&self.server.url, &["TIME"]).await;
        let (seconds, micros): (u64, u64) = redis::from_redis_value(time).expect("a time");
        seconds * 1_000 + micros / 1_000
    }

    /// How often this command was executed.
    async fn calls(&self, command: &str) -> i64 {
        let info = ask(&self.server.url, &["INFO", "commandstats"]).await;
        let info: String = redis::from_redis_value(info).expect("text");
        let start = format!("cmdstat_{command}:calls=");
        let line = info.lines().find_map(|line| line.strip_prefix(&start));
        let calls = line.and_then(|rest| rest.split(',').next()?.parse().ok());
        calls.unwrap_or(0)
    }
}

fn version(saved: Saved) -> Version {
    match saved {
        Saved::Done(version) => version,
        other => panic!("{other:?}"),
    }
}

fn key(id: &SessionId) -> String {
    format!("session:{{{}}}", id.as_str())
}

fn deadline(value: &[u8]) -> u64 {
    u64::from_be_bytes(value[9..17].try_into().expect("eight bytes"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_is_one_command_and_its_answer_knows_the_bytes_for_the_next() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let (id, mut expected) = stage.created(&draft()).await;
    let (gets, sets) = (stage.calls("get").await, stage.calls("set").await);
    for _ in 0..20 {
        let saved = stage.store.save(&id, &draft(), &expected).await;
        expected = version(saved.expect("up"));
        assert_eq!(*expected.stored(), stage.value(&id).await);
    }
    assert_eq!(stage.calls("set").await - sets, 20);
    assert_eq!(stage.calls("get").await - gets, 20, "those of this test");
    assert_eq!(stage.calls("evalsha").await + stage.calls("eval").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_of_which_only_the_stamp_is_known_is_read_first() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let (first, next) = (draft(), draft());
    let (id, _) = stage.created(&first).await;
    let other = Stamp::generate().into();
    let saved = stage.store.save(&id, &next, &other).await.expect("up");
    assert_eq!(saved, Saved::Conflict);
    let stamp = first.stamp.into();
    let saved = stage.store.save(&id, &next, &stamp).await.expect("up");
    assert_eq!(saved, Saved::done(&next));
    let saved = stage.store.save(&id, &next, &stamp).await.expect("up");
    assert_eq!(saved, Saved::done(&next), "the same write again");
    let saved = stage.store.save(&id, &draft(), &stamp).await.expect("up");
    assert_eq!(saved, Saved::Conflict);
    let ended = stage.store.destroy(&id, Some(&stamp)).await.expect("up");
    assert_eq!(ended, None, "another version");
    let stamp = next.stamp.into();
    let ended = stage.store.destroy(&id, Some(&stamp)).await.expect("up");
    assert_eq!(ended.map(|ended| ended.id), Some(id.clone()));
    let saved = stage.store.save(&id, &draft(), &stamp).await.expect("up");
    assert_eq!(saved, Saved::Gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touch_in_between_is_no_conflict() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let first = Draft::new("{}", Lifetime::new(60 * SECOND, Timeout::Never));
    let (id, loaded) = stage.created(&first).await;
    let longer = Timeout::After(600 * SECOND);
    for toucher in [&stage.store, &stage.with_scripts().await] {
        let before = stage.value(&id).await;
        let touched = toucher.touch(&id, longer).await.expect("up");
        assert!(touched > Some(Ttl::Left(599 * SECOND)), "{touched:?}");
        assert_ne!(stage.value(&id).await, before);
        tokio::time::sleep(5 * MILLI).await;
    }
    let left = stage.number(&["PTTL", &key(&id)]).await;
    assert!((599_000..600_000).contains(&left), "{left}");
    let born = stage.value(&id).await[1..9].to_vec();
    let next = draft();
    let saved = stage.store.save(&id, &next, &loaded).await.expect("up");
    assert_eq!(saved, Saved::done(&next));
    assert_eq!(stage.value(&id).await[1..9], born);

    let loaded = stage.version(&id).await;
    stage
        .store
        .touch(&id, Timeout::After(7_200 * SECOND))
        .await
        .expect("up");
    let ended = stage.store.destroy(&id, Some(&loaded)).await.expect("up");
    assert_eq!(ended.map(|ended| ended.id), Some(id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_key_lost_its_expiry_ends_at_its_deadline() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let brief = Draft::new("{}", Lifetime::idle(300 * MILLI)).with_owner(owner("ann"));
    let (id, expected) = stage.created(&brief).await;
    assert_eq!(stage.number(&["PERSIST", &key(&id)]).await, 1);
    tokio::time::sleep(320 * MILLI).await;
    let store = &stage.store;
    assert_eq!(store.load(&id).await.expect("up"), None);
    let saved = store.save(&id, &draft(), &expected).await.expect("up");
    assert_eq!(saved, Saved::Gone);
    let touched = store.touch(&id, Timeout::Never).await.expect("up");
    assert_eq!(touched, None);
    let ended = store.destroy(&id, Some(&expected)).await.expect("up");
    assert_eq!(ended, None);
    assert_eq!(owned(store, &owner("ann"), 10).await, []);
    assert_eq!(end_all(store, &owner("ann"), None).await, []);
    assert_eq!(store.list(None, 10).await.expect("up").sessions.len(), 0);
    assert_eq!(
        stage.number(&["EXISTS", &key(&id)]).await,
        1,
        "nothing has ended it"
    );
    assert_eq!(store.destroy(&id, None).await.expect("up"), None);
    assert_eq!(stage.number(&["EXISTS", &key(&id)]).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_see_that_a_session_whose_key_lost_its_expiry_has_ended() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let scripts = stage.with_scripts().await;
    let brief = Draft::new("{}", Lifetime::idle(300 * MILLI));
    let (saved, expected) = stage.created(&brief).await;
    let (touched, _) = stage.created(&brief).await;
    let (created, _) = stage.created(&brief).await;
    for id in [&saved, &touched, &created] {
        assert_eq!(stage.number(&["PERSIST", &key(id)]).await, 1);
    }
    tokio::time::sleep(320 * MILLI).await;
    let outcome = scripts.save(&saved, &draft(), &expected).await.expect("up");
    assert_eq!(outcome, Saved::Gone);
    let outcome = scripts.touch(&touched, Timeout::Never).await.expect("up");
    assert_eq!(outcome, None);
    for id in [&saved, &touched] {
        assert_eq!(stage.number(&["EXISTS", &key(id)]).await, 0, "it goes");
    }
    version(scripts.create(&created, &draft()).await.expect("up"));
    assert!(stage.store.load(&created).await.expect("up").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_another_type_or_of_another_program_is_corrupt() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let store = &stage.store;
    for other in [&["SADD", "of another"][..], &["SET", "what is this?"]] {
        let ann = owner("ann");
        let (id, expected) = stage.created(&draft().with_owner(ann.clone())).await;
        let key = key(&id);
        let put = async || {
            ask(&stage.server.url, &["DEL", &key]).await;
            ask(&stage.server.url, &[other[0], &key, other[1]]).await;
        };
        put().await;
        for expected in [expected.clone(), Version::new(expected.stamp())] {
            let error = store
                .save(&id, &draft(), &expected)
                .await
                .expect_err("corrupt");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
            let ended = store.destroy(&id, Some(&expected)).await.expect("up");
            assert_eq!(ended, None, "it is no version of it");
        }
        let error = store.touch(&id, Timeout::Never).await.expect_err("corrupt");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        let created = store.create(&id, &draft()).await.expect("up");
        assert_eq!(created, Saved::Conflict, "nothing is overwritten");
        assert_eq!(owned(store, &ann, 10).await, []);
        assert_eq!(store.list(None, 10).await.expect("up").sessions.len(), 0);
        let unknown = Ended::unknown(id.clone());
        assert_eq!(
            store.destroy(&id, None).await.expect("up"),
            Some(unknown.clone())
        );
        assert_eq!(stage.number(&["EXISTS", &key]).await, 0);
        put().await;
        let ended = store.destroy_owned_by(&ann, None, 10).await.expect("up");
        assert_eq!(ended, [unknown], "it is in her index");
        assert_eq!(stage.number(&["EXISTS", &key]).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_never_later_than_the_limit_after_the_write() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let (id, mut expected) = stage.created(&draft()).await;
    for n in 0..200 {
        let next = Draft::new("{}", Lifetime::idle(60 * SECOND));
        let before = stage.time().await;
        let saved = stage.store.save(&id, &next, &expected).await;
        expected = version(saved.expect("up"));
        let after = stage.time().await;
        let at = deadline(expected.stored());
        assert!(at <= after + 60_000, "{n}: {at} after {after}");
        // Early by at most what a fresh reading of the clock is uncertain.
        assert!(at + 40 >= before + 60_000, "{n}: {at} long before {before}");
        tokio::time::sleep(10 * MILLI).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_outlives_the_absolute_limit() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let draft = || Draft::new("{}", Lifetime::new(SECOND, 8 * SECOND));
    let (id, mut expected) = stage.created(&draft()).await;
    let born = stage.value(&id).await[1..9]
        .try_into()
        .expect("eight bytes");
    let limit = i64::from_be_bytes(born) + 8_000;
    let expires = async || stage.number(&["PEXPIRETIME", &key(&id)]).await;
    let mut last = 0;
    while last < limit - 1 {
        let saved = stage.store.save(&id, &draft(), &expected).await;
        expected = version(saved.expect("up"));
        last = expires().await;
        assert!(last < limit, "{last}: {limit}");
        stage
            .store
            .touch(&id, Timeout::After(3 * SECOND))
            .await
            .expect("up");
        let touched = expires().await;
        assert!(touched < limit && touched >= last, "{touched}: {limit}");
        last = touched;
        tokio::time::sleep(200 * MILLI).await;
    }
    tokio::time::sleep(3_100 * MILLI).await;
    assert_eq!(stage.store.load(&id).await.expect("up"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_the_commands_takes_over_and_gives_back() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let older = Private::start(Kind::Redis, &[]);
    let proxy = Proxy::start(stage.server.port).await;
    let store = proxy.store().await;
    let (id, first) = (id(), draft());
    let mut expected = version(store.create(&id, &first).await.expect("up"));
    for round in 0..4 {
        let (from, to) = match round % 2 {
            0 => (&stage.server, &older),
            _ => (&older, &stage.server),
        };
        let value = ask(&from.url, &["GET", &key(&id)]).await;
        let value: Vec<u8> = redis::from_redis_value(value).expect("bytes");
        let client = redis::Client::open(&*to.url).expect("a good URL");
        let mut connection = client.get_connection().expect("it is up");
        let copied = redis::cmd("SET")
            .arg(key(&id))
            .arg(value)
            .exec(&mut connection);
        copied.expect("copied");
        proxy.lead_to(to.port);
        ask(
            &from.url,
            &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"],
        )
        .await;
        let next = Draft::new(format!("{round}"), Lifetime::default());
        let saved = store.save(&id, &next, &expected).await.expect("repeated");
        expected = version(saved);
        let record = store.load(&id).await.expect("up").expect("there");
        assert_eq!((record.data, record.version), (next.data, expected.clone()));
        let touched = store.touch(&id, Timeout::After(9_000 * SECOND)).await;
        assert!(touched.expect("up").is_some());
    }
    assert!(store.destroy(&id, None).await.expect("up").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_was_lost_is_recognised() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let proxy = Arc::new(Proxy::start(stage.server.port).await);
    let url = format!("redis://noscript:secret@{}/", proxy.address());
    let store = RedisStore::connect(&url).await.expect("set up");
    let lose = |command| {
        proxy.lose(command);
        let proxy = Arc::clone(&proxy);
        tokio::spawn(async move {
            proxy.lost().await;
            proxy.open();
        })
    };
    let (id, first) = (id(), draft());
    let lost = lose("NX");
    let created = store.create(&id, &first).await.expect("repeated");
    lost.await.expect("lost");
    let lost = lose("IFEQ");
    let next = draft();
    let expected = version(created);
    let saved = store.save(&id, &next, &expected).await.expect("repeated");
    lost.await.expect("lost");
    let next = version(saved);
    assert_eq!(
        *next.stored(),
        stage.value(&id).await,
        "what was stored at first"
    );
    let lost = lose("IFEQ");
    let saved = store
        .save(&id, &draft(), &expected)
        .await
        .expect("repeated");
    lost.await.expect("lost");
    assert_eq!(
        saved,
        Saved::Unknown,
        "the first attempt may have been replaced"
    );
    let lost = lose("GETDEL");
    let ended = store.destroy(&id, None).await.expect("repeated");
    lost.await.expect("lost");
    assert_eq!(ended, Some(Ended::unknown(id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ended_without_scripts_is_announced() {
    use futures_util::StreamExt;
    use session_core::Notice;
    let Some(stage) = Stage::new().await else {
        return;
    };
    let (id, first) = stage.created(&draft()).await;
    let (other, _) = stage.created(&draft()).await;
    let listener = RedisStore::connect(&stage.server.url)
        .await
        .expect("set up");
    let mut notices = listener.notices().expect("it listens");
    assert!(matches!(notices.next().await, Some(Ok(Notice::Missed))));
    stage
        .store
        .destroy(&id, Some(&Stamp::generate().into()))
        .await
        .expect("up");
    stage.store.destroy(&other, None).await.expect("up");
    stage.store.destroy(&id, Some(&first)).await.expect("up");
    for expected in [other, id] {
        let notice = tokio::time::timeout(10 * SECOND, notices.next()).await;
        match notice.expect("announced") {
            Some(Ok(Notice::Ended(ended))) => assert_eq!(ended, expected),
            other => panic!("{other:?}"),
        }
    }
}
