//! The middleware, as browsers and handlers see it.

mod app;
mod browser;
#[cfg(feature = "express")]
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../session-express/tests/support/mod.rs"]
mod express_records;
mod failures;
mod forged;
mod forms;
mod guards;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../session-core/tests/support/log.rs"]
mod log;
#[path = "../../../session-web/tests/web/multipart.rs"]
mod multipart;
mod options;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../session-web/tests/web/probe.rs"]
mod probe;
mod server;
mod sessions;
mod test_client;
mod values;
