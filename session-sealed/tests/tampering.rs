//! Forged and swapped fields: an attacker who writes to the database without the secret opens
//! nothing.

use std::time::Duration;

use session_core::{
    Credential, Description, Draft, Error, ErrorKind, Lifetime, Owner, Record, Saved,
    SessionDirectory, SessionId, SessionInfo, SessionStore, SessionToken, Stamp, Timeout,
};
use session_memory::MemoryStore;
use session_sealed::{KeyRing, SealedStore, Secret};

const HOUR: Duration = Duration::from_secs(3_600);

/// A sealed store, and the database in it.
struct Setup {
    sealed: SealedStore,
    database: MemoryStore,
}

/// A record as it is stored in the database.
struct Row {
    id: SessionId,
    record: Record,
}

impl Setup {
    fn new() -> Self {
        let database = MemoryStore::new();
        let sealed = SealedStore::new(database.clone(), &KeyRing::new(Secret::generate()));
        Self { sealed, database }
    }

    /// Creates a session through the sealed store.
    async fn session(&self, owner: &str, lifetime: Lifetime, credential: u8) -> Row {
        let id = SessionToken::generate().id();
        let draft = Draft::new(format!("{owner}'s"), lifetime)
            .with_owner(Owner::new(owner).expect("valid"))
            .with_credential(credential_of(credential))
            .with_description(Description::new().with_label(format!("{owner}'s phone")));
        let created = self.sealed.create(&id, &draft).await.expect("up");
        assert_eq!(created, Saved::done(&draft));
        self.row(id).await
    }

    async fn row(&self, id: SessionId) -> Row {
        let record = self.database.load(&id).await.expect("up").expect("live");
        Row { id, record }
    }

    /// Replaces the record in the database and loads it through the sealed store.
    async fn open_forged(&self, id: &SessionId, forged: &Record) -> Result<Record, Error> {
        let draft = Draft::new(forged.data.clone(), forged.lifetime)
            .with_stamp(forged.version.stamp())
            .with_owner(forged.owner.clone())
            .with_credential(forged.credential.clone())
            .with_description(forged.description.clone());
        self.database.destroy(id, None).await.expect("up");
        let written = self.database.create(id, &draft).await.expect("up");
        assert_eq!(written, Saved::done(&draft));
        let found = self.sealed.load(id).await;
        found.map(|found| found.expect("live"))
    }

    /// Checks that the session opens as it was stored and with none of these changes.
    async fn assert_none_opens(&self, row: &Row, changes: impl IntoIterator<Item = Record>) {
        for forged in changes {
            assert_ne!(forged, row.record, "it is a change");
            let opened = self.open_forged(&row.id, &forged).await;
            assert!(
                matches!(&opened, Err(error) if error.kind() == ErrorKind::Corrupt),
                "{forged:?} opened: {opened:?}"
            );
        }
        let opened = self.open_forged(&row.id, &row.record).await;
        let opened = opened.expect("the record as it was stored");
        assert_eq!(opened.version, row.record.version);
    }
}

fn credential_of(byte: u8) -> Option<Credential> {
    Credential::from_stored(&[byte; 57]).expect("it fits")
}

/// Two sessions that differ in everything.
async fn two(setup: &Setup) -> [Row; 2] {
    [
        setup.session("ann", Lifetime::fixed(HOUR), 1).await,
        setup
            .session("bob", Lifetime::new(2 * HOUR, 3 * HOUR), 2)
            .await,
    ]
}

/// The record with one change.
fn changed(record: &Record, change: impl FnOnce(&mut Record)) -> Record {
    let mut record = record.clone();
    change(&mut record);
    record
}

#[tokio::test]
async fn a_credential_swapped_between_two_records_or_forged_opens_nothing() {
    let setup = Setup::new();
    let [ann, bob] = two(&setup).await;
    let with = |row: &Row, credential: Option<Credential>| {
        changed(&row.record, |record| record.credential = credential)
    };
    for (row, other) in [(&ann, &bob), (&bob, &ann)] {
        let own = row.record.credential.as_ref().expect("some");
        let bytes = own.as_bytes();
        let mut longer = bytes.to_vec();
        longer.push(0);
        let mut flipped = bytes.to_vec();
        flipped[56] ^= 1;
        let forged = [&longer, &flipped, &bytes[..56]];
        let forged = forged.map(|bytes| Credential::from_stored(bytes).expect("it fits"));
        let changes = [other.record.credential.clone(), None, credential_of(3)];
        let changes = changes.into_iter().chain(forged);
        let changes = changes.map(|credential| with(row, credential));
        setup.assert_none_opens(row, changes).await;
    }
}

