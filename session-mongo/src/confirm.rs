//! Confirmation that what was written is on a majority of the servers.

use mongodb::bson::{Document, doc};
use session_core::backend::Call;
use session_core::{Confirmation, Error, Result};

use crate::client::MongoClient;
use crate::command::send_idempotent;

/// Waits until all that was written before is `confirmation`, by a write that changes nothing: it
/// waits for the latest entry of the oplog all the same.
pub(crate) async fn confirm(call: &Call<MongoClient>, confirmation: Confirmation) -> Result<()> {
    let is_durable = match confirmation {
        Confirmation::Durable => true,
        Confirmation::Replicated => {
            check_replicas(call).await?;
            false
        }
        other => return other.by_answer(),
    };
    let limit = call.timeout() * 3 / 4;
    let sent = send_idempotent(call, |to| async move {
        // No session has an empty id.
        let delete = doc! {
            "delete": to.collection.name(),
            "deletes": [{ "q": { "_id": "" }, "limit": 1 }],
            "writeConcern": {
                "w": "majority", "j": is_durable, "wtimeout": limit.as_millis() as i64,
            },
        };
        to.database.run_command(delete).await
    });
    let answer = sent.await?.answer;
    match answer.get_document("writeConcernError") {
        Err(_) => Ok(()),
        Ok(error) => {
            let reason = error.get_str("errmsg").unwrap_or("no reason given");
            let why = format!(
                "{}: no majority has what was written: {reason}",
                call.place()
            );
            Err(Error::timeout(call.name(), why))
        }
    }
}

/// # Errors
/// [`ErrorKind::Misconfigured`](session_core::ErrorKind::Misconfigured) for a single server, which is
/// its own majority.
async fn check_replicas(call: &Call<MongoClient>) -> Result<()> {
    let asked = send_idempotent(call, |to| async move {
        to.database.run_command(doc! { "hello": 1 }).await
    });
    match has_replicas(&asked.await?.answer) {
        true => Ok(()),
        false => Err(Error::misconfigured(format!(
            "{}: no other server has what is written: it is a single server, or the only one of \
             its replica set with data",
            call.place()
        ))),
    }
}

/// Whether a server, by its answer to `hello`, has replicas. Of those of a `mongos` nothing is known.
fn has_replicas(hello: &Document) -> bool {
    let is_router = hello.get_str("msg").is_ok_and(|msg| msg == "isdbgrid");
    let count = |field| hello.get_array(field).map_or(0, Vec::len);
    is_router || count("hosts") + count("passives") > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_server_has_no_replicas() {
        for (hello, has) in [
            (doc! { "isWritablePrimary": true }, false),
            (doc! { "setName": "rs", "hosts": ["a"] }, false),
            (
                doc! { "setName": "rs", "hosts": ["a"], "arbiters": ["b"] },
                false,
            ),
            (
                doc! { "setName": "rs", "hosts": ["a"], "passives": ["b"] },
                true,
            ),
            (doc! { "setName": "rs", "hosts": ["a", "b", "c"] }, true),
            (doc! { "msg": "isdbgrid" }, true),
        ] {
            assert_eq!(has_replicas(&hello), has, "{hello}");
        }
    }
}
