//! MySQL and MariaDB as their driver serves them.

use session_core::{Error, Result};
use session_sql::{Bound, Cause, Commands, Dialect, Driven, Table, Target};
use sqlx::error::DatabaseError;
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{Column, Executor, MySql, Row, Type};

use crate::{check, error};

/// Sets up a new connection: statements mean the same whatever the server's settings are, and a
/// value that does not fit is an error.
const SETTINGS: &str = "\
SET NAMES utf8mb4, time_zone = '+00:00', autocommit = 1, sql_auto_is_null = 0, \
sql_safe_updates = 0, sql_select_limit = 18446744073709551615, \
sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,\
NO_ENGINE_SUBSTITUTION'";

/// MySQL and MariaDB.
#[derive(Clone, Copy, Debug)]
pub struct Mysql;

impl Dialect for Mysql {
    type Database = MySql;
    const NAME: &'static str = "mysql";
    const PRODUCT: &'static str = "MySQL";

    fn quoted(name: &str) -> String {
        format!("`{}`", name.replace('`', "``"))
    }

    fn set_up(connection: &mut MySqlConnection) -> Driven<'_, ()> {
        Box::pin(async { connection.execute(SETTINGS).await.map(drop) })
    }

    fn fetch(
        connection: &mut MySqlConnection,
        statement: Bound<Self>,
    ) -> Driven<'_, Vec<MySqlRow>> {
        connection.fetch_all(statement)
    }

    fn execute(connection: &mut MySqlConnection, statement: Bound<Self>) -> Driven<'_, u64> {
        let execute = connection.execute(statement);
        Box::pin(async { Ok(execute.await?.rows_affected()) })
    }

    fn bytes(row: &MySqlRow, index: usize) -> sqlx::Result<Option<&[u8]>> {
        row.try_get(index)
    }

    fn integer(row: &MySqlRow, index: usize) -> sqlx::Result<Option<i64>> {
        let column = row.try_column(index)?;
        // The driver reads an unsigned column as no signed number.
        if !<u64 as Type<MySql>>::compatible(column.type_info()) {
            return row.try_get(index);
        }
        let number: Option<u64> = row.try_get(index)?;
        Ok(number.map(|number| i64::try_from(number).unwrap_or(i64::MAX)))
    }

    fn cause(error: &dyn DatabaseError) -> (Cause, String) {
        error::cause(error)
    }

    fn driver_error(target: &Target<'_>, error: &sqlx::Error) -> Option<Error> {
        error::driver_error(target, error)
    }

    async fn table(commands: Commands<'_, Self>) -> Result<Option<Table>> {
        check::table(commands).await
    }
}
