//! The statement of each operation, with its binds.

use std::borrow::Borrow;

use session_core::backend::{Create, Save, Touch};
use session_core::{Anchor, SessionId, Timeout, Version};
use session_sql::record::{
    credential_bytes, description_bytes, id_bytes, micros, millis, owner_bytes, owner_of,
};
use session_sql::{BatchStatement, Bound, Condition, Id, Removal};

use crate::Sqlite;
use crate::schema::Statements;

impl Statements {
    pub(crate) fn insert(&self, creates: &[Create]) -> Bound<Sqlite> {
        let (query, creates) = self
            .insert
            .query_sized(creates, |create| create.draft.data.len());
        creates.bind(query, |query, Create { id, draft, .. }| {
            let lifetime = draft.lifetime;
            query
                .bind(id_bytes(id))
                .bind(draft.stamp.as_bytes().as_slice())
                .bind(credential_bytes(draft))
                .bind(description_bytes(draft))
                .bind(owner_of(draft))
                .bind(span(draft.age_at_create().into()))
                .bind(millis(lifetime.idle))
                .bind(millis(lifetime.absolute))
                .bind(span(draft.left_at_create()))
                .bind(&*draft.data)
        })
    }

    /// Saves sessions, which must be no more than a statement takes.
    pub(crate) fn save(&self, saves: &[&Save]) -> Bound<Sqlite> {
        if let [save] = saves {
            return bind_save(self.save.query(), save);
        }
        let (query, saves) = self
            .save_many
            .query_sized(saves, |save| save.draft.data.len());
        saves.bind(query, |query, save| bind_save(query, save))
    }

    pub(crate) fn extend(&self, touches: &[Touch]) -> Bound<Sqlite> {
        let (query, touches) = self.extend.query(touches);
        touches.bind(query, |query, touch| {
            query.bind(id_bytes(&touch.id)).bind(span(touch.idle))
        })
    }

    pub(crate) fn delete(&self, removal: &Removal) -> Bound<Sqlite> {
        match &removal.condition {
            Condition::Owner(owner) => {
                let owner = owner_bytes(owner);
                of_stored(&self.delete_owned, &removal.ids, |query| query.bind(owner))
            }
            Condition::Stamps(expected) => {
                let (query, ids) = self.destroy.query(&removal.ids);
                ids.bind(query, |query, id: &Id| {
                    let expected = expected.get(id);
                    let expected = expected.map(|stamp| stamp.as_bytes().as_slice());
                    query.bind(id.as_slice()).bind(expected)
                })
            }
        }
    }
}

/// A statement whose binds are ids.
pub(crate) fn of_ids(
    statement: &BatchStatement<Sqlite>,
    ids: &[impl Borrow<SessionId>],
) -> Bound<Sqlite> {
    let (query, ids) = statement.query(ids);
    ids.bind(query, |query, id| query.bind(id_bytes(id.borrow())))
}

/// A statement whose binds are those of `first`, and ids as they are stored.
pub(crate) fn of_stored(
    statement: &BatchStatement<Sqlite>,
    ids: &[Id],
    first: impl FnOnce(Bound<Sqlite>) -> Bound<Sqlite>,
) -> Bound<Sqlite> {
    let (query, ids) = statement.query(ids);
    ids.bind(first(query), |query, id| query.bind(id.as_slice()))
}

fn bind_save(query: Bound<Sqlite>, save: &Save) -> Bound<Sqlite> {
    let Save {
        id,
        draft,
        expected,
        ..
    } = save;
    query
        .bind(id_bytes(id))
        .bind(Version::stamp(expected).as_bytes().as_slice())
        .bind(draft.stamp.as_bytes().as_slice())
        .bind(credential_bytes(draft))
        .bind(description_bytes(draft))
        .bind(owner_of(draft))
        .bind(span(draft.lifetime.idle))
        .bind(span(draft.lifetime.absolute))
        .bind(draft.anchor == Anchor::Restart)
        .bind(&*draft.data)
}

/// Whole milliseconds; at most a century, so that a sum does not exceed 64 bits.
fn span(timeout: Timeout) -> Option<i64> {
    micros(timeout).map(|micros| micros / 1_000)
}

#[cfg(test)]
mod tests {
    use session_sql::Statement;

    use super::*;

    #[test]
    fn batches_are_padded_with_the_smallest_session() {
        let statement = BatchStatement::<Sqlite>::new(|_| Statement::new(String::new()));
        let (_, padded) = statement.query_sized(&[900, 1, 500, 70, 80], |bytes| *bytes);
        let bound = padded.bind(Vec::new(), |mut bound, bytes| {
            bound.push(*bytes);
            bound
        });
        assert_eq!(bound, [900, 1, 500, 70, 80, 1, 1, 1]);
    }
}
