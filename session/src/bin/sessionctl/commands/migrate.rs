//! `migrate`: sets a store up.

use serde_json::json;

use crate::arguments::StoreUrl;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::url::SetUp;

pub(super) async fn run(store: &StoreUrl, output: Output) -> Result<Exit, Failure> {
    let url = store.read()?;
    if url.says("migrate", "false") {
        return Err(Failure::usage(
            "the URL has migrate=false: take that option out to set the store up",
        ));
    }
    // Connecting creates what is missing, and checks the rest.
    url.connect(SetUp::Always).await?;
    output.print(
        &json!({ "migrated": true, "scheme": url.scheme() }),
        format!("The {} store is set up.", url.scheme()),
    )?;
    Ok(Exit::Done)
}
