//! One session's JSON, split into the cookie, the variables, and the fields that Express lacks.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use session_core::{
    Anchor, Data, Draft, Error, Lifetime, Owner, Record, Result, Stamp, Timeout, Ttl, Version,
};
use sha2::{Digest, Sha256};

use crate::expiry::{iso, millis};
use crate::extra::{Authenticator, EXTRA_KEY, Extra};
use crate::options::CookieOptions;

const COOKIE: &str = "cookie";
const ORIGINAL_MAX_AGE: &str = "originalMaxAge";
const EXPIRES: &str = "expires";
const NULL: Bytes = Bytes::from_static(b"null");

/// Keys that Express drops when it makes a session of a record (`session/session.js`: `if (!(prop
/// in this))`): the members of its `Session` object and of every JavaScript object.
const DROPPED_KEYS: [&str; 20] = [
    "id",
    "req",
    "touch",
    "resetMaxAge",
    "save",
    "reload",
    "destroy",
    "regenerate",
    "constructor",
    "toString",
    "toLocaleString",
    "valueOf",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "__proto__",
    "__defineGetter__",
    "__defineSetter__",
    "__lookupGetter__",
    "__lookupSetter__",
];

/// A session as Express stores it.
#[derive(Clone, Debug)]
pub(crate) struct SessionJson {
    cookie: Data,
    variables: Data,
    extra: Extra,
}

impl SessionJson {
    /// Decodes a record. It omits the keys that Express drops, and a value of [`EXTRA_KEY`] that
    /// was copied from another session; the next write removes them.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt) if Express would not read it as a
    /// session either, or if the value of [`EXTRA_KEY`] is not authentic.
    pub(crate) fn decode(json: &Bytes, authenticator: Authenticator<'_>) -> Result<Self> {
        let mut variables = Data::decode_as_javascript(json)?;
        let cookie = variables.remove(COOKIE);
        let cookie = cookie.and_then(|cookie| Data::decode_as_javascript(&cookie).ok());
        let cookie = cookie.ok_or_else(|| Error::corrupt("it has no object \"cookie\""))?;
        for key in DROPPED_KEYS {
            variables.remove(key);
        }
        let extra = variables.remove(EXTRA_KEY);
        let extra = extra
            .map(|extra| Extra::read(&extra, authenticator))
            .transpose()?;
        Ok(Self {
            cookie,
            variables,
            extra: extra.unwrap_or_default(),
        })
    }

    /// A new session, without variables.
    pub(crate) fn new(options: &CookieOptions) -> Self {
        Self {
            cookie: fresh_cookie(options),
            variables: Data::default(),
            extra: Extra::default(),
        }
    }

    /// Encodes the record. The cookie comes first, as express-session writes it.
    pub(crate) fn encode(&self, authenticator: Authenticator<'_>) -> Bytes {
        let extra = self
            .extra
            .is_needed()
            .then(|| self.extra.write(authenticator));
        self.encode_with(extra.flatten())
    }

    fn encode_with(&self, extra: Option<Bytes>) -> Bytes {
        let mut all = self.variables.clone();
        all.set_first(COOKIE, self.cookie.encode());
        if let Some(extra) = extra {
            all.set(EXTRA_KEY, extra);
        }
        all.encode()
    }

    /// A hash of the contents. It omits the id, `cookie.expires`, which a touch changes, and
    /// `began`, in which two writers of the same new session differ.
    pub(crate) fn stamp(&self) -> Stamp {
        let mut hashed = self.clone();
        hashed.cookie.remove(EXPIRES);
        let (owner, absolute) = (&self.extra.owner, self.extra.absolute);
        let extra = text_of(&(owner, absolute));
        let hash = Sha256::digest(hashed.encode_with(self.extra.is_needed().then_some(extra)));
        Stamp::from_bytes(hash.first_chunk().copied().unwrap_or_default())
    }

    /// The version of this session, stored as `stored`.
    pub(crate) fn version(&self, stored: Bytes) -> Version {
        Version::new(self.stamp()).with_stored(stored)
    }

    /// The record of this session, stored as `stored`, with `left` of its time left. `ttl` is its
    /// idle limit if its cookie ends with the browser.
    pub(crate) fn record(&self, stored: Bytes, ttl: Timeout, left: Ttl, now: u64) -> Record {
        Record::new(
            self.variables.encode(),
            self.version(stored),
            self.lifetime(ttl),
            left,
            self.age(now),
        )
        .with_owner(self.owner())
    }

    pub(crate) fn owner(&self) -> Option<Owner> {
        Owner::new(self.extra.owner.as_deref()?).ok()
    }

