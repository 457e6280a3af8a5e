//! The tests that cross crates or need a server: one program, linked once, whose tests share one
//! server of each kind. `cargo test -p integration-tests redis_backend::` runs a part of it.

mod actix;
mod away;
mod browser;
mod cached;
mod checks;
mod docs;
mod ends;
mod every_store;
mod express;
mod express_crypto;
mod express_smoke;
#[path = "../../../session-core/tests/support/log.rs"]
mod log;
mod manual;
mod memory;
mod mongo;
mod mongo_backend;
mod moving;
mod mysql;
mod mysql_backend;
mod own_backend;
mod packages;
mod parsed_json;
mod postgres;
mod postgres_backend;
mod redaction;
mod redis;
mod redis_backend;
mod redis_servers;
mod results;
mod sealed;
mod servers;
mod sessionctl;
mod sqlite;
mod storm;
mod streams;
mod tower_sessions;
mod web_faults;
