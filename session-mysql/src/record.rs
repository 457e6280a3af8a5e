//! A session as one row that `LOAD` selects.

use bytes::Bytes;
use session_core::{Credential, Description, Error, Lifetime, Record, Result, Stamp};
use session_sql::record::{bytes, check_version, from_micros, limit, parse_owner, time_left};
use sqlx::mysql::MySqlRow;

use crate::Mysql;
use crate::table::MysqlTable;

/// The record in a row of `LOAD`.
pub(crate) fn record_with_head(row: &MySqlRow) -> Result<Record> {
    let head = Head::parse(bytes::<Mysql>(row, 0)?);
    let head = head.ok_or_else(|| Error::corrupt("the row has no usable head"))?;
    head.record(bytes::<Mysql>(row, 1)?)
}

/// The first column of `LOAD`: the stamp; then numbers, each followed by a comma, empty for null:
/// the version of the layout, the limits in milliseconds, the remaining time and the age in
/// microseconds, the sizes of the credential and the description; then the credential, the
/// description and the owner.
#[derive(Debug, PartialEq, Eq)]
struct Head<'r> {
    stamp: Stamp,
    version: i64,
    limits: [Option<i64>; 2],
    left: Option<i64>,
    age: i64,
    credential: &'r [u8],
    description: &'r [u8],
    owner: &'r [u8],
}

impl<'r> Head<'r> {
    fn parse(bytes: &'r [u8]) -> Option<Self> {
        let (stamp, mut rest) = bytes.split_first_chunk()?;
        let mut number = || {
            let comma = rest.iter().position(|byte| *byte == b',')?;
            let digits = std::str::from_utf8(&rest[..comma]).ok()?;
            rest = &rest[comma + 1..];
            match digits {
                "" => Some(None),
                digits => digits.parse().ok().map(Some),
            }
        };
        let version = number()??;
        let limits = [number()?, number()?];
        let (left, age) = (number()?, number()??);
        let [credential, description] = [number()??, number()?.unwrap_or(0)];
        let mut part = |size| {
            let (part, after) = rest.split_at_checked(usize::try_from(size).ok()?)?;
            rest = after;
            Some(part)
        };
        let (credential, description) = (part(credential)?, part(description)?);
        Some(Self {
            stamp: Stamp::from_bytes(*stamp),
            version,
            limits,
            left,
            age,
            credential,
            description,
            owner: rest,
        })
    }

    fn record(self, data: &[u8]) -> Result<Record> {
        check_version::<MysqlTable>(self.version)?;
        let [idle, absolute] = self.limits;
        let owner = match self.owner {
            [] => None,
            owner => Some(parse_owner(owner)?),
        };
        Ok(Record::new(
            Bytes::copy_from_slice(data),
            self.stamp,
            Lifetime::new(limit(idle)?, limit(absolute)?),
            time_left(self.left),
            from_micros(self.age),
        )
        .with_credential(Credential::from_stored(self.credential)?)
        .with_description(Description::from_stored(self.description)?)
        .with_owner(owner))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use session_core::{ErrorKind, Owner, Timeout, Ttl};

    use super::*;

    const STAMP: [u8; 16] = *b"0123456789abcdef";

    fn read(head: &[u8]) -> Result<Record> {
        let head = Head::parse(head).ok_or_else(|| Error::corrupt("no head"))?;
        head.record(b"{}")
    }

    #[test]
    fn a_head_is_read_as_the_server_writes_it() {
        let head =
            b"0123456789abcdef3,1800000,43200000,1799999500,250,5,3,\x01,\xff\x00,9,\x01user:1,2";
        let record = read(head).expect("a whole head");
        assert_eq!(record.data, "{}");
        assert_eq!(record.version.stamp(), Stamp::from_bytes(STAMP));
        let credential = record.credential.expect("there is one");
        assert_eq!(credential.as_bytes(), b"\x01,\xff\x00,");
        let description = record.description.expect("there is one");
        assert_eq!(description.as_bytes(), b"9,\x01");
        assert_eq!(record.owner, Owner::new("user:1,2").ok());
        let (idle, absolute) = (Duration::from_mins(30), Duration::from_hours(12));
        assert_eq!(record.lifetime, Lifetime::new(idle, absolute));
        assert_eq!(record.ttl, Ttl::Left(Duration::from_micros(1_799_999_500)));
        assert_eq!(record.age, Duration::from_micros(250));
    }

    #[test]
    fn nulls_and_empty_parts_of_a_head_are_none() {
        let record = read(b"0123456789abcdef3,,,,0,0,,").expect("a whole head");
        assert_eq!((record.credential, record.owner), (None, None));
        assert_eq!(record.description, None);
        assert_eq!(
            record.lifetime,
            Lifetime::new(Timeout::Never, Timeout::Never)
        );
        assert_eq!((record.ttl, record.age), (Ttl::Never, Duration::ZERO));
    }

    #[test]
    fn a_truncated_head_or_one_of_another_version_is_corrupt() {
        for head in [
            &b""[..],
            b"0123456789abcde",
            b"0123456789abcdef3,,,,0,0,",
            b"0123456789abcdef3,,,,0,1,,",
            b"0123456789abcdef3,,,,0,-1,,",
            b"0123456789abcdef3,,,,0,0,1,",
            b"0123456789abcdef3,,,,0,0,-1,",
            b"0123456789abcdef3,,,,,0,,",
            b"0123456789abcdef3,x,,,0,0,,",
            b"0123456789abcdef,,,,0,0,,",
            b"0123456789abcdef3,-1,,,0,0,,",
            b"0123456789abcdef3,,-1,,0,0,,",
            b"0123456789abcdef2,,,,0,0,,",
            b"0123456789abcdef4,,,,0,0,,",
            b"0123456789abcdef3,,,,0,0,,\xff\x00\xff",
        ] {
            let error = read(head).expect_err("corrupt");
            assert!(error.kind() == ErrorKind::Corrupt, "{head:?}: {error}");
        }
        let mut long = b"0123456789abcdef3,,,,0,193,,".to_vec();
        long.extend([7; 193]);
        read(&long).expect_err("too long a credential");
    }
}
