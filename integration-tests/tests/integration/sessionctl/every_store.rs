//! The commands on every kind of store.

use std::time::{Duration, Instant};

use serde_json::Value;
use session_core::{Description, Draft, Lifetime, Session, SessionToken, Timeout};

use super::{Place, copy, must_copy};

const HOUR: Duration = Duration::from_secs(3_600);

fn ids(listed: &[Value]) -> Vec<String> {
    let listed = listed.iter().filter_map(|line| line["id"].as_str());
    let mut ids: Vec<_> = listed.map(str::to_owned).collect();
    ids.sort();
    ids
}

async fn signed_in(sessions: &session_core::Sessions, owner: &str) -> Session {
    let session = sessions.start();
    session.insert("cart", ["a book"]).expect("it fits");
    let laptop = Description::new()
        .with_label("laptop")
        .with_browser("Firefox");
    session.sign_in(owner).await.expect("signed in");
    session.describe(laptop).expect("it fits");
    session.save().await.expect("saved");
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_looks_into_a_store_makes_no_tables() {
    for place in Place::all() {
        let makes_tables = ["SQLite", "MySQL", "PostgreSQL"].contains(&place.name);
        for arguments in [&["count"][..], &["list"], &["reap"], &["clear", "--yes"]] {
            let ran = place.run(arguments);
            assert_eq!(ran.code != Some(0), makes_tables, "{}: {ran:?}", place.name);
        }
        place.must(&["migrate"]);
        assert_eq!(place.count(), 0, "{}", place.name);
        // And once more.
        place.must(&["migrate"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_shown_and_ended() {
    for place in Place::all() {
        let name = place.name;
        let sessions = place.sessions().await;
        let mut anns = Vec::new();
        for _ in 0..3 {
            anns.push(signed_in(&sessions, "ann").await);
        }
        let bobs = signed_in(&sessions, "bob").await;
        let id = |session: &Session| session.id().expect("saved").as_str().to_owned();
        assert_eq!(place.count(), 4, "{name}");

        let listed = place.must(&["list"]);
        assert_eq!(ids(&listed).len(), 4, "{name}: {listed:?}");
        let line = listed.iter().find(|line| line["id"] == id(&bobs));
        let line = line.expect("listed");
        assert_eq!(line["owner"], "bob", "{name}");
        assert_eq!(line["device"]["browser"], "Firefox", "{name}");
        assert_eq!(line["idle_limit"], 1_800.0, "{name}");
        assert!(line["left"].as_f64().is_some_and(|left| left > 1_700.0));
        assert!(line["bytes"].as_u64().is_some_and(|bytes| bytes > 10));
        let of_ann = place.must(&["list", "--owner", "ann"]);
        let mut expected: Vec<_> = anns.iter().map(id).collect();
        expected.sort();
        assert_eq!(ids(&of_ann), expected, "{name}");
        for (filter, found) in [
            (["--older-than", "1h"], 0),
            (["--older-than", "0s"], 4),
            (["--idle-for", "1h"], 0),
            (["--expiring-within", "31m"], 4),
            (["--expiring-within", "1m"], 0),
        ] {
            let listed = place.must(&[&["list"], &filter[..]].concat());
            assert_eq!(ids(&listed).len(), found, "{name}: {filter:?}");
        }

        let shown = &place.must(&["show", &id(&bobs)])[0];
        assert_eq!(
            (&shown["owner"], &shown["data"]),
            (&"bob".into(), &Value::Null)
        );
        let shown = &place.must(&["show", &id(&bobs), "--data"])[0];
        assert_eq!(shown["data"]["cart"][0], "a book", "{name}");

        place.must(&["destroy", &id(&bobs)]);
        assert!(!bobs.is_live().await.expect("asked"), "{name}");
        for command in ["destroy", "show"] {
            let again = place.run(&[command, &id(&bobs)]);
            assert_eq!(again.code, Some(3), "{name}: {again:?}");
        }
        let kept = id(&anns[1]);
        let ended = place.must(&["destroy", "--owner", "ann", "--except", &kept]);
        assert_eq!(ended[0]["destroyed"], 2, "{name}");
        assert_eq!(ids(&place.must(&["list"])), [kept], "{name}");
        let refused = place.run(&["clear"]);
        assert_eq!(refused.code, Some(2), "{name}: {refused:?}");
        assert_eq!(place.must(&["clear", "--yes"])[0]["destroyed"], 1, "{name}");
        assert_eq!(place.count(), 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_on_at_its_cursor() {
    for place in Place::all() {
        let store = place.store().await;
        let mut expected = Vec::new();
        for _ in 0..40 {
            let id = SessionToken::generate().id();
            let draft = Draft::new("{}", Lifetime::idle(HOUR));
            assert!(store.create(&id, &draft).await.expect("created").is_done());
            expected.push(id.as_str().to_owned());
        }
        expected.sort();
        let (mut found, mut lists, mut cursor) = (Vec::new(), 0, None::<String>);
        loop {
            let mut arguments = vec!["list", "--limit", "15"];
            if let Some(cursor) = &cursor {
                arguments.extend(["--cursor", cursor]);
            }
            let listed = place.must(&arguments);
            found.extend(ids(&listed));
            lists += 1;
            let next = listed.last().and_then(|line| line["cursor"].as_str());
            cursor = match next {
                Some(next) => Some(next.to_owned()),
                None => break,
            };
        }
        found.sort();
        // Redis may list a session twice.
        found.dedup();
        assert_eq!(found, expected, "{}", place.name);
        let is_stepwise = lists > 1 || ["Redis", "Valkey"].contains(&place.name);
        assert!(is_stepwise, "{}: in one list", place.name);
        assert_eq!(
            ids(&place.must(&["list", "--all"])).len(),
            40,
            "{}",
            place.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_sessions_are_reaped() {
    for place in Place::all() {
        let store = place.store().await;
        for n in 0..5 {
            let lifetime = match n {
                0 => Lifetime::idle(HOUR),
                _ => Lifetime::idle(Duration::from_millis(20)),
            };
            let id = SessionToken::generate().id();
            let created = store.create(&id, &Draft::new("{}", lifetime)).await;
            assert!(created.expect("created").is_done());
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
        let reaped = &place.must(&["reap", "--batch", "2"])[0];
        match store.capabilities().expiry_reports {
            true => assert_eq!(reaped["reaped"], 4, "{}", place.name),
            false => assert_eq!(reaped["reported"], false, "{}", place.name),
        }
        assert_eq!(place.must(&["reap"])[0]["reaped"], 0, "{}", place.name);
        assert_eq!(place.count(), 1, "{}", place.name);
    }
}

/// What a session must keep on its way through all stores.
struct Kept {
    session: Session,
    lifetime: Lifetime,
    signed_in: Instant,
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_go_through_all_stores_and_stay_the_same() {
    let mut places = Place::all();
    places.push(Place::sqlite());
    let first = places[0].sessions().await;
    let mut kept = Vec::new();
    for (n, lifetime) in [
        Lifetime::default(),
        Lifetime::idle(HOUR),
        Lifetime::fixed(HOUR),
        Lifetime::new(Timeout::Never, HOUR),
        Lifetime::new(Timeout::Never, Timeout::Never),
    ]
    .into_iter()
    .enumerate()
    {
        let session = signed_in(&first, &format!("user-{n}")).await;
        let signed_in = Instant::now();
        session.set_lifetime(lifetime).expect("allowed");
        session
            .insert("bytes", "ü\u{0}\n".repeat(n * 100))
            .expect("it fits");
        session.save().await.expect("saved");
        kept.push(Kept {
            session,
            lifetime,
            signed_in,
        });
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    for pair in places.windows(2) {
        let [from, to] = pair else {
            unreachable!("pairs")
        };
        let counted = must_copy(from, to, &["--verify"]);
        // Redis may list a session twice.
        let copied = counted["copied"].as_u64();
        assert!(copied >= Some(5), "{} to {}: {counted}", from.name, to.name);
        assert_eq!(to.count(), 5, "{} to {}", from.name, to.name);
        let verified = (&counted["verified"]["same"], &counted["verified"]["wrong"]);
        assert_eq!(
            verified,
            (&5.into(), &0.into()),
            "{} to {}",
            from.name,
            to.name
        );
        // Again: all are there.
        let counted = must_copy(from, to, &[]);
        assert_eq!(counted["unchanged"], 5, "{} to {}", from.name, to.name);
        let sessions = to.sessions().await;
        for Kept {
            session,
            lifetime,
            signed_in,
        } in &kept
        {
            let token = session.token().expect("saved");
            let copied = sessions
                .find(&token)
                .await
                .expect("found")
                .expect("the token opens it");
            assert_eq!(
                (copied.id(), copied.owner()),
                (session.id(), session.owner())
            );
            assert_eq!(copied.description(), session.description(), "{}", to.name);
            assert_eq!(copied.lifetime(), *lifetime, "{}", to.name);
            let value = |session: &Session| session.get::<String>("bytes").expect("text");
            assert_eq!(value(&copied), value(session), "{}", to.name);
            assert_eq!(copied.binding(), session.binding(), "{}", to.name);
            let (age, real) = (copied.age(), signed_in.elapsed());
            let limit = Duration::from_millis(500);
            assert!(
                age.abs_diff(real) < limit,
                "{}: {age:?}, not {real:?}",
                to.name
            );
            if let (Some(left), Some(absolute)) =
                (copied.expires_in().left(), lifetime.absolute.duration())
            {
                // The two are read one after the other.
                let most = absolute - age + Duration::from_millis(100);
                assert!(left <= most, "{}: {left:?} left, {age:?} old", to.name);
            }
        }
        assert_eq!(
            to.must(&["list", "--owner", "user-3"]).len(),
            1,
            "{}",
            to.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_signed_out_of_the_old_store_does_not_live_in_the_new_one() {
    let from = Place::sqlite();
    for to in Place::all() {
        let (old, new) = (from.sessions().await, to.sessions().await);
        let (leaves, stays) = (signed_in(&old, "ann").await, signed_in(&old, "bob").await);
        must_copy(&from, &to, &[]);
        let token = leaves.token().expect("saved");
        leaves.destroy().await.expect("signed out");
        let found = copy(&from, &to, &["--verify"]);
        assert_eq!(found.code, Some(4), "{}: {found:?}", to.name);
        let counted = must_copy(&from, &to, &["--delete", "--verify"]);
        assert_eq!(counted["deleted"], 1, "{}", to.name);
        assert!(
            new.find(&token).await.expect("asked").is_none(),
            "{}",
            to.name
        );
        let token = stays.token().expect("saved");
        assert!(
            new.find(&token).await.expect("asked").is_some(),
            "{}",
            to.name
        );
        from.must(&["clear", "--yes"]);
    }
}
