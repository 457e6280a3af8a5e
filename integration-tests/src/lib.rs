//! The conformance suite for session stores, and the servers it runs against.
#![forbid(unsafe_code)]

pub mod conformance;
pub mod reference;
#[cfg(feature = "servers")]
pub mod servers;
