//! Answers that are lost with their connection.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use integration_tests::servers::{self, Kind};
use session_core::{
    Draft, EndReason, Ended, Event, Lifetime, Observer, Owner, Saved, SessionDirectory, SessionId,
    SessionStore, SessionToken, Sessions, Timeout, Ttl, Version,
};
use session_mongo::MongoStore;
use session_mongo::mongodb::bson::{Document, doc};

use super::proxy::Proxy;
use super::{HOUR, drop_collection, must_create, name, store};

/// What a test has: a store with a bad way to the server, and one with a good way.
struct Lossy {
    proxy: Proxy,
    far: MongoStore,
    near: MongoStore,
    name: String,
}

impl Lossy {
    async fn start(retry_writes: bool) -> Self {
        let (proxy, name) = (Proxy::start().await, name());
        let far = proxy.store(&name, retry_writes).await;
        let near = store(&name).await;
        Self {
            proxy,
            far,
            near,
            name,
        }
    }

    /// A session of `ann`.
    async fn session(&self) -> (SessionId, Version) {
        let (id, draft) = (id(), draft("first"));
        must_create(&self.near, &id, &draft).await;
        (id, draft.stamp.into())
    }

    /// Has another writer replace the session, whatever its version.
    async fn replace(&self, id: &SessionId) -> Version {
        let version = self.near.load(id).await.expect("up").expect("there");
        let draft = draft("of another");
        let saved = self.near.save(id, &draft, &version.version).await;
        assert_eq!(saved.expect("up"), Saved::done(&draft));
        draft.stamp.into()
    }

    async fn end(self) {
        assert!(self.proxy.is_done(), "an answer was lost");
        drop_collection(&self.name).await;
    }
}

fn id() -> SessionId {
    SessionToken::generate().id()
}

fn ann() -> Owner {
    Owner::new("ann").expect("valid")
}

