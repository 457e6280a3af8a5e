use super::*;

const NOON: Duration = Duration::from_secs(12 * 3_600);

/// The day that the tests are on: Thu, 01 Jan 2026.
fn date() -> SystemTime {
    httpdate::parse_http_date("Thu, 01 Jan 2026 12:00:00 GMT").expect("a date")
}

fn https(path: &str) -> Target<'_> {
    Target {
        host: "shop.example.org",
        path,
        is_https: true,
    }
}

fn http(path: &str) -> Target<'_> {
    let is_https = false;
    Target {
        is_https,
        ..https(path)
    }
}

/// The `Cookie` header for `/` after these responses to `target`.
fn sent_after(headers: &[&str], target: Target<'_>) -> Result<String, Refusal> {
    let mut jar = Jar::default();
    for header in headers {
        jar.set(header, target, NOON, date())?;
    }
    Ok(jar.header(
        Target {
            path: "/",
            ..target
        },
        NOON,
    ))
}

#[test]
fn a_cookie_is_replaced_and_removed_by_the_same_name_host_and_path() {
    let site = https("/");
    for (headers, sent) in [
        (&["a=1; Path=/", "b=2", "a=3; Path=/"][..], "a=3; b=2"),
        (&["a=1; Path=/", "a=; Path=/; Max-Age=0"], ""),
        (&["a=1; Path=/", "a=; Path=/; max-age=-5"], ""),
        (&["a=1", "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], ""),
        // Of another path, and for other hosts: these are other cookies.
        (&["a=1; Path=/", "a=; Path=/x; Max-Age=0"], "a=1"),
        (&["a=1", "a=2; Domain=example.org", "a=; Max-Age=0"], "a=2"),
        // `Max-Age` counts where there is `Expires` too; one that can't be read does not.
        (
            &["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=9"],
            "a=1",
        ),
        (&["a=1; Max-Age=soon"], "a=1"),
        (&["a = b=c ; Path = /"], "a=b=c"),
    ] {
        assert_eq!(
            sent_after(headers, site).as_deref(),
            Ok(sent),
            "{headers:?}"
        );
    }
}

#[test]
fn what_browsers_refuse_is_refused() {
    let local = Target {
        host: "localhost",
        ..http("/")
    };
    for (header, target, is_taken) in [
        ("no name", https("/"), false),
        ("a=1; Secure", http("/"), false),
        ("a=1; Secure", local, true),
        ("__Secure-a=1", https("/"), false),
        ("__secure-a=1; Secure; Path=/x", https("/"), true),
        ("__Host-a=1; Secure; Path=/", https("/"), true),
        ("__Host-a=1; Path=/", https("/"), false),
        ("__Host-a=1; Secure", https("/"), false),
        ("__Host-a=1; Secure; Path=/x", https("/"), false),
        (
            "__host-a=1; Secure; Path=/; Domain=shop.example.org",
            https("/"),
            false,
        ),
        ("a=1; Domain=.example.org", https("/"), true),
        ("a=1; Domain=SHOP.example.org", https("/"), true),
        ("a=1; Domain=p.example.org", https("/"), false),
        ("a=1; Domain=mail.example.org", https("/"), false),
        ("a=1; Domain=w.shop.example.org", https("/"), false),
    ] {
        let taken = Jar::default().set(header, target, NOON, date());
        assert_eq!(taken.is_ok(), is_taken, "{header}: {taken:?}");
    }
}

#[test]
fn a_cookie_goes_to_its_host_and_below_its_path() {
    let mut jar = Jar::default();
    for header in [
        "here=1; Path=/",
        "all=1; Domain=example.org; Path=/",
        "folder=1",
        "secure=1; Path=/app/cart; Secure",
    ] {
        let set = jar.set(header, https("/app/page"), NOON, date());
        set.expect("good");
    }
    let other = |host| Target { host, ..https("/") };
    for (target, sent) in [
        (https("/"), "here=1; all=1"),
        (https("/app"), "folder=1; here=1; all=1"),
        (https("/apple"), "here=1; all=1"),
        (https("/app/cart"), "secure=1; folder=1; here=1; all=1"),
        (http("/app/cart"), "folder=1; here=1; all=1"),
        (other("example.org"), "all=1"),
        (other("mail.EXAMPLE.org"), "all=1"),
        (other("w.shop.example.org"), "all=1"),
        (other("anexample.org"), ""),
    ] {
        let (host, path) = (target.host, target.path);
        assert_eq!(jar.header(target, NOON), sent, "{host}{path}");
    }
}

#[test]
fn a_cookie_goes_when_its_time_is_over() {
    let mut jar = Jar::default();
    for header in [
        "minute=1; Max-Age=60",
        "hour=1; Expires=Thu, 01 Jan 2026 13:00:00 GMT",
        "window=1",
    ] {
        jar.set(header, https("/"), NOON, date()).expect("good");
    }
    let second = Duration::from_secs(1);
    for (after, sent) in [
        (59, "minute=1; hour=1; window=1"),
        (60, "hour=1; window=1"),
        (3_599, "hour=1; window=1"),
        (3_600, "window=1"),
    ] {
        let now = NOON + after * second;
        assert_eq!(jar.header(https("/"), now), sent, "after {after} s");
    }
}
