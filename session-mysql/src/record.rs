//! A session as it is stored: how rows are read, and what is bound.

use std::time::Duration;

use bytes::Bytes;
use session_core::{
    Credential, Description, Draft, Ended, Error, Lifetime, Owner, Record, Result, SessionId,
    SessionInfo, Stamp, Timeout, Ttl,
};
use sqlx::mysql::MySqlRow;
use sqlx::{MySql, Row};

use crate::error::from_column;
use crate::schema::VERSION;

/// A century: a date after the year 9999 would be null, which means never.
const LONGEST_MICROS: i64 = 100 * 366 * 86_400 * 1_000_000;

/// The record in a row of `LOAD_MANY`.
pub(crate) fn record(row: &MySqlRow) -> Result<Record> {
    check_version(column::<u8>(row, 1)?.into())?;
    Ok(Record::new(
        Bytes::copy_from_slice(column(row, 9)?),
        stamp(row, 2)?,
        lifetime(row, 5)?,
        ttl(row, 7)?,
        age(row, 8)?,
    )
    .with_credential(Credential::from_stored(column(row, 3)?)?)
    .with_description(description(row, 10)?)
    .with_owner(owner(row, 4)?))
}

/// The record in a row of `LOAD`.
pub(crate) fn record_with_head(row: &MySqlRow) -> Result<Record> {
    let head = Head::parse(column(row, 0)?);
    let head = head.ok_or_else(|| Error::corrupt("the row has no usable head"))?;
    head.record(column(row, 1)?)
}

fn check_version(version: i64) -> Result<()> {
    if version == i64::from(VERSION) {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "the row has layout version {version}, and this program reads version {VERSION}"
    )))
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
        check_version(self.version)?;
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

/// The session in a row of `{info}`.
pub(crate) fn info(row: &MySqlRow) -> Result<SessionInfo> {
    let size: i64 = column(row, 6)?;
    Ok(SessionInfo::new(
        id(row)?,
        lifetime(row, 2)?,
        ttl(row, 4)?,
        age(row, 5)?,
        usize::try_from(size).unwrap_or_default(),
    )
    .with_description(description(row, 7)?)
    .with_owner(owner(row, 1)?))
}

/// The end of the session `id`, whose deleted row had the columns `{end}`. Corrupt columns are left
/// out.
pub(crate) fn ended(id: SessionId, row: &MySqlRow) -> Ended {
    let Ok(age) = age(row, 2) else {
        return Ended::unknown(id);
    };
    Ended::new(id, owner(row, 1).unwrap_or_default(), Some(age))
}

/// The id in the first column.
pub(crate) fn id(row: &MySqlRow) -> Result<SessionId> {
    parse_id(column(row, 0)?)
}

pub(crate) fn parse_id(bytes: &[u8]) -> Result<SessionId> {
    let id = std::str::from_utf8(bytes).ok();
    let id = id.and_then(|id| SessionId::from_stored(id).ok());
    id.ok_or_else(|| Error::corrupt("the row has no usable id"))
}

fn parse_owner(owner: &[u8]) -> Result<Owner> {
    let text = std::str::from_utf8(owner).ok();
    let owner = text.and_then(|owner| Owner::new(owner).ok());
    owner.ok_or_else(|| Error::corrupt("the row has no usable owner"))
}

fn limit(millis: Option<i64>) -> Result<Timeout> {
    let millis = millis.map(u64::try_from).transpose();
    let millis = millis.map_err(|_| Error::corrupt("the row has a negative limit"))?;
    Ok(Timeout::from_millis(millis))
}

pub(crate) fn column<'r, T>(row: &'r MySqlRow, index: usize) -> Result<T>
where
    T: sqlx::Decode<'r, MySql> + sqlx::Type<MySql>,
{
    row.try_get(index).map_err(|error| from_column(&error))
}

pub(crate) fn stamp(row: &MySqlRow, index: usize) -> Result<Stamp> {
    let bytes: &[u8] = column(row, index)?;
    let bytes = bytes
        .try_into()
        .map_err(|_| Error::corrupt("the row has no usable stamp"))?;
    Ok(Stamp::from_bytes(bytes))
}

