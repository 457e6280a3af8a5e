//! The operations of databases that return rows from statements that write.

use std::collections::HashMap;

use session_core::backend::{Call, Create, Destroy, Touch, run_to_completion};
use session_core::{Draft, Ended, Result, Saved, SessionId, Stamp, Ttl};

use crate::backend::{in_order, stamps};
use crate::command::Deleted;
use crate::record::ttl;
use crate::{Bound, Claimed, Commands, Id, Removal, SessionTable, SqlClient};

/// A table whose writes return rows: `INSERT … ON CONFLICT`, `UPDATE … RETURNING`, `DELETE …
/// RETURNING`. Each operation is one statement; the functions here are the operations of
/// [`SessionTable`].
pub trait Returning: SessionTable + Clone {
    /// Inserts sessions, replacing expired ones. Matches as many rows as it inserts and replaces.
    fn insert(&self, creates: &[Create]) -> Bound<Self::Dialect>;

    /// Moves deadlines of live sessions. Returns id and remaining time in µs.
    fn extend(&self, touches: &[Touch]) -> Bound<Self::Dialect>;

    /// Deletes the rows of `removal`. Returns id, owner and age in µs.
    fn delete(&self, removal: &Removal) -> Bound<Self::Dialect>;

    /// Claims expired sessions that no reaper has claimed. Returns id, owner and age in µs.
    fn claim_expired(&self, ids: &[Id]) -> Bound<Self::Dialect>;
}

/// Creates sessions, in one round trip; two if an id is taken, three if that session has ended since.
///
/// # Errors
/// As [`SessionTable::create`].
pub async fn create<T: Returning>(
    table: &T,
    commands: Commands<'_, T::Dialect>,
    creates: &[Create],
) -> Result<Vec<Result<Saved>>> {
    let sent = commands.execute(|| table.insert(creates)).await?;
    let drafts = || creates.iter().map(|create| &create.draft);
    if sent.answer == creates.len() as u64 {
        return Ok(drafts().map(|draft| Ok(Saved::done(draft))).collect());
    }
    let ids: Vec<&SessionId> = creates.iter().map(|create| &create.id).collect();
    let found = stamps(table, commands, &ids).await?;
    let drafts: Vec<&Draft> = drafts().collect();
    Ok(created(&drafts, found, sent.answer, sent.is_repeated))
}

/// The outcomes of creates of which `inserted` were made, by the stamps that were found afterwards.
fn created(
    drafts: &[&Draft],
    found: Vec<Result<Option<Stamp>>>,
    inserted: u64,
    is_repeated: bool,
) -> Vec<Result<Saved>> {
    let is_own = |(draft, found): &(&&Draft, &Result<Option<Stamp>>)| matches!(found, Ok(Some(found)) if *found == draft.stamp);
    let known = drafts.iter().zip(&found).filter(is_own).count() as u64;
    // One that was inserted may have ended since.
    let is_unsure = is_repeated || known < inserted;
    let outcomes = Saved::of_batch(drafts.iter().copied(), found, inserted, is_repeated);
    let existed = |outcome| match outcome {
        // Its id was taken a moment ago.
        Saved::Gone => Saved::Conflict.after(is_unsure),
        outcome => outcome,
    };
    (outcomes.into_iter())
        .map(|outcome| outcome.map(existed))
        .collect()
}

/// Moves deadlines, in one round trip.
///
/// # Errors
/// As [`SessionTable::touch`].
pub async fn touch<T: Returning>(
    table: &T,
    commands: Commands<'_, T::Dialect>,
    touches: &[Touch],
) -> Result<Vec<Result<Option<Ttl>>>> {
    let sent = commands.fetch_written(|| table.extend(touches)).await?;
    let ids: Vec<&SessionId> = touches.iter().map(|touch| &touch.id).collect();
    Ok(in_order::<T::Dialect, _>(&ids, &sent.answer, |row| {
        ttl::<T::Dialect>(row, 1)
    }))
}

/// Ends sessions, in one round trip.
///
/// # Errors
/// As [`SessionTable::destroy`].
pub async fn destroy<T: Returning>(
    table: &T,
    call: &Call<SqlClient<T::Dialect>>,
    destroys: &[Destroy],
) -> Result<Vec<Result<Option<Ended>>>> {
    let ended = remove(table, call, Removal::of_destroys(destroys)).await?;
    let mut ended: HashMap<SessionId, Ended> =
        (ended.into_iter().map(|ended| (ended.id.clone(), ended))).collect();
    let answers = destroys.iter().map(|destroy| Ok(ended.remove(&destroy.id)));
    Ok(answers.collect())
}

/// Claims expired sessions, in one round trip. What an attempt whose answer was lost has claimed is left
/// until that claim lapses.
///
/// # Errors
/// As [`SessionTable::claim`].
pub async fn claim<T: Returning>(
    table: &T,
    call: &Call<SqlClient<T::Dialect>>,
    ids: &[Id],
) -> Result<Claimed> {
    let commands = Commands::new(call, table.name());
    let sent = commands.fetch_written(|| table.claim_expired(ids)).await?;
    Ok(Claimed::of_rows::<T::Dialect>(&sent.answer))
}

/// Removes rows, in one round trip, in a task of its own: if it were dropped with its caller, rows
/// might be deleted that nothing reports. After a lost answer it takes one more, to find out which rows
/// are gone.
///
/// # Errors
/// As [`SessionTable::remove`].
pub async fn remove<T: Returning>(
    table: &T,
    call: &Call<SqlClient<T::Dialect>>,
    removal: Removal,
) -> Result<Vec<Ended>> {
    let (table, detached) = (table.clone(), call.detached());
    let work = async move {
        let commands = Commands::new(&detached, table.name());
        let present = || table.present(&removal.ids);
        let delete = || table.delete(&removal);
        let Deleted { rows, present } = commands.delete(present, delete).await?;
        let vanished = present.map(|present| removal.absent::<T::Dialect>(&present));
        let vanished = vanished.unwrap_or_default();
        Ok(Removal::ended::<T::Dialect>(&rows, &vanished))
    };
    run_to_completion(call.name(), work).await
}

#[cfg(test)]
mod tests {
    use session_core::Lifetime;

    use super::*;

    #[test]
    fn a_create_whose_session_has_ended_at_once_is_not_told_as_a_conflict() {
        let drafts = [(); 2].map(|()| Draft::new("{}", Lifetime::default()));
        let outcomes = |found: [Option<Stamp>; 2], inserted, is_repeated| {
            let found = found.into_iter().map(Ok).collect();
            let outcomes = created(&[&drafts[0], &drafts[1]], found, inserted, is_repeated);
            let each = outcomes.into_iter();
            each.map(|one| one.expect("read")).collect::<Vec<_>>()
        };
        let (own, other) = (Some(drafts[0].stamp), Some(Stamp::generate()));
        let done = Saved::done(&drafts[0]);
        assert_eq!(
            outcomes([own, other], 1, false),
            [done.clone(), Saved::Conflict]
        );
        assert_eq!(
            outcomes([own, None], 1, false),
            [done.clone(), Saved::Conflict]
        );
        // One was inserted, and neither is known to be it.
        assert_eq!(
            outcomes([None, other], 1, false),
            [Saved::Unknown, Saved::Unknown]
        );
        assert_eq!(outcomes([own, None], 1, true), [done, Saved::Unknown]);
    }
}
