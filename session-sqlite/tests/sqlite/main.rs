//! What only a file has: it is deleted, replaced, locked, damaged or read-only, its disk is full,
//! other processes write it. The conformance suite tests the rest.

mod busy;
#[cfg(unix)]
mod child;
#[cfg(unix)]
mod lost_file;
mod memory;
#[cfg(unix)]
mod processes;
#[cfg(unix)]
mod read_only;
mod support;
mod table;
mod unusable_file;
