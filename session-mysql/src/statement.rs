//! The statement of each operation, with its binds.

use session_core::backend::{Create, Destroy, Save, Touch};
use session_core::{Anchor, Draft, SessionId, Version};

use crate::prepared::{Bound, Statement};
use crate::record::{credential_bytes, description_bytes, id_bytes, micros, millis, owner_bytes};
use crate::schema::Statements;

impl Statements {
    /// Creates sessions: as many as one of the prepared sizes.
    pub(crate) fn create(&self, items: &[Create]) -> Bound {
        let (query, items) = self.create.query(items);
        items.bind(query, |query, Create { id, draft, .. }| {
            let lifetime = draft.lifetime;
            let first = lifetime.idle.min(lifetime.absolute);
            query
                .bind(id_bytes(id))
                .bind(draft.stamp.as_bytes().as_slice())
                .bind(credential_bytes(draft))
                .bind(description_bytes(draft))
                .bind(owner_bytes(draft))
                .bind(millis(lifetime.idle))
                .bind(millis(lifetime.absolute))
                .bind(micros(first))
                .bind(&*draft.data)
        })
    }

    pub(crate) fn load(&self, id: &SessionId) -> Bound {
        self.load.query().bind(id_bytes(id))
    }

    pub(crate) fn load_many(&self, ids: &[SessionId]) -> Bound {
        let (query, ids) = self.load_many.query(ids);
        ids.bind(query, |query, id| query.bind(id_bytes(id)))
    }

    pub(crate) fn stamps(&self, ids: &[&SessionId]) -> Bound {
        let (query, ids) = self.stamps.query(ids);
        ids.bind(query, |query, id| query.bind(id_bytes(id)))
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
        let query = query
            .bind(description_bytes(draft))
            .bind(owner_bytes(draft));
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
