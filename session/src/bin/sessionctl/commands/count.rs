//! `count`: how many live sessions there are.

use serde_json::json;

use crate::arguments::StoreUrl;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::url::SetUp;

pub(super) async fn run(store: &StoreUrl, output: Output) -> Result<Exit, Failure> {
    let store = store.read()?.connect(SetUp::Never).await?;
    let count = super::directory(&*store)?.count().await?;
    output.print(&json!({ "count": count }), count)?;
    Ok(Exit::Done)
}
