//! What must not show: passwords, tokens and data, in `Debug` and in errors.

use std::fmt::Debug;

use session_core::{SessionToken, Stamp};

use super::Stage;
use super::fixture::{draft, id_of};

const DATA: &str = "data-that-nobody-may-see";

pub(super) async fn debug_and_errors_show_no_secrets(stage: Stage) {
    let store = stage.store();
    let token = SessionToken::generate();
    let (id, first) = (token.id(), draft(DATA));
    store.must_create(&id, &first).await;
    let mut secrets = stage.secrets();
    secrets.push(DATA.to_owned());
    secrets.push(token.expose().to_owned());
    let check = |what: &str, shown: &dyn Debug| {
        let shown = format!("{shown:?} {shown:#?}");
        for secret in &secrets {
            // Not what it shows, for a test's output is public too.
            assert!(!shown.contains(secret), "{what} shows a secret");
        }
    };
    check("the store", &store);
    check("a refused create", &store.create(&id, &draft(DATA)).await);
    let other = Stamp::generate();
    check(
        "a refused save",
        &store.save(&id, &draft(DATA), other).await,
    );
    let to = token.cycled().id();
    check(
        "a refused rename",
        &store.rename(&id, &to, &draft(DATA), other).await,
    );
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
