//! A session as it is stored: how documents are read, valid or corrupt.

use std::time::Duration;

use mongodb::bson::{DateTime, RawBsonRef, RawDocument};
use session_core::{
    Credential, Description, Ended, Error, Lifetime, Owner, Record, Result, SessionId, SessionInfo,
    Stamp, Timeout, Ttl, Version,
};

use crate::schema::VERSION;

/// A deadline that is at least so far away means never: no limit reaches 6,000 years.
const NEVER_FROM: Duration = Duration::from_secs(6_000 * 366 * 86_400);

/// A stored session, and the server's time when it was read.
#[derive(Clone, Copy)]
pub(crate) struct StoredSession<'d> {
    session: &'d RawDocument,
    now: DateTime,
}

impl<'d> StoredSession<'d> {
    pub(crate) fn new(document: &'d RawDocument) -> Result<Self> {
        let session = document.get_document("session");
        Ok(Self {
            session: session.map_err(|_| corrupt("session"))?,
            now: date(document, "now")?,
        })
    }

    /// The id, if it is text.
    pub(crate) fn id(&self) -> Option<&'d str> {
        self.session.get_str("_id").ok()
    }

    /// The id as text or as MongoDB's old type symbol, which sorts with text.
    pub(crate) fn sort_key(&self) -> Option<&'d str> {
        let id = self.session.get("_id").ok()??;
        id.as_str().or_else(|| id.as_symbol())
    }

    /// Whether the session is live, by the same rule as [`is_live`](crate::schema::is_live).
    ///
    /// # Errors
    /// If it is live and has another layout.
    pub(crate) fn is_live(&self) -> Result<bool> {
        let is_live = date(self.session, "deadline")? > self.now;
        if is_live {
            self.check_layout()?;
        }
        Ok(is_live)
    }

    pub(crate) fn check_layout(&self) -> Result<()> {
        match self.session.get_i32("v") {
            Ok(VERSION) => Ok(()),
            _ => Err(corrupt("v")),
        }
    }

    pub(crate) fn record(&self) -> Result<Record> {
        Ok(Record::new(
            bytes::Bytes::copy_from_slice(binary(self.session, "data")?),
            Version::new(self.stamp()?),
            lifetime(self.session)?,
            self.ttl()?,
            self.age()?,
        )
        .with_credential(Credential::from_stored(binary(
            self.session,
            "credential",
        )?)?)
        .with_description(description(self.session)?)
        .with_owner(owner(self.session)?))
    }

    pub(crate) fn info(&self) -> Result<SessionInfo> {
        self.check_layout()?;
        let size = self.session.get_i32("size").map_err(|_| corrupt("data"))?;
        Ok(SessionInfo::new(
            id(self.session)?,
            lifetime(self.session)?,
            self.ttl()?,
            self.age()?,
            usize::try_from(size).unwrap_or_default(),
        )
        .with_description(description(self.session)?)
        .with_owner(owner(self.session)?))
    }

    pub(crate) fn stamp(&self) -> Result<Stamp> {
        let stamp = binary(self.session, "stamp")?.try_into();
        Ok(Stamp::from_bytes(stamp.map_err(|_| corrupt("stamp"))?))
    }

    pub(crate) fn ttl(&self) -> Result<Ttl> {
        let left = between(self.now, date(self.session, "deadline")?);
        Ok(match left < NEVER_FROM {
            true => Ttl::Left(left),
            false => Ttl::Never,
        })
    }

    fn age(&self) -> Result<Duration> {
        // 0 if the server's clock was set back.
        Ok(between(date(self.session, "born")?, self.now))
    }

    /// The end of the session, without its corrupt fields.
    pub(crate) fn ended(&self) -> Result<Ended> {
        Ok(self.end_of(&id(self.session)?))
    }

    /// The same for a session whose id is known.
    pub(crate) fn end_of(&self, id: &SessionId) -> Ended {
        ended(id.clone(), self.session, Some(self.now))
    }
}

/// The end of the session `id` at the time `now`, if that is known, without corrupt fields.
pub(crate) fn ended(id: SessionId, session: &RawDocument, now: Option<DateTime>) -> Ended {
    let born = date(session, "born").ok();
    Ended::new(
        id,
        owner(session).unwrap_or_default(),
        now.zip(born).map(|(now, born)| between(born, now)),
    )
}

/// The time from `one` to `other`; 0 if `other` is earlier. The driver's difference may overflow.
pub(crate) fn between(one: DateTime, other: DateTime) -> Duration {
    let millis = i128::from(other.timestamp_millis()) - i128::from(one.timestamp_millis());
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

fn binary<'d>(document: &'d RawDocument, field: &str) -> Result<&'d [u8]> {
    let binary = document.get_binary(field).map_err(|_| corrupt(field))?;
    Ok(binary.bytes)
}

fn date(document: &RawDocument, field: &str) -> Result<DateTime> {
    document.get_datetime(field).map_err(|_| corrupt(field))
}

fn id(document: &RawDocument) -> Result<SessionId> {
    let id = document.get_str("_id").map_err(|_| corrupt("_id"))?;
    SessionId::from_stored(id).map_err(|_| corrupt("_id"))
}

fn owner(document: &RawDocument) -> Result<Option<Owner>> {
    match document.get("owner").map_err(|_| corrupt("owner"))? {
        None => Ok(None),
        Some(owner) => {
            let owner = owner.as_str().and_then(|owner| Owner::new(owner).ok());
            owner.map(Some).ok_or_else(|| corrupt("owner"))
        }
    }
}

fn description(document: &RawDocument) -> Result<Option<Description>> {
    match document.get("description") {
        Ok(None) => Ok(None),
        Ok(Some(RawBsonRef::Binary(binary))) => Description::from_stored(binary.bytes),
        Ok(Some(_)) | Err(_) => Err(corrupt("description")),
    }
}

fn lifetime(document: &RawDocument) -> Result<Lifetime> {
    let idle = Timeout::from_millis(number(document, "idle")?);
    let absolute = Timeout::from_millis(number(document, "absolute")?);
    Ok(Lifetime::new(idle, absolute))
}

/// A number of milliseconds or bytes, `None` for null.
fn number(document: &RawDocument, field: &str) -> Result<Option<u64>> {
    let value = document.get(field).map_err(|_| corrupt(field))?;
    let number = match value {
        None => return Ok(None),
        Some(value) if value.as_null().is_some() => return Ok(None),
        Some(value) => value.as_i64().or_else(|| value.as_i32().map(i64::from)),
    };
    let number = number.ok_or_else(|| corrupt(field))?;
    Ok(Some(u64::try_from(number).unwrap_or_default()))
}

fn corrupt(field: &str) -> Error {
    Error::corrupt(format!("the document has no usable field {field:?}"))
}

#[cfg(test)]
mod tests;
