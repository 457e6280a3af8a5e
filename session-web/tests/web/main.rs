//! The layer, as browsers and handlers see it.

#[cfg(feature = "express")]
mod accept_express;
mod app;
mod browser;
mod cookie_only;
#[cfg(feature = "express")]
mod cookies;
#[cfg(feature = "express")]
mod described;
mod error_pages;
mod exchange;
#[cfg(feature = "express")]
mod express;
#[cfg(feature = "express")]
#[path = "../../../session-express/tests/support/mod.rs"]
mod express_records;
mod forged;
mod late;
mod layer;
#[path = "../../../session-core/tests/support/log.rs"]
mod log;
mod multipart;
mod options;
mod pages;
mod persistence;
mod plain_http;
mod probe;
mod renewal;
mod require_owner;
mod responses;
mod reuse;
mod rules;
#[cfg(feature = "express")]
mod secrets;
mod sign_in;
mod sign_out;
mod site;
mod streams;
#[cfg(feature = "testing")]
mod test_client;
#[cfg(feature = "express")]
mod values;
mod window;
