//! Notices of sessions that end: a change stream on the collection, on a replica set or a sharded
//! cluster.

use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::bson::{Document, doc};
use mongodb::change_stream::event::{ChangeStreamEvent, OperationType};
use mongodb::options::ReadConcern;
use session_core::backend::Call;
use session_core::{Error, Notice, NoticeStream, SessionId};

use crate::MongoClient;
use crate::command::send;
use crate::error::{code, from_mongo};

/// "The $changeStream stage is only supported on replica sets".
const NOT_A_REPLICA_SET: i32 = 40573;

type Event = ChangeStreamEvent<Document>;

/// Deletes, by whichever statement, and saves that restart a session's age, as a sign-in does. What
/// else happens to sessions is not sent.
fn pipeline() -> [Document; 2] {
    let signed_in = doc! {
        "operationType": "update",
        "updateDescription.updatedFields.born": { "$exists": true },
    };
    let ended = ["delete", "drop", "rename", "dropDatabase", "invalidate"];
    let ended = doc! { "operationType": { "$in": ended.to_vec() } };
    [
        doc! { "$match": { "$or": [ended, signed_in] } },
        doc! { "$project": { "operationType": 1, "documentKey": 1 } },
    ]
}

/// The notices from now on.
pub(crate) fn listen(call: Call<MongoClient>) -> NoticeStream {
    let opened = async move {
        let changes = send(&call, |to| async move {
            let documents = to.documents();
            let changes = documents.watch().pipeline(pipeline());
            // Of another concern, such as that of loads, the server gives no changes.
            match changes.read_concern(ReadConcern::majority()).await {
                // The client ends its cursors when it is dropped.
                Ok(changes) => Ok(Some((changes, to))),
                Err(error) if code(&error) == Some(NOT_A_REPLICA_SET) => Ok(None),
                Err(error) => Err(error),
            }
        });
        let needs = "change streams on a standalone server";
        let changes = changes.await?.answer;
        let (changes, client) = changes.ok_or_else(|| Error::unsupported(needs))?;
        let first = stream::iter([Ok(Notice::Missed)]);
        let lost = Error::unavailable("notices", "the change stream has ended");
        let notices = changes.filter_map(move |event| {
            let _client = &client;
            let failed = |error| from_mongo(call.name(), call.place(), &error);
            std::future::ready(event.map_err(failed).map(read).transpose())
        });
        Ok::<_, Error>(first.chain(notices).chain(stream::iter([Err(lost)])))
    };
    Box::pin(stream::once(opened).try_flatten())
}

fn read(event: Event) -> Option<Notice> {
    let id = |event: &Event| {
        let key = event.document_key.as_ref()?;
        SessionId::from_stored(key.get_str("_id").ok()?).ok()
    };
    match event.operation_type {
        // A document of another program may be deleted too.
        OperationType::Delete => id(&event).map(Notice::Ended),
        OperationType::Update => id(&event).map(Notice::Changed),
        _ => Some(Notice::Missed),
    }
}
