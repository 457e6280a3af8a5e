//! The layer, as browsers and handlers see it.

mod cookie_only;
mod layer;
mod pages;
mod support;
