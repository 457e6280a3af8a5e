//! A session as lists and `show` print it.

use std::time::Duration;

use serde_json::{Value, json};
use session_store::{Description, SessionInfo, Timeout, Ttl};

use crate::output::cell;
use crate::span;

/// The columns of [`row`].
pub(crate) fn heading() -> String {
    columns(["ID", "OWNER", "DEVICE", "AGE", "IDLE", "LEFT", "BYTES"])
}

/// A line of a list.
pub(crate) fn row(info: &SessionInfo) -> String {
    columns([
        &cell(info.id.as_str()),
        &owner(info),
        &device(info),
        &span::show(info.age),
        &info.last_used().map_or("-".to_owned(), span::show),
        &left(info.ttl),
        &info.size.to_string(),
    ])
}

/// Cells that are too long push the others aside: nothing is cut off.
fn columns([id, owner, device, age, idle, left, size]: [&str; 7]) -> String {
    format!("{id:<16}  {owner:<20}  {device:<28}  {age:>8}  {idle:>8}  {left:>8}  {size:>7}")
}

/// All that a listing tells of a session, a line each.
pub(crate) fn details(info: &SessionInfo) -> String {
    let limit = |timeout: Timeout| timeout.duration().map_or("never".to_owned(), span::show);
    [
        format!("id           {}", cell(info.id.as_str())),
        format!("owner        {}", owner(info)),
        format!("device       {}", device(info)),
        format!("age          {}", span::show(info.age)),
        format!(
            "last used    {}",
            info.last_used()
                .map_or("unknown".to_owned(), |idle| format!(
                    "{} ago",
                    span::show(idle)
                ))
        ),
        format!("left         {}", left(info.ttl)),
        format!("idle limit   {}", limit(info.lifetime.idle)),
        format!("in all       {}", limit(info.lifetime.absolute)),
        format!("bytes        {}", info.size),
    ]
    .join("\n")
}

fn owner(info: &SessionInfo) -> String {
    let owner = info.owner.as_ref();
    owner.map_or("-".to_owned(), |owner| cell(owner.as_str()))
}

fn left(left: Ttl) -> String {
    left.left().map_or("forever".to_owned(), span::show)
}

fn device(info: &SessionInfo) -> String {
    let Some(description) = &info.description else {
        return "-".to_owned();
    };
    let parts = [
        description.label().map(str::to_owned),
        program(description),
        description.address().map(str::to_owned),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    cell(&parts.join(", "))
}

fn program(description: &Description) -> Option<String> {
    match (description.browser(), description.system()) {
        (Some(browser), Some(system)) => Some(format!("{browser} on {system}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

/// A session as JSON. Times are in seconds, with milliseconds; `null` is never, or not known.
pub(crate) fn value(info: &SessionInfo) -> Value {
    let seconds = |span: Duration| span.as_millis() as f64 / 1_000.0;
    let limit = |timeout: Timeout| timeout.duration().map(seconds);
    let description = info.description.as_ref().map(|description| {
        json!({
            "label": description.label(),
            "browser": description.browser(),
            "system": description.system(),
            "address": description.address(),
        })
    });
    json!({
        "id": info.id.as_str(),
        "owner": info.owner.as_ref().map(|owner| owner.as_str()),
        "device": description,
        "age": seconds(info.age),
        "idle": info.last_used().map(seconds),
        "left": info.ttl.left().map(seconds),
        "idle_limit": limit(info.lifetime.idle),
        "absolute_limit": limit(info.lifetime.absolute),
        "bytes": info.size,
    })
}
