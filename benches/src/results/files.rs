//! The files of `benches/results`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::{Run, chart, table};

/// Reads the runs of a folder, by file name without `.jsonl`.
///
/// # Errors
/// If a file can't be read or is not in the format; the message names the file.
pub fn read(folder: &Path) -> io::Result<BTreeMap<String, Run>> {
    let mut runs = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != "jsonl")
        {
            continue;
        }
        let invalid = |error: &dyn std::fmt::Display| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{}: {error}", path.display()),
            )
        };
        let text = std::fs::read_to_string(&path).map_err(|error| invalid(&error))?;
        let run = Run::read(&text).map_err(|error| invalid(&error))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        runs.insert(name.into_owned(), run);
    }
    Ok(runs)
}

/// Generates the tables and charts of the runs: the text of each file, by its name.
#[must_use]
pub fn generate(runs: &BTreeMap<String, Run>) -> BTreeMap<String, String> {
    let tables = runs
        .iter()
        .map(|(name, run)| (format!("{name}.md"), table::page(name, run)));
    let charts = chart::all(runs)
        .into_iter()
        .map(|(name, svg)| (format!("{name}.svg"), svg));
    tables.chain(charts).collect()
}
