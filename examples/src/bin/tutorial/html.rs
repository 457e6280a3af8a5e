//! The frame of every page, and the parts that pages are made of.

use axum::response::Html;
use session_store::{Flash, Result, Session};

use crate::code::{self, Code};
use crate::panel::panel;
use crate::site::Site;

/// The pages that the navigation leads to.
const NAVIGATION: [(&str, &str); 6] = [
    ("/", "Shop"),
    ("/account", "Account"),
    ("/devices", "My devices"),
    ("/session", "This session"),
    ("/race", "A race"),
    ("/express", "From Express"),
];

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

/// A page of the site.
pub(crate) struct Page<'a> {
    /// Its path, which the navigation marks.
    pub(crate) path: &'a str,
    pub(crate) title: &'a str,
    /// HTML.
    pub(crate) content: String,
    /// The code behind it.
    pub(crate) code: &'a [Code],
}

// code: page
/// The whole page: messages that were left for it, its content, what is in cookie and store, and
/// its code.
pub(crate) async fn page(site: &Site, session: &Session, page: Page<'_>) -> Result<Html<String>> {
    let messages = messages(&session.take_flashes()?);
    let who = match session.owner() {
        Some(owner) => format!(
            "<span id=\"who\">signed in as <b>{}</b></span> {}",
            escape(owner.as_str()),
            button(session, "/sign-out", "Sign out", &[])
        ),
        None => "<span id=\"who\">not signed in</span> <a href=\"/sign-in\">Sign in</a>".to_owned(),
    };
    let panel = panel(site, session).await?;
    let code = code::section(page.code);
    let main = format!("{messages}{}{panel}{code}", page.content);
    let footer = format!("Sessions are kept {}.", escape(&site.kept));
    Ok(document(page.path, page.title, &who, &main, &footer))
}
// end

/// Messages for this page, which assistive technology reads out.
fn messages(flashes: &[Flash]) -> String {
    flashes
        .iter()
        .map(|flash| {
            format!(
                "<p role=\"status\" class=\"flash {}\">{}</p>",
                escape(&flash.kind),
                escape(&flash.text)
            )
        })
        .collect()
}

/// A page without a session: those of errors need none.
pub(crate) fn document(
    path: &str,
    title: &str,
    who: &str,
    main: &str,
    footer: &str,
) -> Html<String> {
    let links: String = NAVIGATION
        .iter()
        .map(|(to, name)| {
            let current = if *to == path {
                " aria-current=\"page\""
            } else {
                ""
            };
            format!("<a href=\"{to}\"{current}>{name}</a> ")
        })
        .collect();
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>{title} · Hats</title><link rel=\"stylesheet\" href=\"/style.css\">\
         <script src=\"/site.js\" defer></script></head><body>\
         <header><p class=\"brand\">Hats</p><nav aria-label=\"Pages\">{links}</nav><div class=\"who\">{who}</div></header>\
         <main><h1>{title}</h1>{main}</main><footer>{footer}</footer></body></html>"
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

/// The field that tells this site's forms from forged ones. Without it, the form is refused.
pub(crate) fn token(session: &Session) -> String {
    session.csrf_input().unwrap_or_default()
}

/// A field of a form, with what was wrong with it the last time.
pub(crate) struct Field<'a> {
    pub(crate) name: &'a str,
    pub(crate) label: &'a str,
    /// `text` or `password`.
    pub(crate) kind: &'a str,
    pub(crate) autocomplete: &'a str,
    pub(crate) value: &'a str,
    pub(crate) wrong: Option<&'a str>,
}

impl Field<'_> {
    pub(crate) fn html(&self) -> String {
        let name = self.name;
        let (marks, message) = match self.wrong {
            Some(wrong) => (
                format!(" aria-invalid=\"true\" aria-describedby=\"{name}-error\" autofocus"),
                format!(
                    "<span class=\"wrong\" id=\"{name}-error\">{}</span>",
                    escape(wrong)
                ),
            ),
            None => (String::new(), String::new()),
        };
        format!(
            "<p class=\"field\"><label for=\"{name}\">{}</label><input id=\"{name}\" name=\"{name}\" type=\"{}\" \
             autocomplete=\"{}\" value=\"{}\"{marks}>{message}</p>",
            self.label,
            self.kind,
            self.autocomplete,
            escape(self.value)
        )
    }
}
