//! What a client's `User-Agent` header says, as far as a user needs it to recognise a device.
//!
//! A table and not a crate: `woothee` (0.13) brings `regex`, and the parsers that follow the uap-core
//! project several hundred regular expressions, which are compiled when the program starts. A page
//! of "my devices" needs a family and a system, and no versions.

use http::HeaderMap;
use http::header::USER_AGENT;
use session_core::Description;

/// What a browser's text contains, and its family. The first that fits counts: most browsers also
/// name those that they are built on.
const BROWSERS: [(&str, &str); 26] = [
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("Edge/", "Edge"),
    ("OPR/", "Opera"),
    ("OPT/", "Opera"),
    ("OPiOS/", "Opera"),
    ("Opera", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("YaBrowser/", "Yandex Browser"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("UCBrowser/", "UC Browser"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("MSIE ", "Internet Explorer"),
    ("Trident/", "Internet Explorer"),
    ("curl/", "curl"),
    ("Wget/", "Wget"),
    ("python-requests/", "Python Requests"),
    ("okhttp/", "OkHttp"),
    ("PostmanRuntime/", "Postman"),
];

/// What a system's text contains, and its name. The first that fits counts.
const SYSTEMS: [(&str, &str); 11] = [
    ("Windows", "Windows"),
    ("iPad", "iPadOS"),
    ("iPhone", "iOS"),
    ("iPod", "iOS"),
    ("CrOS", "ChromeOS"),
    ("Android", "Android"),
    ("Macintosh", "macOS"),
    ("Tizen", "Tizen"),
    ("FreeBSD", "FreeBSD"),
    ("OpenBSD", "OpenBSD"),
    ("Linux", "Linux"),
];

/// How many bytes of the header are looked at. The longest of real browsers have about 300.
const MOST_BYTES: usize = 1024;

/// A client's browser and operating system, as its `User-Agent` header names them.
///
/// ```
/// use session_web::UserAgent;
///
/// let client = UserAgent::parse(
///     "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
/// );
/// assert_eq!(client.browser(), Some("Firefox"));
/// assert_eq!(client.system(), Some("Linux"));
/// ```
///
/// For people to read, and for no decision: a client may send any text. Safari on an iPad says that
/// it is on a Mac, unless its user asks for mobile sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserAgent {
    browser: Option<&'static str>,
    system: Option<&'static str>,
}

impl UserAgent {
    /// What the header of a request says; nothing if there is none, or it is not ASCII.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let text = headers.get(USER_AGENT).and_then(|text| text.to_str().ok());
        text.map(Self::parse).unwrap_or_default()
    }

    /// What the text of such a header says.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        // `floor_char_boundary` takes Rust 1.91.
        let mut bounds = (0..=text.len().min(MOST_BYTES)).rev();
        let end = bounds.find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let text = &text[..end];
        Self {
            browser: first_in(text, &BROWSERS),
            system: first_in(text, &SYSTEMS),
        }
    }

    /// The browser's family, such as `Firefox`, or the program, such as `curl`.
    #[must_use]
    pub const fn browser(&self) -> Option<&'static str> {
        self.browser
    }

    /// The operating system, such as `Windows` or `iOS`.
    #[must_use]
    pub const fn system(&self) -> Option<&'static str> {
        self.system
    }

    /// A session's description by it, for [`Session::describe`](crate::Session::describe).
    #[must_use]
    pub fn description(&self) -> Description {
        Description::new()
            .with_browser(self.browser.unwrap_or_default())
            .with_system(self.system.unwrap_or_default())
    }
}

