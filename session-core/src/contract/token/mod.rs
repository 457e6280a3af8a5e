//! The secret a client holds, and the name a store files its session under.

mod id;

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

pub use id::SessionId;

/// Characters of a token's parts: 96 random bits, 72 random bits, 12 bits, 144 random bits.
const ID: usize = 16;
const LINEAGE: usize = 12;
const GENERATION: usize = 2;
const SECRET: usize = 24;
/// Where each part ends.
const LINEAGE_END: usize = ID + LINEAGE;
const GENERATION_END: usize = LINEAGE_END + GENERATION;
/// Random bytes of a lineage and of a secret.
const LINEAGE_BYTES: usize = LINEAGE / 4 * 3;
const SECRET_BYTES: usize = SECRET / 4 * 3;
/// How many generations there are: what two characters can say.
const GENERATIONS: u16 = 1 << 12;

/// What other frameworks' session ids are hashed with, so that no hash serves for another.
const FOREIGN_ID: &[u8] = b"session id v1\0";
const FOREIGN_VERIFIER: &[u8] = b"session verifier v1\0";
const RENEWAL: &[u8] = b"renewal v1";
const TAKEOVER: &[u8] = b"takeover v1";

/// A SHA-256, or the first part of one.
pub(crate) type Verifier = [u8; 32];

/// The secret that a client presents: 54 URL-safe characters.
///
/// | characters | part | what it is |
/// |---|---|---|
/// | 16 | id | 96 random bits: the name of the session, from its creation to its end; no secret |
/// | 12 | lineage | 72 random bits: new with each new token (create, sign-in, `cycle_id`), kept by renewals |
/// | 2 | generation | how often the token was renewed, modulo 4,096 |
/// | 24 | secret | 144 random bits |
///
/// 216 of its bits are new in each new token; OWASP ASVS 5.0 §7.2.3 asks for 128. Clones share one
/// text, which is zeroised when the last of them is dropped, compared in constant time and redacted
/// in `Debug`. A token has neither `Display` nor `Serialize`: the only way to its text is
/// [`expose`](Self::expose). Stores never see it; they file a session under its [`SessionId`] and
/// keep a hash of the rest.
#[derive(Clone)]
pub struct SessionToken(Arc<Secret>);

/// Shared by the clones of a token, so that there is one copy to zeroise.
struct Secret {
    text: Text,
    id: SessionId,
}

enum Text {
    /// As this library makes them.
    Native([u8; SessionToken::CHARS]),
    /// As another framework has made it, for a session that is filed natively.
    Foreign(Box<str>),
    /// As another framework has made it, for a session that is filed under this very text.
    Plain(Box<str>),
}

impl SessionToken {
    /// The length of a token in characters (and bytes: they are ASCII).
    pub const CHARS: usize = GENERATION_END + SECRET;

    /// A new random token, of a new session.
    ///
    /// # Panics
    /// If the operating system's random generator fails; no session may be handed out then.
    #[must_use]
    pub fn generate() -> Self {
        const ID_BYTES: usize = ID / 4 * 3;
        let mut random = [0_u8; ID_BYTES + LINEAGE_BYTES + SECRET_BYTES];
        fill_random(&mut random);
        let mut text = [0_u8; Self::CHARS];
        let (id, rest) = random.split_at(ID_BYTES);
        encode(id, &mut text[..ID]);
        write_rest(rest, 0, &mut text);
        random.zeroize();
        Self::native(text)
    }

    /// The token in `presented`, if that is shaped like one: 54 characters of the URL-safe base64
    /// alphabet. Anything else is `None` and costs no I/O. A token that parses is still only a
    /// claim: it becomes a session by being found in a store, and is never adopted.
    #[must_use]
    pub fn parse(presented: &str) -> Option<Self> {
        let bytes: [u8; Self::CHARS] = presented.as_bytes().try_into().ok()?;
        // Without an early end, so that many are checked at once.
        let is_native = bytes.iter().fold(true, |all, byte| all & is_url_safe(byte));
        is_native.then(|| Self::native(bytes))
    }

