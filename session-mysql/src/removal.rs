//! Removing rows in one transaction: lock them, delete them, and say what they were.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use session_core::backend::{Attempt, Call, Failure, run_to_completion};
use session_core::{Ended, Error, Result, Stamp};
use sqlx::mysql::{MySqlRow, MySqlTransaction};
use sqlx::{Connection, Executor, MySqlConnection, Row};
use tokio::time::timeout;

use crate::command::Commands;
use crate::connector::MysqlClient;
use crate::error::Stage;
use crate::row::{column, ended, id, parsed_id, stamp};
use crate::schema::Statements;
use crate::statement::{Bound, Many};

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

impl Removal {
    /// Removes the rows, and tells what they were.
    ///
    /// The transaction runs in a task of its own: were it dropped half-way with its caller, sessions
    /// might end that are told to nobody.
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
        // A row whose very id can't be read has gone too; there is nothing to say of it.
        let known = rows
            .iter()
            .filter_map(|row| Some(ended(id(row).ok()?, row)));
        let unknown = vanished.iter().filter_map(|id| parsed_id(id).ok());
        Ok(known.chain(unknown.map(Ended::unknown)).collect())
    }

    /// One attempt, which takes no longer than an operation may: a silent server would keep the
    /// task, and its connection, for good.
    async fn attempt(
        &self,
        call: &Call<MysqlClient>,
        sql: &Statements,
        attempt: Attempt<MysqlClient>,
    ) -> Result<Removed, Failure> {
        let commands = Commands::new(call, &sql.table);
        let transact = async {
            let mut connection = commands.connection(&attempt.client).await?;
            let keeps = connection.is_persistent;
            let transaction = Transaction {
                commands,
                sql,
                keeps,
                is_repeated: attempt.is_repeated,
            };
            match transaction.run(connection.get(), self).await {
                Ok(removed) => {
                    connection.release();
                    Ok(removed)
                }
                Err((stage, error)) => {
                    // Its transaction may not be over.
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

/// How the rows are removed.
struct Transaction<'t> {
    commands: Commands<'t>,
    sql: &'t Statements,
    /// Whether the server may keep prepared statements.
    keeps: bool,
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
        let (sql, keeps) = (self.sql, self.keeps);
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
        if self.is_repeated {
            let present = with_ids(&sql.present, ids).persistent(keeps);
            let present = present.fetch_all(&mut *transaction).await?;
            removed.vanished = absent(ids, &present)?;
        }
        let locked = with_ids(lock, ids).persistent(keeps);
        removed.rows = locked.fetch_all(&mut *transaction).await?;
        removed.rows.retain(|row| condition.holds(row));
        let locked: Vec<&[u8]> = first_columns(&removed.rows)?;
        if locked.is_empty() {
            // A server that was demoted finds nothing of what was written since.
            self.commands.probe(&mut transaction, keeps).await?;
        } else {
            let delete = with_ids(&sql.delete, &locked).persistent(keeps);
            delete.execute(&mut *transaction).await?;
        }
        Ok((transaction, removed))
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
