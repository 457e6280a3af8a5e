//! How fast streams close in many processes when sessions end, and what notices cost a destroy.
//!
//! ```text
//! cargo run --release --manifest-path benches/Cargo.toml --bin streams [OPTION…]
//! cargo run --release --manifest-path benches/Cargo.toml --bin streams cost
//! ```
//!
//! Options: `redis`, `mongo` or `mysql`, `processes=N`, `streams=N`, `users=N`, `cut`.
//!
//! Each process is this program again, with its share of the streams. Another one ends all sessions
//! of each user in turn, by `destroy_owned_by`; the time of a stream runs from that call to its
//! close. With `cut`, the connections that listen are closed and others are refused: only the lease
//! is left. (It takes the right to subscribe from the server's default user.) `cost` compares destroys with and without notices, while no stream
//! is open.
#![allow(clippy::print_stdout, reason = "it is a program that prints")]

mod child;
mod cost;
mod parent;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use session_core::SessionStore;
use session_mongo::MongoStore;
use session_mysql::MysqlStore;
use session_redis::RedisStore;

/// What the processes agree on.
#[derive(Clone, Debug)]
struct Options {
    url: String,
    processes: usize,
    streams: usize,
    users: usize,
    is_cut: bool,
}

impl Options {
    fn read(url: String, arguments: &[String]) -> Self {
        let number = |name: &str, default: usize| {
            let value = arguments.iter().find_map(|argument| {
                let (option, value) = argument.split_once('=')?;
                (option == name).then(|| value.parse().expect("a number"))
            });
            value.unwrap_or(default)
        };
        Self {
            url,
            processes: number("processes", 8),
            streams: number("streams", 10_000),
            users: number("users", 100),
            is_cut: arguments.iter().any(|argument| argument == "cut"),
        }
    }

    /// A store, which publishes what it ends or does not.
    async fn store(&self, publishes: bool) -> Arc<dyn SessionStore> {
        let url = &*self.url;
        match url.split(':').next().unwrap_or_default() {
            "mongodb" => Arc::new(MongoStore::connect(url).await.expect("up")),
            "mysql" => Arc::new(MysqlStore::connect(url).await.expect("up")),
            _ => {
                let builder = RedisStore::builder().prefix("streams:");
                Arc::new(builder.notices(publishes).connect(url).await.expect("up"))
            }
        }
    }
}

/// The name of a user.
fn user(number: usize) -> String {
    format!("user-{number}")
}

/// Microseconds on the clock that all processes share.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_micros() as u64)
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("child") => {
            let number = arguments[2].parse().expect("a number");
            let options = Options::read(arguments[1].clone(), &arguments);
            child::run(&options, number).await;
        }
        Some("cost") => cost::run().await,
        _ => parent::run(&arguments).await,
    }
}