    /// A token that another framework has made, of whatever shape: 1 to 255 bytes, for a session
    /// that is filed natively, under a hash of this text. The first write gives the client a token
    /// of this library's instead. Only for what was authenticated before, by a signature for
    /// instance: nothing else keeps made-up ones from being looked up.
    #[must_use]
    pub fn foreign(presented: &str) -> Option<Self> {
        fits(presented).then(|| {
            let hash = URL_SAFE_NO_PAD.encode(labelled(FOREIGN_ID, presented));
            let id = SessionId::of_token(&hash[..ID], false).presented_as(presented);
            Self::new(Text::Foreign(presented.into()), id)
        })
    }

    /// A token that another framework has made, for a session that is filed under this very text:
    /// 1 to 255 bytes. Only for the cookie format of such a layout
    /// ([`Capabilities::plain_ids`](crate::Capabilities::plain_ids)): it is the only kind of token
    /// that opens a record without a credential.
    #[must_use]
    pub fn plain(presented: &str) -> Option<Self> {
        fits(presented).then(|| Self::of_plain(presented.into()))
    }

    /// A new random token for such a session.
    ///
    /// # Panics
    /// As [`generate`](Self::generate).
    #[must_use]
    pub fn generate_plain() -> Self {
        let mut random = [0_u8; 24];
        fill_random(&mut random);
        let text = URL_SAFE_NO_PAD.encode(random);
        random.zeroize();
        Self::of_plain(text.into())
    }

    /// A token of this text, which has the characters of one.
    fn native(text: [u8; Self::CHARS]) -> Self {
        let id = std::str::from_utf8(&text[..ID]).unwrap_or_default();
        let id = SessionId::of_token(id, false);
        Self::new(Text::Native(text), id)
    }

    fn of_plain(text: Box<str>) -> Self {
        let id = SessionId::of_token(&text, true);
        Self::new(Text::Plain(text), id)
    }

    fn new(text: Text, id: SessionId) -> Self {
        Self(Arc::new(Secret { text, id }))
    }

    /// The secret text, for the `Set-Cookie` header and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        match &self.0.text {
            Text::Native(text) => std::str::from_utf8(text).unwrap_or_default(),
            Text::Foreign(text) | Text::Plain(text) => text,
        }
    }

    /// The id that this token's session is filed under: the first 16 characters of a native token,
    /// as many of the hash of a [`foreign`](Self::foreign) one, and a [`plain`](Self::plain) one
    /// itself.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.0.id.clone()
    }

    /// Whether this library has made it, for a native layout.
    #[must_use]
    pub fn is_native(&self) -> bool {
        matches!(self.0.text, Text::Native(_))
    }

    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.0.text, Text::Plain(_))
    }

    /// A new token of a new lineage for the session `id`, which is a native one.
    pub(crate) fn reissued(id: &SessionId) -> Self {
        let mut random = [0_u8; LINEAGE_BYTES + SECRET_BYTES];
        fill_random(&mut random);
        let token = Self::of_parts(id, &random, 0);
        random.zeroize();
        token
    }

    /// The token that a renewal with this salt makes of this one: it has the same id, and a native
    /// token's successor the same lineage.
    ///
    /// Derived, and not random, so that any request with this token can tell the client of it
    /// again: HKDF-SHA256 (RFC 5869) of the secret, and of nothing that a store knows alone.
    pub(crate) fn successor(&self, salt: &[u8; 16]) -> Self {
        let id = &self.0.id;
        let mut random = [0_u8; LINEAGE_BYTES + SECRET_BYTES];
        let (lineage, secret) = random.split_at_mut(LINEAGE_BYTES);
        let mut generation = 0;
        let expanded = match &self.0.text {
            Text::Native(text) => {
                generation = (self.generation() + 1) % GENERATIONS;
                // The characters were checked when it was parsed.
                let _ = URL_SAFE_NO_PAD.decode_slice(&text[ID..LINEAGE_END], lineage);
                let info = [RENEWAL, &text[..LINEAGE_END]].concat();
                derive(&text[GENERATION_END..], salt, &info, secret)
            }
            Text::Foreign(text) | Text::Plain(text) => {
                let info = [TAKEOVER, id.as_str().as_bytes()].concat();
                derive(text.as_bytes(), salt, &info, &mut random)
            }
        };
        expanded.expect("HKDF-SHA256 gives up to 8,160 bytes");
        let token = Self::of_parts(id, &random, generation);
        random.zeroize();
        token
    }

    /// A token of this id, with these bytes as its lineage and secret.
    fn of_parts(id: &SessionId, random: &[u8], generation: u16) -> Self {
        let mut text = [b'A'; Self::CHARS];
        // The id of a session with a credential has that many characters.
        let id = id.as_str().as_bytes();
        let known = id.len().min(ID);
        text[..known].copy_from_slice(&id[..known]);
        write_rest(random, generation, &mut text);
        Self::native(text)
    }

    /// What a credential keeps of the token. A native one is one block of SHA-256.
    pub(crate) fn verifier(&self) -> Verifier {
        match &self.0.text {
            Text::Native(text) => Sha256::digest(text).into(),
            Text::Foreign(text) | Text::Plain(text) => labelled(FOREIGN_VERIFIER, text),
        }
    }

    /// What a credential keeps of the lineage; `None` for another framework's token, which has
    /// none.
    pub(crate) fn lineage(&self) -> Option<[u8; 16]> {
        let Text::Native(text) = &self.0.text else {
            return None;
        };
        let hash = Sha256::digest(&text[ID..LINEAGE_END]);
        hash.first_chunk().copied()
    }

    /// How often it was renewed, modulo 4,096; 0 for another framework's.
    pub(crate) fn generation(&self) -> u16 {
        let Text::Native(text) = &self.0.text else {
            return 0;
        };
        let value = |at: usize| u16::from(value_of(text[at]));
        value(LINEAGE_END) << 6 | value(LINEAGE_END + 1)
    }

    fn bytes(&self) -> &[u8] {
        match &self.0.text {
            Text::Native(text) => text,
            Text::Foreign(text) | Text::Plain(text) => text.as_bytes(),
        }
    }
}

