//! Express' cookies and records, sessions in them, and the move to a native store.

mod faulty;
mod fixture;
mod golden;
mod moving;
mod moving_races;
mod new_tokens;
mod odd_records;
mod races;
mod slow;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod unauthentic;
