//! Which of two copies of a session is the newer one: a pure function of two records.

use std::time::Duration;

use session_store::Ttl;
use session_store::session_core::Record;

/// How much earlier a copy may end than its original before its deadline is moved. Reading both takes
/// time.
const NEAR: Duration = Duration::from_secs(1);

/// What TO has of a session of FROM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing.
    Nothing,
    /// The same version.
    Same {
        /// It ends earlier: the session was used in FROM since.
        ends_early: bool,
    },
    /// A version that the one in FROM has replaced.
    Older,
    /// A version that has replaced the one in FROM: TO is in use.
    Newer,
    /// Another version. Which is newer is not known: the session was written more than eight times
    /// since it was copied, or in both stores.
    Other,
}

impl There {
    pub(super) fn of(from: &Record, to: Option<&Record>) -> Self {
        let Some(to) = to else {
            return Self::Nothing;
        };
        let has_replaced = |new: &Record, old: &Record| {
            let credential = new.credential.as_ref();
            credential.is_some_and(|credential| credential.has_replaced(old.version.stamp()))
        };
        if from.version == to.version {
            let ends_early = ends_early(from.ttl, to.ttl);
            return Self::Same { ends_early };
        }
        match (has_replaced(from, to), has_replaced(to, from)) {
            (true, false) => Self::Older,
            (false, true) => Self::Newer,
            _ => Self::Other,
        }
    }
}

fn ends_early(from: Ttl, to: Ttl) -> bool {
    match (from, to) {
        (_, Ttl::Never) => false,
        (Ttl::Never, Ttl::Left(_)) => true,
        (Ttl::Left(from), Ttl::Left(to)) => from > to + NEAR,
    }
}

/// What two records of one version have that differs; empty for true copies.
pub(super) fn differences(from: &Record, to: &Record) -> Vec<&'static str> {
    let same = [
        ("data", from.data == to.data),
        ("credential", from.credential == to.credential),
        ("description", from.description == to.description),
        ("owner", from.owner == to.owner),
        ("limits", from.lifetime == to.lifetime),
        ("age", from.age.abs_diff(to.age) <= 2 * NEAR),
        (
            "deadline",
            !outlives(from, to) && !ends_early(from.ttl, to.ttl),
        ),
    ];
    let differing = same.into_iter().filter(|(_, is_same)| !is_same);
    differing.map(|(what, _)| what).collect()
}

/// Whether a copy lives longer than its original.
fn outlives(from: &Record, to: &Record) -> bool {
    match (from.ttl, to.ttl) {
        (Ttl::Never, _) => false,
        (Ttl::Left(_), Ttl::Never) => true,
        (Ttl::Left(from), Ttl::Left(to)) => to > from + 2 * NEAR,
    }
}

#[cfg(test)]
mod tests {
    use session_store::session_core::Stamp;
    use session_store::{Lifetime, Sessions};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn record(stamp: Stamp, left: impl Into<Ttl>) -> Record {
        let lifetime = Lifetime::new(10 * MINUTE, 60 * MINUTE);
        Record::new("{}", stamp, lifetime, left.into(), MINUTE)
    }

    #[test]
    fn one_version_is_the_same_and_may_end_early() {
        let stamp = Stamp::generate();
        let left = |minutes: u32| record(stamp, Ttl::Left(minutes * MINUTE));
        let there = |from: &Record, to: &Record| There::of(from, Some(to));
        let same = |ends_early| There::Same { ends_early };
        assert_eq!(there(&left(5), &left(5)), same(false));
        assert_eq!(there(&left(6), &left(5)), same(true));
        assert_eq!(there(&left(5), &left(6)), same(false));
        assert_eq!(there(&record(stamp, Ttl::Never), &left(5)), same(true));
        assert_eq!(There::of(&left(5), None), There::Nothing);
        assert_eq!(differences(&left(5), &left(6)), ["deadline"]);
        assert_eq!(differences(&left(5), &left(5)), [""; 0]);
    }

    /// The manager writes the trails.
    #[tokio::test]
    async fn the_trail_tells_which_is_newer() {
        let store = session_store::connect("memory:").await.expect("no server");
        let sessions = Sessions::new(store.clone());
        let session = sessions.start();
        session.insert("step", 0).expect("it fits");
        session.save().await.expect("saved");
        let id = session.id().expect("saved");
        let load = async || store.load(&id).await.expect("loaded").expect("live");
        let first = load().await;
        for step in 1..=8 {
            session.insert("step", step).expect("it fits");
            session.save().await.expect("saved");
            let now = load().await;
            assert_eq!(There::of(&now, Some(&first)), There::Older, "{step}");
            assert_eq!(There::of(&first, Some(&now)), There::Newer, "{step}");
        }
        session.insert("step", 9).expect("it fits");
        session.save().await.expect("saved");
        let now = load().await;
        assert_eq!(
            There::of(&now, Some(&first)),
            There::Other,
            "too many since"
        );
    }
}