pub(crate) fn owner(row: &MySqlRow, index: usize) -> Result<Option<Owner>> {
    let owner = column::<Option<&[u8]>>(row, index)?;
    owner.map(parse_owner).transpose()
}

fn description(row: &MySqlRow, index: usize) -> Result<Option<Description>> {
    let stored = column::<Option<&[u8]>>(row, index)?;
    Description::from_stored(stored.unwrap_or_default())
}

/// The limits in this column and the next.
pub(crate) fn lifetime(row: &MySqlRow, index: usize) -> Result<Lifetime> {
    let (idle, absolute) = (column(row, index)?, column(row, index + 1)?);
    Ok(Lifetime::new(limit(idle)?, limit(absolute)?))
}

pub(crate) fn ttl(row: &MySqlRow, index: usize) -> Result<Ttl> {
    Ok(time_left(column(row, index)?))
}

fn time_left(micros: Option<i64>) -> Ttl {
    micros.map_or(Ttl::Never, |micros| Ttl::Left(from_micros(micros)))
}

pub(crate) fn age(row: &MySqlRow, index: usize) -> Result<Duration> {
    Ok(from_micros(column(row, index)?))
}

/// 0 for a negative number, after the server's clock was set back.
fn from_micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// An id as it is bound.
pub(crate) fn id_bytes(id: &SessionId) -> &[u8] {
    id.as_str().as_bytes()
}

pub(crate) fn owner_bytes(draft: &Draft) -> Option<&[u8]> {
    draft.owner.as_ref().map(|owner| owner.as_str().as_bytes())
}

pub(crate) fn credential_bytes(draft: &Draft) -> &[u8] {
    Credential::stored(draft.credential.as_ref())
}

pub(crate) fn description_bytes(draft: &Draft) -> Option<&[u8]> {
    draft.description.as_ref().map(Description::as_bytes)
}

pub(crate) fn millis(timeout: Timeout) -> Option<i64> {
    timeout
        .millis()
        .map(|millis| i64::try_from(millis).unwrap_or(i64::MAX))
}

/// Whole milliseconds, in microseconds.
pub(crate) fn micros(timeout: Timeout) -> Option<i64> {
    millis(timeout).map(|millis| millis.saturating_mul(1_000).min(LONGEST_MICROS))
}

#[cfg(test)]
mod tests {
    use session_core::ErrorKind;

    use super::*;

    const STAMP: [u8; 16] = *b"0123456789abcdef";

    fn read(head: &[u8]) -> Result<Record> {
        let head = Head::parse(head).ok_or_else(|| Error::corrupt("no head"))?;
        head.record(b"{}")
    }

    #[test]
    fn a_head_is_read_as_the_server_writes_it() {
        let head =
            b"0123456789abcdef2,1800000,43200000,1799999500,250,5,3,\x01,\xff\x00,9,\x01user:1,2";
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
        let record = read(b"0123456789abcdef2,,,,0,0,,").expect("a whole head");
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
            b"0123456789abcdef2,,,,0,0,",
            b"0123456789abcdef2,,,,0,1,,",
            b"0123456789abcdef2,,,,0,-1,,",
            b"0123456789abcdef2,,,,0,0,1,",
            b"0123456789abcdef2,,,,0,0,-1,",
            b"0123456789abcdef2,,,,,0,,",
            b"0123456789abcdef2,x,,,0,0,,",
            b"0123456789abcdef,,,,0,0,,",
            b"0123456789abcdef2,-1,,,0,0,,",
            b"0123456789abcdef2,,-1,,0,0,,",
            b"0123456789abcdef1,,,,0,0,,",
            b"0123456789abcdef3,,,,0,0,,",
            b"0123456789abcdef2,,,,0,0,,\xff\x00\xff",
        ] {
            let error = read(head).expect_err("corrupt");
            assert!(error.kind() == ErrorKind::Corrupt, "{head:?}: {error}");
        }
        let mut long = b"0123456789abcdef2,,,,0,193,,".to_vec();
        long.extend([7; 193]);
        read(&long).expect_err("too long a credential");
    }
}
