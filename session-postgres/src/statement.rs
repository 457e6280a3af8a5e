//! The statement of each operation, with its binds.

use session_core::backend::{Create, Save, Touch};
use session_core::{Anchor, Owner, SessionId};
use session_sql::record::{
    credential_bytes, description_bytes, id_bytes, micros, millis, owner_bytes, owner_of,
};
use session_sql::{Condition, Id, Removal};
use sqlx::{Encode, Type};

use crate::schema::{Sized, Statements};

type Bound = session_sql::Bound<crate::Postgres>;

/// A statement for items, in the order of their ids: statements that lock rows in one order never
/// wait for each other in a circle.
struct Items<'i, T>(Vec<&'i T>);

impl<'i, T> Items<'i, T> {
    fn new(items: impl IntoIterator<Item = &'i T>, id: impl Fn(&'i T) -> &'i [u8]) -> Self {
        let mut items: Vec<&T> = items.into_iter().collect();
        items.sort_unstable_by_key(|item| id(item));
        Self(items)
    }

    fn query(&self, statement: &Sized) -> Bound {
        match self.0.len() {
            1 => statement.one.query(),
            _ => statement.many.query(),
        }
    }

    /// Binds the value of the only item, or an array of all values.
    fn bind<V>(&self, query: Bound, value: impl Fn(&'i T) -> V) -> Bound
    where
        V: Encode<'i, sqlx::Postgres> + Type<sqlx::Postgres>,
        Vec<V>: Encode<'i, sqlx::Postgres> + Type<sqlx::Postgres>,
    {
        match &*self.0 {
            [item] => query.bind(value(item)),
            items => {
                let values: Vec<V> = items.iter().map(|item| value(item)).collect();
                query.bind(values)
            }
        }
    }
}

impl Statements {
    /// Creates sessions.
    pub(crate) fn create(&self, creates: &[Create]) -> Bound {
        let items = Items::new(creates, |create| id_bytes(&create.id));
        let query = items.query(&self.create);
        let query = items.bind(query, |create| id_bytes(&create.id));
        let query = items.bind(query, |create| micros(create.draft.left_at_create()));
        let query = items.bind(query, |create| micros(create.draft.age_at_create().into()));
        let query = items.bind(query, |create| millis(create.draft.lifetime.idle));
        let query = items.bind(query, |create| millis(create.draft.lifetime.absolute));
        let query = items.bind(query, |create| *create.draft.stamp.as_bytes());
        let query = items.bind(query, |create| credential_bytes(&create.draft));
        let query = items.bind(query, |create| description_bytes(&create.draft));
        let query = items.bind(query, |create| owner_of(&create.draft));
        items.bind(query, |create| &*create.draft.data)
    }

    /// Loads one session.
    pub(crate) fn load(&self, id: &SessionId) -> Bound {
        self.load.query().bind(id_bytes(id))
    }

    /// Loads sessions.
    pub(crate) fn load_many(&self, ids: &[SessionId]) -> Bound {
        let ids: Vec<&[u8]> = ids.iter().map(id_bytes).collect();
        self.load_many.query().bind(ids)
    }

    /// Selects the stamps of sessions.
    pub(crate) fn stamps(&self, ids: &[&SessionId]) -> Bound {
        let ids: Vec<&[u8]> = ids.iter().map(|id| id_bytes(id)).collect();
        self.stamps.query().bind(ids)
    }

    /// Saves sessions.
    pub(crate) fn save(&self, saves: &[&Save]) -> Bound {
        let items = Items::new(saves.iter().copied(), |save| id_bytes(&save.id));
        let restarts = |save: &&Save| save.draft.anchor == Anchor::Restart;
        let query = match items.0.iter().any(restarts) {
            true => items.query(&self.sign_in),
            false => items.query(&self.save),
        };
        let query = items.bind(query, |save| id_bytes(&save.id));
        let query = items.bind(query, |save| *save.expected.stamp().as_bytes());
        let query = items.bind(query, |save| *save.draft.stamp.as_bytes());
        let query = items.bind(query, |save| credential_bytes(&save.draft));
        let query = items.bind(query, |save| description_bytes(&save.draft));
        let query = items.bind(query, |save| owner_of(&save.draft));
        let query = items.bind(query, |save| millis(save.draft.lifetime.idle));
        let query = items.bind(query, |save| millis(save.draft.lifetime.absolute));
        let query = items.bind(query, |save| micros(save.draft.lifetime.idle));
        let query = items.bind(query, |save| micros(save.draft.lifetime.absolute));
        let query = items.bind(query, |save| save.draft.anchor == Anchor::Restart);
        items.bind(query, |save| &*save.draft.data)
    }

    /// Touches sessions.
    pub(crate) fn touch(&self, touches: &[Touch]) -> Bound {
        let items = Items::new(touches, |touch| id_bytes(&touch.id));
        let query = items.query(&self.touch);
        let query = items.bind(query, |touch| id_bytes(&touch.id));
        items.bind(query, |touch| micros(touch.idle))
    }

    /// Deletes rows.
    pub(crate) fn delete(&self, removal: &Removal) -> Bound {
        let all = || removal.ids.to_vec();
        match &removal.condition {
            Condition::Owner(owner) => {
                let query = self.delete_owned.query().bind(all());
                query.bind(owner_bytes(owner))
            }
            Condition::Stamps(expected) => {
                let items = Items::new(&*removal.ids, |id| id);
                let query = items.query(&self.destroy);
                let query = items.bind(query, |id| &**id);
                items.bind(query, |id| expected.get(id).map(|stamp| *stamp.as_bytes()))
            }
        }
    }

    pub(crate) fn list(&self, after: &[u8], limit: u64) -> Bound {
        self.list.query().bind(after).bind(rows(limit))
    }

    pub(crate) fn owned(&self, owner: &Owner, after: &[u8], limit: u64) -> Bound {
        let query = self.owned.query().bind(owner_bytes(owner));
        query.bind(after).bind(rows(limit))
    }

    pub(crate) fn owned_ids(&self, owner: &Owner, except: Option<&SessionId>, limit: u64) -> Bound {
        let query = self.owned_ids.query().bind(owner_bytes(owner));
        let except = except.map(id_bytes).unwrap_or_default();
        query.bind(except).bind(rows(limit))
    }

    pub(crate) fn expired_ids(&self, limit: u64) -> Bound {
        self.expired_ids.query().bind(rows(limit))
    }

    pub(crate) fn claim(&self, ids: &[Id]) -> Bound {
        self.claim.query().bind(ids)
    }

    pub(crate) fn delete_claimed(&self, ids: &[Id]) -> Bound {
        self.delete_claimed.query().bind(ids)
    }

    pub(crate) fn present(&self, ids: &[Id]) -> Bound {
        self.present.query().bind(ids)
    }

    pub(crate) fn clear(&self, limit: u64) -> Bound {
        self.clear.query().bind(rows(limit))
    }
}

fn rows(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
