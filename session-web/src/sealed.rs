//! Sessions in the cookie itself: sealed (encrypted and authenticated) or signed.
//!
//! A cookie's value is base64url of what [`session_sealed::Sealer`] makes, or, signed, of
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version, 2 |
//! | 1–4 | which key |
//! | the rest | the content and its HMAC-SHA256 |
//!
//! The cookie's name is authenticated too, so a value is worth nothing under another name.
//!
//! The content:
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version, 3 |
//! | 1–32 | when the session began, its deadline, its idle and its absolute limit: 8 bytes each |
//! | 33–48 | stamp of the last write |
//! | 49 | bytes of the credential |
//! | 50 | bytes of the description, 0 for none |
//! | 51–52 | bytes of the owner, 0 for none |
//! | the rest | credential, description, owner, data |
//!
//! Numbers are big-endian, times in milliseconds, the greatest one is never. The limits are in
//! there because what a browser does with the cookie's own expiry enforces nothing; the credential
//! is in there so that a sign-in is the same one from request to request
//! ([`binding`](session_core::Session::binding)). It does not open the session: the seal does.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use session_core::{
    Anchor, Bytes, Credential, Description, Draft, Lifetime, Owner, Record, Result, SessionToken,
    Stamp, Timeout, Ttl, Version,
};
use session_sealed::{Key, KeyRing, Keys, Sealer};
use sha2::Sha256;

/// What stands between a cookie's value and that of the cookie with its signature: neither can
/// hold it.
pub(crate) const SIGNATURE_SEPARATOR: char = ';';

const SIGNED: u8 = 2;
const HEAD: usize = 5;
const MAC: usize = 32;
/// The version of the content.
const CONTENT: u8 = 3;
/// Bytes of the content before those of no fixed length.
const FIXED: usize = 1 + 4 * 8 + 16 + 1 + 1 + 2;
const NEVER: u64 = u64::MAX;

/// Whether the cookie can be read without the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Encrypted: they may not.
    Sealed,
    /// Signed only: they may.
    Signed,
}

/// Makes and opens the values of session cookies.
#[derive(Clone, Debug)]
pub(crate) enum CookieCodec {
    Sealed(Sealer),
    Signed(Keys),
    /// As an Express app keeps them, which says nothing of their lifetime.
    #[cfg(feature = "express")]
    Express(crate::express_cookies::ExpressCookies, Lifetime),
}

impl CookieCodec {
    /// Takes another lifetime for the values that say nothing of theirs.
    #[cfg_attr(
        not(feature = "express"),
        allow(unused_variables, reason = "ours say their lifetime")
    )]
    pub(crate) fn set_lifetime(&mut self, lifetime: Lifetime) {
        match self {
            Self::Sealed(_) | Self::Signed(_) => {}
            #[cfg(feature = "express")]
            Self::Express(_, known) => *known = lifetime,
        }
    }

    pub(crate) fn new(ring: &KeyRing, protection: Protection) -> Self {
        match protection {
            Protection::Sealed => Self::Sealed(Sealer::new(ring, b"session-web sealed cookie v1")),
            Protection::Signed => Self::Signed(ring.keys(b"session-web signed cookie v1")),
        }
    }

    /// The cookie's value for a session.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](session_core::ErrorKind::Unsupported) for what the format has no
    /// room for.
    pub(crate) fn encode(&self, name: &str, session: &Contents) -> Result<String> {
        let bytes = match self {
            Self::Sealed(sealer) => sealer.seal(name.as_bytes(), &session.encode()),
            Self::Signed(keys) => signed(keys.first(), name, &session.encode()),
            #[cfg(feature = "express")]
            Self::Express(cookies, _) => return cookies.encode(session),
        };
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What is in a cookie's value; `None` if it was not made with one of the keys, for a cookie
    /// of this name, as this version makes it.
    pub(crate) fn decode(&self, name: &str, value: &str) -> Option<Contents> {
        let decoded = || URL_SAFE_NO_PAD.decode(value).ok();
        match self {
            Self::Sealed(sealer) => Contents::decode(&sealer.open(name.as_bytes(), &decoded()?)?),
            Self::Signed(keys) => Contents::decode(verified(keys, name, &decoded()?)?),
            #[cfg(feature = "express")]
            Self::Express(cookies, lifetime) => cookies.open(value, *lifetime),
        }
    }

    /// Whether there is no room for a credential, so that a session's token is its id.
    pub(crate) const fn is_plain(&self) -> bool {
        match self {
            Self::Sealed(_) | Self::Signed(_) => false,
            #[cfg(feature = "express")]
            Self::Express(..) => true,
        }
    }

    /// A token for the session of one request.
    pub(crate) fn new_token(&self) -> SessionToken {
        match self.is_plain() {
            true => SessionToken::generate_plain(),
            false => SessionToken::generate(),
        }
    }

    /// The name of a second cookie, which holds the signature of the first.
    pub(crate) fn signature_name(&self) -> Option<String> {
        match self {
            Self::Sealed(_) | Self::Signed(_) => None,
            #[cfg(feature = "express")]
            Self::Express(cookies, _) => cookies.signature_name(),
        }
    }
}

