//! What `connect` finds out: rights, certificates, addresses, and what its errors say.

use std::path::Path;
use std::time::{Duration, Instant};

use integration_tests::servers::{self, Authority, ClientCertificates, Kind, Private};
use session_core::{Error, Saved, SessionDirectory, SessionStore, Timeout, TokenChange};
use session_redis::express::{Express, ExpressStore};
use session_redis::{ErrorKind, RedisStore};
use tokio::net::TcpListener;

use super::{SECOND, ask, draft, end_all, id, owned, owner};

/// What docs/operations.md lists.
const NATIVE: &str = "evalsha script|load get mget time unlink scan zscan zrem \
    del getrange persist pexpireat set setrange strlen zadd zcount zrange zremrangebyrank pttl";
/// The same where no scripts are needed.
const NATIVE_COMPARE: &str = "get mget time unlink scan zscan zrem getrange pexpireat set strlen \
    zadd zrange zremrangebyscore pttl getdel";
const EXPRESS: &str = "evalsha script|load get pttl set unlink scan exists expire persist del";
const EXPRESS_UNSCRIPTED: &str = "get pttl set unlink scan exists expire persist delifeq";

/// Makes a user of all rights on the keys that begin with `x:`, but for these.
async fn user(server: &Private, rules: &str) -> String {
    let rules = format!("ACL SETUSER app reset on >hunter2 ~x:* {rules}");
    let words: Vec<&str> = rules.split_whitespace().collect();
    ask(&server.url, &words).await;
    format!("redis://app:hunter2@127.0.0.1:{}/", server.port)
}

async fn native(url: &str) -> Result<RedisStore, Error> {
    RedisStore::builder().prefix("x:").connect(url).await
}

async fn express(url: &str) -> Result<ExpressStore, Error> {
    let builder = ExpressStore::builder(Express::new("keyboard cat"));
    builder.prefix("x:").connect(url).await
}

