//! What `connect` says to URLs it can't use, whatever features are on.

use session_store::{ErrorKind, Location, Result, Schemes};

async fn refused(url: &str) -> String {
    let error = session_store::connect(url).await.expect_err(url);
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{url}: {error}");
    format!("{error} {error:?}")
}

#[tokio::test]
async fn an_unknown_scheme_lists_the_known_ones() {
    let message = refused("oracle://u:hunter2@localhost/").await;
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
        "postgres://",
        "postgresql://",
        "sqlite:",
    ] {
        assert!(message.contains(known), "{message} lists {known}");
    }
    assert!(!message.contains("hunter2"), "{message}");
}

/// Those compiled in are told apart from those whose feature is off.
#[tokio::test]
async fn an_unknown_scheme_names_the_features_that_are_off() {
    let message = refused("oracle://localhost/").await;
    for (is_on, feature) in [
        (cfg!(feature = "memory"), "memory"),
        (cfg!(feature = "redis"), "redis"),
        (cfg!(feature = "mongo"), "mongo"),
        (cfg!(feature = "mysql"), "mysql"),
        (cfg!(feature = "postgres"), "postgres"),
        (cfg!(feature = "sqlite"), "sqlite"),
    ] {
        let is_named_off = message.contains(&format!("feature \"{feature}\""))
            || message.contains(&format!("feature \\\"{feature}\\\""));
        assert_eq!(is_named_off, !is_on, "{feature}: {message}");
    }
}

#[tokio::test]
async fn what_may_be_a_part_of_a_password_is_not_shown() {
    for url in [
        "memory://:hun?ter2@h/",
        "redis://:hun?ter2@h/",
        "mongodb://u:hun?ter2@h/d",
        "mysql://u:hun?ter2@h/d",
        "mysql://u:hun?table=x&ter2@h/d",
        "postgres://u:hun?ter2=x@h/d",
    ] {
        let message = refused(url).await;
        assert!(!message.contains("ter2"), "{message}");
        assert!(message.contains("part of a password"), "{message}");
    }
    // As an option's name, as a value, behind a #, and of a length that an option has.
    for scheme in [
        "memory",
        "redis",
        "rediss",
        "valkey",
        "redis+sentinel",
        "mongodb",
        "mysql",
        "mariadb",
        "postgres",
        "sqlite",
    ] {
        for password in [
            "hun?ter2=x",
            "hun?timeout=ter2",
            "hun?max_data=1&ter2=1",
            "hun?table=ter2",
            "h#n?ter2=x",
            "hun?a#ter2=x",
        ] {
            let message = refused(&format!("{scheme}://u:{password}@h/d")).await;
            assert!(!message.contains("ter2"), "{message}");
            assert!(message.contains("part of a password"), "{message}");
        }
    }
    for socket in ["unix", "redis+unix"] {
        let message = refused(&format!("{socket}:/s?user=u&pass=hun@ter2")).await;
        assert!(!message.contains("ter2"), "{message}");
        assert!(message.contains("%40"), "{message}");
    }
}

/// As `%40`, it is a part of an option as any other.
#[cfg(all(feature = "redis", feature = "tls"))]
#[tokio::test]
async fn an_at_sign_that_is_encoded_may_be_in_an_option() {
    let url = "rediss://127.0.0.1:1/?prefix=a%40b&ca_file=no%40file&timeout=100ms";
    let message = refused(url).await;
    assert!(message.contains("no@file"), "{message}");
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
        (
            cfg!(feature = "postgres"),
            "postgres://u:hunter2@h/",
            "postgres",
        ),
        (
            cfg!(feature = "postgres"),
            "postgresql://u:hunter2@h/",
            "postgres",
        ),
        (cfg!(feature = "sqlite"), "sqlite:hunter2.db", "sqlite"),
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
    for url in [
        "memory:?table=x",
        "memory:?tabel=x",
        "memory:?max_data=1&max_data=2",
    ] {
        let message = refused(url).await;
        for known in ["max_sessions", "max_data", "expiry_grace"] {
            assert!(message.contains(known), "{message} lists {known}");
        }
    }
    session_store::connect("memory:?max_sessions=5&max_data=100&expiry_grace=5s")
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

/// A URL for each backend that is on, with `hunter2` as its password and these options.
fn urls(place: &str, options: &str) -> Vec<String> {
    let all = [
        (cfg!(feature = "redis"), "redis", "/"),
        (cfg!(feature = "mongo"), "mongodb", "/d"),
        (cfg!(feature = "mysql"), "mysql", "/d"),
        (cfg!(feature = "postgres"), "postgres", "/d"),
    ];
    let on = all.into_iter().filter(|(is_on, ..)| *is_on);
    on.map(|(_, scheme, path)| format!("{scheme}://u:hunter2@{place}{path}?{options}"))
        .collect()
}

/// Everything that an error shows, and that its causes show.
fn shown(error: &session_store::Error) -> Vec<String> {
    let mut shown = vec![format!("{error} {error:?}")];
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        shown.push(format!("{error}"));
        shown.push(format!("{error:?}"));
        source = error.source();
    }
    shown
}

