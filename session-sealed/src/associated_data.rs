//! The cipher's associated data: the fields of a record that its sealed data and its sealed
//! description are bound to.
//!
//! Integers are big-endian. A field of varying length follows its length, so no two records give
//! the same bytes.
//!
//! Of the data:
//!
//! | bytes | what |
//! |---|---|
//! | 17 | the label, which names this layout and its version |
//! | 2 and 1–255 | the id |
//! | 2 and 0–1,024 | the owner; empty if there is none |
//! | 8 | the idle limit in milliseconds; `u64::MAX` if there is none |
//! | 8 | the absolute limit, likewise |
//! | 16 | the stamp |
//! | 2 and 0–192 | the credential; empty if there is none |
//! | 2 and 0–255 | the description as it is stored, sealed; empty if there is none |
//!
//! Of the description, which a listing gives without stamp and credential: a label of 22 bytes; id,
//! owner and limits as above.

use session_core::{
    Credential, Description, Draft, Lifetime, Owner, Record, SessionId, SessionInfo, Stamp, Timeout,
};

const LABEL: &[u8] = b"sealed record v2\n";
const DESCRIPTION_LABEL: &[u8] = b"sealed description v1\n";

/// The fields of a record that its sealed data is bound to.
pub(crate) struct AssociatedData<'a> {
    pub(crate) id: &'a SessionId,
    pub(crate) owner: Option<&'a Owner>,
    pub(crate) lifetime: Lifetime,
    pub(crate) stamp: Stamp,
    pub(crate) credential: Option<&'a Credential>,
    /// As it is stored.
    pub(crate) description: Option<&'a Description>,
}

impl<'a> AssociatedData<'a> {
    /// The associated data of a write of `draft`, whose description is sealed.
    pub(crate) fn of_draft(id: &'a SessionId, draft: &'a Draft) -> Self {
        Self {
            id,
            owner: draft.owner.as_ref(),
            lifetime: draft.lifetime,
            stamp: draft.stamp,
            credential: draft.credential.as_ref(),
            description: draft.description.as_ref(),
        }
    }

    /// The associated data of a stored `record`.
    pub(crate) fn of_record(id: &'a SessionId, record: &'a Record) -> Self {
        Self {
            id,
            owner: record.owner.as_ref(),
            lifetime: record.lifetime,
            stamp: record.version.stamp(),
            credential: record.credential.as_ref(),
            description: record.description.as_ref(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = LABEL.to_vec();
        put_session(&mut bytes, self.id, self.owner, self.lifetime);
        bytes.extend(self.stamp.as_bytes());
        put_field(&mut bytes, Credential::stored(self.credential));
        put_field(&mut bytes, Description::stored(self.description));
        bytes
    }
}

/// The fields of a listed session that its sealed description is bound to.
pub(crate) struct DescriptionData<'a> {
    id: &'a SessionId,
    owner: Option<&'a Owner>,
    lifetime: Lifetime,
}

impl<'a> DescriptionData<'a> {
    pub(crate) fn of_draft(id: &'a SessionId, draft: &'a Draft) -> Self {
        let (owner, lifetime) = (draft.owner.as_ref(), draft.lifetime);
        Self {
            id,
            owner,
            lifetime,
        }
    }

    pub(crate) fn of_record(id: &'a SessionId, record: &'a Record) -> Self {
        let (owner, lifetime) = (record.owner.as_ref(), record.lifetime);
        Self {
            id,
            owner,
            lifetime,
        }
    }

    pub(crate) fn of_info(info: &'a SessionInfo) -> Self {
        let (owner, lifetime) = (info.owner.as_ref(), info.lifetime);
        Self {
            id: &info.id,
            owner,
            lifetime,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = DESCRIPTION_LABEL.to_vec();
        put_session(&mut bytes, self.id, self.owner, self.lifetime);
        bytes
    }
}

fn put_session(bytes: &mut Vec<u8>, id: &SessionId, owner: Option<&Owner>, lifetime: Lifetime) {
    put_field(bytes, id.as_str().as_bytes());
    put_field(bytes, owner.map_or("", Owner::as_str).as_bytes());
    put_limit(bytes, lifetime.idle);
    put_limit(bytes, lifetime.absolute);
}

fn put_field(bytes: &mut Vec<u8>, field: &[u8]) {
    // Every field is shorter than 64 KiB.
    bytes.extend((field.len() as u16).to_be_bytes());
    bytes.extend(field);
}

/// Limits are encoded as every store returns them: whole milliseconds, in Redis up to 2^52 of them,
/// which are 142,000 years.
fn put_limit(bytes: &mut Vec<u8>, limit: Timeout) {
    let millis = limit
        .millis()
        .map_or(u64::MAX, |millis| millis.min(MAX_MILLIS));
    bytes.extend(millis.to_be_bytes());
}

const MAX_MILLIS: u64 = 1 << 52;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn lifetime() -> Lifetime {
        Lifetime::new(Duration::from_secs(1), Timeout::Never)
    }