fn signed(key: &Key, name: &str, content: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEAD + content.len() + MAC);
    value.push(SIGNED);
    value.extend(key.id);
    let mac = mac(key, &value, name, content).finalize();
    value.extend(content);
    value.extend(mac.into_bytes());
    value
}

fn verified<'v>(keys: &Keys, name: &str, value: &'v [u8]) -> Option<&'v [u8]> {
    let (head, rest) = value.split_at_checked(HEAD)?;
    let id: [u8; 4] = head[1..].try_into().ok()?;
    let (content, tag) = rest.split_at_checked(rest.len().checked_sub(MAC)?)?;
    // Compared in constant time.
    let signs = |key: &Key| mac(key, head, name, content).verify_slice(tag).is_ok();
    (head[0] == SIGNED && keys.named(id).any(signs)).then_some(content)
}

fn mac(key: &Key, head: &[u8], name: &str, content: &[u8]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(&key.bytes).expect("HMAC takes keys of any length");
    // The head is of one length, and the name can't hold a zero.
    mac.update(head);
    mac.update(name.as_bytes());
    mac.update(&[0]);
    mac.update(content);
    mac
}

/// A session as it is kept in a cookie. Times are Unix times of this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) began: u64,
    pub(crate) deadline: Option<u64>,
    pub(crate) lifetime: Lifetime,
    pub(crate) stamp: Stamp,
    pub(crate) credential: Option<Credential>,
    pub(crate) description: Option<Description>,
    pub(crate) owner: Option<Owner>,
    pub(crate) data: Bytes,
}

impl Contents {
    /// The session that `draft` makes at `now` of one that began at `began`.
    pub(crate) fn new(draft: &Draft, began: u64, now: u64) -> Self {
        let began = match draft.anchor {
            Anchor::Keep => began,
            Anchor::Restart => now,
        };
        let mut contents = Self {
            began,
            deadline: None,
            lifetime: draft.lifetime,
            stamp: draft.stamp,
            credential: draft.credential.clone(),
            description: draft.description.clone(),
            owner: draft.owner.clone(),
            data: draft.data.clone(),
        };
        contents.deadline = contents.deadline_after(draft.lifetime.idle, now);
        contents
    }

