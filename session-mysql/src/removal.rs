//! Removes rows in one transaction: locks them, deletes them, and returns what they held.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use session_core::backend::{Attempt, Call, Failure, run_to_completion};
use session_core::{Ended, Error, Result, Stamp};
use sqlx::mysql::{MySqlRow, MySqlTransaction};
use sqlx::{Connection, Executor, MySqlConnection, Row};
use tokio::time::timeout;

use crate::client::MysqlClient;
use crate::command::Commands;
use crate::error::Stage;
use crate::prepared::{BatchStatement, Bound};
use crate::record::{column, ended, id, parse_id, stamp};
use crate::schema::Statements;

/// An id as it is stored.
pub(crate) type Id = Vec<u8>;

/// Up to 128 rows to remove.
#[derive(Debug)]
pub(crate) struct Removal {
    /// Selects and locks the rows of `ids` to remove: a statement that selects `{end}`.
    pub(crate) lock: BatchStatement,
    pub(crate) ids: Vec<Id>,
    pub(crate) condition: Condition,
}

/// Which of the locked rows to remove.
#[derive(Debug)]
pub(crate) enum Condition {
    Nothing,
    Owner(Vec<u8>),
    /// The row must have this stamp, if its id is a key.
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

/// The result of a removal.
#[derive(Debug, Default)]
struct Removed {
    rows: Vec<MySqlRow>,
    /// Ids without a row, which an earlier attempt may have removed.
    vanished: Vec<Id>,
}

impl Removal {
    /// Removes the rows and returns the ended sessions.
    ///
    /// The transaction runs in its own task. If it were dropped with its caller, it might be
    /// committed without anything reporting the sessions.
    pub(crate) async fn send(
        self,
        call: &Call<MysqlClient>,
        sql: &Arc<Statements>,
    ) -> Result<Vec<Ended>> {
        let removal = Arc::new(self);
        let sent = call.send(|attempt| {
            let (call, sql, removal) = (call.clone(), Arc::clone(sql), Arc::clone(&removal));
            async move {
                let operation = call.name();
                let transaction = async move { Ok(removal.attempt(&call, &sql, attempt).await) };
                run_to_completion(operation, transaction).await?
            }
        });
        let Removed { rows, vanished } = sent.await?.answer;
        // A row with a corrupt id was removed too, but can't be reported.
        let known = rows
            .iter()
            .filter_map(|row| Some(ended(id(row).ok()?, row)));
        let unknown = vanished.iter().filter_map(|id| parse_id(id).ok());
        Ok(known.chain(unknown.map(Ended::unknown)).collect())
    }

    /// Makes one attempt within the time limit of an operation: with a silent server the task would
    /// never end.
    async fn attempt(
        &self,
        call: &Call<MysqlClient>,
        sql: &Statements,
        attempt: Attempt<MysqlClient>,
    ) -> Result<Removed, Failure> {
        let commands = Commands::new(call, &sql.table);
        let transact = async {
            let mut connection = commands.connection(&attempt.client).await?;
            let is_persistent = connection.is_persistent;
            let transaction = Transaction {
                commands,
                sql,
                is_persistent,
                is_repeated: attempt.is_repeated,
            };
            match transaction.run(connection.get(), self).await {
                Ok(removed) => {
                    connection.release();
                    Ok(removed)
                }
                Err((stage, error)) => {
                    // The transaction may still be open.
                    connection.close_after(&error);
                    Err(commands.target().failure(stage, &error))
                }
            }
        };
        let limit = call.timeout();
        timeout(limit, transact).await.unwrap_or_else(|_| {
            let error = Error::no_answer(call.name(), call.place(), limit);
            Err(Failure::from(error).silence())
        })
    }
}

/// One attempt to remove rows.
struct Transaction<'t> {
    commands: Commands<'t>,
    sql: &'t Statements,
    /// Whether the server may keep prepared statements.
    is_persistent: bool,
    /// Whether an earlier transaction may have been committed.
    is_repeated: bool,
}

impl Transaction<'_> {
    async fn run(
        &self,
        connection: &mut MySqlConnection,
        removal: &Removal,
    ) -> Result<Removed, (Stage, sqlx::Error)> {
        let before_commit = self.remove(connection, removal).await;
        let (transaction, removed) = before_commit.map_err(|error| (Stage::Reading, error))?;
        let committed = transaction.commit().await;
        committed.map_err(|error| (Stage::Writing, error))?;
        Ok(removed)
    }

    async fn remove<'c>(
        &self,
        connection: &'c mut MySqlConnection,
        removal: &Removal,
    ) -> sqlx::Result<(MySqlTransaction<'c>, Removed)> {
        let (sql, is_persistent) = (self.sql, self.is_persistent);
        let Removal {
            lock,
            ids,
            condition,
        } = removal;
        // The default level would lock the gaps of ids that have no row.
        connection
            .execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            .await?;
        let mut transaction = connection.begin().await?;
        let mut removed = Removed::default();
        if self.is_repeated {
            let present = with_ids(&sql.present, ids).persistent(is_persistent);
            let present = present.fetch_all(&mut *transaction).await?;
            removed.vanished = absent(ids, &present)?;
        }
        let locked = with_ids(lock, ids).persistent(is_persistent);
        removed.rows = locked.fetch_all(&mut *transaction).await?;
        removed.rows.retain(|row| condition.holds(row));
        let locked: Vec<&[u8]> = first_columns(&removed.rows)?;
        if locked.is_empty() {
            // A demoted server lacks later rows.
            self.commands
                .check_writable(&mut transaction, is_persistent)
                .await?;
        } else {
            let delete = with_ids(&sql.delete, &locked).persistent(is_persistent);
            delete.execute(&mut *transaction).await?;
        }
        Ok((transaction, removed))
    }
}

fn with_ids(statement: &BatchStatement, ids: &[impl AsRef<[u8]>]) -> Bound {
    let (query, ids) = statement.query(ids);
    ids.bind(query, |query, id| query.bind(id.as_ref()))
}

/// The ids that have no row in `rows`.
fn absent(ids: &[Id], rows: &[MySqlRow]) -> sqlx::Result<Vec<Id>> {
    let present: HashSet<&[u8]> = first_columns(rows)?.into_iter().collect();
    let absent = ids.iter().filter(|id| !present.contains(id.as_slice()));
    Ok(absent.cloned().collect())
}

fn first_columns(rows: &[MySqlRow]) -> sqlx::Result<Vec<&[u8]>> {
    rows.iter().map(|row| row.try_get(0)).collect()
}
