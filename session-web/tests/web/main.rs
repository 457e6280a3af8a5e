//! The layer, as browsers and handlers see it.

mod cookie_only;
#[cfg(feature = "express")]
mod express;
#[cfg(feature = "express")]
#[path = "../../../session-express/tests/support/mod.rs"]
mod express_records;
mod layer;
mod pages;
mod support;
