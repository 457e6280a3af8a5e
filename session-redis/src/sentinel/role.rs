//! Whether a server is a primary.

use std::collections::HashMap;

use redis::{RedisError, RedisResult, ServerErrorKind, Value};

use crate::server::Server;

/// Fails if the server is not a primary: the Sentinels may lag behind. One round trip.
///
/// By `HELLO`, because `ROLE` is one of the dangerous commands that users are often refused. Without
/// the right to either, the Sentinels are believed.
pub(crate) async fn check_role(server: &Server) -> RedisResult<()> {
    let hello = redis::cmd("HELLO");
    let told: RedisResult<HashMap<String, Value>> = hello.query_async(&mut &*server).await;
    let told = match told {
        Err(error) if error.code() == Some("NOPERM") => return Ok(()),
        told => told?,
    };
    match told.get("role") {
        Some(role) if !is_primary(role) => {
            let what = "the server that the Sentinels name is a replica";
            let kind = ServerErrorKind::ReadOnly.into();
            Err(RedisError::from((kind, what, what.to_owned())))
        }
        _ => Ok(()),
    }
}

fn is_primary(role: &Value) -> bool {
    let role = redis::from_redis_value_ref::<String>(role);
    role.is_ok_and(|role| role == "master")
}
