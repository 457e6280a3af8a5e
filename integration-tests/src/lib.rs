#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod program;
pub mod servers;

pub use program::sessionctl;

/// Compiles and runs the code of the project's README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// Compiles the recipes for sites with users.
#[cfg(doctest)]
#[doc = include_str!("../../docs/recipes.md")]
struct Recipes;

/// Compiles the steps from Express to this library.
#[cfg(doctest)]
#[doc = include_str!("../../docs/express.md")]
struct ExpressGuide;

/// Compiles the examples of values that change their types.
#[cfg(doctest)]
#[doc = include_str!("../../docs/changing-values.md")]
struct ChangingValues;

/// Compiles and runs the examples of tests of applications.
#[cfg(doctest)]
#[doc = include_str!("../../docs/testing.md")]
struct Testing;

/// Compiles the examples of "my devices".
#[cfg(doctest)]
#[doc = include_str!("../../docs/devices.md")]
struct Devices;

/// Compiles the examples of streams and sockets.
#[cfg(doctest)]
#[doc = include_str!("../../docs/streams.md")]
struct Streams;

/// Compiles the examples for frameworks.
#[cfg(doctest)]
#[doc = include_str!("../../docs/frameworks.md")]
struct Frameworks;

/// Compiles the choice of crates.
#[cfg(doctest)]
#[doc = include_str!("../../docs/which-crates.md")]
struct WhichCrates;

/// Compiles the remedies.
#[cfg(doctest)]
#[doc = include_str!("../../docs/troubleshooting.md")]
struct Troubleshooting;

/// Compiles the examples of metrics and observers.
#[cfg(doctest)]
#[doc = include_str!("../../docs/logging.md")]
struct Logging;

/// Compiles and runs the steps from tower-sessions to this library.
#[cfg(doctest)]
#[doc = include_str!("../../docs/from-tower-sessions.md")]
struct TowerSessionsGuide;
