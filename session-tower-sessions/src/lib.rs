#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod key;
mod record;
mod store;
mod traits;

pub use session_core::{self, Error, ErrorKind, Owner, Result, SessionStore};
pub use store::{Data, TowerSessionsStore};
