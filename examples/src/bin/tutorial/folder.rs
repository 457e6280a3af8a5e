//! Where the sessions are without `--store`: a file in the user's data folder, so that a sign-in
//! outlives a restart of the site, wherever it is started.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

/// The folder of this project in the data folder.
const FOLDER: &str = "session-tutorial";

/// The file, whose folder is made if it does not exist.
pub(crate) fn sessions_file() -> Result<PathBuf, Box<dyn Error>> {
    let known = etcetera::choose_base_strategy();
    let data = known.map_err(|_| "there is no home directory: choose a store with --store")?;
    let folder = data.data_dir().join(FOLDER);
    fs::create_dir_all(&folder).map_err(|why| {
        format!(
            "cannot create the folder {}: {why}; choose a store with --store",
            folder.display()
        )
    })?;
    Ok(folder.join("sessions.db"))
}

/// The URL of a file, whatever its name is.
pub(crate) fn url(file: &Path) -> Result<String, Box<dyn Error>> {
    let Some(path) = file.to_str() else {
        return Err(format!(
            "the path {} is not Unicode: choose a store with --store",
            file.display()
        )
        .into());
    };
    let escaped = path
        .replace('%', "%25")
        .replace('?', "%3F")
        .replace('#', "%23");
    Ok(format!("sqlite:{escaped}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_escaped() {
        let url = url(Path::new("/home/a?b%20#c/sessions.db")).expect("it is Unicode");
        assert_eq!(url, "sqlite:/home/a%3Fb%2520%23c/sessions.db");
    }
}
