//! How stores are set up.

use std::future::Future;

use super::{Backend, Store};
use crate::Result;

/// A backend that a builder sets up, and a URL names.
pub trait Setup: Backend {
    /// The builder.
    type Builder: Default + Send;

    /// Connects to the database at `url`.
    fn connect(
        builder: Self::Builder,
        url: &str,
    ) -> impl Future<Output = Result<Store<Self>>> + Send;
}

impl<B: Setup> Store<B> {
    /// Sets a store up.
    #[must_use]
    pub fn builder() -> B::Builder {
        B::Builder::default()
    }

    /// Connects to the database at `url`, with the defaults of the [builder](Self::builder).
    ///
    /// # Errors
    /// As the builder's `connect`.
    pub async fn connect(url: &str) -> Result<Self> {
        B::connect(B::Builder::default(), url).await
    }
}
