//! Copies that a write makes out of date.

use session_core::{Owner, SessionId};

use crate::copies::Copies;

/// The sessions that a write changes.
#[derive(Clone, Copy)]
pub(crate) enum Written<'a> {
    One(&'a SessionId),
    OwnedBy(&'a Owner),
    All,
}

/// Drops the copies of what is written, before the write and when it ends, also if its caller goes
/// away. A load that was sent before the end keeps none.
pub(crate) struct Dropping<'a> {
    copies: &'a Copies,
    written: Written<'a>,
}

impl<'a> Dropping<'a> {
    pub(crate) fn new(copies: &'a Copies, written: Written<'a>) -> Self {
        let dropping = Self { copies, written };
        dropping.drop_copies();
        dropping
    }

    fn drop_copies(&self) {
        match self.written {
            Written::One(id) => self.copies.drop_copy(id),
            Written::OwnedBy(owner) => self.copies.drop_owned_by(owner),
            Written::All => self.copies.drop_all(),
        }
    }
}

impl Drop for Dropping<'_> {
    fn drop(&mut self) {
        self.drop_copies();
    }
}
