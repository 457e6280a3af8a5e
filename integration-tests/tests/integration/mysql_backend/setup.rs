//! What is wrong with a URL, a login, a right or a server: said when connecting, by name.

use std::time::Duration;

use integration_tests::servers::{self, Kind};
use session_core::{ErrorKind, SessionStore};
use session_mysql::MysqlStore;
use session_mysql::express::{Express, ExpressStore};
use session_mysql::sqlx::{self, AssertSqlSafe};
use tokio::net::TcpListener;

use super::operations::call;
use super::relay::address;
use super::{User, drop_table, id, is_mariadb, pool, store, table, url};

async fn refused(url: &str) -> (ErrorKind, String) {
    let builder = || MysqlStore::builder().timeout(Duration::from_secs(1));
    let error = builder().connect(url).await.expect_err(url);
    let express = ExpressStore::builder(Express::new("secret"));
    let express = express.timeout(Duration::from_secs(1)).connect(url).await;
    let express = express.expect_err(url);
    assert_eq!(error.kind(), express.kind(), "{error}; {express}");
    let shown = format!("{error:?} {express:?} {express}");
    for secret in ["hunter2", "nobody-known"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    (error.kind(), error.to_string())
}

#[tokio::test]
async fn misspelled_and_wrong_options_of_a_url_are_named() {
    let base = "mysql://nobody-known:hunter2@127.0.0.1:1/test";
    for (url, name) in [
        (format!("{base}?tabel=x"), "tabel"),
        (format!("{base}?ssl-mode=REQUIRED&ssl_ca=x"), "ssl_ca"),
        (format!("{base}?ssl-mode=perhaps"), "ssl-mode"),
        (
            format!("{base}?statement-cache-capacity=many"),
            "statement-cache-capacity",
        ),
        (
            format!("{base}?ssl-mode=DISABLED&sslmode=REQUIRED"),
            "sslmode",
        ),
        (format!("{base}?charset=latin1"), "charset"),
        (
            format!("{base}?ssl-mode=VERIFY_CA&ssl-ca=/no/such%20file"),
            "/no/such file",
        ),
        (format!("{base}#part"), "#"),
        (
            "mysql://nobody-known:hunter2@127.0.0.1:1".to_owned(),
            "database",
        ),
        (
            "mysql://nobody-known:hunter2@127.0.0.1:1/".to_owned(),
            "database",
        ),
        (
            "mysq://nobody-known:hunter2@127.0.0.1:1/x".to_owned(),
            "mysql://",
        ),
        (
            "mysql://u:ab?hunter2=x@127.0.0.1:1/x".to_owned(),
            "part of a password",
        ),
        (
            "mysql://u:ab?ssl-ca=hunter2@127.0.0.1:1/x".to_owned(),
            "part of a password",
        ),
        (
            "mysql://u:ab?c#hunter2@127.0.0.1:1/x".to_owned(),
            "part of a password",
        ),
    ] {
        let (kind, message) = refused(&url).await;
        assert_eq!(kind, ErrorKind::Misconfigured, "{message}");
        assert!(message.contains(name), "{message}");
    }
}

/// Product, place and cause, for each thing that goes wrong in practice.
#[tokio::test(flavor = "multi_thread")]
async fn failures_name_the_product_the_place_and_the_cause() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let place = address();
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = silent.local_addr().expect("bound").to_string();
    let refused_port = {
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        free.local_addr().expect("bound").to_string()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mute = listener.local_addr().expect("bound").to_string();
    let tls = match is_mariadb().await {
        // The server has none.
        true => ("ssl-mode=REQUIRED", "TLS"),
        // Its certificate is one that it has made for itself.
        false => ("ssl-mode=VERIFY_IDENTITY", "certificate"),
    };
    drop(silent);
    for (url, kind, place, cause) in [
        (
            format!("mysql://root@{refused_port}/test"),
            ErrorKind::Unavailable,
            &*refused_port,
            "onnection refused",
        ),
        (
            "mysql://root@no-such-host.invalid:3306/test".to_owned(),
            ErrorKind::Unavailable,
            "no-such-host.invalid:3306",
            "lookup",
        ),
        (
            format!("mysql://root@{mute}/test"),
            ErrorKind::Timeout,
            &*mute,
            "no answer within 1s",
        ),
        (
            format!("mysql://nobody-known:hunter2@{place}/test?ssl-mode=PREFERRED"),
            ErrorKind::Misconfigured,
            &*place,
            "user name, password",
        ),
        (
            format!("mysql://root@{place}/no_such_database"),
            ErrorKind::Misconfigured,
            &*place,
            "no such database",
        ),
        (
            format!("mysql://root@{place}/test?{}", tls.0),
            ErrorKind::Misconfigured,
            &*place,
            tls.1,
        ),
    ] {
        let (found, message) = refused(&url).await;
        assert_eq!(found, kind, "{url}: {message}");
        assert!(message.contains("MySQL"), "{url}: {message}");
        assert!(message.contains(place), "{url}: {message}");
        assert!(message.contains(cause), "{url}: {message}");
    }
    let builder = MysqlStore::builder().table("no_such_table").migrate(false);
    let store = builder.connect(url()).await.expect("it may be made later");
    let error = store.load(&id()).await.expect_err("no table");
    for part in ["MySQL", &*place, "`no_such_table`", "migrate"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    drop(listener);
}

/// A call that is not answered, on a connection that is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_not_answered_in_time_names_the_place() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let store = MysqlStore::builder().table(&name);
    let store = store
        .timeout(Duration::from_millis(500))
        .connect(url())
        .await;
    let store = store.expect("up");
    let mut holder = pool().await.acquire().await.expect("up");
    let lock = format!("LOCK TABLES `{name}` WRITE");
    let done = sqlx::raw_sql(AssertSqlSafe(lock))
        .execute(&mut *holder)
        .await;
    done.expect("locked");
    let error = store.load(&id()).await.expect_err("locked");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    for part in ["MySQL", &*address(), "no answer within 500ms"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let done = sqlx::raw_sql("UNLOCK TABLES").execute(&mut *holder).await;
    done.expect("unlocked");
    store.load(&id()).await.expect("it goes on");
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named_when_connecting() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let near = store(&name).await;
    let express_name = table();
    let express = || ExpressStore::builder(Express::new("secret")).table(&express_name);
    let near_express = express().connect(url()).await.expect("up");
    for missing in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
        let rights = ["SELECT", "INSERT", "UPDATE", "DELETE"].map(str::to_owned);
        let rights: Vec<_> = rights
            .into_iter()
            .filter(|right| right != missing)
            .collect();
        let user = User::without_rights("").await;
        for table in [&name, &express_name] {
            user.grant(&rights.join(", "), &format!("test.`{table}`"))
                .await;
        }
        let native = MysqlStore::builder().table(&name);
        let error = native.connect(&user.url()).await.expect_err(missing);
        let express_error = express().connect(&user.url()).await.expect_err(missing);
        for error in [error, express_error] {
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{missing}: {error}");
            assert!(error.to_string().contains(missing), "{missing}: {error}");
            assert!(error.to_string().contains("`t"), "{missing}: {error}");
        }
        user.remove().await;
    }
    // The least that is documented is enough, for a table that is there.
    let user = User::without_rights("").await;
    for table in [&name, &express_name] {
        let rights = "SELECT, INSERT, UPDATE, DELETE";
        user.grant(rights, &format!("test.`{table}`")).await;
    }
    let native = MysqlStore::builder().table(&name);
    let native = native.connect(&user.url()).await.expect("enough");
    let far_express = express().connect(&user.url()).await.expect("enough");
    for operation in super::operations::ANY {
        call(operation, &native, &near).await.expect("enough");
        call(operation, &far_express, &near_express)
            .await
            .expect("enough");
    }
    for operation in super::operations::OWNED {
        call(operation, &native, &near).await.expect("enough");
    }
    let absent = MysqlStore::builder().table(table());
    let error = absent.connect(&user.url()).await.expect_err("no CREATE");
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.to_string().contains("CREATE"), "{error}");
    drop((native, far_express));
    user.remove().await;
    drop_table(&name).await;
    drop_table(&express_name).await;
}
