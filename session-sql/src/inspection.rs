//! Asks a server for its settings, which it may keep to itself.

use std::time::{Duration, SystemTime};

use session_core::backend::Attempt;
use session_core::{Inspection, Result};
use sqlx::AssertSqlSafe;

use crate::client::{Access, SqlClient};
use crate::error::{Stage, is_broken};
use crate::{Bound, Commands, Dialect, RowOf};

/// What a server tells of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The columns of the first row, as texts; `None` where it is null.
    Row(Vec<Option<String>>),
    /// There is no row.
    Nothing,
    /// The server refuses the statement: it has no such setting, or the user may not read it.
    Refused,
}

impl Told {
    /// The first column, if it is not null.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.column(0)
    }

    /// A column of the row, if it is not null.
    #[must_use]
    pub fn column(&self, index: usize) -> Option<&str> {
        match self {
            Self::Row(columns) => columns.get(index)?.as_deref(),
            Self::Nothing | Self::Refused => None,
        }
    }

    /// The first column as a number, cut off to a whole one.
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        let whole = self.text()?.split('.').next()?;
        whole.trim().parse().ok()
    }
}

impl<D: Dialect> Commands<'_, D> {
    /// The first `columns` columns of the first row of `statement`, which must be bytes or text, and
    /// only reads.
    ///
    /// # Errors
    /// If no server can be reached. What the server refuses is [`Told::Refused`].
    pub async fn ask(self, statement: &str, columns: usize) -> Result<Told> {
        let ask = |Attempt { client, .. }: Attempt<SqlClient<D>>| async move {
            let mut connection = self.connection(&client, Access::Read).await?;
            let query: Bound<D> = sqlx::query(AssertSqlSafe(statement.to_owned()));
            let answer = D::fetch(connection.get(), query.persistent(false)).await;
            let told = match answer {
                Ok(rows) => read::<D>(rows.first(), columns),
                Err(error) if !is_broken::<D>(&error) => Ok(Told::Refused),
                Err(error) => Err(error),
            };
            connection.put_back(&told);
            told.map_err(|error| self.target().failure::<D>(Stage::Reading, &error))
        };
        Ok(self.call().send(ask).await?.answer)
    }

    /// Compares the server's clock with this machine's: `statement` selects microseconds since 1970.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn compare_clock(self, statement: &str, found: &mut Inspection) -> Result<()> {
        let asked = SystemTime::now();
        let told = self.ask(statement, 1).await?;
        match told.number().and_then(|micros| u64::try_from(micros).ok()) {
            Some(micros) => found.compare_clock(asked, Duration::from_micros(micros)),
            None => found.add_unreadable(&["its time"]),
        }
        Ok(())
    }

    /// Looks for expired sessions that no reaper takes: `statement` selects for how many seconds the
    /// one that is due first has been expired. A table that is not there yet has none.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn check_overdue(self, statement: &str, found: &mut Inspection) -> Result<()> {
        let told = self.ask(statement, 1).await?.number();
        let seconds = told.and_then(|seconds| u64::try_from(seconds).ok());
        found.check_overdue(Duration::from_secs(seconds.unwrap_or_default()));
        Ok(())
    }

    /// Drops the table with all that is in it, if there is one.
    ///
    /// # Errors
    /// The server's or the driver's, after repeats.
    pub(crate) async fn drop_table(self) -> Result<()> {
        let drop = format!("DROP TABLE IF EXISTS {}", self.target().quoted_table());
        let drop = || -> Bound<D> { sqlx::query(AssertSqlSafe(drop.clone())).persistent(false) };
        self.execute(drop).await.map(|_| ())
    }
}

fn read<D: Dialect>(row: Option<&RowOf<D>>, columns: usize) -> sqlx::Result<Told> {
    let Some(row) = row else {
        return Ok(Told::Nothing);
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let columns = (0..columns).map(|index| Ok(D::bytes(row, index)?.map(text)));
    Ok(Told::Row(columns.collect::<sqlx::Result<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_from_text_and_nothing_from_what_is_none() {
        let row = |text: &str| Told::Row(vec![Some(text.to_owned())]);
        assert_eq!(row("12").number(), Some(12));
        assert_eq!(row("-3.75").number(), Some(-3));
        assert_eq!(row("ON").number(), None);
        assert_eq!(Told::Row(vec![None]).text(), None);
        assert_eq!(Told::Refused.number(), None);
    }
}
