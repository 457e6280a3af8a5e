//! Client certificates, passwords that change, and the client's name.

use std::io;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use integration_tests::servers::{self, Authority, ClientCertificates, Kind, Private};
use session_core::SessionStore;
use session_redis::express::{Express, ExpressStore};
use session_redis::redis;
use session_redis::{ErrorKind, RedisStore, RedisStoreBuilder};

use super::{SECOND, ask, draft, id};

async fn creates(store: &impl SessionStore) {
    let created = store.create(&id(), &draft()).await;
    assert!(created.expect("it is let in").is_done());
}

/// Makes the password of `ann` the only one, and closes her connections.
async fn rotate(server: &Private, password: &str) {
    let secret = format!(">{password}");
    let user = [
        "ACL", "SETUSER", "ann", "reset", "on", &secret, "~*", "&*", "+@all",
    ];
    ask(&server.url, &user).await;
    ask(&server.url, &["CLIENT", "KILL", "USER", "ann"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_requires_client_certificates_gets_one() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let [ours, another] = [Authority::new(), Authority::new()];
    let (_server, port) = ours.redis(ClientCertificates::Required);
    let [own, strange] = [&ours, &another].map(|by| by.issue("client", "DNS:client"));
    let url = format!("rediss://127.0.0.1:{port}/");
    let builder = || {
        RedisStore::builder()
            .ca_file(ours.file())
            .timeout(10 * SECOND)
    };
    let with = builder().client_certificate(&own.certificate, &own.key);
    creates(&with.connect(&url).await.expect("let in")).await;
    let (certificate, key) = (own.certificate.display(), own.key.display());
    let ca = ours.file();
    let ca = ca.display();
    let by_url = format!("{url}?ca_file={ca}&cert_file={certificate}&key_file={key}");
    session_store::connect(&by_url).await.expect("let in");
    let express = ExpressStore::builder(Express::new("keyboard cat"));
    express.connect(&by_url).await.expect("let in");

    let plain = format!("redis://127.0.0.1:{port}/?cert_file={certificate}&key_file={key}");
    let no_key = format!("{url}?cert_file={certificate}");
    let no_file = builder().client_certificate("/no/such.pem", &own.key);
    let no_pem = builder().client_certificate(&own.key, &own.certificate);
    let stranger = builder().client_certificate(&strange.certificate, &strange.key);
    let wrong_authority = builder().ca_file(another.file());
    for (builder, url, told) in [
        (
            builder(),
            &url,
            &["TLS", "CertificateRequired", "cert_file"][..],
        ),
        (stranger, &url, &["TLS", "alert"]),
        (wrong_authority, &url, &["TLS", "certificate", "ca_file"]),
        (builder(), &plain, &["cert_file", "rediss://"]),
        (builder(), &no_key, &["key_file"]),
        (no_file, &url, &["/no/such.pem"]),
        (no_pem, &url, &["invalid TLS certificate or key"]),
    ] {
        let error = builder.connect(url).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error:?}");
        for part in told {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
    }
}

/// Where the password is rotated: what the store asks for it, and how the test sets it.
async fn follows_a_rotation(builder: RedisStoreBuilder, set: impl Fn(&str)) {
    let server = Private::start(Kind::Redis, &[]);
    rotate(&server, "hunter2-one").await;
    set("hunter2-one");
    let url = server.url.replace("redis://", "redis://ann@");
    let store = builder
        .timeout(10 * SECOND)
        .connect(&url)
        .await
        .expect("let in");
    creates(&store).await;
    for password in ["hunter2-two", "hunter2-three"] {
        set(password);
        rotate(&server, password).await;
        creates(&store).await;
    }
    set("hunter2-wrong");
    rotate(&server, "hunter2-four").await;
    let error = store.create(&id(), &draft()).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error:?}");
    assert!(
        !format!("{error} {error:?} {store:?}").contains("hunter2"),
        "{error:?}"
    );
    set("hunter2-four");
    creates(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_gives_the_credentials_of_now() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let password = Arc::new(Mutex::new(String::new()));
    let now = Arc::clone(&password);
    let builder = RedisStore::builder().credentials(move || {
        let password = now.lock().expect("whole").clone();
        async move { Ok(("ann".to_owned(), password)) }
    });
    assert!(format!("{builder:?}").contains("Callback"));
    follows_a_rotation(builder, |new| {
        *password.lock().expect("whole") = new.to_owned()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_file_is_read_for_each_connection() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    let builder = RedisStore::builder().password_file(&file);
    let set = |new: &str| std::fs::write(&file, format!("{new}\n")).expect("written");
    follows_a_rotation(builder, set).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_fails_or_hangs_fails_the_call_in_time() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::start(Kind::Redis, &[]);
    let fails = RedisStore::builder().credentials(|| async { Err("no token".into()) });
    let error = fails.connect(&server.url).await.expect_err("no token");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("no token"), "{error}");
    let hangs = RedisStore::builder().timeout(SECOND).credentials(|| async {
        std::future::pending::<()>().await;
        Err(io::Error::other("never").into())
    });
    let error = hangs.connect(&server.url).await.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_list_shows_the_name() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let server = Private::redis_8(&[]);
    let store = RedisStore::builder().client_name("web-1");
    let store = store.connect(&server.url).await.expect("up");
    let mut invalidations = store.invalidations(10 * SECOND).expect("a stream");
    let first = invalidations.next().await.expect("an item");
    first.expect("up");
    let list = ask(&server.url, &["CLIENT", "LIST"]).await;
    let list: String = redis::from_redis_value(list).expect("text");
    let has_name = |line: &&str| line.contains(" name=web-1 ");
    let ours: Vec<&str> = list.lines().filter(has_name).collect();
    assert_eq!(ours.len(), 2, "of the store and of invalidations: {list}");
    for line in ours {
        assert!(line.contains("lib-name=session-redis"), "{list}");
    }
    let url = format!("{}?client_name=web%202", server.url);
    let error = RedisStore::connect(&url).await.expect_err("a space");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("\"web 2\""), "{error}");
}
