//! Destroys sessions: one by a statement or two, many by a transaction.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use session_core::backend::{Call, Destroy};
use session_core::{Ended, Result, SessionId};
use session_sql::record::ended;
use session_sql::{Commands, Removal, stamps};

use crate::table::MysqlTable;
use crate::{Mysql, MysqlClient};

impl MysqlTable {
    /// Destroys one session: in one round trip on MariaDB, in two on MySQL.
    pub(crate) async fn destroy_one(
        &self,
        call: &Call<MysqlClient>,
        destroy: &Destroy,
    ) -> Result<Option<Ended>> {
        let (commands, sql) = (Commands::new(call, &self.sql.table), &self.sql);
        let mut is_repeated = false;
        if self.has_returning.load(Ordering::Relaxed) {
            let delete = || sql.destroy(&sql.destroy_returning, destroy);
            let sent = commands.fetch_deleted(delete).await?;
            is_repeated = sent.is_repeated;
            if let Some(rows) = sent.answer {
                return match rows.first() {
                    Some(row) => Ok(Some(ended::<Mysql>(destroy.id.clone(), row))),
                    None => self.not_found(call, destroy, is_repeated).await,
                };
            }
            self.has_returning.store(false, Ordering::Relaxed);
        }
        let find = || sql.destroy(&sql.find, destroy);
        let rows = commands.fetch_from_writable(1, find).await?;
        if let Some(row) = rows.first() {
            let delete = || sql.destroy(&sql.destroy, destroy);
            let sent = commands.execute(delete).await?;
            // Another request may have deleted the row in between.
            if sent.answer > 0 {
                return Ok(Some(ended::<Mysql>(destroy.id.clone(), row)));
            }
            is_repeated |= sent.is_repeated;
        }
        self.not_found(call, destroy, is_repeated).await
    }

    /// The answer if no row was deleted. If an earlier attempt may have been executed and there is
    /// no such session, that attempt may have destroyed it.
    async fn not_found(
        &self,
        call: &Call<MysqlClient>,
        destroy: &Destroy,
        is_repeated: bool,
    ) -> Result<Option<Ended>> {
        if !is_repeated {
            return Ok(None);
        }
        let commands = Commands::new(call, &self.sql.table);
        let live = stamps(self, commands, &[&destroy.id]).await?;
        let live = live.into_iter().next().transpose()?.flatten();
        Ok(live.is_none().then(|| Ended::unknown(destroy.id.clone())))
    }

    /// Destroys a batch of sessions.
    pub(crate) async fn destroy_many(
        &self,
        call: &Call<MysqlClient>,
        destroys: &[Destroy],
    ) -> Result<Vec<Result<Option<Ended>>>> {
        let removal = Removal::of_destroys(destroys);
        let ended = self.remove_live(call, removal).await?;
        let mut ended: HashMap<SessionId, Ended> =
            (ended.into_iter().map(|ended| (ended.id.clone(), ended))).collect();
        let answers = destroys.iter().map(|destroy| Ok(ended.remove(&destroy.id)));
        Ok(answers.collect())
    }
}