#[tokio::test]
async fn an_owner_swapped_between_two_records_or_forged_opens_nothing() {
    let setup = Setup::new();
    let [ann, bob] = two(&setup).await;
    for (row, other) in [(&ann, &bob), (&bob, &ann)] {
        let root = Owner::new("root").expect("valid");
        let changes = [other.record.owner.clone(), None, Some(root)];
        let changes = changes.map(|owner| changed(&row.record, |record| record.owner = owner));
        setup.assert_none_opens(row, changes).await;
    }
}

#[tokio::test]
async fn a_description_swapped_between_two_records_or_forged_opens_nothing() {
    let setup = Setup::new();
    let [ann, bob] = two(&setup).await;
    for (row, other) in [(&ann, &bob), (&bob, &ann)] {
        let mut flipped = Description::stored(row.record.description.as_ref()).to_vec();
        flipped[40] ^= 1;
        let changes = [
            other.record.description.clone(),
            None,
            Some(Description::new().with_label("in plain text")),
            Description::from_stored(&flipped).expect("it fits"),
        ];
        let changes = changes
            .map(|description| changed(&row.record, |record| record.description = description));
        setup.assert_none_opens(row, changes).await;
    }
}

#[tokio::test]
async fn a_listing_shows_descriptions_and_leaves_out_a_forged_one_only() {
    let setup = Setup::new();
    let [ann, bob] = two(&setup).await;
    let readable = Description::stored(ann.record.description.as_ref());
    assert!(
        !readable.windows(5).any(|window| window == b"ann's"),
        "it is sealed"
    );
    let labels = async || {
        let listed = setup.sealed.list(None, 10).await.expect("up").sessions;
        assert_eq!(listed.len(), 2, "both are listed");
        let label = |id: &SessionId| {
            let info = listed.iter().find(|info| info.id == *id);
            let description = info.and_then(|info| info.description.clone());
            description.and_then(|description| description.label().map(str::to_owned))
        };
        [label(&ann.id), label(&bob.id)]
    };
    let [anns, bobs] = ["ann's phone", "bob's phone"].map(|label| Some(label.to_owned()));
    assert_eq!(labels().await, [anns.clone(), bobs.clone()]);
    let copied = changed(&bob.record, |record| {
        record.description = ann.record.description.clone();
    });
    setup
        .open_forged(&bob.id, &copied)
        .await
        .expect_err("copied");
    assert_eq!(labels().await, [anns, None]);
    let owner = Owner::new("bob").expect("valid");
    let owned = setup.sealed.owned_by(&owner, None, 10).await.expect("up");
    let [SessionInfo { description, .. }] = &owned.sessions[..] else {
        panic!("bob's session is listed: {owned:?}");
    };
    assert_eq!(*description, None);
    assert!(
        setup
            .sealed
            .destroy(&bob.id, None)
            .await
            .expect("up")
            .is_some()
    );
}

