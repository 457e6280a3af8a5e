//! TLS to the Sentinels and to the primary, with client certificates.

use std::time::Instant;

use integration_tests::servers::{self, Authority, Kind, SentinelGroup};
use session_core::SessionStore;
use session_redis::{ErrorKind, RedisStore, RedisStoreBuilder};

use super::{MILLI, SECOND, draft, id};

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_and_the_primary_are_reached_by_tls_also_after_a_failover() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let [ours, another] = [Authority::new(), Authority::new()];
    let own = ours.issue("client", "DNS:client");
    let start = || SentinelGroup::start_with_tls("redis-server", &ours);
    let mut group = tokio::task::block_in_place(start);
    let url = format!("rediss+sentinel://{}/sessions", group.addresses().join(","));
    let builder = || RedisStore::builder().timeout(4 * SECOND);
    let with = |builder: RedisStoreBuilder| {
        let builder = builder.ca_file(ours.file());
        builder.client_certificate(&own.certificate, &own.key)
    };
    let store = with(builder()).connect(&url).await.expect("let in");
    let before = id();
    let created = store.create(&before, &draft()).await;
    assert!(created.expect("up").is_done());
    let files = format!(
        "?ca_file={}&cert_file={}&key_file={}",
        ours.file().display(),
        own.certificate.display(),
        own.key.display()
    );
    let by_url = session_store::connect(&format!("{url}{files}")).await;
    let loaded = by_url.expect("let in").load(&before).await;
    assert!(loaded.expect("up").is_some());

    let strange = builder().ca_file(another.file());
    let no_certificate = builder().ca_file(ours.file());
    for (builder, told) in [
        (strange, "TLS"),
        (no_certificate, "cert_file"),
        (builder(), "TLS"),
    ] {
        let error = builder.connect(&url).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error:?}");
        assert!(error.to_string().contains(told), "{told}: {error}");
    }

    tokio::task::block_in_place(|| group.kill_primary());
    let (after, began) = (id(), Instant::now());
    loop {
        match store.create(&after, &draft()).await {
            Ok(saved) if saved.is_done() => break,
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert!(error.is_temporary(), "{error:?}"),
        }
        assert!(began.elapsed() < 30 * SECOND, "not back");
        tokio::time::sleep(10 * MILLI).await;
    }
    let primary = tokio::task::block_in_place(|| group.primary().map(|one| one.url.clone()));
    let direct = RedisStore::connect(&primary.expect("one")).await;
    let direct = direct.expect("its plain port");
    assert!(direct.load(&after).await.expect("up").is_some());
}
