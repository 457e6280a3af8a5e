//! The operations of a backend, as batches send them.

use std::sync::Arc;

use tracing::Span;

use super::batch::{BatchOperation, Duplicates};
use super::call::{Call, Timer};
use super::store::Core;
use super::{Backend, Create, Destroy, Operation, Save, Touch};
use crate::{Ended, Record, Result, Saved, SessionId, Ttl};

/// A kind of operation of one store, and the number of its queue.
macro_rules! batch_operations {
    ($($name:ident: $method:ident, $operation:ident, $item:ty => $answer:ty, $duplicates:ident;)*) => {$(
        pub(super) struct $name<B: Backend>(pub(super) Arc<Core<B>>, pub(super) usize);

        impl<B: Backend> BatchOperation for $name<B> {
            type Item = $item;
            type Answer = $answer;
            const NAME: &'static str = Operation::$operation.as_str();
            const DUPLICATES: Duplicates = Duplicates::$duplicates;

            fn span(&self, size: usize, callers: &[Span]) -> Span {
                self.0.meter.batch_span(Operation::$operation, size, callers)
            }

            fn queued(&self, change: isize) {
                self.0.shared.counters.queued(change);
            }

            async fn execute(&self, items: &[$item]) -> Result<Vec<Result<$answer>>> {
                let Core { backend, shared, .. } = &*self.0;
                if items.len() > 1 {
                    shared.counters.batch(Operation::$operation, items.len());
                }
                let queue = Some(self.1 as u16);
                let call = Call::new(shared, Operation::$operation, Timer::Operation, queue);
                backend.$method(&call, items).await
            }
        }
    )*};
}

batch_operations! {
    Creates: create, Create, Create => Saved, Sequence;
    Loads: load, Load, SessionId => Option<Record>, Coalesce;
    Saves: save, Save, Save => Saved, Sequence;
    Touches: touch, Touch, Touch => Option<Ttl>, Sequence;
    Destroys: destroy, Destroy, Destroy => Option<Ended>, Sequence;
}
