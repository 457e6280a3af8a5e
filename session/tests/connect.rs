//! What `connect` says to URLs it can't use, whatever features are on.

use session::ErrorKind;

async fn refused(url: &str) -> String {
    let error = session::connect(url).await.expect_err(url);
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{url}: {error}");
    format!("{error} {error:?}")
}

#[tokio::test]
async fn an_unknown_scheme_lists_the_known_ones() {
    let message = refused("postgres://u:hunter2@localhost/").await;
    for known in [
        "memory:",
        "redis://",
        "rediss://",
        "valkey://",
        "valkeys://",
        "unix:",
        "mongodb://",
        "mongodb+srv://",
        "mysql://",
        "mariadb://",
    ] {
        assert!(message.contains(known), "{message} lists {known}");
    }
    assert!(!message.contains("hunter2"), "{message}");
}

#[tokio::test]
async fn what_is_no_url_says_what_one_looks_like() {
    for text in ["", "localhost", "/var/lib/sessions"] {
        assert!(refused(text).await.contains("redis://"), "{text}");
    }
}

#[tokio::test]
async fn a_feature_that_is_off_is_named() {
    for (on, url, feature) in [
        (cfg!(feature = "memory"), "memory:", "memory"),
        (cfg!(feature = "redis"), "redis://:hunter2@h/", "redis"),
        (cfg!(feature = "redis"), "rediss://:hunter2@h/", "redis"),
        (cfg!(feature = "mongo"), "mongodb://u:hunter2@h/", "mongo"),
        (
            cfg!(feature = "mongo"),
            "mongodb+srv://u:hunter2@h/",
            "mongo",
        ),
        (cfg!(feature = "mysql"), "mysql://u:hunter2@h/", "mysql"),
        (cfg!(feature = "mysql"), "mariadb://u:hunter2@h/", "mysql"),
    ] {
        if !on {
            let message = refused(url).await;
            assert!(message.contains(&format!("\"{feature}\"")), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}

#[cfg(feature = "memory")]
#[tokio::test]
async fn a_wrong_option_is_named() {
    assert!(refused("memory:?table=x").await.contains("table"));
    assert!(refused("memory:?tabel=x").await.contains("tabel"));
    assert!(refused("memory:?max_sessions=many").await.contains("many"));
    assert!(
        refused("memory:?max_sessions=1&max_sessions=2")
            .await
            .contains("max_sessions")
    );
    session::connect("memory:?max_sessions=5&max_data=100&expiry_grace=5s")
        .await
        .expect("all of memory's options");
}

#[cfg(feature = "mongo")]
#[tokio::test]
async fn mongodb_names_what_is_wrong_with_its_url() {
    for (url, text) in [
        ("mongodb://u:hunter2@127.0.0.1:1/d?tabel=x", "\"tabel\""),
        (
            "mongodb://u:hunter2@127.0.0.1:1/d?colection=x",
            "\"colection\"",
        ),
        ("mongodb://u:hunter2@127.0.0.1:1/d?table=x", "table"),
        ("mongodb://u:hunter2@127.0.0.1:1/d?w=0", "w=0"),
        (
            "mongodb://u:hunter2@127.0.0.1:1/?collection=x",
            "names no database",
        ),
    ] {
        let message = refused(url).await;
        assert!(message.contains(text), "{url}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[cfg(feature = "mysql")]
#[tokio::test]
async fn a_misspelled_option_of_a_mysql_url_is_named_before_anything_is_sent() {
    for (option, named) in [
        ("tabel=x", "tabel"),
        ("table=x&conections=2", "conections"),
        ("timeout=1s&charset=latin1", "charset"),
    ] {
        let url = format!("mysql://u:hunter2@127.0.0.1:1/d?{option}");
        let message = refused(&url).await;
        assert!(message.contains(named), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[cfg(any(feature = "redis", feature = "mongo", feature = "mysql"))]
#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_the_password_stays_secret() {
    for (on, url) in [
        (
            cfg!(feature = "redis"),
            "redis://u:hunter2@127.0.0.1:1/?timeout=2s",
        ),
        (
            cfg!(feature = "mongo"),
            "mongodb://u:hunter2@127.0.0.1:1/d?timeout=2s",
        ),
        (
            cfg!(feature = "mysql"),
            "mysql://u:hunter2@127.0.0.1:1/d?timeout=2s",
        ),
    ] {
        if on {
            let error = session::connect(url).await.expect_err(url);
            assert!(error.is_temporary(), "{url}: {error:?}");
            let mut shown = format!("{error} {error:?}");
            let mut source = std::error::Error::source(&error);
            while let Some(error) = source {
                shown += &format!(" {error} {error:?}");
                source = error.source();
            }
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
