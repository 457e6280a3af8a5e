//! The layer, as browsers and handlers see it.

mod app;
mod browser;
mod cookie_only;
#[cfg(feature = "express")]
mod cookies;
#[cfg(feature = "express")]
mod express;
#[cfg(feature = "express")]
#[path = "../../../session-express/tests/support/mod.rs"]
mod express_records;
#[cfg(feature = "express")]
mod former;
mod late;
mod layer;
#[path = "../../../session-core/tests/support/log.rs"]
mod log;
mod options;
mod pages;
mod plain_http;
mod probe;
mod renewal;
mod responses;
mod reuse;
mod rules;
#[cfg(feature = "express")]
mod secrets;
mod sign_in;
mod sign_out;
mod site;
mod streams;
#[cfg(feature = "express")]
mod values;
mod window;
