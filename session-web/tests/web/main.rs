//! The layer, as browsers and handlers see it.

mod browser;
mod cookie_only;
#[cfg(feature = "express")]
mod express;
#[cfg(feature = "express")]
#[path = "../../../session-express/tests/support/mod.rs"]
mod express_records;
mod layer;
mod pages;
mod probe;
mod renewal;
mod reuse;
mod sign_in;
mod sign_out;
mod site;
