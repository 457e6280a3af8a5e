//! A session as it is stored: how rows are read, and what is bound.

use std::time::Duration;

use bytes::Bytes;
use session_core::{
    Credential, Description, Draft, Ended, Error, Lifetime, Owner, Record, Result, SessionId,
    SessionInfo, Stamp, Timeout, Ttl,
};

use crate::error::from_column;
use crate::{Dialect, RowOf, SessionTable};

/// A century: a date after the year 9999 would be null in some databases, which means never.
const LONGEST_MICROS: i64 = 100 * 366 * 86_400 * 1_000_000;

/// The record in a row with the columns id, version, stamp, credential, owner, idle and absolute
/// limit in ms, remaining time and age in µs, data, description.
///
/// # Errors
/// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt).
pub fn record<T: SessionTable>(row: &RowOf<T::Dialect>) -> Result<Record> {
    check_version::<T>(integer::<T::Dialect>(row, 1)?)?;
    Ok(Record::new(
        Bytes::copy_from_slice(bytes::<T::Dialect>(row, 9)?),
        stamp::<T::Dialect>(row, 2)?,
        lifetime::<T::Dialect>(row, 5)?,
        ttl::<T::Dialect>(row, 7)?,
        age::<T::Dialect>(row, 8)?,
    )
    .with_credential(Credential::from_stored(bytes::<T::Dialect>(row, 3)?)?)
    .with_description(description::<T::Dialect>(row, 10)?)
    .with_owner(owner::<T::Dialect>(row, 4)?))
}

/// # Errors
/// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt) if `version` is not that of the table's
/// layout.
pub fn check_version<T: SessionTable>(version: i64) -> Result<()> {
    let known = T::VERSION;
    if version == i64::from(known) {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "the row has layout version {version}, and this program reads version {known}"
    )))
}

/// The session in a row with the columns id, owner, idle and absolute limit in ms, remaining time
/// and age in µs, size of the data, description.
///
/// # Errors
/// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt).
pub fn info<D: Dialect>(row: &RowOf<D>) -> Result<SessionInfo> {
    let size = integer::<D>(row, 6)?;
    Ok(SessionInfo::new(
        id::<D>(row)?,
        lifetime::<D>(row, 2)?,
        ttl::<D>(row, 4)?,
        age::<D>(row, 5)?,
        usize::try_from(size).unwrap_or_default(),
    )
    .with_description(description::<D>(row, 7)?)
    .with_owner(owner::<D>(row, 1)?))
}

/// The end of the session `id`, whose deleted row had the columns id, owner, age in µs. Corrupt
/// columns are left out.
#[must_use]
pub fn ended<D: Dialect>(id: SessionId, row: &RowOf<D>) -> Ended {
    let Ok(age) = age::<D>(row, 2) else {
        return Ended::unknown(id);
    };
    Ended::new(id, owner::<D>(row, 1).unwrap_or_default(), Some(age))
}

/// The id in the first column.
///
/// # Errors
/// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt).
pub fn id<D: Dialect>(row: &RowOf<D>) -> Result<SessionId> {
    parse_id(bytes::<D>(row, 0)?)
}

/// An id as it is stored.
///
/// # Errors
/// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt).
pub fn parse_id(bytes: &[u8]) -> Result<SessionId> {
    let id = std::str::from_utf8(bytes).ok();
    let id = id.and_then(|id| SessionId::from_stored(id).ok());
    id.ok_or_else(|| Error::corrupt("the row has no usable id"))
}

/// An owner as it is stored.
///
/// # Errors
/// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt).
pub fn parse_owner(owner: &[u8]) -> Result<Owner> {
    let text = std::str::from_utf8(owner).ok();
    let owner = text.and_then(|owner| Owner::new(owner).ok());
    owner.ok_or_else(|| Error::corrupt("the row has no usable owner"))
}

/// A limit as it is stored.
///
/// # Errors
/// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt) if it is negative.
pub fn limit(millis: Option<i64>) -> Result<Timeout> {
    let millis = millis.map(u64::try_from).transpose();
    let millis = millis.map_err(|_| Error::corrupt("the row has a negative limit"))?;
    Ok(Timeout::from_millis(millis))
}

