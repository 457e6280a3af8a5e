//! What the site is made of: its sessions, its users, and the layer that brings the sessions.

use session_store::{LogObserver, Sessions};
use session_web::{ErrorPages, KeyRing, Secret, Secure, SessionLayer, SessionLayerBuilder};
use tokio::sync::watch;

use crate::errors;
use crate::folder;
use crate::options::Options;
use crate::users::Users;

/// What handlers know of the site.
pub(crate) struct Site {
    /// The sessions in the store; `None` if they are in cookies.
    pub(crate) sessions: Option<Sessions>,
    /// Where sessions are kept, in words.
    pub(crate) kept: String,
    pub(crate) users: Users,
    /// Whether the site stops.
    pub(crate) stop: watch::Sender<bool>,
}

impl Site {
    /// Ready once the site stops.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.subscribe();
        async move {
            // Without its sender, the site is gone.
            let _ = stop.wait_for(|stops| *stops).await;
        }
    }
}

/// The layer, with the site's own error pages.
pub(crate) type Layer = SessionLayer<ErrorPages<errors::Handler>>;

type Failure = Box<dyn std::error::Error>;

/// The site, by the command line.
pub(crate) async fn open(options: &Options) -> Result<(Site, Layer), Failure> {
    let (sessions, kept, layer) = match options.cookie_only {
        true => (
            None,
            "in the cookie, encrypted".to_owned(),
            cookie_only(options)?,
        ),
        false => {
            let (url, kept) = match &options.store {
                Some(url) => (url.clone(), in_words(url)),
                None => {
                    let file = folder::sessions_file()?;
                    let url = folder::url(&file)?;
                    (url, format!("in the file {}", file.display()))
                }
            };
            let store = session_store::connect(&url).await?;
            let sessions = in_store(store, options)?;
            let layer = SessionLayer::builder(sessions.clone());
            (Some(sessions), kept, layer)
        }
    };
    let users = Users::new()?;
    let site = Site {
        sessions,
        kept,
        users,
        stop: watch::Sender::new(false),
    };
    Ok((site, build(layer)?))
}

/// The scheme, because the rest may hold a password.
fn in_words(url: &str) -> String {
    let scheme = url.split(':').next().unwrap_or_default();
    format!("in a store ({scheme})")
}

// code: layer
fn in_store(
    store: impl session_store::SessionStore,
    options: &Options,
) -> session_store::Result<Sessions> {
    Sessions::builder(store)
        .lifetime(options.lifetime)
        .observer(LogObserver) // sessions' beginnings and ends are in the log
        .build()
}

fn cookie_only(options: &Options) -> Result<SessionLayerBuilder, Failure> {
    let secret = match &options.secret {
        Some(text) => Secret::new(text)?,
        // Every restart signs all users out; a real site keeps its secret.
        None => Secret::generate(),
    };
    let layer = SessionLayer::cookie_only(&KeyRing::new(secret))
        .lifetime(options.lifetime)
        .observer(LogObserver)
        .options()?;
    Ok(layer)
}

fn build(layer: SessionLayerBuilder) -> session_store::Result<Layer> {
    layer
        .on_error(errors::of_session as errors::Handler)
        // By plain http, on this machine only. A real site leaves this out.
        .secure(Secure::Development)
        .build()
}
// end
