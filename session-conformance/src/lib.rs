#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod busy;
mod case;
mod cases;
mod chance;
mod changing;
mod compare;
mod counting;
mod crowd;
mod factory;
mod macros;
mod people;
pub mod reference;
mod report;
mod runner;
mod samples;
mod stage;
mod subject;
mod timing;

pub use case::{Case, Invariant, Need};
pub use cases::CASES;
pub use factory::{StoreFactory, TestStore};
pub use report::{CaseReport, Outcome, Report};
pub use runner::{CASE_LIMIT, check_left_out, run_all, run_case, run_test};
pub use stage::Stage;
