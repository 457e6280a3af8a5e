//! `--delete`: ends the sessions in TO that are not in FROM.

use session_store::{Result, SessionInfo};

use super::Copy;
use super::progress::{Progress, total};
use super::session::settle;
use super::tally::{Outcome, Tally};
use super::walk::{is_empty, patiently};
use crate::commands::directory;
use crate::exit::Failure;

impl Copy<'_> {
    pub(super) async fn delete_extra(&self, tally: &mut Tally) -> Result<(), Failure> {
        let (to, mut looked, mut deleted) = (directory(&*self.to)?, 0, 0);
        if tally.seen() == 0 && !self.arguments.yes && !is_empty(to).await? {
            return Err(Failure::usage(
                "FROM has no session, and TO has some: is the URL of FROM right? --yes ends them all",
            ));
        }
        let total = total(to).await?;
        let mut progress = Progress::new("looked for in FROM", 0, total);
        let each = |info: SessionInfo| async move {
            let looked = self.end_if_extra(&info).await;
            settle(&info.id, looked)
        };
        let after = |_: Option<&_>, done: Vec<Outcome>| {
            looked += done.len() as u64;
            for outcome in done {
                match outcome {
                    Outcome::Ended => deleted += 1,
                    Outcome::Failed => tally.add(Outcome::Failed),
                    _ => {}
                }
            }
            progress.show(looked);
            Ok(())
        };
        self.walk().over(to, None, each, after).await?;
        tally.deleted = Some(deleted);
        Ok(())
    }

    /// A session that FROM can't read is none that has ended there.
    async fn end_if_extra(&self, info: &SessionInfo) -> Result<Outcome> {
        let id = &info.id;
        if patiently(async || self.from.load(id).await)
            .await?
            .is_some()
        {
            return Ok(Outcome::Unchanged);
        }
        if self.arguments.dry_run {
            return Ok(Outcome::Ended);
        }
        // `None`: it has ended by itself.
        let ended = patiently(async || self.to.destroy(id, None).await).await?;
        Ok(ended.map_or(Outcome::Unchanged, |_| Outcome::Ended))
    }
}
