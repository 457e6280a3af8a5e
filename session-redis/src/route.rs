//! Which server an operation's commands go to.

use redis::Cmd;
use session_core::backend::Call;

use crate::RedisClient;
use crate::cluster::slot;

/// An operation, and which server its commands go to.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    pub(crate) call: &'a Call<RedisClient>,
    /// A slot of the node in a cluster; `None` for that of the command's first key, or any.
    pub(crate) slot: Option<u16>,
}

impl<'a> Route<'a> {
    /// To the node that serves `key`.
    pub(crate) fn to_key(call: &'a Call<RedisClient>, key: &str) -> Self {
        let slot = Some(slot::of_key(key.as_bytes()));
        Self { call, slot }
    }

    /// To the node that serves the first key of `command`, unless the node is known already.
    pub(crate) fn for_command(self, command: &Cmd) -> Self {
        let slot = self.slot.or_else(|| slot::of_command(command));
        Self { slot, ..self }
    }
}

impl<'a> From<&'a Call<RedisClient>> for Route<'a> {
    fn from(call: &'a Call<RedisClient>) -> Self {
        Self { call, slot: None }
    }
}