    pub(crate) fn lifetime(&self, ttl: Timeout) -> Lifetime {
        let idle = self.max_age().map_or(ttl, Timeout::After);
        let absolute = Timeout::from_millis(self.extra.absolute);
        Lifetime::new(idle.min(absolute), absolute)
    }

    /// The time since the session began; zero if Express created it, which stores no such time.
    pub(crate) fn age(&self, now: u64) -> Duration {
        let began = self.extra.began.unwrap_or(now);
        Duration::from_millis(now.saturating_sub(began))
    }

    /// The time left until the absolute limit.
    pub(crate) fn absolute_left(&self, now: u64) -> Ttl {
        let absolute = Timeout::from_millis(self.extra.absolute);
        Lifetime::new(Timeout::Never, absolute).left_after_use(self.age(now))
    }

    /// `cookie.originalMaxAge`; `None` for a cookie that ends with the browser.
    fn max_age(&self) -> Option<Duration> {
        let text = std::str::from_utf8(self.cookie.get(ORIGINAL_MAX_AGE)?).ok()?;
        // JavaScript's numbers may have a fraction or an exponent.
        let millis: f64 = text.trim().parse().ok()?;
        Some(Duration::from_millis(millis.max(1.0) as u64))
    }

    /// Whether the record contains its expiry time.
    pub(crate) fn has_expires(&self) -> bool {
        self.max_age().is_some()
    }

    /// Applies `draft` at `now`. Returns the new session and its time to live.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for a variable that
    /// Express would drop.
    pub(crate) fn apply(&self, draft: &Draft, ttl: Timeout, now: u64) -> Result<(Self, Ttl)> {
        let variables = Data::decode(&draft.data)?;
        check_keys(&variables)?;
        let mut new = self.clone();
        new.variables = variables;
        new.extra = Extra {
            owner: draft.owner.as_ref().map(|owner| owner.as_str().to_owned()),
            absolute: draft.lifetime.absolute.millis(),
            began: match draft.anchor {
                Anchor::Keep => self.extra.began.or(Some(now)),
                Anchor::Restart => Some(now),
            },
        };
        if draft.lifetime != self.lifetime(ttl) {
            new.set_max_age(draft.lifetime, ttl);
        }
        let left = new.refresh(draft.lifetime.idle, ttl, now);
        Ok((new, left))
    }

    /// This session touched at `now` with the idle limit `idle`, and its time to live.
    pub(crate) fn touched(&self, idle: Timeout, ttl: Timeout, now: u64) -> (Self, Ttl) {
        let mut new = self.clone();
        let left = new.refresh(idle, ttl, now);
        (new, left)
    }

    /// Sets `cookie.originalMaxAge` to the earlier limit, or to null if that is `ttl`, which
    /// Express' stores use for null. Express has no session without a limit.
    fn set_max_age(&mut self, lifetime: Lifetime, ttl: Timeout) {
        let limit = lifetime.idle.min(lifetime.absolute);
        let text = limit.millis().filter(|_| limit != ttl);
        let text = text.map_or(NULL, |millis| Bytes::from(millis.to_string()));
        self.cookie.set(ORIGINAL_MAX_AGE, text);
    }

    /// Updates `cookie.expires`, because Express would end a live session whose `expires` has
    /// passed. Returns the time to live.
    fn refresh(&mut self, idle: Timeout, ttl: Timeout, now: u64) -> Ttl {
        let idle = match idle {
            Timeout::Never => ttl,
            idle => idle,
        };
        let lifetime = Lifetime::new(idle, Timeout::from_millis(self.extra.absolute));
        let left = lifetime.left_after_use(self.age(now));
        let expires = match (self.max_age(), left) {
            (Some(_), Ttl::Left(left)) => text_of(&iso(now.saturating_add(millis(left)))),
            _ => NULL,
        };
        self.cookie.set(EXPIRES, expires);
        left
    }
}

/// Refuses keys that the record reserves or Express drops.
fn check_keys(variables: &Data) -> Result<()> {
    for (key, _) in variables.iter() {
        let why = match key {
            COOKIE => "is reserved: Express stores the cookie in it",
            EXTRA_KEY => "is reserved for the owner",
            key if DROPPED_KEYS.contains(&key) => "is dropped by Express when it loads a session",
            _ => continue,
        };
        return Err(Error::misconfigured(format!(
            "the session key {key:?} {why}: choose another key"
        )));
    }
    Ok(())
}