    #[test]
    fn associated_data_has_these_bytes() {
        let id = SessionId::from_stored("id").expect("valid");
        let owner = Owner::new("ann").expect("valid");
        let credential = Credential::from_stored(&[0xC1, 0xC2, 0xC3]).expect("it fits");
        let description = Description::from_stored(&[0xD1, 0xD2]).expect("it fits");
        let data = AssociatedData {
            id: &id,
            owner: Some(&owner),
            lifetime: lifetime(),
            stamp: Stamp::from_bytes(*b"0123456789abcdef"),
            credential: credential.as_ref(),
            description: description.as_ref(),
        };
        let golden: [&[u8]; 12] = [
            b"sealed record v2\n",
            b"\0\x02",
            b"id",
            b"\0\x03",
            b"ann",
            b"\0\0\0\0\0\0\x03\xE8",
            &[0xFF; 8],
            b"0123456789abcdef",
            b"\0\x03",
            b"\xC1\xC2\xC3",
            b"\0\x02",
            b"\xD1\xD2",
        ];
        assert_eq!(data.bytes(), golden.concat());

        let bare = AssociatedData {
            owner: None,
            credential: None,
            description: None,
            ..data
        };
        let golden: [&[u8]; 8] = [
            b"sealed record v2\n",
            b"\0\x02id",
            b"\0\0",
            b"\0\0\0\0\0\0\x03\xE8",
            &[0xFF; 8],
            b"0123456789abcdef",
            b"\0\0",
            b"\0\0",
        ];
        assert_eq!(bare.bytes(), golden.concat());
    }

    #[test]
    fn the_associated_data_of_a_description_has_these_bytes() {
        let id = SessionId::from_stored("id").expect("valid");
        let owner = Owner::new("ann").expect("valid");
        let draft = Draft::new("{}", lifetime()).with_owner(owner);
        let golden: [&[u8]; 5] = [
            b"sealed description v1\n",
            b"\0\x02id",
            b"\0\x03ann",
            b"\0\0\0\0\0\0\x03\xE8",
            &[0xFF; 8],
        ];
        let golden = golden.concat();
        assert_eq!(DescriptionData::of_draft(&id, &draft).bytes(), golden);
        let record = Record::of(&draft, session_core::Ttl::Never, Duration::ZERO);
        assert_eq!(DescriptionData::of_record(&id, &record).bytes(), golden);
        let info = SessionInfo::of(id, &record);
        assert_eq!(DescriptionData::of_info(&info).bytes(), golden);
    }

    #[test]
    fn limits_are_bound_as_every_store_returns_them() {
        let id = SessionId::from_stored("id").expect("valid");
        let bytes = |idle: Duration| {
            let draft = Draft::new("", Lifetime::idle(idle)).with_stamp(Stamp::from_bytes([0; 16]));
            AssociatedData::of_draft(&id, &draft).bytes()
        };
        let (micros, millis) = (Duration::from_micros(1_999), Duration::from_millis(1));
        assert_eq!(bytes(micros), bytes(millis), "whole milliseconds");
        assert_ne!(bytes(millis), bytes(2 * millis));
        assert_eq!(
            bytes(Duration::MAX),
            bytes(Duration::from_millis(MAX_MILLIS))
        );
    }

    #[test]
    fn a_byte_moved_to_the_next_field_changes_the_associated_data() {
        let bytes = |id: &str, owner: &str| {
            let id = SessionId::from_stored(id).expect("valid");
            let draft = Draft::new("", lifetime())
                .with_owner(Owner::new(owner).expect("valid"))
                .with_stamp(Stamp::from_bytes([0; 16]));
            AssociatedData::of_draft(&id, &draft).bytes()
        };
        assert_ne!(bytes("ab", "c"), bytes("a", "bc"));
        assert_ne!(bytes("a\0\x01b", "c"), bytes("a", "b\0\x01c"));
    }
}