fn draft(data: &'static str) -> Draft {
    Draft::new(data, Lifetime::idle(HOUR)).with_owner(ann())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_that_the_driver_repeats_says_what_it_ended() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let lossy = Lossy::start(true).await;
    for by_version in [false, true] {
        let (id, version) = lossy.session().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        lossy.proxy.lose("findAndModify", &id);
        let ended = lossy.far.destroy(&id, by_version.then_some(&version)).await;
        let ended = ended.expect("repeated").expect("it was there");
        assert_eq!((&ended.id, &ended.owner), (&id, &Some(ann())));
        let age = ended.age.expect("known");
        assert!((20..10_000).contains(&age.as_millis()), "{age:?}");
        assert_eq!(lossy.near.load(&id).await.expect("up"), None);
    }
    lossy.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_that_is_repeated_here_never_says_that_there_was_nothing() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let lossy = Lossy::start(false).await;
    for by_version in [false, true] {
        let (id, version) = lossy.session().await;
        lossy.proxy.lose("findAndModify", &id);
        let ended = lossy.far.destroy(&id, by_version.then_some(&version)).await;
        assert_eq!(ended.expect("repeated"), Some(Ended::unknown(id.clone())));
        assert_eq!(lossy.near.load(&id).await.expect("up"), None);
    }
    lossy.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_of_another_version_that_is_repeated_does_not_claim_an_end() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let lossy = Lossy::start(false).await;
    let (id, version) = lossy.session().await;
    lossy.replace(&id).await;
    lossy.proxy.lose("findAndModify", &id);
    let ended = lossy.far.destroy(&id, Some(&version)).await;
    assert_eq!(ended.expect("repeated"), None);
    assert!(lossy.near.load(&id).await.expect("up").is_some());
    lossy.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touch_that_is_repeated_says_what_is_left() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    for retry_writes in [true, false] {
        let lossy = Lossy::start(retry_writes).await;
        let (id, _) = lossy.session().await;
        lossy.proxy.lose("findAndModify", &id);
        let left = lossy.far.touch(&id, Timeout::After(2 * HOUR)).await;
        let left = left.expect("repeated").expect("it is there");
        assert!(left > Ttl::Left(HOUR * 3 / 2), "{left}");
        lossy.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_is_repeated_finds_its_own_stamp() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let lossy = Lossy::start(true).await;
    let (id, version) = lossy.session().await;
    lossy.proxy.lose("update", &id);
    let second = draft("second");
    let saved = lossy.far.save(&id, &second, &version).await;
    assert_eq!(saved.expect("repeated"), Saved::done(&second));
    lossy.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_was_replaced_before_it_is_repeated_is_unknown() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let lossy = Lossy::start(true).await;
    let (id, version) = lossy.session().await;
    let mut held = lossy.proxy.lose_late("update", &id);
    let second = draft("second");
    let save = lossy.far.save(&id, &second, &version);
    let (saved, ()) = tokio::join!(save, async {
        held.reached().await;
        lossy.replace(&id).await;
        drop(held);
    });
    assert_eq!(saved.expect("repeated"), Saved::Unknown);
    lossy.end().await;
}

/// Among many, so that they are sent in a batch.
#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_was_replaced_before_it_is_repeated_is_unknown() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    for count in [1, 40] {
        let lossy = Lossy::start(false).await;
        let items: Vec<_> = (0..count).map(|_| (id(), draft("first"))).collect();
        let replaced = &items[count / 2].0;
        let mut held = lossy.proxy.lose_late("update", replaced);
        let creates = items.iter().map(|(id, draft)| lossy.far.create(id, draft));
        let (created, ()) = tokio::join!(join_all(creates), async {
            held.reached().await;
            lossy.replace(replaced).await;
            drop(held);
        });
        for ((id, draft), created) in items.iter().zip(created) {
            let expected = match id == replaced {
                true => Saved::Unknown,
                false => Saved::done(draft),
            };
            assert_eq!(created.expect("repeated"), expected);
        }
        lossy.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_the_driver_repeats_is_done_whatever_came_after_it() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let lossy = Lossy::start(true).await;
    let (id, first) = (id(), draft("first"));
    let mut held = lossy.proxy.lose_late("update", &id);
    let (created, ()) = tokio::join!(lossy.far.create(&id, &first), async {
        held.reached().await;
        lossy.replace(&id).await;
        drop(held);
    });
    assert_eq!(created.expect("repeated"), Saved::done(&first));
    lossy.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owners_session_whose_end_the_driver_repeats_is_told() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    let lossy = Lossy::start(true).await;
    let (id, _) = lossy.session().await;
    lossy.proxy.lose("delete", &id);
    let ended = lossy.far.destroy_owned_by(&ann(), None, 10).await;
    let ended = ended.expect("repeated");
    assert_eq!(ended.len(), 1);
    assert_eq!((&ended[0].id, &ended[0].owner), (&id, &Some(ann())));
    lossy.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_is_told_whichever_answer_of_a_reap_is_lost() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    for retry_writes in [true, false] {
        for command in ["update", "find", "delete"] {
            let lossy = Lossy::start(retry_writes).await;
            let (id, brief) = (id(), Draft::new("{}", Lifetime::idle(HOUR / 3_600_000)));
            must_create(&lossy.near, &id, &brief.with_owner(ann())).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            lossy.proxy.lose(command, &id);
            let reaped = lossy.far.reap(10).await.expect("repeated");
            assert_eq!(reaped.len(), 1, "{command}");
            assert_eq!((&reaped[0].id, &reaped[0].owner), (&id, &Some(ann())));
            lossy.far.confirm_reaped(&reaped).await.expect("repeated");
            let documents = super::database().await.collection::<Document>(&lossy.name);
            assert_eq!(documents.count_documents(doc! {}).await.expect("up"), 0);
            lossy.end().await;
        }
    }
}

/// The owner and the age that observers were told of an end.
type ToldEnd = (Option<Owner>, Option<Duration>);

/// Remembers the ends that it is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<ToldEnd>>>);

impl Observer for Told {
    fn destroyed(&self, event: Event<'_>, _: EndReason) {
        let mut told = self.0.lock().expect("whole");
        told.push((event.owner.cloned(), event.age));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_whose_answers_are_lost_are_told_once_with_owner_and_age() {
    if servers::is_skipped(Kind::Mongo) {
        return;
    }
    for (command, retry_writes) in [
        ("findAndModify", false),
        ("delete", false),
        ("delete", true),
    ] {
        let (lossy, told) = (Lossy::start(retry_writes).await, Told::default());
        let sessions = Sessions::builder(lossy.far.clone()).observer(told.clone());
        let sessions = sessions.build().expect("good rules");
        let session = sessions.start();
        session.sign_in(ann()).await.expect("up");
        tokio::time::sleep(Duration::from_millis(5)).await;
        lossy.proxy.lose(command, &session.id().expect("stored"));
        match command {
            "findAndModify" => session.destroy().await.expect("repeated"),
            // Without the driver's repeats a call fails, and is found out about later.
            _ => drop(sessions.destroy_owned_by(ann(), None).await),
        }
        for _ in 0..300 {
            if !told.0.lock().expect("whole").is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let told = told.0.lock().expect("whole").clone();
        assert_eq!(told.len(), 1, "{command}: {told:?}");
        assert_eq!(told[0].0, Some(ann()), "{command}");
        assert!(told[0].1 >= Some(Duration::from_millis(5)), "{command}");
        lossy.end().await;
    }
}