/// The cookie of a new session, with the keys that express-session writes, in its order.
fn fresh_cookie(options: &CookieOptions) -> Data {
    let mut cookie = Data::default();
    let mut set = |key: &str, value: Option<Bytes>| {
        if let Some(value) = value {
            cookie.set(key, value);
        }
    };
    let max_age = options
        .max_age
        .map(|limit| Bytes::from(millis(limit).to_string()));
    let yes = |is: bool| is.then(|| Bytes::from_static(b"true"));
    set(ORIGINAL_MAX_AGE, Some(max_age.unwrap_or(NULL)));
    set("partitioned", yes(options.partitioned));
    let priority = options.priority.map(|priority| text_of(priority.text()));
    set("priority", priority);
    set(EXPIRES, Some(NULL));
    set("secure", yes(options.secure));
    set("httpOnly", Some(text_of(&options.http_only)));
    let domain = options.domain.as_deref().map(text_of);
    set("domain", domain);
    set("path", Some(text_of(options.path.as_str())));
    let same_site = options.same_site.map(|same_site| text_of(same_site.text()));
    set("sameSite", same_site);
    cookie
}

/// The JSON text of a value whose encoding can't fail.
fn text_of<T: Serialize + ?Sized>(value: &T) -> Bytes {
    serde_json::to_vec(value).map_or(NULL, Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secrets;
    use proptest::prelude::*;
    use session_core::ErrorKind;
    use std::sync::LazyLock;

    const DAY: Timeout = Timeout::After(Duration::from_secs(86_400));
    const NOW: u64 = 1_795_542_986_092;

    static SECRETS: LazyLock<Secrets> = LazyLock::new(|| Secrets::new("s"));

    fn authenticator() -> Authenticator<'static> {
        Authenticator::new(&SECRETS, "sid")
    }

    fn read(json: impl Into<Bytes>) -> Result<SessionJson> {
        SessionJson::decode(&json.into(), authenticator())
    }

    fn decode(json: &str) -> SessionJson {
        read(json.to_owned()).expect("a session")
    }

    fn text(session: &SessionJson) -> String {
        String::from_utf8(session.encode(authenticator()).to_vec()).expect("JSON")
    }

    fn plain() -> CookieOptions {
        crate::Express::new("s").cookie().clone()
    }

    #[test]
    fn records_are_those_of_express() {
        let draft = Draft::new(r#"{"name":"Napoleon"}"#, Lifetime::idle(DAY));
        let (session, left) = SessionJson::new(&plain())
            .apply(&draft, DAY, NOW)
            .expect("good");
        assert_eq!(
            text(&session),
            r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"name":"Napoleon"}"#
        );
        assert_eq!(left, Ttl::from(DAY));

        let minute = Duration::from_secs(60);
        let options = CookieOptions {
            max_age: Some(minute),
            ..plain()
        };
        let draft = Draft::new("{}", Lifetime::idle(minute));
        let (session, left) = SessionJson::new(&options)
            .apply(&draft, DAY, NOW)
            .expect("good");
        assert_eq!(
            text(&session),
            r#"{"cookie":{"originalMaxAge":60000,"expires":"2026-11-24T17:57:26.092Z","httpOnly":true,"path":"/"}}"#
        );
        assert_eq!(left, Ttl::Left(minute));
    }

    #[test]
    fn unknown_members_are_written_back_as_they_were() {
        let json = r#"{"cookie":{"x":{ "y" :1.0},"originalMaxAge":59835,"expires":"2026-01-01T00:00:00.000Z","sameSite":"lax"},"big":12345678901234567890123,"odd":{ "a" : 1E2 }}"#;
        let session = decode(json);
        assert_eq!(text(&session), json);
        let lifetime = session.lifetime(DAY);
        assert_eq!(lifetime, Lifetime::idle(Duration::from_millis(59_835)));
        let draft = Draft::new(session.variables.encode(), lifetime);
        let (new, _) = session.apply(&draft, DAY, NOW).expect("good");
        assert_eq!(
            text(&new),
            json.replace("2026-01-01T00:00:00.000Z", &iso(NOW + 59_835))
        );
    }

    #[test]
    fn a_limit_equal_to_the_stores_ttl_stays_in_the_cookie() {
        let json = r#"{"cookie":{"originalMaxAge":86400000,"expires":"2026-01-01T00:00:00.000Z"}}"#;
        let session = decode(json);
        let draft = Draft::new("{}", session.lifetime(DAY));
        let (new, _) = session.apply(&draft, DAY, NOW).expect("good");
        assert!(text(&new).contains("\"originalMaxAge\":86400000"));
        assert!(new.has_expires());
    }

    #[test]
    fn a_longer_limit_is_set_in_the_cookie_and_removed_again() {
        let month = Duration::from_secs(30 * 86_400);
        let session = SessionJson::new(&plain());
        let draft = Draft::new("{}", Lifetime::idle(month));
        let (remembered, left) = session.apply(&draft, DAY, NOW).expect("good");
        assert!(text(&remembered).contains("\"originalMaxAge\":2592000000"));
        assert_eq!(left, Ttl::Left(month));
        let draft = Draft::new("{}", Lifetime::idle(DAY));
        let (back, left) = remembered.apply(&draft, DAY, NOW).expect("good");
        assert!(text(&back).contains(r#""originalMaxAge":null,"expires":null"#));
        assert_eq!(left, Ttl::from(DAY));
    }

    #[test]
    fn owner_and_absolute_limit_are_stored_in_the_record() {
        let hour = Duration::from_secs(3_600);
        let lifetime = Lifetime::new(hour, 12 * hour);
        let owner = Owner::new("user-1769").expect("good");
        let draft = Draft::new("{}", lifetime).with_owner(owner.clone());
        let (session, _) = SessionJson::new(&plain())
            .apply(&draft, DAY, NOW)
            .expect("good");
        let session = decode(&text(&session));
        assert_eq!(session.owner(), Some(owner));
        assert_eq!(session.lifetime(DAY), lifetime);
        let later = NOW + millis(11 * hour + hour / 2);
        assert_eq!(session.age(later), 11 * hour + hour / 2);
        let (touched, left) = session.touched(lifetime.idle, DAY, later);
        assert_eq!(left, Ttl::Left(hour / 2), "not past the absolute limit");
        assert!(text(&touched).contains(&iso(NOW + millis(12 * hour))));
        assert_eq!(touched.stamp(), session.stamp(), "a touch is no change");
        let over = session
            .touched(lifetime.idle, DAY, NOW + millis(13 * hour))
            .1;
        assert_eq!(over, Ttl::Left(Duration::ZERO));
    }

    #[test]
    fn a_stamp_depends_on_the_contents_and_not_on_expires() {
        let one = decode(r#"{"cookie":{"originalMaxAge":1000,"expires":"a"},"n":1}"#);
        let touched = decode(r#"{"cookie":{"originalMaxAge":1000,"expires":"b"},"n":1}"#);
        let changed = decode(r#"{"cookie":{"originalMaxAge":1000,"expires":"a"},"n":2}"#);
        let longer = decode(r#"{"cookie":{"originalMaxAge":2000,"expires":"a"},"n":1}"#);
        assert_eq!(one.stamp(), touched.stamp());
        assert_ne!(one.stamp(), changed.stamp());
        assert_ne!(one.stamp(), longer.stamp());
    }

    #[test]
    fn a_key_that_express_would_drop_is_refused_by_name() {
        for key in DROPPED_KEYS.into_iter().chain([COOKIE, EXTRA_KEY]) {
            let draft = Draft::new(format!(r#"{{"{key}":1}}"#), Lifetime::idle(DAY));
            let error = SessionJson::new(&plain()).apply(&draft, DAY, NOW);
            let error = error.expect_err("must be refused");
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn a_record_that_is_not_a_session_is_corrupt() {
        for json in [
            "",
            "[]",
            "[1]",
            "null",
            r#"{"n":1}"#,
            r#"{"cookie":false}"#,
            r#"{"cookie":null}"#,
            r#"{"cookie":[]}"#,
            r#"{"cookie":{}"#,
            r#"{"cookie":{},"n":"#,
        ] {
            let error = read(json).expect_err(json);
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{json}");
        }
    }

    #[test]
    fn odd_cookies_are_read_as_express_reads_them() {
        for cookie in [
            "{}",
            r#"{"originalMaxAge":null}"#,
            r#"{"originalMaxAge":false,"expires":false}"#,
            r#"{"originalMaxAge":"soon"}"#,
        ] {
            let session = decode(&format!(r#"{{"cookie":{cookie}}}"#));
            assert_eq!(session.lifetime(DAY), Lifetime::idle(DAY), "{cookie}");
        }
        for (age, millis) in [("1999.5", 1_999), ("2e3", 2_000), ("0", 1), ("-5", 1)] {
            let session = decode(&format!(r#"{{"cookie":{{"originalMaxAge":{age}}}}}"#));
            let idle = session.lifetime(DAY).idle.millis();
            assert_eq!(idle, Some(millis), "{age}");
        }
        let theirs = decode(r#"{"cookie":{},"_session":"mine"}"#);
        assert_eq!(theirs.variables.encode(), r#"{"_session":"mine"}"#);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(bytes);
        }

        #[test]
        fn no_cookie_makes_it_panic(cookie in "\\{(\"(originalMaxAge|expires)\":[-0-9eE.]{1,12},?)*\\}") {
            if let Ok(session) = read(format!("{{\"cookie\":{cookie}}}")) {
                let (touched, _) = session.touched(session.lifetime(DAY).idle, DAY, NOW);
                prop_assert!(read(touched.encode(authenticator())).is_ok());
            }
        }
    }
}
