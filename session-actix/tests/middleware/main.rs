//! The middleware, as browsers and handlers see it.

mod app;
mod browser;
#[cfg(feature = "express")]
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../session-express/tests/support/mod.rs"]
mod express_records;
mod failures;
mod forged;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../session-core/tests/support/log.rs"]
mod log;
mod options;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../session-web/tests/web/probe.rs"]
mod probe;
mod server;
mod sessions;
