//! A session as it is read, whole or damaged.

use std::time::Duration;

use mongodb::bson::{DateTime, RawDocument};
use session_core::{
    Credential, Ended, Error, Lifetime, Owner, Record, Result, SessionId, SessionInfo, Stamp,
    Timeout, Ttl, Version,
};

use crate::schema::LAYOUT;

/// Less than is left until a deadline that is none: no limit is 6,000 years.
const FAR: Duration = Duration::from_secs(6_000 * 366 * 86_400);

/// A session as it was read.
#[derive(Clone, Copy)]
pub(crate) struct Found<'d> {
    session: &'d RawDocument,
    now: DateTime,
}

impl<'d> Found<'d> {
    pub(crate) fn new(document: &'d RawDocument) -> Result<Self> {
        let session = document.get_document("session");
        Ok(Self {
            session: session.map_err(|_| corrupt("session"))?,
            now: date(document, "now")?,
        })
    }

    /// The text of its id.
    pub(crate) fn id(&self) -> Option<&'d str> {
        self.session.get_str("_id").ok()
    }

    /// Where it is in the order of ids. MongoDB's old symbols are among the texts.
    pub(crate) fn place(&self) -> Option<&'d str> {
        let id = self.session.get("_id").ok()??;
        id.as_str().or_else(|| id.as_symbol())
    }

    /// Whether it is live, as [`is_live`](crate::schema::is_live) says it to the server; an error if so, but of another
    /// layout.
    pub(crate) fn is_live(&self) -> Result<bool> {
        let is_live = date(self.session, "deadline")? > self.now;
        if is_live {
            self.check_layout()?;
        }
        Ok(is_live)
    }

    pub(crate) fn check_layout(&self) -> Result<()> {
        match self.session.get_i32("v") {
            Ok(LAYOUT) => Ok(()),
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
        .with_owner(owner(self.session)?))
    }

    pub(crate) fn stamp(&self) -> Result<Stamp> {
        let stamp = binary(self.session, "stamp")?.try_into();
        Ok(Stamp::from_bytes(stamp.map_err(|_| corrupt("stamp"))?))
    }

    pub(crate) fn ttl(&self) -> Result<Ttl> {
        let left = between(self.now, date(self.session, "deadline")?);
        Ok(match left < FAR {
            true => Ttl::Left(left),
            false => Ttl::Never,
        })
    }

    fn age(&self) -> Result<Duration> {
        // 0 if the server's clock was set back.
        Ok(between(date(self.session, "born")?, self.now))
    }

    /// The session's end, with what can be read of it.
    pub(crate) fn ended(&self) -> Result<Ended> {
        Ok(self.end_of(&id(self.session)?))
    }

    /// The same, of the session that is known to be `id`.
    pub(crate) fn end_of(&self, id: &SessionId) -> Ended {
        ended(id.clone(), self.session, Some(self.now))
    }
}

/// The end of the session `id` at the time `now`, if that is known, with what can be read of it.
pub(crate) fn ended(id: SessionId, session: &RawDocument, now: Option<DateTime>) -> Ended {
    let born = date(session, "born").ok();
    Ended::new(
        id,
        owner(session).unwrap_or_default(),
        now.zip(born).map(|(now, born)| between(born, now)),
    )
}

/// From `one` to `other`; 0 if that is earlier. The driver's own difference overflows.
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
