//! The keys of a store, and how they are recognised.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::Cmd;
use session_core::{Owner, SessionId, SessionToken};
use sha2::{Digest, Sha256};

use crate::expiry::SHARDS;

/// Characters of an owner's hash in a key.
const HASH_CHARS: usize = 43;

/// The keys of the store with one prefix.
///
/// A session's key is the prefix and the id in braces, with all but URL-safe characters
/// percent-encoded. So the last `{` of a key is the one after the prefix, and two stores or ids
/// never share a key. The braces make the id the hash tag of Redis Cluster, which spreads sessions
/// over the slots, and distinguish the keys of sessions from those of owner indexes.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: String,
}

/// What one key of this store holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Session(SessionId),
    Owner,
    Expiry,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn session(&self, id: &SessionId) -> String {
        let mut key = String::new();
        self.write_session(id, &mut key);
        key
    }

    /// Replaces the content of `key` by the key of the session `id`.
    pub(crate) fn write_session(&self, id: &SessionId, key: &mut String) {
        key.clear();
        key.reserve(self.session_length(id));
        key.push_str(&self.prefix);
        key.push('{');
        encode(id.as_str(), key);
        key.push('}');
    }

    /// The length of a session's key if no character of its id is encoded.
    pub(crate) fn session_length(&self, id: &SessionId) -> usize {
        self.prefix.len() + id.as_str().len() + 2
    }

    /// What the keys of all sessions begin with, and no keys of owner indexes.
    pub(crate) fn session_prefix(&self) -> String {
        format!("{}{{", self.prefix)
    }

    /// Where the encoded id begins in a session's key, for Lua, which counts bytes from 1. It ends
    /// before the last one.
    pub(crate) fn id_position(&self) -> usize {
        self.prefix.len() + 2
    }

    pub(crate) fn owner(&self, owner: &Owner) -> String {
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(owner.as_str()));
        format!("{}owner:{hash}", self.prefix)
    }

    /// When to look for the sessions of a shard of the expiry index.
    pub(crate) fn expiry_due(&self, shard: u8) -> String {
        self.expiry(shard, "due")
    }

    /// What the index knows of them.
    pub(crate) fn expiry_known(&self, shard: u8) -> String {
        self.expiry(shard, "known")
    }

    /// Which of them are being told.
    pub(crate) fn expiry_claims(&self, shard: u8) -> String {
        self.expiry(shard, "claims")
    }

    /// The shard is the hash tag. No key of a session ends so.
    fn expiry(&self, shard: u8, part: &str) -> String {
        format!("{}expiry:{{{shard:02}}}.{part}", self.prefix)
    }

    /// The channel of this store's notices in a database.
    pub(crate) fn channel(&self, database: i64) -> String {
        format!("{}ended:{database}", self.prefix)
    }

    /// An id as it is written in keys and messages.
    pub(crate) fn encoded(&self, id: &SessionId) -> String {
        let mut encoded = String::new();
        encode(id.as_str(), &mut encoded);
        encoded
    }

    /// The id that is written so, if there is one.
    pub(crate) fn decoded(encoded: &str) -> Option<SessionId> {
        SessionId::from_stored(&decode(encoded)?).ok()
    }

    /// A new key with this store's prefix that holds nothing.
    pub(crate) fn scratch(&self) -> String {
        let id = SessionToken::generate().id();
        format!("{}scratch:{}", self.prefix, id.as_str())
    }

    /// A write that changes nothing. It goes before a read whose answer must be the primary's: a
    /// demoted server refuses it, so a session that this server lacks is not taken for ended. Not
    /// needed in a cluster, whose nodes know which keys they serve.
    pub(crate) fn no_op_write(&self) -> Cmd {
        let mut write = redis::cmd("UNLINK");
        write.arg(format!("{}scratch:", self.prefix));
        write
    }

    /// A glob that matches all keys of this store, and perhaps other keys: see
    /// [`kind`](Self::kind).
    pub(crate) fn pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.prefix.len() + 2);
        for c in self.prefix.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('*');
        pattern
    }

    /// The id of the session that `key` holds, if it is a session's key of this store.
    pub(crate) fn session_in(&self, key: &[u8]) -> Option<SessionId> {
        match self.kind(key)? {
            Kind::Session(id) => Some(id),
            Kind::Owner | Kind::Expiry => None,
        }
    }

    /// What `key` holds, if it is a key of this store.
    pub(crate) fn kind(&self, key: &[u8]) -> Option<Kind> {
        let rest = std::str::from_utf8(key).ok()?.strip_prefix(&self.prefix)?;
        if let Some(hash) = rest.strip_prefix("owner:") {
            return (hash.len() == HASH_CHARS && hash.bytes().all(is_url_safe))
                .then_some(Kind::Owner);
        }
        if let Some(rest) = rest.strip_prefix("expiry:{") {
            let (shard, part) = rest.split_once("}.")?;
            let shards = 0..SHARDS;
            let is_shard = shard.len() == 2 && shard.parse().is_ok_and(|one| shards.contains(&one));
            let is_part = ["due", "known", "claims"].contains(&part);
            return (is_shard && is_part).then_some(Kind::Expiry);
        }
        let id = decode(rest.strip_prefix('{')?.strip_suffix('}')?)?;
        let id = SessionId::from_stored(&id).ok()?;
        // An id has one encoding: other spellings are not keys of this store.
        (self.session(&id).as_bytes() == key).then_some(Kind::Session(id))
    }
}

