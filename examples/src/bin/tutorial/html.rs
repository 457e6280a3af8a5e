//! The frame of every page.

use axum::response::Html;
use session_store::Session;

use crate::Site;

/// Text as it stands in a page, whatever it is made of.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A page with this title and content, and the messages that were left for it.
pub(crate) fn page(site: &Site, session: &Session, title: &str, content: &str) -> Html<String> {
    let flashes = session.take_flashes().unwrap_or_default();
    let messages: String = flashes
        .iter()
        .map(|flash| {
            format!(
                "<p class=\"flash {}\">{}</p>",
                escape(&flash.kind),
                escape(&flash.text)
            )
        })
        .collect();
    let who = match session.owner() {
        Some(owner) => format!("signed in as <b>{}</b>", escape(owner.as_str())),
        None => "not signed in".to_owned(),
    };
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title} · Hats</title><link rel=\"stylesheet\" href=\"/style.css\"></head><body>\
         <header><h1>Hats</h1><nav><a href=\"/\">Shop</a> <a href=\"/devices\">My devices</a> \
         <a href=\"/session\">This session</a></nav><span id=\"who\">{who}</span></header>\
         <main>{messages}{content}</main><footer>Sessions are kept {}.</footer></body></html>",
        escape(&site.kept)
    ))
}

/// A button that posts to `action`, with what `fields` holds.
pub(crate) fn button(
    session: &Session,
    action: &str,
    label: &str,
    fields: &[(&str, &str)],
) -> String {
    let hidden: String = fields
        .iter()
        .map(|(name, value)| {
            format!(
                "<input type=\"hidden\" name=\"{name}\" value=\"{}\">",
                escape(value)
            )
        })
        .collect();
    format!(
        "<form method=\"post\" action=\"{action}\">{}{hidden}<button>{}</button></form>",
        token(session),
        escape(label)
    )
}

/// The field that tells this site's forms from forged ones.
pub(crate) fn token(session: &Session) -> String {
    let token = session.csrf_token().unwrap_or_default();
    format!("<input type=\"hidden\" name=\"token\" value=\"{token}\">")
}
