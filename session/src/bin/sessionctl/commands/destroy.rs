//! `destroy`: ends a session, or those of an owner.

use serde_json::json;
use session_store::Sessions;

use crate::arguments::Destroy;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::url::SetUp;

pub(super) async fn run(arguments: &Destroy, output: Output) -> Result<Exit, Failure> {
    let sessions = Sessions::new(arguments.store.read()?.connect(SetUp::Never).await?);
    let destroyed = match (&arguments.owner, &arguments.id) {
        (Some(owner), _) => {
            let except = arguments.except.as_ref();
            sessions.destroy_owned_by(owner, except).await?
        }
        (None, Some(id)) => usize::from(sessions.destroy(id).await?),
        // `clap` asks for one of them.
        (None, None) => return Err(Failure::usage("name a session or an owner")),
    };
    if destroyed == 0 && arguments.owner.is_none() {
        return Err(Failure::new(Exit::NotFound, "no live session has this id"));
    }
    let text = format!("Ended: {destroyed}.");
    output.print(&json!({ "destroyed": destroyed }), text)?;
    Ok(Exit::Done)
}
