//! The file that all processes of a run append to.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use super::Line;
use crate::Result;

/// The end of a history. Each line is one write, which the kernel appends as a whole.
#[derive(Debug)]
pub struct Log(File);

impl Log {
    /// Appends to this file, which is made if there is none.
    ///
    /// # Errors
    /// The file can't be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(file))
    }

    /// Appends a line.
    ///
    /// # Panics
    /// It can't be written: a history with holes proves nothing.
    #[allow(clippy::expect_used, reason = "see above")]
    pub fn write(&self, line: &Line) {
        let mut bytes = serde_json::to_vec(line).expect("a line is JSON");
        bytes.push(b'\n');
        (&self.0)
            .write_all(&bytes)
            .expect("the history can be written");
    }
}
