//! This session: its limits, and its end.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{Html, Redirect};
use session_store::{Result, Session, Timeout};
use session_web::CsrfForm;

use crate::code::code;
use crate::html::{Page, page};
use crate::site::Site;
use crate::words::in_words;

// code: session
pub(crate) async fn show(State(site): State<Arc<Site>>, session: Session) -> Result<Html<String>> {
    let lifetime = session.lifetime();
    let limit = |timeout: Timeout| timeout.duration().map_or("none".to_owned(), in_words);
    let content = format!(
        "<section><h2>Its limits</h2><dl><dt>Began</dt><dd>{} ago</dd>\
         <dt>Idle limit</dt><dd id=\"idle\">{}: it ends if it is not used for so long. Each page is a use.</dd>\
         <dt>Absolute limit</dt><dd>{}: it ends so long after it began, however much it is used. Signing in begins \
         it anew.</dd></dl>\
         <p>The server's clock counts, not the cookie's date. Below is what is left.</p>\
         <p role=\"status\" id=\"live\"></p></section>",
        in_words(session.age()),
        limit(lifetime.idle),
        limit(lifetime.absolute),
    );
    let shown = Page {
        path: "/session",
        title: "This session",
        content,
        code: &[
            code!("this_session.rs", "session"),
            code!("live.rs", "live"),
            code!("panel.rs", "panel"),
        ],
    };
    page(&site, &session, shown).await
}

/// "Expire now": the time to send one more page is left.
pub(crate) async fn expire(session: Session, CsrfForm(()): CsrfForm<()>) -> Result<Redirect> {
    session.end_in(Duration::from_secs(1))?;
    Ok(Redirect::to("/session"))
}
// end
