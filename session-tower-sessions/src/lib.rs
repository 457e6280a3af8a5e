//! The stores of this project under [tower-sessions](tower_sessions_core) and axum-login: a
//! [`TowerSessionsStore`] around any [`SessionStore`], in place of a store of tower-sessions.
//! Handlers stay as they are.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod key;
mod record;
mod store;
mod traits;

pub use session_core::{self, Error, ErrorKind, Owner, Result, SessionStore};
pub use store::{Data, TowerSessionsStore};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