/// A table, because every operation checks each character of an id.
const URL_SAFE: [bool; 256] = {
    let mut url_safe = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        url_safe[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        byte += 1;
    }
    url_safe
};

fn is_url_safe(byte: u8) -> bool {
    URL_SAFE[usize::from(byte)]
}

fn encode(text: &str, into: &mut String) {
    if text.bytes().all(is_url_safe) {
        return into.push_str(text);
    }
    for byte in text.bytes() {
        if is_url_safe(byte) {
            into.push(char::from(byte));
        } else {
            // Writing to a String can't fail.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let value = digit(rest.next())? * 16 + digit(rest.next())?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SessionId {
        SessionId::from_stored(text).expect("valid")
    }

    #[test]
    fn the_id_is_the_hash_tag() {
        let id = SessionToken::generate().id();
        let key = Keys::new("session:").session(&id);
        assert_eq!(key, format!("session:{{{}}}", id.as_str()));
        assert_eq!(hashed_part(&key), id.as_str());
    }

    #[test]
    fn keys_are_parsed_and_other_stores_keys_are_not() {
        let ids = [
            SessionToken::generate().id(),
            id("a"),
            id("{x"),
            id("07"),
            id("{AbCd}x}"),
            id("}{"),
            id("%41"),
            id("ü *?[]\\\0\n🍪"),
            id(&"x".repeat(255)),
        ];
        let prefixes = [
            "",
            "a",
            "a{",
            "a{x",
            "aowner:",
            "aexpiry:",
            "aexpiry:{00}.due",
            "a*",
            "session:",
            "🍪",
        ];
        for prefix in prefixes {
            let keys = Keys::new(prefix);
            for id in &ids {
                let key = keys.session(id);
                assert_eq!(keys.kind(key.as_bytes()), Some(Kind::Session(id.clone())));
                for other in prefixes.iter().filter(|other| **other != prefix) {
                    assert_eq!(Keys::new(other).kind(key.as_bytes()), None, "{key} {other}");
                }
            }
            let owner = keys.owner(&Owner::new("u").expect("valid"));
            assert_eq!(keys.kind(owner.as_bytes()), Some(Kind::Owner));
            for shard in [0, 9, 15] {
                for key in [
                    keys.expiry_due(shard),
                    keys.expiry_known(shard),
                    keys.expiry_claims(shard),
                ] {
                    assert_eq!(keys.kind(key.as_bytes()), Some(Kind::Expiry));
                    for other in prefixes.iter().filter(|other| **other != prefix) {
                        assert_eq!(Keys::new(other).kind(key.as_bytes()), None, "{key} {other}");
                    }
                }
            }
        }
        assert_eq!(Keys::new("a").kind(b"a{%61}"), None, "not how we write it");
        assert_eq!(Keys::new("a").kind(b"a\xff{x}"), None);
        for key in ["a{}", "a{x", "ax}", "a{x}y", "a{x}{y}", "a{%4}", "a{ü}"] {
            assert_eq!(Keys::new("a").kind(key.as_bytes()), None, "{key}");
        }
    }

    #[test]
    fn patterns_take_the_prefix_literally() {
        assert_eq!(Keys::new("a*[b]?\\").pattern(), "a\\*\\[b\\]\\?\\\\*");
    }

    #[test]
    fn sessions_spread_over_the_slots() {
        let mut slots = vec![0_u32; 16];
        for _ in 0..32_000 {
            let key = Keys::new("session:").session(&SessionToken::generate().id());
            let slot = crc16(hashed_part(&key).as_bytes()) % 16_384;
            slots[usize::from(slot / 1_024)] += 1;
        }
        let (least, most) = (slots.iter().min(), slots.iter().max());
        assert!(least > Some(&1_700) && most < Some(&2_300), "{slots:?}");
    }

    /// The part of a key that Redis Cluster hashes, as its specification says.
    fn hashed_part(key: &str) -> &str {
        let tag = key
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'));
        match tag {
            Some((tag, _)) if !tag.is_empty() => tag,
            _ => key,
        }
    }

    /// CRC16/XMODEM, as in the cluster specification.
    fn crc16(bytes: &[u8]) -> u16 {
        bytes.iter().fold(0, |crc: u16, byte| {
            (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
                (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
            })
        })
    }
}
