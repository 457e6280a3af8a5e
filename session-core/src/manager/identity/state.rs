//! What a record keeps of its token: the contents of a credential.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version in the high half, flags in the low one |
//! | 32 | verifier: SHA-256 of the whole token |
//! | 16 | first bytes of the SHA-256 of the lineage |
//! | 2 | generation |
//! | 6 | age of the session when the lineage began |
//! | 3 | grace, if it is not 60 s |
//! | 16, 16, 6, 6 | if renewed: previous verifier (cut), salt, age at the renewal, age at its confirmation |
//! | 4 each | up to 8 replaced stamps, latest first |
//!
//! Numbers are big-endian, times in milliseconds; the greatest age is "not yet".

use std::time::Duration;

use super::trail::Trail;
use crate::contract::token::{Verifier, fill_random};
use crate::{Credential, Error, Result, SessionToken, Stamp};

const VERSION: u8 = 1 << 4;
/// It has been renewed.
const RENEWED: u8 = 1;
/// Its grace is not the default.
const GRACE: u8 = 2;
/// It was made for a visitor, who may have planted it on another. With an owner: another framework
/// has signed them in, and no authentication here is known.
const GUEST: u8 = 4;
const KNOWN_FLAGS: u8 = RENEWED | GRACE | GUEST;

/// Bytes of an age, and the age that stands for "not yet".
const AGE: usize = 6;
const NOT_YET: u64 = (1 << 48) - 1;

/// In the place of the lineage of a token that has none. No token's lineage has this hash.
const NO_LINEAGE: [u8; 16] = [0; 16];

/// An age of the session, in milliseconds by the store's clock.
pub(super) type Age = u64;

pub(super) fn millis(age: Duration) -> Age {
    u64::try_from(age.as_millis()).map_or(NOT_YET - 1, |age| age.min(NOT_YET - 1))
}

/// How long a replaced token opens a session once its successor has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Grace(u32);

impl Grace {
    /// A minute: it must exceed the time that a request or an answer may be late.
    pub(crate) const DEFAULT: Self = Self(60_000);
    /// What three bytes can say: over four hours and a half.
    pub(crate) const MAX: Duration = Duration::from_millis((1 << 24) - 1);

    /// A grace of this length, at most [`MAX`](Self::MAX), in whole milliseconds.
    pub(crate) fn new(grace: Duration) -> Self {
        Self(grace.min(Self::MAX).as_millis() as u32)
    }

    pub(crate) const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }
}

/// What a record keeps of its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenState {
    pub(super) verifier: Verifier,
    pub(super) lineage: [u8; 16],
    pub(super) generation: u16,
    /// When the lineage began.
    pub(super) issued: Age,
    pub(super) grace: Grace,
    pub(super) is_guests: bool,
    pub(super) renewed: Option<Renewed>,
    trail: Trail,
}

/// The latest renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Renewed {
    /// The first half of the verifier of the token that was replaced.
    pub(super) previous: [u8; 16],
    /// What its successor is derived with.
    pub(super) salt: [u8; 16],
    pub(super) at: Age,
    /// When a client presented the successor for the first time.
    pub(super) confirmed: Option<Age>,
}

impl TokenState {
    /// Of a token that begins a lineage when the session has this age. A `guest`'s is never
    /// renewed: an attacker who planted it on a visitor could end their session with the old one.
    pub(crate) fn of(token: &SessionToken, age: Duration, grace: Grace, is_guests: bool) -> Self {
        Self {
            verifier: token.verifier(),
            lineage: token.lineage().unwrap_or(NO_LINEAGE),
            generation: token.generation(),
            issued: millis(age),
            grace,
            is_guests,
            renewed: None,
            trail: Trail::default(),
        }
    }

    /// After a write that replaces the write `replaced` and leaves the token as it is. Every write
    /// but a touch does that, whatever else it does.
    pub(crate) fn written_over(mut self, replaced: Stamp) -> Self {
        self.trail = self.trail.after(replaced);
        self
    }

    /// With a new token of a new lineage, which begins at this age. Nothing of the old one opens
    /// the session.
    pub(crate) fn reissued(self, token: &SessionToken, age: Duration, grace: Grace) -> Self {
        let trail = self.trail;
        Self {
            trail,
            ..Self::of(token, age, grace, false)
        }
    }

    /// The same, of an owner whom another framework has signed in.
    pub(crate) const fn signed_in_elsewhere(mut self) -> Self {
        self.is_guests = true;
        self
    }

    /// Whether the owner, if there is one, is known to have authenticated here.
    pub(crate) const fn is_of_own_sign_in(&self) -> bool {
        !self.is_guests
    }

    /// With a successor of `token`, which is the current one, and the salt that it is derived with.
    pub(crate) fn renewed(
        self,
        token: &SessionToken,
        age: Duration,
        grace: Grace,
    ) -> (Self, [u8; 16]) {
        let mut salt = [0; 16];
        fill_random(&mut salt);
        let successor = token.successor(&salt);
        let verifier = successor.verifier();
        let mut previous = [0; 16];
        previous.copy_from_slice(&self.verifier[..16]);
        let is_takeover = !token.is_native();
        let state = Self {
            verifier,
            lineage: successor.lineage().unwrap_or(NO_LINEAGE),
            generation: successor.generation(),
            issued: if is_takeover {
                millis(age)
            } else {
                self.issued
            },
            grace,
            renewed: Some(Renewed {
                previous,
                salt,
                at: millis(age),
                confirmed: None,
            }),
            ..self
        };
        (state, salt)
    }

