//! From rows to sessions, and from sessions to what is bound.

use std::time::Duration;

use bytes::Bytes;
use session_core::{Draft, Error, Lifetime, Owner, Record, Result, SessionId, Stamp, Timeout, Ttl};
use sqlx::mysql::MySqlRow;
use sqlx::{MySql, Row};

use crate::error::from_sqlx;

/// A century. Dates beyond the year 9999 would be null, which stands for never.
const LONGEST_MICROS: i64 = 100 * 366 * 86_400 * 1_000_000;

/// The record in a row of `LOAD_MANY`.
pub(crate) fn record(row: &MySqlRow) -> Result<Record> {
    Ok(Record {
        data: Bytes::copy_from_slice(column(row, 7)?),
        stamp: stamp(row, 1)?,
        owner: owner(row, 2)?,
        lifetime: lifetime(row, 3)?,
        ttl: ttl(row, 5)?,
        age: age(row, 6)?,
        raw: Bytes::new(),
    })
}

/// The record in a row of `LOAD`.
pub(crate) fn headed_record(row: &MySqlRow) -> Result<Record> {
    let head = Head::parse(column(row, 0)?);
    let head = head.ok_or_else(|| Error::corrupt("the row has no usable head"))?;
    let [idle, absolute, left, age] = head.numbers;
    let owner = match head.owner {
        [] => None,
        owner => Some(readable(owner)?),
    };
    Ok(Record {
        data: Bytes::copy_from_slice(column(row, 1)?),
        stamp: head.stamp,
        owner,
        lifetime: Lifetime::new(limit(idle), limit(absolute)),
        ttl: left.map_or(Ttl::Never, |left| Ttl::Left(from_micros(left))),
        age: from_micros(age.unwrap_or_default()),
        raw: Bytes::new(),
    })
}

/// The first column of `LOAD`: the stamp; then numbers, each with a comma behind it, and empty for
/// null: limits in milliseconds, what is left and the age in microseconds; then the owner.
struct Head<'r> {
    stamp: Stamp,
    numbers: [Option<i64>; 4],
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
        let numbers = [number()?, number()?, number()?, number()?];
        Some(Self {
            stamp: Stamp::from_bytes(*stamp),
            numbers,
            owner: rest,
        })
    }
}

fn readable(owner: &[u8]) -> Result<Owner> {
    let text = std::str::from_utf8(owner).ok();
    let owner = text.and_then(|owner| Owner::new(owner).ok());
    owner.ok_or_else(|| Error::corrupt("the row has no usable owner"))
}

fn limit(millis: Option<i64>) -> Timeout {
    Timeout::from_millis(millis.map(|millis| u64::try_from(millis).unwrap_or(0)))
}

pub(crate) fn column<'r, T>(row: &'r MySqlRow, index: usize) -> Result<T>
where
    T: sqlx::Decode<'r, MySql> + sqlx::Type<MySql>,
{
    row.try_get(index)
        .map_err(|error| from_sqlx("read", &error))
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
    owner.map(readable).transpose()
}

/// The limits in this column and the next.
pub(crate) fn lifetime(row: &MySqlRow, index: usize) -> Result<Lifetime> {
    let (idle, absolute) = (column(row, index)?, column(row, index + 1)?);
    Ok(Lifetime::new(limit(idle), limit(absolute)))
}

pub(crate) fn ttl(row: &MySqlRow, index: usize) -> Result<Ttl> {
    let micros: Option<i64> = column(row, index)?;
    Ok(micros.map_or(Ttl::Never, |micros| Ttl::Left(from_micros(micros))))
}

pub(crate) fn age(row: &MySqlRow, index: usize) -> Result<Duration> {
    Ok(from_micros(column(row, index)?))
}

/// A clock that was set back gives 0.
fn from_micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// An id, as it is bound.
pub(crate) fn id_bytes(id: &SessionId) -> Vec<u8> {
    id.as_str().as_bytes().to_vec()
}

pub(crate) fn owner_bytes(draft: &Draft) -> Option<Vec<u8>> {
    draft
        .owner
        .as_ref()
        .map(|owner| owner.as_str().as_bytes().to_vec())
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
