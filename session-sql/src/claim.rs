//! Which expired sessions a reaper has claimed.
//!
//! A claim is the column `claimed`: until when, by the server's clock, the session is this reaper's to
//! report. The row is deleted when the report is confirmed. Without that, the claim lapses, and the
//! next reaper reports the session again. A claim needs no name: to report and delete a session that
//! another reaper has taken over repeats a report and loses none.

use session_core::Ended;

use crate::record::{self, bytes, ended};
use crate::{Dialect, Id, RowOf};

/// Expired sessions that were claimed.
#[derive(Debug, Default)]
pub struct Claimed {
    /// The sessions to report.
    pub ended: Vec<Ended>,
    /// The ids of rows that can't be reported, because their id is corrupt.
    pub unreadable: Vec<Id>,
}

impl Claimed {
    /// Those in claimed `rows`, with the columns id, owner, age in µs.
    #[must_use]
    pub fn of_rows<D: Dialect>(rows: &[RowOf<D>]) -> Self {
        let mut claimed = Self::default();
        for row in rows {
            match record::id::<D>(row) {
                Ok(id) => claimed.ended.push(ended::<D>(id, row)),
                Err(_) => {
                    let id = bytes::<D>(row, 0).map(<[u8]>::to_vec);
                    claimed.unreadable.extend(id);
                }
            }
        }
        claimed
    }
}
