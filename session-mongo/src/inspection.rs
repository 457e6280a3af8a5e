//! Settings of a MongoDB deployment that weaken what a store promises.

use std::time::{Duration, SystemTime};

use mongodb::bson::{Document, doc};
use mongodb::options::{Acknowledgment, WriteConcern};
use session_core::backend::Call;
use session_core::{ErrorKind, Finding, Inspection, Result, Severity};

use crate::client::MongoClient;
use crate::command::send;
use crate::error::is_unauthorized;

/// The TTL monitor runs once a minute, and may be busy.
const TTL_PATIENCE: Duration = Duration::from_secs(600);

/// `grace` is how long an expired session waits for a reaper.
pub(crate) async fn run(call: &Call<MongoClient>, grace: Duration) -> Result<Inspection> {
    let mut unreadable = Vec::new();
    let asked = SystemTime::now();
    let hello = ask(call, "", doc! { "hello": 1 })
        .await?
        .unwrap_or_default();
    let clock = hello.get_datetime("localTime").copied();
    let mut found = Inspection::of(product(call).await?);
    match clock.map(|now| u64::try_from(now.timestamp_millis())) {
        Ok(Ok(now)) => found.compare_clock(asked, Duration::from_millis(now)),
        _ => unreadable.push("its time"),
    }
    found.extend(role(&hello));
    let concern = write_concern(call).await?;
    if concern.is_none() {
        unreadable.push("the default write concern (getDefaultRWConcern)");
    }
    if hello.contains_key("setName") || is_router(&hello) {
        found.extend(concern.and_then(|acknowledged| weak(&acknowledged)));
    }
    match ttl_monitor(call).await? {
        Some(true) => {}
        Some(false) => found.add(ttl_is_off()),
        None => unreadable.push("ttlMonitorEnabled"),
    }
    found.extend(not_removed(call, grace).await?);
    found.add_unreadable(&unreadable);
    Ok(found)
}