/// How many generations `later` is after `earlier`, where that is not half of all or more: a
/// generation is counted modulo 4,096 (as serial numbers are compared in RFC 1982).
pub(crate) fn is_later_generation(later: u16, earlier: u16) -> bool {
    let ahead = later.wrapping_sub(earlier) % GENERATIONS;
    (1..GENERATIONS / 2).contains(&ahead)
}

fn fits(presented: &str) -> bool {
    (1..=SessionId::MAX_BYTES).contains(&presented.len())
}

/// Writes lineage, generation and secret of a token.
fn write_rest(random: &[u8], generation: u16, text: &mut [u8; SessionToken::CHARS]) {
    let (lineage, secret) = random.split_at(LINEAGE_BYTES);
    encode(lineage, &mut text[ID..LINEAGE_END]);
    text[LINEAGE_END] = ALPHABET[usize::from(generation >> 6 & 63)];
    text[LINEAGE_END + 1] = ALPHABET[usize::from(generation & 63)];
    encode(secret, &mut text[GENERATION_END..]);
}

fn encode(bytes: &[u8], text: &mut [u8]) {
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, text);
    debug_assert_eq!(written, Ok(bytes.len() / 3 * 4));
}

fn derive(
    secret: &[u8],
    salt: &[u8],
    info: &[u8],
    out: &mut [u8],
) -> Result<(), hkdf::InvalidLength> {
    Hkdf::<Sha256>::new(Some(salt), secret).expand(info, out)
}

fn labelled(label: &[u8], text: &str) -> Verifier {
    let hash = Sha256::new().chain_update(label).chain_update(text);
    hash.finalize().into()
}

/// The URL-safe alphabet of RFC 4648 §5.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn value_of(character: u8) -> u8 {
    let at = ALPHABET.iter().position(|known| *known == character);
    u8::try_from(at.unwrap_or_default()).unwrap_or_default()
}

fn is_url_safe(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

impl Drop for Text {
    fn drop(&mut self) {
        match self {
            Self::Native(text) => text.zeroize(),
            Self::Foreign(text) | Self::Plain(text) => text.zeroize(),
        }
    }
}

impl PartialEq for SessionToken {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.bytes().ct_eq(other.bytes()).into()
    }
}

impl Eq for SessionToken {}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(redacted)")
    }
}

/// Fills `bytes` from the operating system's generator.
pub(crate) fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system's random generator failed");
}

#[cfg(test)]
mod tests;