#[tokio::test]
async fn an_option_that_can_not_be_right_is_named_by_every_backend() {
    for (option, named) in [
        ("timeout=soon", "soon"),
        ("max_data=many", "many"),
        ("migrate=perhaps", "perhaps"),
        ("timeout=1s&timeout=2s", "timeout"),
        ("max_sessions=5", "max_sessions"),
    ] {
        for url in urls("127.0.0.1:1", option) {
            let message = refused(&url).await;
            assert!(message.contains(named), "{url}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
    // An option of another backend lists those of this one.
    for url in urls("127.0.0.1:1", "max_sessions=5") {
        let message = refused(&url).await;
        for known in ["timeout", "max_data", "migrate"] {
            assert!(message.contains(known), "{message} lists {known}");
        }
    }
}

/// What happens to a connection, and what the error says of it.
#[tokio::test]
async fn a_server_that_fails_is_told_with_its_cause_and_without_the_password() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let refusing = closed.local_addr().expect("bound").to_string();
    drop(closed);
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent_at = silent.local_addr().expect("bound").to_string();
    for (place, causes) in [
        (refusing.as_str(), &["refused"][..]),
        (silent_at.as_str(), &["time", "no answer", "deadline"][..]),
        // Reserved for names that are never there (RFC 2606).
        ("nowhere.invalid:1", &["lookup", "resolve", "nowhere"][..]),
    ] {
        for url in urls(place, "timeout=1s") {
            let error = session_store::connect(&url).await.expect_err(&url);
            assert!(error.is_temporary(), "{url}: {error:?}");
            let message = error.to_string().to_lowercase();
            let is_told = causes.iter().any(|cause| message.contains(cause));
            assert!(is_told, "{url}: {message} tells one of {causes:?}");
            for text in shown(&error) {
                assert!(!text.contains("hunter2"), "{url}: {text}");
            }
        }
    }
}

/// A third party's function, which passes on to another store what it has read.
async fn connect_own(
    mut location: Location,
) -> Result<std::sync::Arc<dyn session_store::SessionStore>> {
    let timeout = location.take_timeout()?;
    let max_data = location.take_max_data()?;
    let migrate = location.take_migrate()?;
    let table = location.take("table");
    let size = location.take_parsed::<u8>("size", "16")?;
    location.finish_with(&["region"])?;
    Err(session_store::Error::misconfigured(format!(
        "read {timeout:?} {max_data:?} {migrate:?} {table:?} {size:?}, left {}",
        location.driver_url()
    )))
}

/// What a program says that has registered a scheme of its own.
async fn refused_by(schemes: &Schemes, url: &str) -> String {
    let error = schemes.connect(url).await.expect_err(url);
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{url}: {error}");
    error.to_string()
}

#[tokio::test]
async fn a_third_partys_scheme_gets_the_options_as_the_built_in_ones_do() {
    let schemes = Schemes::new().scheme("own", connect_own);
    let url = "own://h/d?timeout=2s&max_data=9&region=x%20y&migrate=false&table=a%26b&size=7#f";
    let read = refused_by(&schemes, url).await;
    let options = "read Some(2s) Some(9) Some(false) Some(\"a&b\") Some(7)";
    assert!(read.contains(options), "{read}");
    assert!(read.contains("left own://h/d?region=x%20y#f"), "{read}");
    for (options, named) in [
        (
            "timeout=soon",
            "the URL option timeout is \"soon\": it must be like 500ms",
        ),
        (
            "size=1000",
            "the URL option size is \"1000\": it must be like 16",
        ),
        ("size=1&size=2", "invalid option \"size\" in the URL"),
        (
            "prefix=a",
            "own URLs take timeout, max_data, migrate, table, size, region, each once",
        ),
        (
            "sise=1",
            "invalid option \"sise\" in the URL: own URLs take timeout",
        ),
        ("sise=1", "size, region"),
        ("hunter2@h=1", "part of a password"),
    ] {
        let message = refused_by(&schemes, &format!("own://u@h/?{options}")).await;
        assert!(message.contains(named), "{options}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    // The built-in ones are there beside it, and `connect` does not know of it.
    let unknown = refused_by(&schemes, "oracle://h/").await;
    assert!(unknown.contains("own://") && unknown.contains("redis://"));
    assert!(!refused("own://h/").await.contains("own://"));
}

#[tokio::test]
async fn a_built_in_scheme_can_be_replaced() {
    for name in ["redis", "redis:", "redis://"] {
        let schemes = Schemes::default().scheme(name, connect_own);
        let read = refused_by(&schemes, "redis://h/?size=3").await;
        assert!(read.contains("Some(3), left redis://h/"), "{read}");
        assert_eq!(format!("{schemes:?}").matches("\"redis:").count(), 1);
    }
}

#[tokio::test]
async fn a_location_shows_no_password() {
    async fn show(location: Location) -> Result<std::sync::Arc<dyn session_store::SessionStore>> {
        Err(session_store::Error::misconfigured(format!("{location:?}")))
    }
    let schemes = Schemes::new().scheme("own", show);
    let shown = refused_by(&schemes, "own://u:hunter2@h/?a=hunter2").await;
    assert!(
        shown.contains("own") && !shown.contains("hunter2"),
        "{shown}"
    );
}

/// What belongs to a built-in backend may be an option of another driver, under the same name.
#[tokio::test]
async fn a_drivers_option_may_have_the_name_of_a_built_in_one() {
    async fn connect(
        location: Location,
    ) -> Result<std::sync::Arc<dyn session_store::SessionStore>> {
        location.finish_with(&["table"])?;
        Err(session_store::Error::misconfigured(location.driver_url()))
    }
    async fn without(
        location: Location,
    ) -> Result<std::sync::Arc<dyn session_store::SessionStore>> {
        location.finish_with(&[])?;
        Err(session_store::Error::misconfigured(location.driver_url()))
    }
    let schemes = Schemes::new()
        .scheme("own", connect)
        .scheme("bare", without);
    assert_eq!(
        refused_by(&schemes, "own://h?table=t").await,
        "own://h?table=t"
    );
    let refused = refused_by(&schemes, "own://h?prefix=t").await;
    assert!(
        refused.ends_with("own URLs take table, each once"),
        "{refused}"
    );
    let refused = refused_by(&schemes, "bare://h?x=1").await;
    assert!(refused.ends_with("bare URLs take no options"), "{refused}");
}
