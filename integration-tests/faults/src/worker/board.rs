//! Where callers leave tokens for each other, across processes: a file of slots of one size.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use session_core::SessionToken;

const TOKEN: usize = 54;
const SLOT: usize = TOKEN + 16 + 1;

/// The file. Slots are written as a whole; a check value tells of one that was read while it was
/// written.
#[derive(Debug)]
pub(super) struct Board(File);

impl Board {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        Ok(Self(options.open(path)?))
    }

    /// The token in a slot, if there is one.
    pub(super) fn read(&self, slot: u64) -> Option<SessionToken> {
        let mut bytes = [0; SLOT];
        self.0.read_exact_at(&mut bytes, slot * SLOT as u64).ok()?;
        let text = std::str::from_utf8(&bytes).ok()?;
        let (token, check) = text.trim_end().split_at_checked(TOKEN)?;
        (check == sum(token)).then(|| SessionToken::parse(token))?
    }

    /// Puts `new` into a slot, or nothing, unless another caller has changed it since it was `old`.
    pub(super) fn replace(
        &self,
        slot: u64,
        old: Option<&SessionToken>,
        new: Option<&SessionToken>,
    ) -> io::Result<()> {
        if self.read(slot).as_ref() != old {
            return Ok(());
        }
        let token = new.map_or("", SessionToken::expose);
        let line = format!("{token:TOKEN$}{}\n", sum(token));
        self.0.write_all_at(line.as_bytes(), slot * SLOT as u64)
    }
}

fn sum(token: &str) -> String {
    let mut hasher = DefaultHasher::new();
    token.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_keeps_its_token_and_gives_way_only_to_callers_who_know_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let board = Board::open(&directory.path().join("board")).expect("opened");
        let (first, second) = (SessionToken::generate(), SessionToken::generate());
        assert_eq!(board.read(7), None);
        board.replace(7, None, Some(&first)).expect("written");
        board.replace(3, None, Some(&second)).expect("written");
        assert_eq!(board.read(7).as_ref(), Some(&first));
        board.replace(7, None, Some(&second)).expect("no error");
        assert_eq!(board.read(7).as_ref(), Some(&first), "it was not empty");
        board.replace(7, Some(&first), None).expect("written");
        assert_eq!(board.read(7), None);
        assert_eq!(board.read(3), Some(second));
    }
}