/// The bytes of a column.
///
/// # Errors
/// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt) if it is null, or holds no bytes.
pub fn bytes<D: Dialect>(row: &RowOf<D>, index: usize) -> Result<&[u8]> {
    optional_bytes::<D>(row, index)?.ok_or_else(|| is_null(index))
}

/// The number in a column.
///
/// # Errors
/// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt) if it is null, or no number.
pub fn integer<D: Dialect>(row: &RowOf<D>, index: usize) -> Result<i64> {
    optional_integer::<D>(row, index)?.ok_or_else(|| is_null(index))
}

fn is_null(index: usize) -> Error {
    Error::corrupt(format!("the row has no usable column {index}"))
}

fn optional_bytes<D: Dialect>(row: &RowOf<D>, index: usize) -> Result<Option<&[u8]>> {
    D::bytes(row, index).map_err(|error| from_column(&error))
}

fn optional_integer<D: Dialect>(row: &RowOf<D>, index: usize) -> Result<Option<i64>> {
    D::integer(row, index).map_err(|error| from_column(&error))
}

/// The stamp in a column.
///
/// # Errors
/// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt).
pub fn stamp<D: Dialect>(row: &RowOf<D>, index: usize) -> Result<Stamp> {
    let bytes = bytes::<D>(row, index)?.try_into();
    let bytes = bytes.map_err(|_| Error::corrupt("the row has no usable stamp"))?;
    Ok(Stamp::from_bytes(bytes))
}

fn owner<D: Dialect>(row: &RowOf<D>, index: usize) -> Result<Option<Owner>> {
    optional_bytes::<D>(row, index)?
        .map(parse_owner)
        .transpose()
}

fn description<D: Dialect>(row: &RowOf<D>, index: usize) -> Result<Option<Description>> {
    let stored = optional_bytes::<D>(row, index)?;
    Description::from_stored(stored.unwrap_or_default())
}

/// The limits in this column and the next.
fn lifetime<D: Dialect>(row: &RowOf<D>, index: usize) -> Result<Lifetime> {
    let idle = optional_integer::<D>(row, index)?;
    let absolute = optional_integer::<D>(row, index + 1)?;
    Ok(Lifetime::new(limit(idle)?, limit(absolute)?))
}

/// The remaining time, in µs.
///
/// # Errors
/// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt).
pub fn ttl<D: Dialect>(row: &RowOf<D>, index: usize) -> Result<Ttl> {
    Ok(time_left(optional_integer::<D>(row, index)?))
}

/// The remaining time.
#[must_use]
pub fn time_left(micros: Option<i64>) -> Ttl {
    micros.map_or(Ttl::Never, |micros| Ttl::Left(from_micros(micros)))
}

fn age<D: Dialect>(row: &RowOf<D>, index: usize) -> Result<Duration> {
    Ok(from_micros(integer::<D>(row, index)?))
}

/// 0 for a negative number, after the server's clock was set back.
#[must_use]
pub fn from_micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// An id as it is bound.
#[must_use]
pub fn id_bytes(id: &SessionId) -> &[u8] {
    id.as_str().as_bytes()
}

/// An owner as it is bound.
#[must_use]
pub fn owner_bytes(owner: &Owner) -> &[u8] {
    owner.as_str().as_bytes()
}

/// A draft's owner as it is bound.
#[must_use]
pub fn owner_of(draft: &Draft) -> Option<&[u8]> {
    draft.owner.as_ref().map(owner_bytes)
}

/// A draft's credential as it is bound.
#[must_use]
pub fn credential_bytes(draft: &Draft) -> &[u8] {
    Credential::stored(draft.credential.as_ref())
}

/// A draft's description as it is bound.
#[must_use]
pub fn description_bytes(draft: &Draft) -> Option<&[u8]> {
    draft.description.as_ref().map(Description::as_bytes)
}

/// Whole milliseconds.
#[must_use]
pub fn millis(timeout: Timeout) -> Option<i64> {
    timeout
        .millis()
        .map(|millis| i64::try_from(millis).unwrap_or(i64::MAX))
}

/// Whole milliseconds, in microseconds; at most a century.
#[must_use]
pub fn micros(timeout: Timeout) -> Option<i64> {
    millis(timeout).map(|millis| millis.saturating_mul(1_000).min(LONGEST_MICROS))
}
