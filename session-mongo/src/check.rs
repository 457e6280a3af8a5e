//! Checks when a store is made: the collection, and the user's rights.

use mongodb::Namespace;
use mongodb::bson::{Bson, Document, doc};
use session_core::backend::Call;
use session_core::{Error, ErrorKind, Result};

use crate::client::MongoClient;
use crate::command::send;
use crate::error::is_unauthorized;

/// The rights to use a collection.
pub(crate) const USE_RIGHTS: [&str; 4] = ["find", "insert", "update", "remove"];
/// The additional rights to set it up.
pub(crate) const SETUP_RIGHTS: [&str; 3] = ["createIndex", "listIndexes", "listCollections"];

/// The documents and indexes of a layout.
pub(crate) struct Layout {
    /// The fields that each document has, besides `_id`.
    pub(crate) fields: &'static [&'static str],
    /// Matches the layout's documents.
    pub(crate) filter: fn() -> Document,
    /// The names of the layout's own indexes.
    pub(crate) indexes: &'static [&'static str],
}

/// Refuses a user who lacks one of `rights`, if the server knows the user's rights.
pub(crate) async fn rights(
    call: &Call<MongoClient>,
    namespace: &Namespace,
    rights: &[&str],
) -> Result<()> {
    let status = send(call, |to| async move {
        let ask = doc! { "connectionStatus": 1, "showPrivileges": true };
        to.database.run_command(ask).await
    });
    let status = match status.await {
        // Some services that speak MongoDB's protocol do not know the command.
        Err(error) if error.kind() == ErrorKind::Refused => return Ok(()),
        status => status?.answer,
    };
    let missing = missing(&status, (&namespace.db, &namespace.coll), rights);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::misconfigured(format!(
        "{}: the user lacks the rights {} on {namespace}: the role readWrite has them",
        call.place(),
        missing.join(", "),
    )))
}

/// Those of `rights` that the answer to `connectionStatus` lacks.
fn missing<'r>(
    status: &Document,
    (database, collection): (&str, &str),
    rights: &[&'r str],
) -> Vec<&'r str> {
    let list = |of: &Document, name| of.get_array(name).cloned().unwrap_or_default();
    let info = status.get_document("authInfo").cloned().unwrap_or_default();
    // Without authentication, all commands are allowed or none; the next command shows which.
    if list(&info, "authenticatedUsers").is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for privilege in list(&info, "authenticatedUserPrivileges") {
        let Bson::Document(privilege) = privilege else {
            continue;
        };
        let Ok(resource) = privilege.get_document("resource") else {
            continue;
        };
        let names = |field, name| {
            resource
                .get_str(field)
                .is_ok_and(|is| is.is_empty() || is == name)
        };
        let is_whole_database = resource.get_str("collection").is_ok_and(str::is_empty);
        let is_any = resource.get_bool("anyResource").unwrap_or_default();
        let is_it = names("db", database) && names("collection", collection);
        if !is_any && !is_it {
            continue;
        }
        for action in list(&privilege, "actions") {
            // The right to list the collections of a database applies to the whole database.
            if is_any || is_whole_database || action.as_str() != Some("listCollections") {
                found.push(action);
            }
        }
    }
    let is_missing = |right: &&str| !found.iter().any(|action| action.as_str() == Some(right));
    rights.iter().copied().filter(is_missing).collect()
}

/// Refuses a collection that is unsuitable or has another program's documents or indexes. Returns
/// its indexes; `None` if it does not exist. Without `must_list`, the list is empty if the user may
/// not list them.
pub(crate) async fn collection(
    call: &Call<MongoClient>,
    namespace: &Namespace,
    layout: &Layout,
    must_list: bool,
) -> Result<Option<Vec<Document>>> {
    let wrong = |what: &str| {
        Error::misconfigured(format!(
            "{}: the collection {namespace} is not a collection of sessions: {what}; use another \
             collection",
            call.place(),
        ))
    };
    let Some(indexes) = listed(call, &namespace.coll, must_list).await? else {
        return Ok(None);
    };
    let (options, indexes) = indexes;
    if let Some(what) = unsuitable(&options) {
        return Err(wrong(&what));
    }
    if let Some(what) = foreign(&indexes, layout) {
        return Err(wrong(&what));
    }
    // One document of the layout is enough, wherever it is in the collection.
    let is_foreign = !has(call, layout.filter).await? && has(call, Document::new).await?;
    if is_foreign {
        let fields = layout.fields.join(", ");
        return Err(wrong(&format!(
            "its documents are of another program, without the fields {fields}"
        )));
    }
    Ok(Some(indexes))
}

