//! The traits of tower-sessions: of each version the same.

use async_trait::async_trait;

use crate::store::{Created, TowerSessionsStore};

macro_rules! implement {
    ($tower:ident) => {
        const _: () = {
            use $tower::session::{Id, Record};
            use $tower::session_store::{Error, Result};

            fn backend(error: session_core::Error) -> Error {
                Error::Backend(error.to_string())
            }

            #[async_trait]
            impl $tower::SessionStore for TowerSessionsStore {
                /// Never overwrites: if there is a session of this id, it gets another.
                async fn create(&self, record: &mut Record) -> Result<()> {
                    loop {
                        let (id, data, expiry) = (record.id.0, &record.data, record.expiry_date);
                        let created = self.create_record(id, data, expiry).await;
                        match created.map_err(backend)? {
                            Created::Done => return Ok(()),
                            Created::Taken => record.id = Id::default(),
                        }
                    }
                }

                /// Never creates: if the session has ended, that is an error.
                async fn save(&self, record: &Record) -> Result<()> {
                    let saved = self.save_record(record.id.0, &record.data, record.expiry_date);
                    saved.await.map_err(backend)
                }

                async fn load(&self, id: &Id) -> Result<Option<Record>> {
                    let loaded = self.load_record(id.0).await.map_err(backend)?;
                    Ok(loaded.map(|(data, expiry_date)| Record {
                        id: *id,
                        data,
                        expiry_date,
                    }))
                }

                async fn delete(&self, id: &Id) -> Result<()> {
                    self.delete_record(id.0).await.map_err(backend)
                }
            }

            #[async_trait]
            impl $tower::ExpiredDeletion for TowerSessionsStore {
                async fn delete_expired(&self) -> Result<()> {
                    self.delete_expired_records().await.map_err(backend)
                }
            }
        };
    };
}

implement!(tower_sessions_core);
#[cfg(feature = "tower-sessions-0-14")]
implement!(tower_sessions_core_0_14);
