//! `--verify`: reads both stores and compares them.

use serde_json::{Value, json};
use session_store::{ErrorKind, Result, SessionId, SessionInfo};

use super::Copy;
use super::compare::{There, differences};
use super::progress::{Progress, total};
use super::walk::patiently;
use crate::commands::directory;
use crate::exit::Failure;
use crate::output;

/// What was found of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// The same in both stores.
    Same,
    /// TO has a newer version.
    Newer,
    /// It has ended since it was listed.
    Ended,
    /// Not the same, or in one store only.
    Wrong,
}

/// What a verification has found.
#[derive(Debug, Default)]
pub(super) struct Verified {
    same: u64,
    newer: u64,
    wrong: u64,
}

impl Verified {
    pub(super) const fn is_clean(&self) -> bool {
        self.wrong == 0
    }

    pub(super) fn value(&self) -> Value {
        json!({ "same": self.same, "newer": self.newer, "wrong": self.wrong })
    }

    pub(super) fn text(&self) -> String {
        let Self { same, newer, wrong } = self;
        format!("Verified: {same} are the same, {newer} newer in TO, {wrong} wrong.")
    }

    fn add(&mut self, found: Found) {
        match found {
            Found::Same => self.same += 1,
            Found::Newer => self.newer += 1,
            Found::Ended => {}
            Found::Wrong => self.wrong += 1,
        }
    }
}

impl Copy<'_> {
    /// Compares each session of FROM with TO, and looks for each session of TO in FROM.
    pub(super) async fn verify(&self) -> Result<Verified, Failure> {
        let (from, to) = (directory(&*self.from)?, directory(&*self.to)?);
        let mut verified = Verified::default();
        let (mut seen, total) = (0, total(from).await? + total(to).await?);
        let mut progress = Progress::new("compared", 0, total);
        let mut after = |_: Option<&_>, done: Vec<Found>| {
            seen += done.len() as u64;
            done.into_iter().for_each(|found| verified.add(found));
            progress.show(seen);
            Ok(())
        };
        let compare = |info: SessionInfo| async move { told(&info.id, self.compare(&info).await) };
        self.walk().over(from, None, compare, &mut after).await?;
        let look = |info: SessionInfo| async move { told(&info.id, self.look_for(&info).await) };
        self.walk().over(to, None, look, &mut after).await?;
        Ok(verified)
    }

    async fn compare(&self, info: &SessionInfo) -> Result<Result<Found, String>> {
        let id = &info.id;
        let from = patiently(async || self.from.load(id).await).await?;
        let Some(from) = from else {
            return Ok(Ok(Found::Ended));
        };
        let to = patiently(async || self.to.load(id).await).await?;
        let there = There::of(&from, to.as_ref());
        Ok(match (there, to) {
            (There::Same { .. }, Some(to)) => match differences(&from, &to).join(", ") {
                none if none.is_empty() => Ok(Found::Same),
                differing => Err(format!("its {differing} differ")),
            },
            (There::Newer, _) => Ok(Found::Newer),
            (There::Nothing, _) => {
                // It may have ended between the two loads.
                let again = patiently(async || self.from.load(id).await).await?;
                match again {
                    None => Ok(Found::Ended),
                    Some(_) => Err("it is missing in TO".to_owned()),
                }
            }
            _ => Err("TO has another version of it".to_owned()),
        })
    }

    /// Whether a session of TO is in FROM. Those that are were compared before.
    async fn look_for(&self, info: &SessionInfo) -> Result<Result<Found, String>> {
        let id = &info.id;
        if patiently(async || self.from.load(id).await)
            .await?
            .is_some()
        {
            return Ok(Ok(Found::Ended));
        }
        Ok(match patiently(async || self.to.load(id).await).await? {
            Some(_) => Err("it is in TO and not in FROM".to_owned()),
            None => Ok(Found::Ended),
        })
    }
}

/// Tells what is wrong with a session.
fn told(id: &SessionId, found: Result<Result<Found, String>>) -> Result<Found, Failure> {
    let why = match found {
        Ok(Ok(found)) => return Ok(found),
        Ok(Err(why)) => why,
        Err(error) if error.kind() == ErrorKind::Corrupt => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    output::warn(&format!("session {}: {why}", output::cell(id.as_str())));
    Ok(Found::Wrong)
}
