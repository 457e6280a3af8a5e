//! A small site with sessions: a visit counter, signing in and out, a cart, "my devices".
//!
//! ```text
//! cargo run -p examples --bin tutorial                                  # in memory
//! cargo run -p examples --bin tutorial -- --store redis://127.0.0.1/    # or mongodb://…, mysql://…
//! cargo run -p examples --bin tutorial -- --cookie-only                 # no store at all
//! ```
//!
//! Then open <http://127.0.0.1:3000>. Two of them on one store share their sessions: give the other
//! a `--port`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is a program that prints"
)]

mod account;
mod html;
mod shop;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::routing::{get, post};
use session_store::{Lifetime, LogObserver, Reaper, Sessions};
use session_web::{KeyRing, Secret, Secure, SessionLayer};
use tower_http::set_header::SetResponseHeaderLayer;

/// What handlers know of the site.
#[derive(Clone)]
pub(crate) struct Site {
    /// The sessions in the store; `None` if they are in cookies.
    pub(crate) sessions: Option<Sessions>,
    /// Where sessions are kept, in words.
    pub(crate) kept: String,
}

/// The command line.
struct Options {
    store: String,
    cookie_only: bool,
    port: u16,
    secret: Option<String>,
    lifetime: Lifetime,
}

impl Options {
    fn parse() -> Result<Self, String> {
        let mut options = Self {
            store: "memory:".to_owned(),
            cookie_only: false,
            port: 3000,
            secret: None,
            lifetime: Lifetime::default(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--store" => options.store = value()?,
                "--cookie-only" => options.cookie_only = true,
                "--port" => options.port = value()?.parse().map_err(|_| "--port needs a number")?,
                "--secret" => options.secret = Some(value()?),
                "--idle" => {
                    let seconds: u64 = value()?.parse().map_err(|_| "--idle needs seconds")?;
                    options.lifetime.idle = Duration::from_secs(seconds).into();
                }
                _ => {
                    return Err(format!(
                        "{word}? It can be: --store URL, --cookie-only, --port NUMBER, --secret TEXT, --idle SECONDS"
                    ));
                }
            }
        }
        Ok(options)
    }
}

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt().with_target(false).init();
    if let Err(error) = run().await {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

type Failure = Box<dyn std::error::Error>;

async fn run() -> Result<(), Failure> {
    let options = Options::parse()?;
    let (site, layer) = if options.cookie_only {
        cookie_only(&options)?
    } else {
        in_store(&options).await?
    };
    // Removes what has expired, and tells the observer; it stops when it is dropped.
    let _reaper = site.sessions.clone().map(Reaper::spawn).transpose()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}, sessions {}", listener.local_addr()?, site.kept);
    let app = app(site, layer).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}

async fn in_store(options: &Options) -> Result<(Site, SessionLayer), Failure> {
    // Sessions' beginnings and ends are in the log, and nothing else has to be written for that.
    let url = &options.store;
    let sessions = Sessions::builder(session_store::connect(url).await?)
        .lifetime(options.lifetime)
        .observer(LogObserver)
        .build()?;
    let scheme = url.split(':').next().unwrap_or_default();
    let site = Site {
        sessions: Some(sessions.clone()),
        kept: format!("in a store ({scheme})"),
    };
    // It is served by plain http, on this machine only. A real site leaves `secure` out.
    let layer = SessionLayer::builder(sessions).secure(Secure::Development);
    Ok((site, layer.build()?))
}

fn cookie_only(options: &Options) -> Result<(Site, SessionLayer), Failure> {
    let secret = match &options.secret {
        Some(text) => Secret::new(text)?,
        // Every restart signs everybody out; a real site keeps its secret.
        None => Secret::generate(),
    };
    let layer = SessionLayer::cookie_only(&KeyRing::new(secret))
        .lifetime(options.lifetime)
        .observer(LogObserver)
        .options()?
        .secure(Secure::Development);
    let site = Site {
        sessions: None,
        kept: "in the cookie, encrypted".to_owned(),
    };
    Ok((site, layer.build()?))
}

fn app(site: Site, layer: SessionLayer) -> Router {
    let header = |name, value| {
        SetResponseHeaderLayer::overriding(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    Router::new()
        .route("/", get(shop::home))
        .route("/cart", post(shop::change))
        .route("/slow", get(shop::slow))
        .route("/sign-in", post(account::sign_in))
        .route("/sign-out", post(account::sign_out))
        .route("/devices", get(account::devices))
        .route("/devices/name", post(account::name_device))
        .route("/devices/revoke", post(account::revoke))
        .route("/devices/others", post(account::sign_out_others))
        .route("/session", get(account::show))
        .layer(layer)
        // Outside the layer: it asks for no session.
        .route(
            "/style.css",
            get(|| async {
                (
                    [(CONTENT_TYPE, "text/css; charset=utf-8")],
                    include_str!("style.css"),
                )
            }),
        )
        .route(
            "/countdown.js",
            get(|| async {
                (
                    [(CONTENT_TYPE, "text/javascript; charset=utf-8")],
                    include_str!("countdown.js"),
                )
            }),
        )
        .layer(header(
            "content-security-policy",
            "default-src 'self'; frame-ancestors 'none'; form-action 'self'",
        ))
        .layer(header("x-content-type-options", "nosniff"))
        .layer(header("referrer-policy", "same-origin"))
        .with_state(Arc::new(site))
}

/// A time as people read it.
pub(crate) fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