fn first_in(text: &str, marks: &[(&str, &'static str)]) -> Option<&'static str> {
    let found = marks.iter().find(|(mark, _)| text.contains(mark));
    found.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// As the browsers send them.
    const REAL: [(&str, &str, &str); 29] = [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
            "Chrome",
            "Windows",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
            "Chrome",
            "macOS",
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
            "Chrome",
            "Linux",
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/131.0.0.0 Safari/537.36",
            "Chrome",
            "Linux",
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
            "Chrome",
            "Android",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/131.0.6778.73 Mobile/15E148 Safari/604.1",
            "Chrome",
            "iOS",
        ),
        (
            "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
            "Chrome",
            "ChromeOS",
        ),
        (
            "Mozilla/5.0 (Linux; Android 13; SM-S911B Build/TP1A.220624.014; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/131.0.6778.39 Mobile Safari/537.36",
            "Chrome",
            "Android",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.2903.51",
            "Edge",
            "Windows",
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; HD1913) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.6778.81 Mobile Safari/537.36 EdgA/131.0.2903.48",
            "Edge",
            "Android",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 EdgiOS/131.2903.51 Mobile/15E148 Safari/605.1.15",
            "Edge",
            "iOS",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/70.0.3538.102 Safari/537.36 Edge/18.19582",
            "Edge",
            "Windows",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
            "Firefox",
            "Windows",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 14.7; rv:132.0) Gecko/20100101 Firefox/132.0",
            "Firefox",
            "macOS",
        ),
        (
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
            "Firefox",
            "Linux",
        ),
        (
            "Mozilla/5.0 (Android 14; Mobile; rv:132.0) Gecko/132.0 Firefox/132.0",
            "Firefox",
            "Android",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 14_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/132.0 Mobile/15E148 Safari/605.1.15",
            "Firefox",
            "iOS",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_7_1) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Safari/605.1.15",
            "Safari",
            "macOS",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_7_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1",
            "Safari",
            "iOS",
        ),
        (
            "Mozilla/5.0 (iPad; CPU OS 17_7_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1",
            "Safari",
            "iPadOS",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 OPR/114.0.0.0",
            "Opera",
            "Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1 OPT/4.8.1",
            "Opera",
            "iOS",
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/26.0 Chrome/122.0.0.0 Mobile Safari/537.36",
            "Samsung Internet",
            "Android",
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Vivaldi/7.0.3495.11",
            "Vivaldi",
            "Linux",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 YaBrowser/24.6.0.0 Safari/537.36",
            "Yandex Browser",
            "Windows",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko",
            "Internet Explorer",
            "Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
            "",
            "iOS",
        ),
        ("curl/8.11.0", "curl", ""),
        ("Wget/1.21.4", "Wget", ""),
    ];

    #[test]
    fn real_clients_are_recognised() {
        for (text, browser, system) in REAL {
            let found = UserAgent::parse(text);
            let shown = (
                found.browser().unwrap_or_default(),
                found.system().unwrap_or_default(),
            );
            assert_eq!(shown, (browser, system), "{text}");
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, HeaderValue::from_static(text));
            assert_eq!(UserAgent::from_headers(&headers), found);
        }
    }

    #[test]
    fn other_texts_say_nothing() {
        let nothing = UserAgent::default();
        assert_eq!(UserAgent::from_headers(&HeaderMap::new()), nothing);
        let mut headers = HeaderMap::new();
        let odd = HeaderValue::from_bytes(b"Firefox/1\xff").expect("a header may have it");
        headers.insert(USER_AGENT, odd);
        assert_eq!(UserAgent::from_headers(&headers), nothing);
        for text in ["", "Mozilla/5.0", "firefox", "é🦀"] {
            assert_eq!(UserAgent::parse(text), nothing, "{text}");
        }
        let late = format!("{}é Firefox/1", "x".repeat(MOST_BYTES - 1));
        assert_eq!(UserAgent::parse(&late), nothing);
        assert!(nothing.description().is_empty());
    }

    #[test]
    fn every_description_by_it_fits_beside_a_label_and_an_address() {
        let longest = |marks: &[(&'static str, &'static str)]| {
            let names = marks.iter().map(|(_, name)| *name);
            names.max_by_key(|name| name.len())
        };
        let client = UserAgent {
            browser: longest(&BROWSERS),
            system: longest(&SYSTEMS),
        };
        let address = "2001:db80:1111:2222:3333:4444:5555:6666";
        let address: std::net::IpAddr = address.parse().expect("an address");
        let described = client.description().with_address(address);
        let left = Description::MAX_CONTENT_BYTES - described.as_bytes().len();
        assert!(left > 100, "{left} bytes are left for a label");
    }
}
