//! Finds a proxy that sends reads to other servers than writes.

use session_core::Result;
use session_core::backend::Attempt;
use sqlx::AssertSqlSafe;

use crate::client::{Access, SqlClient};
use crate::error::{Stage, is_broken};
use crate::pool::PooledConnection;
use crate::{Commands, Dialect};

impl<D: Dialect> Commands<'_, D> {
    /// Compares what `reading` and `locking` select over one connection: bytes that name the server
    /// that answers. A proxy that splits reads from writes sends a statement that locks to the
    /// primary, and one that only reads to a replica. A statement that the server refuses tells
    /// nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) if they differ; the
    /// server's or the driver's, after repeats.
    pub async fn check_one_server(
        self,
        reading: &'static str,
        locking: &'static str,
    ) -> Result<()> {
        let ask = |Attempt { client, .. }: Attempt<SqlClient<D>>| async move {
            let mut connection = self.connection(&client, Access::Write).await?;
            let answers = async {
                let read = name_of_server(&mut connection, reading).await?;
                Ok((read, name_of_server(&mut connection, locking).await?))
            };
            let answers = answers.await;
            connection.put_back(&answers);
            answers.map_err(|error| self.target().failure::<D>(Stage::Reading, &error))
        };
        match self.call().send(ask).await?.answer {
            (Some(read), Some(locked)) if read != locked => Err(self.target().misconfigured(
                "two servers answer over one connection, as behind a proxy that sends reads to \
                 replicas: a load would miss the last saves, and find sessions that have ended. Let \
                 the URL lead to the primary alone",
            )),
            _ => Ok(()),
        }
    }
}

/// The bytes that `statement` selects; `None` if the server refuses it.
async fn name_of_server<D: Dialect>(
    connection: &mut PooledConnection<D>,
    statement: &'static str,
) -> sqlx::Result<Option<Vec<u8>>> {
    let ask = sqlx::query(AssertSqlSafe(statement)).persistent(false);
    match D::fetch(connection.get(), ask).await {
        Ok(rows) => match rows.first() {
            Some(row) => Ok(D::bytes(row, 0)?.map(<[u8]>::to_vec)),
            None => Ok(None),
        },
        Err(error) if !is_broken::<D>(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
