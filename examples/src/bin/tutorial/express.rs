//! What became of express-session's options.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use session_store::{Result, Session};

use crate::code::code;
use crate::html::{Page, page};
use crate::site::Site;

/// Option of express-session, what stands in its place, and why.
const OPTIONS: [(&str, &str, &str); 10] = [
    (
        "resave",
        "nothing",
        "A save is made if something has changed. An unchanged session is touched, which writes no data.",
    ),
    (
        "saveUninitialized",
        "<code>.save_uninitialized(…)</code>",
        "Off: no session begins, and no cookie is set, until a handler stores something.",
    ),
    (
        "rolling",
        "<code>.rolling(Rolling::…)</code>",
        "By default a cookie with a date is sent again whenever the session's end has moved. Other cookies end with \
         the browser and need no date.",
    ),
    (
        "cookie.maxAge",
        "<code>.lifetime(Lifetime::new(idle, absolute))</code>",
        "Two limits, which the store enforces to the millisecond. The cookie's own date is only a hint to the browser, \
         and <code>.persistence(…)</code> says which cookies have one.",
    ),
    (
        "req.session.cookie.maxAge = …",
        "<code>session.set_lifetime(…)</code>",
        "\u{201c}Remember me\u{201d}: the limits of one session.",
    ),
    (
        "req.session.regenerate()",
        "<code>session.sign_in(owner)</code>",
        "One write: the owner, a new token, and the guest's data of before.",
    ),
    (
        "req.session.destroy()",
        "<code>session.destroy()</code>",
        "Final: no request in flight brings the session back. <a href=\"/race\">Try it</a>.",
    ),
    (
        "unset",
        "nothing",
        "<code>session.destroy()</code> ends a session; <code>session.clear()</code> empties it.",
    ),
    (
        "secret",
        "nothing",
        "The token has 144 secret random bits, and the store has only its hash. Beside an Express app, the cookie is signed \
         as the app signs it.",
    ),
    (
        "genid",
        "nothing",
        "A session's id never moves, and opens nothing: it may be shown and logged.",
    ),
];

// code: express
pub(crate) async fn show(State(site): State<Arc<Site>>, session: Session) -> Result<Html<String>> {
    let rows = OPTIONS.map(|(option, here, why)| {
        format!("<tr><th scope=\"row\"><code>{option}</code></th><td>{here}<br>{why}</td></tr>")
    });
    let content = format!(
        "<section><h2>What became of its options</h2><table><thead><tr><th scope=\"col\">express-session</th>\
         <th scope=\"col\">Here</th></tr></thead><tbody>{}</tbody></table>\
         <p>This site may also share its sessions with an Express app, on one store: <code>docs/express.md</code> \
         says how.</p></section>",
        rows.concat()
    );
    let shown = Page {
        path: "/express",
        title: "From Express",
        content,
        code: &[code!("express.rs", "express"), code!("site.rs", "layer")],
    };
    page(&site, &session, shown).await
}
// end
