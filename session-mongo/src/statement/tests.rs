//! A create, a save and a batch of saves write the same.

use std::time::Duration;

use mongodb::bson::{Bson, doc};
use session_core::{Lifetime, Owner, SessionToken, Stamp};

use super::*;

fn drafts() -> Vec<Draft> {
    let hour = Duration::from_secs(3_600);
    let mut drafts = Vec::new();
    for lifetime in [
        Lifetime::new(hour, 12 * hour),
        Lifetime::new(Timeout::Never, Timeout::Never),
    ] {
        for owner in [None, Some(Owner::new("$u").expect("good"))] {
            for credential in [&b""[..], b"a credential"] {
                let credential = Credential::from_stored(credential).expect("it fits");
                let draft = Draft::new("data", lifetime).with_owner(owner.clone());
                let draft = draft.with_credential(credential);
                let description = Description::from_stored(b"phone").expect("it fits");
                drafts.push(draft.clone().with_description(description));
                drafts.push(draft);
            }
        }
    }
    drafts
}

fn document(raw: &RawDocumentBuf) -> Document {
    Document::try_from(raw).expect("a document")
}

/// The fields that a save of one session sets.
fn saved(draft: &Draft) -> Document {
    document(&set(&Values::of(draft), draft.anchor))
}

fn names(fields: &Document) -> Vec<&str> {
    let mut names: Vec<_> = fields.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_save_writes_what_a_create_does() {
    for draft in drafts() {
        let pipeline = create(&draft);
        assert_eq!(pipeline[1], document(&UPDATE_DUE));
        let mut created = pipeline[0].get_document("$set").expect("it sets").clone();
        created.remove("v").expect("as it stays");
        let saved = saved(&draft.with_anchor(Anchor::Restart));
        assert_eq!(names(&saved), names(&created));
        for (field, value) in created {
            let value = match field.as_str() {
                // If it is not there yet.
                "born" | "deadline" => {
                    let unless_live = value.as_document().expect("a condition");
                    unless_live.get_array("$cond").expect("three parts")[2].clone()
                }
                _ => value,
            };
            assert_eq!(saved.get(&field), Some(&value), "{field}");
        }
    }
}

#[test]
fn a_save_keeps_or_restarts_the_age() {
    for draft in drafts() {
        let keep = saved(&draft);
        let restart = saved(&draft.with_anchor(Anchor::Restart));
        assert_eq!(keep.get("born"), None);
        assert_eq!(restart.get_str("born").ok(), Some("$$NOW"));
        let deadline = |fields: &Document| fields.get("deadline").expect("set").to_string();
        let restarted = deadline(&keep).replace("$born", "$$NOW");
        assert_eq!(deadline(&restart), restarted);
    }
}

#[test]
fn a_save_of_many_writes_what_a_save_of_one_does() {
    let all = document(&SET_OWN_DRAFT);
    let all = all.get_document("$set").expect("a stage");
    for own in drafts() {
        let one = saved(&own);
        assert_eq!(names(all), names(&one));
        let mut draft = RawDocumentBuf::new();
        Values::stored(&own).append_to(&mut draft);
        let mut deadline = all.get("deadline").expect("written").to_string();
        for (field, value) in &document(&draft) {
            let place = format!("$draft.{field}");
            let of_draft = all.get(field).expect("written").to_string();
            assert!(of_draft.contains(&place), "{field}: {of_draft}");
            deadline = deadline.replace(&format!("{place:?}"), &value.to_string());
            let of_one = match field.as_str() {
                "owner" => &Bson::from(doc! { "$literal": value.clone() }),
                _ => value,
            };
            assert_eq!(one.get(field), Some(of_one), "{field}");
        }
        assert_eq!(deadline, one.get("deadline").expect("written").to_string());
    }
}

#[test]
fn saves_are_one_statement_except_those_that_restart_the_limits() {
    let save = |anchor| {
        let draft = Draft::new("data", Lifetime::default()).with_anchor(anchor);
        let id = SessionToken::generate().id();
        Save::new(id, draft, Stamp::generate().into())
    };
    let (keep, restart) = (Anchor::Keep, Anchor::Restart);
    for (anchors, statements) in [
        (vec![keep], 1),
        (vec![keep; 9], 1),
        (vec![keep, restart, keep, restart], 3),
        (vec![keep, restart], 2),
    ] {
        let items: Vec<Save> = anchors.into_iter().map(save).collect();
        assert_eq!(saves(&items).len(), statements);
    }
}
