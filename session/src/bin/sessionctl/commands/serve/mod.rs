//! `serve`: a page that shows the sessions of a store, for the users of this machine.
//!
//! One page, whose script asks for figures (`board`) every few seconds, searches sessions and ends them
//! (`actions`). Who may ask is decided in one place (`guard`). Values of sessions are never sent.

mod actions;
mod board;
mod figures;
mod guard;
mod walk;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use serde_json::json;
use session_store::SessionStore;
use tokio::net::TcpListener;

use crate::arguments::ServeArguments;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::url::SetUp;
use board::Board;
use guard::Guard;

/// What handlers work with.
#[derive(Clone)]
struct Shared {
    store: Arc<dyn SessionStore>,
    board: Arc<Board>,
}

pub(super) async fn run(arguments: ServeArguments, output: Output) -> Result<Exit, Failure> {
    let address = arguments.listen;
    if !address.ip().is_loopback() {
        return Err(Failure::usage(format!(
            "{address} is no loopback address, and the page is sent unencrypted: listen at 127.0.0.1 and \
             reach it from another machine through `ssh -L {port}:127.0.0.1:{port}`",
            port = address.port()
        )));
    }
    let store = arguments.store.read()?.connect(SetUp::Never).await?;
    super::directory(&*store)?;
    let listening =
        |error| Failure::new(Exit::Failed, format!("cannot listen at {address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(listening)?;
    let address = listener.local_addr().map_err(listening)?;
    let guard = Guard::new(address)?;
    let url = guard.url();
    output.print(
        &json!({ "url": url }),
        format!("Open {url}\nEnd it with Ctrl-C."),
    )?;
    let board = Arc::new(Board::default());
    let watching = tokio::spawn(board::watch(Arc::clone(&board), Arc::clone(&store)));
    let app = router(Shared { store, board }, guard);
    let served = axum::serve(listener, app).with_graceful_shutdown(super::interrupted());
    let served = served.await;
    watching.abort();
    served.map_err(listening).map(|()| Exit::Done)
}

fn router(shared: Shared, guard: Guard) -> Router {
    let guard = Arc::new(guard);
    Router::new()
        .route("/", get(actions::page))
        .route("/state", get(actions::state))
        .route("/sessions", get(actions::search))
        .route("/revoke", post(actions::revoke))
        .with_state(shared)
        .layer(axum::middleware::from_fn_with_state(guard, guard::check))
}

/// Where the page is by default.
pub(crate) const DEFAULT_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8377);
