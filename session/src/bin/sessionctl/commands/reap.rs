//! `reap`: removes expired sessions.

use serde_json::json;
use session_store::Sessions;

use crate::arguments::Reap;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::url::SetUp;

pub(super) async fn run(arguments: &Reap, output: Output) -> Result<Exit, Failure> {
    let sessions = Sessions::new(arguments.store.read()?.connect(SetUp::Never).await?);
    let batch = usize::try_from(arguments.batch).unwrap_or(usize::MAX);
    let mut reaped = 0;
    loop {
        let removed = sessions.reap(batch).await?;
        reaped += removed;
        if removed < batch {
            break;
        }
    }
    let reports = sessions.store().capabilities().expiry_reports;
    let text = match reports {
        true => format!("Removed: {reaped}."),
        false => {
            "The store removes expired sessions by itself, and does not tell which.".to_owned()
        }
    };
    output.print(&json!({ "reaped": reaped, "reported": reports }), text)?;
    Ok(Exit::Done)
}
