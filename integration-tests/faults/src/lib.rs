//! Runs random operations on sessions from several processes while faults are injected into real
//! servers, records every call and answer, and judges the record.
#![forbid(unsafe_code)]
#![allow(
    missing_docs,
    reason = "the fields of records say what they are; this is a program"
)]

pub mod clock;
pub mod dice;
pub mod fault;
pub mod history;
pub mod judge;
pub mod network;
mod options;
pub mod process;
pub mod proxy;
pub mod run;
pub mod topology;
pub mod worker;

/// Why a run could not be made. A violation of a promise is none: it is part of the report.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;
