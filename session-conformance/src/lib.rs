#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod busy;
mod case;
mod cases;
mod changing;
mod checked;
mod compare;
mod concurrent;
mod counting;
mod factory;
mod fixture;
mod macros;
mod random;
pub mod reference;
mod report;
mod runner;
mod samples;
mod timing;
mod users;

pub use case::{Case, Invariant, Need, Running};
pub use cases::CASES;
pub use checked::CheckedStore;
pub use factory::{StoreFactory, TestStore, in_memory};
pub use fixture::Fixture;
pub use report::{CaseReport, Outcome, Report};
pub use runner::{CASE_LIMIT, run_all, run_case};
#[doc(hidden)]
pub use runner::{case_of, check_left_out, run_test};
