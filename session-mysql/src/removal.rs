//! Removes or claims rows in one transaction: locks them, deletes or updates them, and returns what
//! they held.

use std::sync::Arc;

use session_core::backend::{Attempt, Call, Failure, run_to_completion};
use session_core::{Ended, Error, Result};
use session_sql::{Access, Claimed, Commands, Id, Removal, Stage};
use sqlx::mysql::{MySqlRow, MySqlTransaction};
use sqlx::{Connection, Executor, MySqlConnection, Row};
use tokio::time::timeout;

use crate::schema::Statements;
use crate::statement::with_ids;
use crate::table::MysqlTable;
use crate::{Mysql, MysqlClient};

/// What a transaction does with the rows that it locks.
#[derive(Clone, Debug)]
enum Change {
    /// Deletes live sessions.
    Remove(Removal),
    /// Claims expired sessions.
    Claim(Arc<[Id]>),
}

/// The result of a transaction.
#[derive(Debug, Default)]
struct Changed {
    rows: Vec<MySqlRow>,
    /// Ids without a row, which an earlier attempt may have removed.
    vanished: Vec<Id>,
}

impl MysqlTable {
    /// Removes live sessions and returns them.
    pub(crate) async fn remove_live(
        &self,
        call: &Call<MysqlClient>,
        removal: Removal,
    ) -> Result<Vec<Ended>> {
        let change = Change::Remove(removal);
        let Changed { rows, vanished } = self.transact(call, &change).await?;
        Ok(Removal::ended::<Mysql>(&rows, &vanished))
    }

    /// Claims expired sessions. What a transaction whose answer was lost has claimed is left until
    /// that claim lapses.
    pub(crate) async fn claim_expired(
        &self,
        call: &Call<MysqlClient>,
        ids: &[Id],
    ) -> Result<Claimed> {
        let changed = self.transact(call, &Change::Claim(ids.into())).await?;
        Ok(Claimed::of_rows::<Mysql>(&changed.rows))
    }

    /// The transaction runs in its own task. If it were dropped with its caller, it might be
    /// committed without anything reporting the sessions.
    async fn transact(&self, call: &Call<MysqlClient>, change: &Change) -> Result<Changed> {
        let sent = call.send(|attempt| {
            let (call, table, change) = (call.clone(), self.clone(), change.clone());
            async move {
                let operation = call.name();
                let transaction = async move { Ok(table.attempt(&call, &change, attempt).await) };
                run_to_completion(operation, transaction).await?
            }
        });
        Ok(sent.await?.answer)
    }

    /// Makes one attempt within the time limit of an operation: with a silent server the task would
    /// never end.
    async fn attempt(
        &self,
        call: &Call<MysqlClient>,
        change: &Change,
        attempt: Attempt<MysqlClient>,
    ) -> Result<Changed, Failure> {
        let commands = Commands::new(call, &self.sql.table);
        let transact = async {
            let mut connection = commands.connection(&attempt.client, Access::Write).await?;
            let is_persistent = connection.is_persistent;
            let transaction = Transaction {
                commands,
                sql: &self.sql,
                is_persistent,
                is_repeated: attempt.is_repeated,
            };
            match transaction.run(connection.get(), change).await {
                Ok(changed) => {
                    connection.release();
                    Ok(changed)
                }
                Err((stage, error)) => {
                    // The transaction may still be open.
                    connection.close_after(&error);
                    Err(commands.target().failure::<Mysql>(stage, &error))
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

/// One attempt to change rows.
struct Transaction<'t> {
    commands: Commands<'t, Mysql>,
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
        change: &Change,
    ) -> Result<Changed, (Stage, sqlx::Error)> {
        let before_commit = self.change(connection, change).await;
        let (transaction, changed) = before_commit.map_err(|error| (Stage::Reading, error))?;
        let committed = transaction.commit().await;
        committed.map_err(|error| (Stage::Writing, error))?;
        Ok(changed)
    }

    async fn change<'c>(
        &self,
        connection: &'c mut MySqlConnection,
        change: &Change,
    ) -> sqlx::Result<(MySqlTransaction<'c>, Changed)> {
        let (sql, is_persistent) = (self.sql, self.is_persistent);
        let (lock, ids, write) = match change {
            Change::Remove(removal) => (&sql.lock_live, &removal.ids, &sql.delete),
            Change::Claim(ids) => (&sql.lock_expired, ids, &sql.claim),
        };
        // The default level would lock the gaps of ids that have no row.
        connection
            .execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            .await?;
        let mut transaction = connection.begin().await?;
        let mut changed = Changed::default();
        if let (Change::Remove(removal), true) = (change, self.is_repeated) {
            let present = sql.present(ids).persistent(is_persistent);
            let present = present.fetch_all(&mut *transaction).await?;
            changed.vanished = removal.absent::<Mysql>(&present);
        }
        let locked = with_ids(lock, ids).persistent(is_persistent);
        changed.rows = locked.fetch_all(&mut *transaction).await?;
        if let Change::Remove(removal) = change {
            let condition = &removal.condition;
            changed.rows.retain(|row| condition.holds::<Mysql>(row));
        }
        let rows = changed.rows.iter();
        let locked: Vec<&[u8]> = rows
            .map(|row| row.try_get(0))
            .collect::<sqlx::Result<_>>()?;
        if locked.is_empty() {
            // A demoted server lacks later rows.
            self.commands
                .check_writable(&mut transaction, is_persistent)
                .await?;
        } else {
            let write = with_ids(write, &locked).persistent(is_persistent);
            write.execute(&mut *transaction).await?;
        }
        Ok((transaction, changed))
    }
}
