//! Which rows to remove.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use session_core::backend::Destroy;
use session_core::{Ended, Owner, Stamp};

use crate::record::{self, bytes, ended, id_bytes, parse_id, stamp};
use crate::{Dialect, RowOf};

/// An id as it is stored.
pub type Id = Vec<u8>;

/// Up to [`MAX_BATCH`](crate::MAX_BATCH) live sessions to end. Clones share them.
#[derive(Clone, Debug)]
pub struct Removal {
    /// Their ids.
    pub ids: Arc<[Id]>,
    /// Which of them to remove.
    pub condition: Condition,
}

/// Which rows to remove.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Live sessions of this owner.
    Owner(Owner),
    /// Live sessions. A session whose id is a key of the map must have the stamp of that entry.
    Stamps(Arc<HashMap<Id, Stamp>>),
}

impl Removal {
    /// Removes live sessions of `owner`.
    #[must_use]
    pub fn of_owned(ids: &[Id], owner: &Owner) -> Self {
        Self {
            ids: ids.into(),
            condition: Condition::Owner(owner.clone()),
        }
    }

    /// Removes live sessions.
    #[must_use]
    pub fn of_destroys(destroys: &[Destroy]) -> Self {
        let id = |destroy: &Destroy| id_bytes(&destroy.id).to_vec();
        let expected = destroys.iter().filter_map(|destroy| {
            let expected = destroy.expected.as_ref()?.stamp();
            Some((id(destroy), expected))
        });
        Self {
            ids: destroys.iter().map(id).collect(),
            condition: Condition::Stamps(Arc::new(expected.collect())),
        }
    }

    /// The ended sessions in removed `rows`, with the columns id, owner, age in µs; and those whose
    /// ids have `vanished`, because an earlier attempt has removed them.
    pub fn ended<D: Dialect>(rows: &[RowOf<D>], vanished: &[Id]) -> Vec<Ended> {
        // A row with a corrupt id was removed too, but can't be reported.
        let known = rows
            .iter()
            .filter_map(|row| Some(ended::<D>(record::id::<D>(row).ok()?, row)));
        let unknown = vanished.iter().filter_map(|id| parse_id(id).ok());
        known.chain(unknown.map(Ended::unknown)).collect()
    }

    /// The ids that have no row in `present`, whose first column is an id.
    pub fn absent<D: Dialect>(&self, present: &[RowOf<D>]) -> Vec<Id> {
        let present: HashSet<&[u8]> = (present.iter())
            .filter_map(|row| bytes::<D>(row, 0).ok())
            .collect();
        let absent = self
            .ids
            .iter()
            .filter(|id| !present.contains(id.as_slice()));
        absent.cloned().collect()
    }
}

impl Condition {
    /// Whether a locked row with the columns id, owner, age, stamp is to be removed.
    #[must_use]
    pub fn holds<D: Dialect>(&self, row: &RowOf<D>) -> bool {
        match self {
            Self::Owner(owner) => {
                D::bytes(row, 1).is_ok_and(|found| found == Some(record::owner_bytes(owner)))
            }
            Self::Stamps(expected) => match bytes::<D>(row, 0).map(|id| expected.get(id)) {
                Ok(Some(expected)) => stamp::<D>(row, 3).is_ok_and(|found| found == *expected),
                Ok(None) => true,
                Err(_) => false,
            },
        }
    }
}