fn check_refused(error: &Error, command: &str) {
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    let text = format!("{error} {error:?}");
    assert!(text.to_lowercase().contains(command), "{command}: {text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_names_the_command_that_the_user_may_not_run() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    for (server, commands, express_rights, base) in [
        (Private::start(Kind::Redis, &[]), NATIVE, EXPRESS, "+@all"),
        (
            Private::valkey(&[]),
            NATIVE_COMPARE,
            EXPRESS_UNSCRIPTED,
            "+@all -@scripting",
        ),
    ] {
        for command in commands.split_whitespace() {
            let url = user(&server, &format!("+@all -{command}")).await;
            let error = native(&url).await.expect_err(command);
            check_refused(&error, command.trim_start_matches("script|"));
        }
        for command in express_rights.split_whitespace() {
            let url = user(&server, &format!("{base} -{command}")).await;
            let error = express(&url).await.expect_err(command);
            // Without `DELIFEQ` it needs scripts.
            let named = match command {
                "delifeq" => "load",
                command => command.trim_start_matches("script|"),
            };
            check_refused(&error, named);
        }
        let url = user(&server, "+@all").await;
        let other = RedisStore::builder().prefix("y:").connect(&url).await;
        check_refused(&other.expect_err("other keys"), "right");
        native(&url).await.expect("its own keys");
        let keys = ask(&server.url, &["DBSIZE"]).await;
        assert_eq!(
            session_redis::redis::from_redis_value::<u64>(keys).ok(),
            Some(0)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_that_are_listed_are_enough() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let plus = |list: &str| -> String {
        list.split_whitespace()
            .map(|one| format!("+{one} "))
            .collect()
    };
    for (server, commands, express_rights) in [
        (Private::start(Kind::Redis, &[]), NATIVE, EXPRESS),
        (Private::valkey(&[]), NATIVE_COMPARE, EXPRESS_UNSCRIPTED),
    ] {
        let url = user(&server, &plus(commands)).await;
        let store = native(&url).await.expect("set up");
        let ann = owner("ann");
        for data in [vec![b'x'; 10], vec![b'x'; 4_000]] {
            let id = id();
            let mut first = draft().with_owner(ann.clone());
            first.data = data.into();
            assert!(store.create(&id, &first).await.expect("up").is_done());
            let mut next = draft().with_owner(ann.clone());
            next.data = first.data.clone();
            let saved = store.save(&id, &next, &first.stamp.into()).await;
            assert!(saved.expect("up").is_done());
            let touched = store.touch(&id, Timeout::Never).await;
            assert!(touched.expect("up").is_some());
            let loads = (0..80).map(|_| {
                let (store, id) = (store.clone(), id.clone());
                tokio::spawn(async move { store.load(&id).await })
            });
            for load in loads.collect::<Vec<_>>() {
                assert!(load.await.expect("no panic").expect("up").is_some());
            }
            assert_eq!(owned(&store, &ann, 10).await.len(), 1);
            assert_eq!(store.list(None, 1_000).await.expect("up").sessions.len(), 1);
            assert_eq!(end_all(&store, &ann, None).await, [id]);
        }
        assert_eq!(store.clear().await.ok(), Some(0));

        let url = user(&server, &plus(express_rights)).await;
        let store = express(&url).await.expect("set up");
        let id = session_core::SessionId::plain("a".repeat(32).as_str()).expect("valid");
        let created = store.create(&id, &draft()).await.expect("up");
        let Saved::Done(version) = created else {
            panic!("{created:?}");
        };
        let saved = store.save(&id, &draft(), &version).await;
        assert!(saved.expect("up").is_done());
        let touched = store.touch(&id, Timeout::After(3_000 * SECOND)).await;
        assert!(touched.expect("up").is_some());
        assert_eq!(store.count().await.ok(), Some(1));
        let version = store.load(&id).await.expect("up").expect("there").version;
        let mut moved = draft();
        moved.token = TokenChange::New;
        let saved = store.save(&id, &moved, &version).await.expect("up");
        let Saved::Done(version) = saved else {
            panic!("{saved:?}");
        };
        let id = version.moved_to().expect("a new id");
        assert!(
            store
                .destroy(id, Some(&version))
                .await
                .expect("up")
                .is_some()
        );
        assert_eq!(store.clear().await.ok(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_by_builder_and_by_url() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let authority = Authority::new();
    let (_server, port) = authority.redis(ClientCertificates::Unasked);
    let ca = authority.file();
    for scheme in ["rediss", "valkeys"] {
        let url = format!("{scheme}://127.0.0.1:{port}/");
        let store = RedisStore::builder().ca_file(&ca).connect(&url).await;
        let store = store.expect("trusted");
        assert!(store.create(&id(), &draft()).await.expect("up").is_done());
        let with = format!("{url}?ca_file={}&prefix=y:", ca.display());
        let store = session_store::connect(&with).await.expect("trusted");
        assert!(store.create(&id(), &draft()).await.expect("up").is_done());
        let builder = ExpressStore::builder(Express::new("keyboard cat"));
        builder.ca_file(&ca).connect(&url).await.expect("trusted");
    }
    let missing = Path::new("/no/such/file.pem");
    let url = format!("rediss://127.0.0.1:{port}/");
    let store = RedisStore::builder().ca_file(missing).connect(&url).await;
    let error = store.expect_err("no file");
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("/no/such/file.pem"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_scheme_leads_to_the_server() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name| folder.path().join(name).to_string_lossy().into_owned();
    let (one, two) = (path("redis"), path("valkey"));
    for (server, socket) in [
        (Private::start(Kind::Redis, &["--unixsocket", &one]), one),
        (Private::valkey(&["--unixsocket", &two]), two),
    ] {
        let tcp = format!("127.0.0.1:{}/0", server.port);
        for url in [
            format!("redis://{tcp}?prefix=z:"),
            format!("valkey://{tcp}?prefix=z:&protocol=resp2"),
            format!("unix:{socket}?prefix=z:"),
            format!("unix://{socket}?db=0&prefix=z:"),
            format!("redis+unix:{socket}?prefix=z:"),
            format!("valkey+unix://{socket}?prefix=z:&protocol=resp3"),
        ] {
            let store = session_store::connect(&url).await;
            let store = store.unwrap_or_else(|error| panic!("{url}: {error}"));
            assert!(store.create(&id(), &draft()).await.expect("up").is_done());
        }
        let keys = ask(&server.url, &["KEYS", "z:{*"]).await;
        let keys: Vec<String> = session_redis::redis::from_redis_value(keys).expect("keys");
        assert_eq!(keys.len(), 6, "{keys:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_and_fragments_that_mean_nothing_are_refused_by_name() {
    for (url, named) in [
        ("redis://127.0.0.1:1/?tabel=x", "\"tabel\""),
        ("redis://127.0.0.1:1/?prefixx=x", "\"prefixx\""),
        ("valkey://127.0.0.1:1/?db=3", "\"db\""),
        ("unix:/no/such/socket?passs=hunter2", "\"passs\""),
        ("redis://127.0.0.1:1/?prefix=a#b", "#fragment"),
        (
            "rediss://127.0.0.1:1/?prefix=a&protocol=resp3#b",
            "#fragment",
        ),
        ("redis://127.0.0.1:1/#b", "#fragment"),
    ] {
        let error = session_store::connect(url).await.map(drop).expect_err(url);
        check_refused(&error, &named.to_lowercase());
    }
}

/// What fails, and what is said of it.
async fn check_told(url: &str, kind: ErrorKind, told: &[&str]) {
    let began = Instant::now();
    // Whoever waits for a time-out should not wait long; the machine may be busy for the others.
    let limit = match kind {
        ErrorKind::Timeout => SECOND,
        _ => 10 * SECOND,
    };
    for error in [
        RedisStore::builder()
            .timeout(limit)
            .connect(url)
            .await
            .map(drop),
        ExpressStore::builder(Express::new("keyboard cat"))
            .timeout(limit)
            .connect(url)
            .await
            .map(drop),
    ] {
        let error = error.expect_err(url);
        assert_eq!(error.kind(), kind, "{url}: {error:?}");
        for part in told {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
        let all = format!("{error} {error:?}");
        assert!(!all.contains("hunter2"), "{all}");
    }
    assert!(
        began.elapsed() < 10 * SECOND,
        "{url}: {:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_to_connect_names_the_server_and_the_cause() {
    if servers::is_skipped(Kind::Redis) {
        return;
    }
    let (server, tls) = Authority::new().redis(ClientCertificates::Unasked);
    let plain = server.port;
    let (off, wrong) = (ErrorKind::Unavailable, ErrorKind::Misconfigured);
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = silent.local_addr().map(|address| (silent, address.port()));
    let (_listener, silent) = silent.expect("bound");

    let url = "redis://u:hunter2@127.0.0.1:1/";
    check_told(
        url,
        off,
        &[
            "cannot connect",
            "Redis at 127.0.0.1:1: ",
            "onnection refused",
        ],
    )
    .await;
    let url = "unix:/no/such/socket?pass=hunter2";
    check_told(url, off, &["Redis at /no/such/socket: ", "No such file"]).await;
    let url = format!("redis://:hunter2@127.0.0.1:{silent}/");
    let at = format!("Redis at 127.0.0.1:{silent}: ");
    check_told(&url, ErrorKind::Timeout, &[&at]).await;
    let url = format!("redis://nobody:hunter2@127.0.0.1:{plain}/");
    let at = format!("Redis at 127.0.0.1:{plain} refuses the user name or password");
    check_told(&url, wrong, &[&at, "WRONGPASS"]).await;
    let url = format!("rediss://:hunter2@127.0.0.1:{tls}/");
    let at = format!("TLS with Redis at 127.0.0.1:{tls} failed: ");
    check_told(&url, wrong, &[&at, "certificate", "ca_file"]).await;
    // It waits for the rest of what it takes for a command.
    let url = format!("rediss://127.0.0.1:{plain}/");
    let at = format!("Redis at 127.0.0.1:{plain}: ");
    check_told(&url, ErrorKind::Timeout, &[&at]).await;
    let url = format!("redis://127.0.0.1:{tls}/");
    check_told(&url, off, &[&format!("Redis at 127.0.0.1:{tls}: ")]).await;

    ask(&server.url, &["CONFIG", "SET", "requirepass", "hunter2"]).await;
    let at = format!("Redis at 127.0.0.1:{plain} refuses the user name or password");
    check_told(&server.url, wrong, &[&at, "NOAUTH"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_exist_is_named() {
    let url = "redis://:hunter2@no-such-host.invalid/";
    let store = RedisStore::builder().timeout(Duration::from_secs(2));
    let error = store.connect(url).await.expect_err("no such host");
    // A resolver that hangs is a time-out.
    assert!(error.is_temporary(), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("Redis at no-such-host.invalid:6379: "),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}
