//! Each fault of each topology really happens, as a plain client of the server sees, and really ends.
#![allow(
    clippy::print_stderr,
    reason = "how long each fault lasts is for readers"
)]

mod mongodb;
mod probe;
mod proxy;
mod redis;
mod sql;
mod sqlite;