    /// When it ends if it is used at `now` and then left for `idle`.
    pub(crate) fn deadline_after(&self, idle: Timeout, now: u64) -> Option<u64> {
        let idle = idle.millis().map(|limit| now.saturating_add(limit));
        let absolute = self.lifetime.absolute.millis();
        let absolute = absolute.map(|limit| self.began.saturating_add(limit));
        match (idle, absolute) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The same, used at `now` and then left for `idle`.
    pub(crate) fn extended(&self, idle: Timeout, now: u64) -> Self {
        let deadline = match (self.deadline, self.deadline_after(idle, now)) {
            (Some(current), Some(extended)) => Some(current.max(extended)),
            _ => None,
        };
        Self {
            deadline,
            ..self.clone()
        }
    }

    pub(crate) fn is_live(&self, now: u64) -> bool {
        self.deadline.is_none_or(|deadline| now < deadline)
    }

    pub(crate) fn ttl(&self, now: u64) -> Ttl {
        self.deadline.map_or(Ttl::Never, |deadline| {
            Ttl::Left(Duration::from_millis(deadline.saturating_sub(now)))
        })
    }

    pub(crate) fn age(&self, now: u64) -> Duration {
        Duration::from_millis(now.saturating_sub(self.began))
    }

    pub(crate) fn record(&self, now: u64) -> Record {
        Record::new(
            self.data.clone(),
            Version::new(self.stamp),
            self.lifetime,
            self.ttl(now),
            self.age(now),
        )
        .with_credential(self.credential.clone())
        .with_description(self.description.clone())
        .with_owner(self.owner.clone())
    }

    fn encode(&self) -> Vec<u8> {
        let credential = Credential::stored(self.credential.as_ref());
        let description = Description::stored(self.description.as_ref());
        let owner = self.owner.as_ref().map_or("", Owner::as_str);
        let parts = [credential, description, owner.as_bytes(), &self.data];
        let size = FIXED + parts.iter().map(|part| part.len()).sum::<usize>();
        let mut bytes = Vec::with_capacity(size);
        bytes.push(CONTENT);
        let millis = |timeout: Timeout| timeout.millis().unwrap_or(NEVER);
        for number in [
            self.began,
            self.deadline.unwrap_or(NEVER),
            millis(self.lifetime.idle),
            millis(self.lifetime.absolute),
        ] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(self.stamp.as_bytes());
        // A credential has at most 192 bytes, a description 255, an owner 1,024.
        bytes.extend([credential.len() as u8, description.len() as u8]);
        bytes.extend((owner.len() as u16).to_be_bytes());
        bytes.extend(parts.concat());
        bytes
    }

    /// The session in these bytes; `None` if they are not as [`encode`](Self::encode) makes them.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Reader(bytes);
        if bytes.take()? != [CONTENT] {
            return None;
        }
        let began = u64::from_be_bytes(bytes.take()?);
        let deadline = bytes.millis()?;
        let lifetime = Lifetime::new(
            Timeout::from_millis(bytes.millis()?),
            Timeout::from_millis(bytes.millis()?),
        );
        let stamp = Stamp::from_bytes(bytes.take()?);
        let [credential_bytes, description_bytes] = bytes.take()?;
        let owner_bytes = u16::from_be_bytes(bytes.take()?);
        let credential = bytes.part(usize::from(credential_bytes))?;
        let description = bytes.part(usize::from(description_bytes))?;
        let owner = match bytes.part(usize::from(owner_bytes))? {
            [] => None,
            owner => Some(Owner::new(std::str::from_utf8(owner).ok()?).ok()?),
        };
        Some(Self {
            began,
            deadline,
            lifetime,
            stamp,
            credential: Credential::from_stored(credential).ok()?,
            description: Description::from_stored(description).ok()?,
            owner,
            data: Bytes::copy_from_slice(bytes.0),
        })
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (part, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*part)
    }

    /// Milliseconds; `None` within for never.
    fn millis(&mut self) -> Option<Option<u64>> {
        let millis = u64::from_be_bytes(self.take()?);
        Some((millis != NEVER).then_some(millis))
    }

    fn part(&mut self, size: usize) -> Option<&'b [u8]> {
        let (part, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(part)
    }
}