/// The answer to a command, to the store's database or another; `None` if the user may not send it, or
/// the server does not know it.
async fn ask(
    call: &Call<MongoClient>,
    database: &str,
    command: Document,
) -> Result<Option<Document>> {
    let sent = send(call, |to| async move {
        let database = match database {
            "" => to.database,
            name => to.database.client().database(name),
        };
        match database.run_command(command).await {
            Err(error) if is_unauthorized(&error) => Ok(None),
            answer => answer.map(Some),
        }
    });
    match sent.await {
        Ok(sent) => Ok(sent.answer),
        Err(error) if [ErrorKind::Refused, ErrorKind::Misconfigured].contains(&error.kind()) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn product(call: &Call<MongoClient>) -> Result<String> {
    let info = ask(call, "", doc! { "buildInfo": 1 }).await?;
    let version = info.as_ref().and_then(|info| info.get_str("version").ok());
    Ok(format!(
        "MongoDB {}",
        version.unwrap_or("of an unknown version")
    ))
}

/// Whether the server is the router of a sharded cluster.
fn is_router(hello: &Document) -> bool {
    hello.get_str("msg").is_ok_and(|text| text == "isdbgrid")
}

/// What the server is, by its answer to `hello`.
fn role(hello: &Document) -> Option<Finding> {
    if is_router(hello) {
        return None;
    }
    if hello.get_bool("isWritablePrimary").is_ok_and(|is| !is) {
        return Some(Finding::read_only(
            "the server is a secondary, and the URL leads to it alone (directConnection)",
        ));
    }
    (!hello.contains_key("setName")).then(|| {
        Finding::new(
            "mongo-standalone",
            Severity::Weaker,
            "the server is a standalone, and no member of a replica set",
            "It tells no one of sessions as they end, so streams and sockets of an ended session stay \
             open until the next question; a write whose answer is lost is not repeated by the driver; \
             and there is no other copy",
            "make it a replica set, if only of one member",
        )
    })
}

/// How many members acknowledge the store's writes: by the URL, or else by the deployment's default.
async fn write_concern(call: &Call<MongoClient>) -> Result<Option<Acknowledgment>> {
    let own = send(call, |to| async move {
        Ok(to.collection.write_concern().cloned())
    });
    if let Some(WriteConcern { w: Some(w), .. }) = own.await?.answer {
        return Ok(Some(w));
    }
    let default = ask(call, "admin", doc! { "getDefaultRWConcern": 1 }).await?;
    Ok(default.map(|default| {
        let concern = default.get_document("defaultWriteConcern");
        match concern.and_then(|concern| concern.get_i32("w")) {
            Ok(nodes) => Acknowledgment::Nodes(u32::try_from(nodes).unwrap_or_default()),
            // "majority", or a name; where there is none, the default is a majority.
            Err(_) => Acknowledgment::Majority,
        }
    }))
}

fn weak(acknowledged: &Acknowledgment) -> Option<Finding> {
    let Acknowledgment::Nodes(nodes) = acknowledged else {
        return None;
    };
    Some(Finding::new(
        "mongo-write-concern",
        Severity::Weaker,
        format!("writes are acknowledged by w={nodes}, not by a majority"),
        "A failover undoes writes that had not reached a majority: a session that was signed out is \
         there again",
        "set w=majority in the URL, or leave w out where the deployment's default is majority",
    ))
}

/// Whether the TTL monitor runs, by the servers' parameter.
async fn ttl_monitor(call: &Call<MongoClient>) -> Result<Option<bool>> {
    let get = doc! { "getParameter": 1, "ttlMonitorEnabled": 1 };
    let told = ask(call, "admin", get).await?;
    Ok(told.and_then(|told| told.get_bool("ttlMonitorEnabled").ok()))
}

fn ttl_is_off() -> Finding {
    Finding::new(
        "mongo-ttl-monitor",
        Severity::Weaker,
        "the TTL monitor is off (ttlMonitorEnabled is false)",
        "Expired sessions stay invisible, but are never removed: the collection grows without an end",
        "set the parameter ttlMonitorEnabled to true",
    )
}

/// Whether a session is there long after the TTL index should have removed it. One round trip, by the
/// index: the session that is due first is looked at.
async fn not_removed(call: &Call<MongoClient>, grace: Duration) -> Result<Option<Finding>> {
    let first = send(call, |to| async move {
        let dated = doc! { "due": { "$type": "date" } };
        let documents = to.documents();
        let late = doc! { "$subtract": ["$$NOW", "$due"] };
        let find = documents.find_one(dated).sort(doc! { "due": 1 });
        find.projection(doc! { "_id": 0, "late": late }).await
    });
    let first = first.await?.answer;
    let late = first.and_then(|first| first.get_i64("late").ok());
    let late = Duration::from_millis(late.and_then(|late| u64::try_from(late).ok()).unwrap_or(0));
    Ok((late > grace + TTL_PATIENCE).then(|| {
        Finding::new(
            "mongo-not-removed",
            Severity::Weaker,
            format!(
                "a session is there {} minutes after its end, and the TTL index should have removed it",
                late.as_secs() / 60
            ),
            "Expired sessions stay invisible, but the collection grows",
            "look for the index due_ttl, which migrating creates, and for a TTL monitor that is off or \
             overloaded",
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_tells_what_it_is() {
        let name = |hello| role(&hello).map(|finding| finding.name);
        let primary = doc! { "isWritablePrimary": true };
        assert_eq!(name(primary), Some("mongo-standalone"));
        let primary = doc! { "isWritablePrimary": true, "setName": "rs0" };
        assert_eq!(name(primary), None);
        let secondary = doc! { "isWritablePrimary": false, "setName": "rs0" };
        assert_eq!(name(secondary), Some("read-only-server"));
        let router = doc! { "isWritablePrimary": true, "msg": "isdbgrid" };
        assert_eq!(name(router), None);
    }

    #[test]
    fn fewer_than_a_majority_is_told() {
        assert!(weak(&Acknowledgment::Nodes(1)).is_some());
        assert!(weak(&Acknowledgment::Majority).is_none());
    }
}