/// Whether the collection has a document that `filter` matches.
async fn has(call: &Call<MongoClient>, filter: fn() -> Document) -> Result<bool> {
    let found = send(call, |to| async move {
        let documents = to.documents();
        documents
            .find_one(filter())
            .projection(doc! { "_id": 1 })
            .await
    });
    Ok(found.await?.answer.is_some())
}

/// The server's description of the collection, and its indexes.
async fn listed(
    call: &Call<MongoClient>,
    name: &str,
    must_list: bool,
) -> Result<Option<(Document, Vec<Document>)>> {
    let listed = send(call, |to| async move {
        let list = doc! { "listCollections": 1, "filter": { "name": name } };
        match to.database.run_command(list).await {
            Err(error) if !must_list && is_unauthorized(&error) => Ok(Vec::new()),
            listed => listed.map(|listed| first_batch(&listed)),
        }
    });
    let Some(options) = listed.await?.answer.pop() else {
        // The collection may exist if the user may not list collections.
        return Ok((!must_list).then(Default::default));
    };
    let is_plain = options
        .get_str("type")
        .is_ok_and(|kind| kind == "collection");
    let indexes = send(call, |to| async move {
        if !is_plain {
            return Ok(Vec::new());
        }
        let list = doc! { "listIndexes": name, "cursor": { "batchSize": 1_000 } };
        match to.database.run_command(list).await {
            Err(error) if !must_list && is_unauthorized(&error) => Ok(Vec::new()),
            listed => listed.map(|listed| first_batch(&listed)),
        }
    });
    Ok(Some((options, indexes.await?.answer)))
}

fn first_batch(reply: &Document) -> Vec<Document> {
    let cursor = reply.get_document("cursor");
    let batch = cursor.and_then(|cursor| cursor.get_array("firstBatch"));
    let batch = batch.map(Vec::as_slice).unwrap_or_default();
    let documents = batch.iter().filter_map(Bson::as_document);
    documents.cloned().collect()
}

/// What makes a collection unsuitable, from its description by `listCollections`.
fn unsuitable(listed: &Document) -> Option<String> {
    match listed.get_str("type") {
        Ok("collection") | Err(_) => {}
        Ok(kind) => return Some(format!("it is a {kind}")),
    }
    let options = listed.get_document("options").ok()?;
    if options.get_bool("capped").unwrap_or_default() {
        return Some("it is capped, so it drops the oldest documents".to_owned());
    }
    // A collation that equates `a` and `A` would mix up sessions.
    let collation = options.get_document("collation").ok()?;
    let locale = collation.get_str("locale").unwrap_or_default();
    Some(format!(
        "it has the collation {locale:?}, and ids are compared byte for byte"
    ))
}

/// What is wrong with indexes of another program.
fn foreign(indexes: &[Document], layout: &Layout) -> Option<String> {
    for index in indexes {
        let name = index.get_str("name").unwrap_or_default();
        if name == "_id_" || layout.indexes.contains(&name) {
            continue;
        }
        if index.get_bool("unique").unwrap_or_default() {
            return Some(format!(
                "it has the unique index {name:?} of another program"
            ));
        }
        if index.contains_key("expireAfterSeconds") {
            return Some(format!("it has the TTL index {name:?} of another program"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(resource: Document, actions: &[&str]) -> Document {
        let actions: Vec<_> = actions.iter().map(|&action| Bson::from(action)).collect();
        doc! { "authInfo": {
            "authenticatedUsers": [{ "user": "u", "db": "app" }],
            "authenticatedUserPrivileges": [{ "resource": resource, "actions": actions }],
        } }
    }

    #[test]
    fn missing_rights_are_those_that_no_privilege_on_the_collection_gives() {
        let use_it = ["find", "insert"];
        for (resource, missing_rights) in [
            (
                doc! { "db": "app", "collection": "s" },
                vec!["insert", "listCollections"],
            ),
            (doc! { "db": "app", "collection": "" }, vec!["insert"]),
            (doc! { "db": "", "collection": "" }, vec!["insert"]),
            (doc! { "anyResource": true }, vec!["insert"]),
            (
                doc! { "db": "app", "collection": "other" },
                vec!["find", "insert", "listCollections"],
            ),
            (
                doc! { "db": "other", "collection": "" },
                vec!["find", "insert", "listCollections"],
            ),
            (
                doc! { "cluster": true },
                vec!["find", "insert", "listCollections"],
            ),
        ] {
            let has = status(resource.clone(), &["find", "listCollections"]);
            let all = [&use_it[..], &["listCollections"]].concat();
            assert_eq!(
                missing(&has, ("app", "s"), &all),
                missing_rights,
                "{resource}"
            );
        }
        let unauthenticated = doc! { "authInfo": { "authenticatedUsers": [] } };
        assert!(missing(&unauthenticated, ("app", "s"), &use_it).is_empty());
    }
}
