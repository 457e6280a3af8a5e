//! Checks the user's rights when a store is made.

use session_core::Result;
use session_core::backend::Call;

use super::write::DELETES;
use crate::check::EXPRESS_COMMANDS;
use crate::command::lane;
use crate::{RedisClient, check, rights};

/// The commands of the layout outside scripts.
const COMMANDS: &[&str] = &[
    "SCAN 0 COUNT 1",
    "SET $ x XX EX 10",
    "GET $",
    "PTTL $",
    "EXISTS $",
    "PERSIST $",
    "EXPIRE $ 10",
    "UNLINK $",
];

/// Tries the commands of the layout on the unused key `scratch`: within a script, unless the server
/// needs none.
pub(super) async fn rights(
    call: &Call<RedisClient>,
    scratch: &str,
    is_cluster: bool,
) -> Result<()> {
    if !is_cluster {
        rights::check(call, scratch, COMMANDS).await?;
        if lane(call, scratch).await? == DELETES {
            return Ok(());
        }
    }
    check::rights(call, scratch, EXPRESS_COMMANDS).await
}
