//! `Debug` and errors must not show passwords, tokens, credentials or data.

use std::fmt::Debug;

use session_core::{Draft, SessionToken, Stamp, Version};

use crate::Fixture;
use crate::samples::{credential, draft, id_of};

const DATA: &str = "data-that-must-not-show";
const CREDENTIAL: &str = "credential-that-must-not-show";

/// A draft with both.
fn secret_draft() -> Draft {
    draft(DATA).with_credential(credential(CREDENTIAL.as_bytes()))
}

pub(super) async fn debug_and_errors_show_no_secrets(fixture: Fixture) {
    let store = fixture.store();
    let token = SessionToken::generate();
    let (id, first) = (token.id(), secret_draft());
    let created = store.must_create(&id, &first).await;
    let mut secrets = fixture.secrets();
    secrets.extend([DATA, CREDENTIAL, token.expose()].map(str::to_owned));
    let check = |what: &str, shown: &dyn Debug| {
        let shown = format!("{shown:?} {shown:#?}");
        for secret in &secrets {
            // The message omits the text, because a test's output is public too.
            assert!(!shown.contains(secret), "{what} shows a secret");
        }
    };
    check("the store", &store);
    check("the version created", &created);
    let read = store.must_find(&id).await;
    check("the version read", &read.version);
    check("the credential read", &read.credential);
    let refused = store.create(&id, &secret_draft()).await;
    check("a refused create", &refused);
    let other = Version::new(Stamp::generate());
    let refused = store.save(&id, &secret_draft(), &other).await;
    check("a refused save", &refused);
    check("a refused destroy", &store.destroy(&id, Some(&other)).await);
    let long = id_of(&"x".repeat(255));
    check("a missing session", &store.load(&long).await);
    if let Some(limit) = store.capabilities().max_data {
        let huge = draft(&DATA.repeat(limit / DATA.len() + 2));
        let refused = store.create(&long, &huge).await;
        check(
            "a draft over the limit",
            &refused.map_err(|error| error.to_string()),
        );
    }
}