    /// With its successor seen at this age.
    pub(crate) fn confirmed(mut self, age: Duration) -> Self {
        if let Some(renewed) = &mut self.renewed {
            renewed.confirmed.get_or_insert(millis(age));
        }
        self
    }

    /// The same session, opened by another token: for a session in a cookie, which its seal has
    /// opened.
    fn opened_by(mut self, token: &SessionToken) -> Self {
        self.verifier = token.verifier();
        self
    }

    /// Whether the write `stamp` is known to have been replaced.
    pub(crate) fn knows(&self, stamp: Stamp) -> bool {
        self.trail.has(stamp)
    }

    /// What the lineage is known by.
    pub(crate) const fn lineage(&self) -> &[u8; 16] {
        &self.lineage
    }

    /// What changes with each new lineage. Another framework's token has none: it stands for
    /// itself.
    pub(crate) fn bound_to(&self) -> &[u8] {
        if self.lineage == NO_LINEAGE {
            &self.verifier
        } else {
            &self.lineage
        }
    }

    pub(crate) fn encode(&self) -> Credential {
        let mut bytes = Writer::default();
        let is_default = self.grace == Grace::DEFAULT;
        let flags = flag(RENEWED, self.renewed.is_some())
            | flag(GRACE, !is_default)
            | flag(GUEST, self.is_guests);
        bytes.put(&[VERSION | flags]);
        bytes.put(&self.verifier);
        bytes.put(&self.lineage);
        bytes.put(&self.generation.to_be_bytes());
        bytes.put_age(self.issued);
        if !is_default {
            bytes.put(&self.grace.0.to_be_bytes()[1..]);
        }
        if let Some(renewed) = &self.renewed {
            bytes.put(&renewed.previous);
            bytes.put(&renewed.salt);
            bytes.put_age(renewed.at);
            bytes.put_age(renewed.confirmed.unwrap_or(NOT_YET));
        }
        bytes.put(self.trail.as_bytes());
        bytes.credential()
    }

    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for bytes that [`encode`](Self::encode)
    /// does not make.
    pub(crate) fn decode(credential: &Credential) -> Result<Self> {
        let corrupt = || Error::corrupt("the session's credential is not one of this version");
        Self::read(credential.as_bytes()).ok_or_else(corrupt)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Reader(bytes);
        let [first] = bytes.take()?;
        let flags = first & 0x0f;
        if first & 0xf0 != VERSION || flags & !KNOWN_FLAGS != 0 {
            return None;
        }
        let has = |flag| flags & flag != 0;
        Some(Self {
            verifier: bytes.take()?,
            lineage: bytes.take()?,
            generation: u16::from_be_bytes(bytes.take()?),
            issued: bytes.age()?,
            grace: if has(GRACE) {
                let [a, b, c] = bytes.take()?;
                Grace(u32::from_be_bytes([0, a, b, c]))
            } else {
                Grace::DEFAULT
            },
            is_guests: has(GUEST),
            renewed: if has(RENEWED) {
                Some(Renewed {
                    previous: bytes.take()?,
                    salt: bytes.take()?,
                    at: bytes.age()?,
                    confirmed: bytes.age().map(|age| (age != NOT_YET).then_some(age))?,
                })
            } else {
                None
            },
            trail: Trail::decode(bytes.0)?,
        })
    }
}

impl Credential {
    /// Whether the write that left this credential has replaced the write `stamp`, directly or
    /// through up to seven others: so which of two copies of a session is the newer one. `false` says
    /// nothing. Of 500 million stamps, one is taken for another.
    #[must_use]
    pub fn has_replaced(&self, stamp: Stamp) -> bool {
        TokenState::decode(self).is_ok_and(|state| state.knows(stamp))
    }

    /// The credential that `token` opens, for a store that finds a session by other means than the
    /// ones of this library: in a cookie that its seal has opened, or in another framework's
    /// layout. `kept` is what it has kept of the last write's, if it has.
    #[must_use]
    pub fn opened_by(token: &SessionToken, kept: Option<&Self>) -> Self {
        let kept = kept.and_then(|kept| TokenState::decode(kept).ok());
        let state = match kept {
            Some(kept) => kept.opened_by(token),
            None => TokenState::of(token, Duration::ZERO, Grace::DEFAULT, true),
        };
        state.encode()
    }
}

const fn flag(flag: u8, is_set: bool) -> u8 {
    if is_set { flag } else { 0 }
}

struct Writer {
    bytes: [u8; Credential::MAX_BYTES],
    written: usize,
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            bytes: [0; Credential::MAX_BYTES],
            written: 0,
        }
    }
}

impl Writer {
    /// All parts together are at most 136 bytes.
    fn put(&mut self, part: &[u8]) {
        let end = self.written + part.len();
        self.bytes[self.written..end].copy_from_slice(part);
        self.written = end;
    }

    fn put_age(&mut self, age: Age) {
        self.put(&age.to_be_bytes()[8 - AGE..]);
    }

    fn credential(self) -> Credential {
        let credential = Credential::from_stored(&self.bytes[..self.written]);
        credential
            .ok()
            .flatten()
            .expect("a credential has 57 to 136 bytes")
    }
}

struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (part, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*part)
    }

    fn age(&mut self) -> Option<Age> {
        let bytes: [u8; AGE] = self.take()?;
        let mut age = [0; 8];
        age[8 - AGE..].copy_from_slice(&bytes);
        Some(Age::from_be_bytes(age))
    }
}
