//! Rows as they are stored.

use std::time::Duration;

use integration_tests::servers::{self, Kind};
use session_core::{
    Credential, Description, Draft, ErrorKind, Lifetime, Saved, SessionDirectory, SessionId,
    SessionStore, Stamp, Timeout, Version,
};
use session_mysql::MysqlStore;
use session_mysql::sqlx::{self, AssertSqlSafe, Row};

use super::{SECOND, drop_table, id, owner, pool, store, table, url};

fn credential(bytes: &[u8]) -> Option<Credential> {
    Credential::from_stored(bytes).expect("it fits")
}

fn description(bytes: &[u8]) -> Option<Description> {
    Description::from_stored(bytes).expect("it fits")
}

/// A row in text: bytes in hexadecimal digits, the deadline as microseconds after the birth.
async fn row(table: &str, id: &SessionId) -> String {
    let select = format!(
        "SELECT CAST(CONCAT_WS(' ', HEX(id), version, HEX(stamp), HEX(credential), \
         IFNULL(HEX(description), 'NULL'), IFNULL(HEX(owner), 'NULL'), IFNULL(idle, 'NULL'), IFNULL(absolute, 'NULL'), \
         IFNULL(TIMESTAMPDIFF(MICROSECOND, born, deadline), 'NULL'), \
         IFNULL(due = TO_SECONDS(deadline) DIV 60, 'NULL'), \
         ABS(TIMESTAMPDIFF(SECOND, born, UTC_TIMESTAMP(6))) < 60, HEX(data)) AS BINARY) \
         FROM `{table}` WHERE id = ?"
    );
    let select = sqlx::query(AssertSqlSafe(select)).bind(id.as_str());
    let row = select.fetch_one(&pool().await).await.expect("one");
    String::from_utf8(row.get(0)).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_stored_as_documented() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    let id = SessionId::from_stored("id-of-a-session_").expect("valid");
    let lifetime = Lifetime::new(1_800 * SECOND, 43_200 * SECOND);
    let mut first = Draft::new("{\"n\":1}", lifetime)
        .with_owner(owner("u1"))
        .with_credential(credential(b"\x01\x00\xff,"))
        .with_description(description(b"\x01,9"));
    first.stamp = Stamp::from_bytes(*b"0123456789abcdef");
    let created = store.create(&id, &first).await.expect("up");
    assert_eq!(created, Saved::done(&first));
    assert_eq!(
        row(&name, &id).await,
        "69642D6F662D612D73657373696F6E5F 3 30313233343536373839616263646566 0100FF2C 012C39 7531 \
         1800000 43200000 1800000000 1 1 7B226E223A317D"
    );

    let forever = Lifetime::new(Timeout::Never, Timeout::Never);
    let mut second = Draft::new("", forever);
    second.stamp = Stamp::from_bytes([0xfe; 16]);
    let saved = store.save(&id, &second, &first.stamp.into()).await;
    assert_eq!(saved.expect("up"), Saved::done(&second));
    assert_eq!(
        row(&name, &id).await,
        "69642D6F662D612D73657373696F6E5F 3 FEFEFEFEFEFEFEFEFEFEFEFEFEFEFEFE  NULL NULL NULL NULL \
         NULL NULL 1 "
    );
    drop_table(&name).await;
}

/// With one connection, all but the first go together.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_and_descriptions_of_any_size_come_back_from_single_and_batched_writes_and_reads()
 {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let builder = MysqlStore::builder().table(&name).connections(1);
    let store = builder.connect(url()).await.expect("set up");
    let mut tasks = Vec::new();
    for n in 0..100_u8 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let size = [0, 1, 57, 192][usize::from(n % 4)];
            let described = [0, 255, 0, 1, 60][usize::from(n % 5)];
            let draft = |data: String, size| {
                let lifetime = Lifetime::idle(Duration::from_secs(60 * (1 + u64::from(n % 2))));
                let bytes: Vec<u8> = (0..size).map(|at| at ^ n).collect();
                let owner = (n % 3 > 0).then(|| owner(&format!("u{n},")));
                Draft::new(data, lifetime)
                    .with_owner(owner)
                    .with_credential(credential(&bytes))
                    .with_description(description(&vec![n; described]))
            };
            let id = id();
            let check = async |draft: &Draft| {
                let found = store.load(&id).await.expect("up").expect("there");
                assert_eq!(found.version, Version::new(draft.stamp));
                assert_eq!(found.credential, draft.credential);
                assert_eq!(found.description, draft.description);
                assert_eq!(
                    (found.owner, found.data),
                    (draft.owner.clone(), draft.data.clone())
                );
                assert_eq!(found.lifetime, draft.lifetime);
                found.version
            };
            let first = draft(format!("first {n}"), size);
            let created = store.create(&id, &first).await.expect("up");
            assert_eq!(created, Saved::done(&first));
            let version = check(&first).await;
            let second = draft(format!("second {n}"), 192 - size);
            let saved = store.save(&id, &second, &version).await.expect("up");
            assert_eq!(saved, Saved::done(&second));
            store
                .touch(&id, Timeout::After(90 * SECOND))
                .await
                .expect("up");
            check(&second).await;
        }));
    }
    for task in tasks {
        task.await.expect("each was right");
    }
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_another_layout_version_is_corrupt_for_its_reader_only() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let builder = MysqlStore::builder().table(&name).connections(1);
    let store = builder.connect(url()).await.expect("set up");
    let draft = Draft::new("{}", Lifetime::default()).with_owner(owner("ann"));
    let ids: Vec<SessionId> = (0..10).map(|_| id()).collect();
    for id in &ids {
        let created = store.create(id, &draft).await.expect("up");
        assert!(created.is_done());
    }
    let update = format!("UPDATE `{name}` SET version = 4 WHERE id = ?");
    sqlx::query(AssertSqlSafe(update))
        .bind(ids[4].as_str())
        .execute(&pool().await)
        .await
        .expect("updated");
    let load = |n: usize| {
        let (store, id) = (store.clone(), ids[n].clone());
        tokio::spawn(async move { store.load(&id).await })
    };
    // By itself, and together with the others.
    let error = load(4).await.expect("no panic").expect_err("corrupt");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let loads: Vec<_> = (0..10).map(load).collect();
    for (n, load) in loads.into_iter().enumerate() {
        match load.await.expect("no panic") {
            Ok(found) => assert!(n != 4 && found.is_some()),
            Err(error) => assert!(n == 4 && error.kind() == ErrorKind::Corrupt, "{error}"),
        }
    }
    let ended = store.destroy(&ids[4], None).await.expect("up");
    assert_eq!(ended.expect("it was live").owner, Some(owner("ann")));
    assert_eq!(store.count().await.expect("up"), 9);
    drop_table(&name).await;
}
