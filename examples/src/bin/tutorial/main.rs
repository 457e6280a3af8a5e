//! A small site with sessions, which shows what becomes of them: a cart, two users with passwords,
//! their devices, a race, error pages. Each page shows its own code, and what is in the cookie and
//! in the store.
//!
//! ```text
//! cargo run -p examples --bin tutorial                                  # in a SQLite file
//! cargo run -p examples --bin tutorial -- --store memory:               # gone with the site
//! cargo run -p examples --bin tutorial -- --store redis://127.0.0.1/    # or postgres://…, and so on
//! cargo run -p examples --bin tutorial -- --cookie-only                 # no store at all
//! ```
//!
//! Then open <http://127.0.0.1:3000>. `--help` lists the options.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is a program that prints"
)]

mod account;
mod code;
mod devices;
mod errors;
mod express;
mod folder;
mod html;
mod live;
mod options;
mod panel;
mod password;
mod race;
mod routes;
mod shop;
mod site;
#[cfg(test)]
mod tests;
mod this_session;
mod users;
mod words;

use std::net::SocketAddr;

use options::{HELP, Options};
use session_store::Reaper;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt().with_target(false).init();
    if let Err(error) = run().await {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let Some(options) = Options::parse(std::env::args().skip(1))? else {
        println!("{HELP}");
        return Ok(());
    };
    let (site, layer) = site::open(&options).await?;
    // Removes what has expired, and tells the observer.
    let reaper = site.sessions.clone().map(Reaper::spawn).transpose()?;
    let listener = tokio::net::TcpListener::bind(options.address).await?;
    println!("http://{}, sessions {}", listener.local_addr()?, site.kept);
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let stop = site.stop.clone();
    let stopped = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.send_replace(true);
    };
    let app = routes::app(site, layer)?.into_make_service_with_connect_info::<SocketAddr>();
    // Requests in flight are served, and their sessions saved.
    axum::serve(listener, app)
        .with_graceful_shutdown(stopped)
        .await?;
    if let Some(reaper) = reaper {
        reaper.stop().await;
    }
    println!("stopped");
    Ok(())
}
