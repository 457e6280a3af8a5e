//! What the tests share: a slow store that logs its writes, and repeatable random numbers.
#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod random;
pub(crate) mod slow;
