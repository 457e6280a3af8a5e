//! The statement of each operation, with its binds.

use session_core::backend::{Create, Destroy, Save, Touch};
use session_core::{Anchor, Draft, SessionId, Version};
use session_sql::record::{
    credential_bytes, description_bytes, id_bytes, micros, millis, owner_of,
};
use session_sql::{BatchStatement, Id};

use crate::Mysql;
use crate::schema::Statements;

type Bound = session_sql::Bound<Mysql>;
type Statement = session_sql::Statement<Mysql>;

impl Statements {
    /// Creates sessions: as many as one of the prepared sizes.
    pub(crate) fn create(&self, items: &[Create]) -> Bound {
        let (query, items) = self.create.query(items);
        items.bind(query, |query, Create { id, draft, .. }| {
            let lifetime = draft.lifetime;
            query
                .bind(id_bytes(id))
                .bind(draft.stamp.as_bytes().as_slice())
                .bind(credential_bytes(draft))
                .bind(description_bytes(draft))
                .bind(owner_of(draft))
                .bind(micros(draft.age_at_create().into()))
                .bind(millis(lifetime.idle))
                .bind(millis(lifetime.absolute))
                .bind(micros(draft.left_at_create()))
                .bind(&*draft.data)
        })
    }

    /// Selects the ids that have rows.
    pub(crate) fn present(&self, ids: &[Id]) -> Bound {
        with_ids(&self.present, ids)
    }

    pub(crate) fn ttls(&self, ids: &[&SessionId]) -> Bound {
        let (query, ids) = self.ttls.query(ids);
        ids.bind(query, |query, id| query.bind(id_bytes(id)))
    }

    /// Saves one session.
    pub(crate) fn save(&self, save: &Save) -> Bound {
        let Save {
            id,
            draft,
            expected,
            ..
        } = save;
        let query = self.save.query().bind(draft.stamp.as_bytes().as_slice());
        let query = query.bind(credential_bytes(draft));
        let query = query.bind(description_bytes(draft)).bind(owner_of(draft));
        lifetime(query, draft)
            .bind(&*draft.data)
            .bind(id_bytes(id))
            .bind(expected.stamp().as_bytes().as_slice())
    }

    /// Touches sessions with the same idle limit.
    pub(crate) fn touch(&self, items: &[&Touch]) -> Bound {
        let idle = items.first().and_then(|touch| micros(touch.idle));
        let (query, touches) = self.touch.query(items);
        let query = query.bind(idle).bind(idle);
        touches.bind(query, |query, touch| query.bind(id_bytes(&touch.id)))
    }

    /// One of the statements that destroy one session, or find it.
    pub(crate) fn destroy(&self, statement: &Statement, item: &Destroy) -> Bound {
        let expected = item.expected.as_ref().map(Version::stamp);
        let expected = expected.as_ref().map(|stamp| stamp.as_bytes().as_slice());
        statement.query().bind(id_bytes(&item.id)).bind(expected)
    }
}

/// The binds of `{lifetime}`.
pub(crate) fn lifetime(query: Bound, draft: &Draft) -> Bound {
    let (idle, absolute) = (draft.lifetime.idle, draft.lifetime.absolute);
    let restart = draft.anchor == Anchor::Restart;
    query
        .bind(millis(idle))
        .bind(millis(absolute))
        .bind(micros(idle))
        .bind(restart)
        .bind(micros(absolute))
        .bind(micros(idle))
        .bind(restart)
        .bind(micros(absolute))
        .bind(restart)
}

/// A statement that binds ids.
pub(crate) fn with_ids(statement: &BatchStatement<Mysql>, ids: &[impl AsRef<[u8]>]) -> Bound {
    let (query, ids) = statement.query(ids);
    ids.bind(query, |query, id| query.bind(id.as_ref()))
}

/// Groups `items` by `key`, in the order of each key's first item.
pub(crate) fn groups<T, K: PartialEq>(items: &[T], key: impl Fn(&T) -> K) -> Vec<Vec<&T>> {
    let mut groups: Vec<(K, Vec<&T>)> = Vec::with_capacity(1);
    for item in items {
        let key = key(item);
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, group)) => group.push(item),
            None => groups.push((key, vec![item])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}
