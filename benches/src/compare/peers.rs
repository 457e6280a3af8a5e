//! Stores of other libraries, with their own drivers.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use time::OffsetDateTime;

use super::contender::{Contender, read};

fn expiry() -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::from_secs(3_600)
}

fn data(text: String) -> HashMap<String, Value> {
    HashMap::from([("data".to_owned(), Value::String(text))])
}

fn read_data(data: &HashMap<String, Value>) -> (u64, usize) {
    read(data.get("data").and_then(Value::as_str).expect("a text"))
}

/// A store of tower-sessions, for a version of its core and its way to create sessions.
macro_rules! tower {
    ($name:ident, $core:ident, |$store:ident, $record:ident| $create:expr) => {
        pub(crate) struct $name<S> {
            store: S,
            ids: Vec<i128>,
        }

        impl<S: $core::SessionStore> $name<S> {
            pub(crate) fn new(store: S, sessions: usize) -> Self {
                let first = OffsetDateTime::now_utc().unix_timestamp_nanos();
                // Spread, as random ids are.
                let id = |n: usize| {
                    (first + n as i128).wrapping_mul(0x1E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
                };
                let ids = (0..sessions).map(id).collect();
                Self { store, ids }
            }

            fn record(&self, n: usize, text: String) -> $core::session::Record {
                $core::session::Record {
                    id: $core::session::Id(self.ids[n]),
                    data: data(text),
                    expiry_date: expiry(),
                }
            }
        }

        impl<S: $core::SessionStore> Contender for $name<S> {
            async fn create(&self, n: usize, text: String) {
                let mut $record = self.record(n, text);
                let ($store, $record) = (&self.store, &mut $record);
                $create.await.expect("created");
            }

            async fn load(&self, n: usize) -> (u64, usize) {
                let id = $core::session::Id(self.ids[n]);
                let found = self.store.load(&id).await.expect("up");
                read_data(&found.expect("there").data)
            }

            async fn save(&self, n: usize, text: String) {
                self.store.save(&self.record(n, text)).await.expect("saved");
            }
        }
    };
}

tower!(Tower15, tower_sessions_core, |store, record| store
    .create(record));
tower!(Tower14, tower_sessions_core_014, |store, record| store
    .create(record));
tower!(Tower11, tower_sessions_core_011, |store, record| store
    .save(record));
