//! Removing rows in one transaction: lock them, delete them, and say what they were.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use session_core::{Ended, Result, Stamp};
use sqlx::mysql::MySqlRow;
use sqlx::{Connection, Executor, MySqlConnection, Row};

use crate::command::{Bound, Commands, Failure};
use crate::row::{column, ended, id, parsed_id, stamp};
use crate::schema::Many;

/// An id as it is stored.
pub(crate) type Id = Vec<u8>;

/// Up to 128 rows to remove.
#[derive(Debug)]
pub(crate) struct Removal {
    /// Selects those of `ids` that are to go, and locks them: a statement that gives `{end}`.
    pub(crate) lock: Many,
    pub(crate) ids: Vec<Id>,
    pub(crate) condition: Condition,
}

/// What else a locked row must have to be removed.
#[derive(Debug)]
pub(crate) enum Condition {
    Nothing,
    Owner(Vec<u8>),
    /// These stamps, where an id is among them.
    Stamps(HashMap<Id, Stamp>),
}

impl Condition {
    fn holds(&self, row: &MySqlRow) -> bool {
        match self {
            Self::Nothing => true,
            Self::Owner(owner) => {
                column::<Option<&[u8]>>(row, 1).is_ok_and(|found| found == Some(owner))
            }
            Self::Stamps(expected) => {
                let expected = column(row, 0).map(|id: &[u8]| expected.get(id));
                match expected {
                    Ok(Some(expected)) => stamp(row, 3).is_ok_and(|found| found == *expected),
                    Ok(None) => true,
                    Err(_) => false,
                }
            }
        }
    }
}

/// What has become of a removal.
#[derive(Debug, Default)]
struct Removed {
    rows: Vec<MySqlRow>,
    /// Those that an earlier sending may have removed: they have no row.
    vanished: Vec<Id>,
}

impl Commands {
    /// Removes what `removal` says, and tells what it was.
    ///
    /// The transaction runs in a task of its own: were it dropped half-way with its caller, sessions
    /// might end that are told to nobody.
    pub(crate) async fn remove(
        &self,
        operation: &'static str,
        removal: Removal,
    ) -> Result<Vec<Ended>> {
        let removal = Arc::new(removal);
        let removed = self.run(operation, |before| {
            let (commands, removal) = (self.clone(), Arc::clone(&removal));
            // No longer than its caller: a silent server would keep it, and its connection, for good.
            let task = tokio::spawn(async move {
                let transaction = commands.transact(&removal, before);
                tokio::time::timeout(commands.timeout, transaction).await
            });
            async {
                let done = task.await.map_err(|_| sqlx::Error::WorkerCrashed)?;
                done.map_err(|_| sqlx::Error::PoolTimedOut)?
            }
        });
        let Removed { rows, vanished } = removed.await?;
        // A row whose very id can't be read has gone too; there is nothing to say of it.
        let known = rows
            .iter()
            .filter_map(|row| Some(ended(id(row).ok()?, row)));
        let unknown = vanished.iter().filter_map(|id| parsed_id(id).ok());
        Ok(known.chain(unknown.map(Ended::unknown)).collect())
    }

    async fn transact(&self, removal: &Removal, before: bool) -> Result<Removed, Failure> {
        let mut in_use = self.connection().await?;
        let keeps = in_use.is_persistent;
        let removed = self.transact_on(in_use.get(), keeps, removal, before).await;
        match removed {
            Ok(_) => in_use.release(),
            // Its transaction may not be over.
            Err(_) => in_use.close(),
        }
        removed
    }

    async fn transact_on(
        &self,
        connection: &mut MySqlConnection,
        keeps: bool,
        removal: &Removal,
        before: bool,
    ) -> Result<Removed, Failure> {
        let Removal {
            lock,
            ids,
            condition,
        } = removal;
        // Otherwise ids that have gone meanwhile would lock the gaps they left.
        connection
            .execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            .await?;
        let mut transaction = connection.begin().await?;
        let mut removed = Removed::default();
        if before {
            let present = with_ids(&self.sql.present, ids).persistent(keeps);
            let present = present.fetch_all(&mut *transaction).await?;
            removed.vanished = absent(ids, &present)?;
        }
        let locked = with_ids(lock, ids).persistent(keeps);
        removed.rows = locked.fetch_all(&mut *transaction).await?;
        removed.rows.retain(|row| condition.holds(row));
        let locked: Vec<&[u8]> = first_columns(&removed.rows)?;
        if locked.is_empty() {
            // A server that was demoted finds nothing of what was written since.
            self.probe(&mut transaction, keeps).await?;
        } else {
            let delete = with_ids(&self.sql.delete, &locked).persistent(keeps);
            delete.execute(&mut *transaction).await?;
        }
        transaction.commit().await.map_err(Failure::after_sending)?;
        Ok(removed)
    }
}

fn with_ids(statement: &Many, ids: &[impl AsRef<[u8]>]) -> Bound {
    let (query, ids) = statement.query(ids);
    ids.bind(query, |query, id| query.bind(id.as_ref()))
}

/// Those of `ids` that none of `rows` has.
fn absent(ids: &[Id], rows: &[MySqlRow]) -> sqlx::Result<Vec<Id>> {
    let present: HashSet<&[u8]> = first_columns(rows)?.into_iter().collect();
    let absent = ids.iter().filter(|id| !present.contains(id.as_slice()));
    Ok(absent.cloned().collect())
}

fn first_columns(rows: &[MySqlRow]) -> sqlx::Result<Vec<&[u8]>> {
    rows.iter().map(|row| row.try_get(0)).collect()
}