#[tokio::test]
async fn the_longest_description_of_a_session_fits_and_a_longer_one_is_refused() {
    let setup = Setup::new();
    for (size, fits) in [(192, true), (210, true), (211, false), (255, false)] {
        let id = SessionToken::generate().id();
        let description = Description::from_stored(&vec![7; size]).expect("it fits");
        let draft = Draft::new("", Lifetime::fixed(HOUR)).with_description(description.clone());
        let created = setup.sealed.create(&id, &draft).await;
        match fits {
            true => {
                assert_eq!(created.expect("up"), Saved::done(&draft));
                let found = setup.sealed.load(&id).await.expect("opens");
                assert_eq!(found.expect("live").description, description);
            }
            false => {
                let error = created.expect_err("too long");
                assert_eq!(error.kind(), ErrorKind::TooLarge);
                assert!(error.to_string().contains("limit of 210"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn limits_swapped_between_two_records_or_forged_open_nothing() {
    let setup = Setup::new();
    let [ann, bob] = two(&setup).await;
    for (row, other) in [(&ann, &bob), (&bob, &ann)] {
        let (own, others) = (row.record.lifetime, other.record.lifetime);
        let changes = [
            others,
            Lifetime::new(others.idle, own.absolute),
            Lifetime::new(own.idle, others.absolute),
            Lifetime::new(own.idle, Timeout::Never),
            Lifetime::new(Timeout::Never, own.absolute),
            Lifetime::new(own.idle, 1_000 * HOUR),
        ];
        let changes =
            changes.map(|lifetime| changed(&row.record, |record| record.lifetime = lifetime));
        setup.assert_none_opens(row, changes).await;
    }
}

#[tokio::test]
async fn a_stamp_swapped_between_two_records_or_forged_opens_nothing() {
    let setup = Setup::new();
    let [ann, bob] = two(&setup).await;
    for (row, other) in [(&ann, &bob), (&bob, &ann)] {
        let changes = [other.record.version.stamp(), Stamp::generate()];
        let changes =
            changes.map(|stamp| changed(&row.record, |record| record.version = stamp.into()));
        setup.assert_none_opens(row, changes).await;
    }
}

#[tokio::test]
async fn data_or_a_whole_record_copied_to_another_id_opens_nothing() {
    let setup = Setup::new();
    let [ann, bob] = two(&setup).await;
    for (row, other) in [(&ann, &bob), (&bob, &ann)] {
        let data = changed(&row.record, |record| {
            record.data = other.record.data.clone()
        });
        setup
            .assert_none_opens(row, [data, other.record.clone()])
            .await;
    }
}

#[tokio::test]
async fn an_older_version_opens_as_a_whole_but_not_in_part() {
    let setup = Setup::new();
    let old = setup.session("ann", Lifetime::fixed(HOUR), 1).await;
    let next = Draft::new("newer", Lifetime::fixed(2 * HOUR)).with_credential(credential_of(2));
    let saved = setup.sealed.save(&old.id, &next, &old.record.version).await;
    assert_eq!(saved.expect("up"), Saved::done(&next));
    let new = setup.row(old.id.clone()).await;
    let parts = [
        changed(&new.record, |record| record.data = old.record.data.clone()),
        changed(&new.record, |record| {
            record.credential = old.record.credential.clone()
        }),
        changed(&new.record, |record| {
            record.description = old.record.description.clone()
        }),
    ];
    setup.assert_none_opens(&new, parts).await;
    // The documentation names this limit.
    let opened = setup.open_forged(&old.id, &old.record).await;
    let opened = opened.expect("an older whole record");
    assert_eq!(
        (opened.data.as_ref(), opened.credential),
        (b"ann's".as_slice(), credential_of(1))
    );
}

#[tokio::test]
async fn a_touch_keeps_the_sealed_data_and_every_save_seals_anew() {
    let setup = Setup::new();
    let row = setup.session("ann", Lifetime::new(HOUR, 3 * HOUR), 1).await;
    let left = setup.sealed.touch(&row.id, (2 * HOUR).into()).await;
    assert!(left.expect("up").is_some());
    let touched = setup.sealed.load(&row.id).await.expect("opens");
    let touched = touched.expect("live");
    assert_eq!(touched.data, "ann's");
    // The same content under another stamp.
    let again = Draft::new(touched.data.clone(), touched.lifetime)
        .with_owner(touched.owner.clone())
        .with_credential(touched.credential.clone());
    let saved = setup.sealed.save(&row.id, &again, &touched.version).await;
    assert_eq!(saved.expect("up"), Saved::done(&again));
    let saved = setup.row(row.id.clone()).await;
    assert_ne!(saved.record.data, row.record.data);
    let opened = setup.sealed.load(&row.id).await.expect("opens");
    assert_eq!(opened.expect("live").data, "ann's");
}

#[tokio::test]
async fn a_destroy_ends_a_session_that_does_not_open_and_spares_other_versions() {
    let setup = Setup::new();
    let row = setup.session("ann", Lifetime::fixed(HOUR), 1).await;
    let forged = changed(&row.record, |record| record.credential = credential_of(9));
    let opened = setup.open_forged(&row.id, &forged).await;
    opened.expect_err("a forged credential");
    let other = Stamp::generate().into();
    let spared = setup.sealed.destroy(&row.id, Some(&other)).await;
    assert_eq!(spared.expect("up"), None);
    let ended = setup.sealed.destroy(&row.id, Some(&forged.version)).await;
    assert_eq!(
        ended.expect("up").map(|ended| ended.id),
        Some(row.id.clone())
    );
    assert_eq!(setup.sealed.load(&row.id).await.expect("none"), None);
}
