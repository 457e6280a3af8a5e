//! The part of each page that shows what is in the cookie and in the store.

use serde_json::{Map, Value};
use session_store::{Result, Session, SessionToken, Sessions};
use sha2::{Digest, Sha256};

use crate::html::{button, escape};
use crate::site::Site;
use crate::words::in_words;

// code: panel
/// What is in the cookie and in the store, as this page is sent.
pub(crate) async fn panel(site: &Site, session: &Session) -> Result<String> {
    let expire = button(session, "/session/expire", "Expire now", &[]);
    // The layer would do both after the handler; this page shows what comes of it.
    session.save().await?;
    session.touch().await?;
    let (cookie, store) = match (&site.sessions, session.token()) {
        (Some(sessions), Some(token)) => (
            format!(
                "<code>id={}…</code>, 54 characters in all; SHA-256 <code id=\"hash\">{}…</code>",
                escape(token.id().as_str()),
                hash(&token)
            ),
            in_store(sessions, session).await?,
        ),
        (Some(_), None) => ("none".to_owned(), "nothing".to_owned()),
        (None, _) => (
            format!(
                "<code>id=…</code>, which is the whole session, encrypted. Data: {}",
                rows(&of_handle(session))
            ),
            "there is none. So the site can't list sessions or end them from elsewhere.".to_owned(),
        ),
    };
    let left = session.expires_in().left();
    let ends = left.map_or("never".to_owned(), |left| {
        let (millis, words) = (left.as_millis(), in_words(left));
        format!("in <span id=\"ends\" data-left=\"{millis}\">{words}</span>, unless it is used before. {expire}")
    });
    Ok(format!(
        "<section id=\"now\"><h2>In the cookie and in the store, now</h2><dl><dt>Cookie</dt><dd>{cookie}</dd>\
         <dt>Store</dt><dd>{store}</dd><dt>Ends</dt><dd>{ends}</dd></dl></section>"
    ))
}

/// The first 8 digits of a token's SHA-256: tell one token from another, and open nothing.
pub(crate) fn hash(token: &SessionToken) -> String {
    let digest = Sha256::digest(token.expose().as_bytes());
    digest[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

async fn in_store(sessions: &Sessions, session: &Session) -> Result<String> {
    let Some(id) = session.id() else {
        return Ok("nothing".to_owned());
    };
    let Some(record) = sessions.store().load(&id).await? else {
        return Ok("nothing any more".to_owned());
    };
    let owner = record
        .owner
        .as_ref()
        .map_or("none, a guest", |owner| owner.as_str());
    let data: Map<String, Value> = serde_json::from_slice(&record.data).unwrap_or_default();
    Ok(format!(
        "<code>{}</code>, with the token's hash in place of the token. Owner: <b>{}</b>. Data: {}",
        escape(id.as_str()),
        escape(owner),
        rows(&data)
    ))
}
// end

/// The data as the handle has it.
fn of_handle(session: &Session) -> Map<String, Value> {
    let value = |key: &String| session.get(key).ok().flatten().unwrap_or_default();
    let keys = session.keys().into_iter();
    keys.map(|key| (key.clone(), value(&key))).collect()
}

/// Keys and values. Those of reserved keys, such as the secret behind form tokens, are left out.
fn rows(data: &Map<String, Value>) -> String {
    let rows: String = data
        .iter()
        .map(|(key, value)| {
            let shown = match key.starts_with('_') {
                true => "…".to_owned(),
                false => value.to_string(),
            };
            format!("<li><code>{}: {}</code></li>", escape(key), escape(&shown))
        })
        .collect();
    match rows.is_empty() {
        true => "none".to_owned(),
        false => format!("<ul>{rows}</ul>"),
    }
}
