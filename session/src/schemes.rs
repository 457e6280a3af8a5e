//! Which schemes of URLs there are, and how each is connected to.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use session_core::{Error, Result, SessionStore, shared};

use crate::backends;
use crate::location::Location;

type Connecting = Pin<Box<dyn Future<Output = Result<Arc<dyn SessionStore>>> + Send>>;

/// The schemes of URLs that a program takes: the built-in ones, and those that it registers for
/// stores of its own.
///
/// ```
/// use session_store::memory::MemoryStore;
/// use session_store::{Location, Result, Schemes};
///
/// async fn connect_scratch(mut location: Location) -> Result<MemoryStore> {
///     let mut builder = MemoryStore::builder();
///     if let Some(max_data) = location.take_max_data()? {
///         builder = builder.max_data(max_data);
///     }
///     location.finish_with(&[])?; // there is no driver that takes further options
///     builder.build()
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let schemes = Schemes::new().scheme("scratch", connect_scratch);
/// let store = schemes.connect("scratch://here?max_data=4096").await?;
/// # Ok(()) }
/// ```
///
/// It is a value, and nothing global: [`connect`](crate::connect) takes the built-in schemes only.
#[derive(Clone)]
pub struct Schemes(Vec<Scheme>);

#[derive(Clone)]
struct Scheme {
    /// What its URLs begin with: `memory:`, `redis://`.
    beginning: String,
    /// The feature that it needs and that is off.
    missing_feature: Option<&'static str>,
    connect: Arc<dyn Fn(Location) -> Connecting + Send + Sync>,
}

impl Schemes {
    /// The built-in schemes, as [`connect`](crate::connect) lists them.
    #[must_use]
    pub fn new() -> Self {
        backends::register(Self(Vec::new()))
    }

    /// Registers a scheme, such as `dynamodb`, or replaces the one of that name. `connect` makes a
    /// store of a URL's [`Location`].
    ///
    /// The name may be given with what follows it in URLs, `dynamodb://` (as without) or
    /// `dynamodb:`, which is how errors list it. Names are compared byte for byte.
    #[must_use]
    pub fn scheme<F, C, S>(self, name: impl Into<String>, connect: F) -> Self
    where
        F: Fn(Location) -> C + Send + Sync + 'static,
        C: Future<Output = Result<S>> + Send + 'static,
        S: SessionStore,
    {
        let connect = move |location| -> Connecting {
            let connecting = connect(location);
            Box::pin(async move { Ok(shared(connecting.await?)) })
        };
        self.add(name.into(), None, Arc::new(connect))
    }

    /// Registers a built-in scheme whose feature is off.
    #[allow(dead_code, reason = "each backend may be there")]
    pub(crate) fn missing(self, name: &str, feature: &'static str) -> Self {
        let connect = move |location: Location| -> Connecting {
            let error = Error::misconfigured(format!(
                "{}: URLs need the feature {feature:?} of the crate `session-store`: turn it on in Cargo.toml",
                location.scheme(),
            ));
            Box::pin(async move { Err(error) })
        };
        self.add(name.to_owned(), Some(feature), Arc::new(connect))
    }

    fn add(
        mut self,
        mut beginning: String,
        missing_feature: Option<&'static str>,
        connect: Arc<dyn Fn(Location) -> Connecting + Send + Sync>,
    ) -> Self {
        if !beginning.contains(':') {
            beginning += "://";
        }
        let scheme = Scheme {
            beginning,
            missing_feature,
            connect,
        };
        self.0.retain(|there| there.name() != scheme.name());
        self.0.push(scheme);
        self
    }

    /// Connects to the store that `url` names, and sets it up.
    ///
    /// # Errors
    /// As [`connect`](crate::connect), and those of the function that was registered.
    pub async fn connect(&self, url: &str) -> Result<Arc<dyn SessionStore>> {
        let location = Location::parse(url)?;
        location.check_options()?;
        let mut schemes = self.0.iter();
        match schemes.find(|scheme| scheme.name() == location.scheme()) {
            Some(scheme) => (scheme.connect)(location).await,
            None => Err(self.unknown(location.scheme())),
        }
    }

    fn unknown(&self, scheme: &str) -> Error {
        let (mut known, mut off) = (Vec::new(), Vec::new());
        for scheme in &self.0 {
            match scheme.missing_feature {
                None => known.push(scheme.beginning.clone()),
                Some(feature) => off.push(format!("{} (feature {feature:?})", scheme.beginning)),
            }
        }
        let mut message = format!("no session store takes {scheme:?} URLs");
        let lists = [
            ("this program has", known),
            ("the crate `session-store` also knows", off),
        ];
        for (what, list) in lists.iter().filter(|(_, list)| !list.is_empty()) {
            message += &format!("; {what} {}", list.join(", "));
        }
        Error::misconfigured(message)
    }
}

impl Scheme {
    fn name(&self) -> &str {
        self.beginning.split(':').next().unwrap_or_default()
    }
}

impl Default for Schemes {
    fn default() -> Self {
        Self::new()
    }
}

/// Lists the schemes.
impl fmt::Debug for Schemes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let beginnings = self.0.iter().map(|scheme| &scheme.beginning);
        f.debug_set().entries(beginnings).finish()
    }
}
