//! PostgreSQL as its driver serves it.

use std::array::TryFromSliceError;

use session_core::Result as Checked;
use session_sql::{Bound, Cause, Commands, Dialect, Driven, Opened, Statement, Table};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{ConnectOptions, Connection, Execute, Row, Transaction, ValueRef};

use crate::{check, error, schema};

/// PostgreSQL.
#[derive(Debug)]
pub enum Postgres {}

impl Dialect for Postgres {
    type Database = sqlx::Postgres;

    const NAME: &'static str = "postgresql";
    const PRODUCT: &'static str = "PostgreSQL";

    /// A name may have a schema's before it: see `schema::qualified`.
    fn quoted(name: &str) -> String {
        schema::quoted(name)
    }

    /// Chooses the level of isolation that the statements are written for. At a higher one, a write that
    /// waited for another would be an error instead of a look at the new row.
    ///
    /// Many poolers refuse options. Behind those the level is that of the role, the database or the
    /// server.
    fn open<'c>(
        options: &'c PgConnectOptions,
        _: &'c [Statement<Self>],
    ) -> Driven<'c, Opened<Self>> {
        Box::pin(async {
            let chosen = options.clone().options([ISOLATION]);
            let connection = match chosen.connect().await {
                Err(error) if is_refused_option(&error) => options.connect().await,
                answer => answer,
            };
            Ok((connection?, None))
        })
    }

    fn fetch(connection: &mut PgConnection, statement: Bound<Self>) -> Driven<'_, Vec<PgRow>> {
        Box::pin(async move {
            if is_prepared(&statement) {
                return statement.fetch_all(connection).await;
            }
            let mut transaction = connection.begin_with(BEGIN).await?;
            let rows = statement.fetch_all(&mut *transaction).await;
            end(transaction, rows).await
        })
    }

    fn execute(connection: &mut PgConnection, statement: Bound<Self>) -> Driven<'_, u64> {
        Box::pin(async move {
            if is_prepared(&statement) {
                return Ok(statement.execute(connection).await?.rows_affected());
            }
            let mut transaction = connection.begin_with(BEGIN).await?;
            let done = statement.execute(&mut *transaction).await;
            end(transaction, done.map(|done| done.rows_affected())).await
        })
    }

    fn bytes(row: &PgRow, index: usize) -> sqlx::Result<Option<&[u8]>> {
        // Unchecked, because names and types are text.
        row.try_get_unchecked(index)
    }

    fn integer(row: &PgRow, index: usize) -> sqlx::Result<Option<i64>> {
        let value = row.try_get_raw(index)?;
        if value.is_null() {
            return Ok(None);
        }
        let decoded = value.as_bytes().and_then(|bytes| Ok(big_endian(bytes)?));
        decoded
            .map(Some)
            .map_err(|source| sqlx::Error::ColumnDecode {
                index: index.to_string(),
                source,
            })
    }

    fn cause(error: &dyn DatabaseError) -> (Cause, String) {
        error::cause(error)
    }

    async fn table(commands: Commands<'_, Self>) -> Checked<Option<Table>> {
        check::table(commands).await
    }
}

const ISOLATION: (&str, &str) = ("default_transaction_isolation", "read committed");
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Whether a server or a pooler refuses a connection for an option: PgBouncer by a protocol violation,
/// others as a feature that is not supported, a parameter that is unknown or has a wrong value.
fn is_refused_option(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    code.is_some_and(|code| ["08P01", "0A000", "42704", "22023"].contains(&&*code))
}

/// Whether a statement is one that stays prepared.
///
/// A statement that does not goes out in two messages, each of which a pooler in transaction mode
/// may send over another connection: a transaction around both keeps them on one.
fn is_prepared(statement: &Bound<Postgres>) -> bool {
    Execute::persistent(statement)
}

async fn end<T>(
    transaction: Transaction<'_, sqlx::Postgres>,
    answer: sqlx::Result<T>,
) -> sqlx::Result<T> {
    match answer {
        Ok(answer) => transaction.commit().await.map(|()| answer),
        Err(error) => {
            // Behind a pooler, the connection is shared again only after this. If it fails, the
            // connection is broken, which `error` may not say.
            transaction.rollback().await?;
            Err(error)
        }
    }
}

/// The number in the bytes of a `smallint`, `integer` or `bigint`.
fn big_endian(bytes: &[u8]) -> Result<i64, TryFromSliceError> {
    match bytes.len() {
        2 => bytes.try_into().map(i16::from_be_bytes).map(i64::from),
        4 => bytes.try_into().map(i32::from_be_bytes).map(i64::from),
        _ => bytes.try_into().map(i64::from_be_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_each_width_are_read() {
        for (bytes, number) in [
            (&[0xff, 0xfe][..], Some(-2)),
            (&[0, 0, 1, 0][..], Some(256)),
            (&[0, 0, 0, 1, 0, 0, 0, 0][..], Some(1 << 32)),
            (&[1][..], None),
            (&[][..], None),
            (&[0; 16][..], None),
        ] {
            assert_eq!(big_endian(bytes).ok(), number, "{bytes:?}");
        }
    }
}
