//! What every session store must do, as named cases that any store can run.
//!
//! Write a [`StoreFactory`] for the store and put
//! [`conformance_tests!`](crate::conformance_tests) into a test: it expands to one test a case.
//! [`run_all`] runs the same cases in one go and gives a [`Report`].

mod busy;
mod case;
mod cases;
mod chance;
mod changing;
mod compare;
mod counting;
mod crowd;
mod factory;
mod fixture;
mod macros;
mod report;
mod runner;
mod stage;
mod subject;
mod timing;

mod anchor;
mod cancellation;
mod corruption;
mod credential;
mod crud;
mod destroy;
mod directory;
mod expiry;
mod keys;
mod manager;
mod many;
mod model;
mod owners;
mod people;
mod races;
mod reaping;
mod retries;
mod secrets;
mod signing_out;
mod sizes;
mod tokens;
mod touch;
mod updates;

pub use case::{Case, Invariant, Need};
pub use cases::CASES;
pub use factory::{StoreFactory, TestStore};
pub use report::{CaseReport, Outcome, Report};
pub use runner::{CASE_LIMIT, check_left_out, run_all, run_case, run_test};
pub use stage::Stage;
