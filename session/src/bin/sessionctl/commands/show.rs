//! `show`: one session.

use serde_json::{Value, json};
use session_store::SessionInfo;
use session_store::session_core::Bytes;

use crate::arguments::Show;
use crate::exit::{Exit, Failure};
use crate::line;
use crate::output::Output;
use crate::url::SetUp;

pub(super) async fn run(arguments: &Show, output: Output) -> Result<Exit, Failure> {
    let store = arguments.store.read()?.connect(SetUp::Never).await?;
    let Some(record) = store.load(&arguments.id).await? else {
        return Err(Failure::new(Exit::NotFound, "no live session has this id"));
    };
    let info = SessionInfo::of(arguments.id.clone(), &record);
    let mut value = line::value(&info);
    let mut text = line::details(&info);
    if arguments.data {
        value["data"] = data(&record.data);
        let data = match &value["data"] {
            data @ Value::Object(_) => format!("{data:#}"),
            data => data.to_string(),
        };
        text = format!(
            "{text}\ndata         {}",
            data.replace('\n', "\n             ")
        );
    }
    output.print(&value, text)?;
    Ok(Exit::Done)
}

/// The data as JSON; bytes that are none, such as sealed ones, in hexadecimal digits.
fn data(data: &Bytes) -> Value {
    serde_json::from_slice(data).unwrap_or_else(|_| {
        let digits = data.iter().map(|byte| format!("{byte:02x}"));
        json!({ "hexadecimal": digits.collect::<String>() })
    })
}
