//! From rows to sessions, and from sessions to what is bound.

use std::time::Duration;

use bytes::Bytes;
use session_core::{Draft, Error, Lifetime, Owner, Record, Result, SessionId, Stamp, Timeout, Ttl};
use sqlx::mysql::MySqlRow;
use sqlx::{MySql, Row};

use crate::error::from_sqlx;

/// A century. Dates beyond the year 9999 would be null, which stands for never.
const LONGEST_MICROS: i64 = 100 * 366 * 86_400 * 1_000_000;

/// A row of `LOAD`.
pub(crate) fn record(row: &MySqlRow) -> Result<Record> {
    Ok(Record {
        data: Bytes::from(column::<Vec<u8>>(row, 1)?),
        stamp: stamp(row, 2)?,
        owner: owner(row, 3)?,
        lifetime: lifetime(row, 4)?,
        ttl: ttl(row, 6)?,
        age: age(row, 7)?,
    })
}

pub(crate) fn column<'r, T>(row: &'r MySqlRow, index: usize) -> Result<T>
where
    T: sqlx::Decode<'r, MySql> + sqlx::Type<MySql>,
{
    row.try_get(index)
        .map_err(|error| from_sqlx("read", &error))
}

pub(crate) fn stamp(row: &MySqlRow, index: usize) -> Result<Stamp> {
    let bytes: Vec<u8> = column(row, index)?;
    let bytes = bytes
        .try_into()
        .map_err(|_| Error::corrupt("the row has no usable stamp"))?;
    Ok(Stamp::from_bytes(bytes))
}

pub(crate) fn owner(row: &MySqlRow, index: usize) -> Result<Option<Owner>> {
    let Some(bytes) = column::<Option<Vec<u8>>>(row, index)? else {
        return Ok(None);
    };
    let owner = String::from_utf8(bytes)
        .ok()
        .and_then(|owner| Owner::new(owner).ok());
    owner
        .map(Some)
        .ok_or_else(|| Error::corrupt("the row has no usable owner"))
}

/// The limits in this column and the next.
pub(crate) fn lifetime(row: &MySqlRow, index: usize) -> Result<Lifetime> {
    let limit = |index| -> Result<Timeout> {
        let millis: Option<i64> = column(row, index)?;
        Ok(Timeout::from_millis(
            millis.map(|millis| u64::try_from(millis).unwrap_or(0)),
        ))
    };
    Ok(Lifetime::new(limit(index)?, limit(index + 1)?))
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
