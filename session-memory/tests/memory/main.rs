//! What only the memory store does: its bound, its listings, its snapshot, and freeing what has
//! expired. The conformance suite tests the rest.

mod directory;
mod observed;
mod snapshot;
#[cfg(unix)]
mod snapshot_file;
mod store;
mod support;