/// This server's clock: Unix time in milliseconds.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(NEVER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use session_sealed::Secret;

    fn contents() -> Contents {
        let lifetime = Lifetime::new(Duration::from_secs(60), Timeout::Never);
        let mut draft = Draft::new(r#"{"name":"Napoleon"}"#, lifetime)
            .with_owner(Owner::new("user-1769").expect("good"));
        draft.stamp = Stamp::from_bytes([7; 16]);
        draft.credential = Credential::from_stored(&[9; 3]).expect("short");
        draft.description = Description::from_stored(&[8; 2]).expect("short");
        Contents::new(&draft, 1_000, 2_000)
    }

    fn encoded(codec: &CookieCodec) -> String {
        codec.encode("id", &contents()).expect("there is room")
    }

    const PROTECTIONS: [Protection; 2] = [Protection::Sealed, Protection::Signed];

    #[test]
    fn what_was_closed_opens() {
        for protection in PROTECTIONS {
            let codec = CookieCodec::new(&KeyRing::new(Secret::generate()), protection);
            let value = encoded(&codec);
            assert_eq!(
                codec.decode("id", &value),
                Some(contents()),
                "{protection:?}"
            );
            assert_eq!(codec.decode("other", &value), None, "another cookie's");
            let readable = URL_SAFE_NO_PAD.decode(&value).expect("base64");
            let shows = readable.windows(8).any(|window| window == b"Napoleon");
            assert_eq!(shows, protection == Protection::Signed, "{protection:?}");
        }
    }

    /// Cookies outlive a deployment: a change of the layout needs another version.
    #[test]
    fn a_cookie_has_exactly_these_bytes() {
        let mut content = vec![3];
        for number in [1_000, 62_000, 60_000, u64::MAX] {
            content.extend(number.to_be_bytes());
        }
        content.extend([7; 16]);
        content.extend([3, 2, 0, 9]);
        content.extend([9; 3]);
        content.extend([8; 2]);
        content.extend(br#"user-1769{"name":"Napoleon"}"#);
        assert_eq!(contents().encode(), content);
        assert_eq!(Contents::decode(&content), Some(contents()));

        let ring = KeyRing::new(Secret::new([7; 32]).expect("32 bytes"));
        let signed = "AkfrVMEDAAAAAAAAA-gAAAAAAADyMAAAAAAAAOpg__________8HBwcHBwcHBwcHBwcHBwcHAwIACQkJ\
                      CQgIdXNlci0xNzY5eyJuYW1lIjoiTmFwb2xlb24ifU3FvIkU-U81hg0M73Q8NWXfsLmfMD2KRiHwTIK_eJBB";
        assert_eq!(
            encoded(&CookieCodec::new(&ring, Protection::Signed)),
            signed
        );
    }

    #[test]
    fn contents_of_another_version_or_cut_are_no_session() {
        let content = contents().encode();
        for version in [0, 1, 2, 4, 255] {
            let mut other = content.clone();
            other[0] = version;
            assert_eq!(Contents::decode(&other), None, "{version}");
        }
        let parts = FIXED + 3 + 2 + "user-1769".len();
        for length in 0..parts {
            assert_eq!(Contents::decode(&content[..length]), None, "{length}");
        }
        let mut bare = contents();
        (bare.owner, bare.credential, bare.deadline) = (None, None, None);
        bare.description = None;
        bare.data = Bytes::new();
        assert_eq!(Contents::decode(&bare.encode()), Some(bare));
    }

    #[test]
    fn anything_changed_opens_nothing() {
        for protection in PROTECTIONS {
            let codec = CookieCodec::new(&KeyRing::new(Secret::generate()), protection);
            let value = encoded(&codec);
            let bytes = URL_SAFE_NO_PAD.decode(&value).expect("base64");
            for n in 0..bytes.len() {
                let mut wrong = bytes.clone();
                wrong[n] ^= 1;
                let wrong = URL_SAFE_NO_PAD.encode(wrong);
                assert_eq!(codec.decode("id", &wrong), None, "changed at {n}");
                let short = URL_SAFE_NO_PAD.encode(&bytes[..n]);
                assert_eq!(codec.decode("id", &short), None, "cut at {n}");
            }
            for text in ["", "A", "!!!!", "AQ", "é"] {
                assert_eq!(codec.decode("id", text), None, "{text:?}");
            }
        }
    }

    #[test]
    fn a_signed_cookie_is_no_sealed_one() {
        let ring = KeyRing::new(Secret::generate());
        let [sealed, signed] = PROTECTIONS.map(|protection| CookieCodec::new(&ring, protection));
        let value = encoded(&signed);
        assert_eq!(sealed.decode("id", &value), None);
        assert_eq!(signed.decode("id", &encoded(&sealed)), None);
    }

    #[test]
    fn secrets_rotate() {
        let (old, new) = (Secret::generate(), Secret::generate());
        for protection in PROTECTIONS {
            let before = CookieCodec::new(&KeyRing::new(old.clone()), protection);
            let ring = KeyRing::new(new.clone()).with_previous(old.clone());
            let after = CookieCodec::new(&ring, protection);
            let value = encoded(&before);
            assert_eq!(
                after.decode("id", &value),
                Some(contents()),
                "an old cookie"
            );
            let value = encoded(&after);
            assert_eq!(before.decode("id", &value), None, "a new cookie");
            let dropped = CookieCodec::new(&KeyRing::new(new.clone()), protection);
            assert_eq!(dropped.decode("id", &encoded(&before)), None);
        }
    }
}
