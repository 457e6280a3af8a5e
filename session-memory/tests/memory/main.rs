//! Features of the memory store alone: its limit, its listings, its snapshot, and freeing expired
//! sessions. The conformance suite tests the rest.

mod directory;
mod observed;
mod snapshot;
#[cfg(unix)]
mod snapshot_file;
mod store;
mod support;
mod testing;
