//! A race that one can try: a slow request, and a sign-out before it has ended.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Html;
use serde::Deserialize;
use session_store::{Result, Session};
use session_web::CsrfForm;

use crate::code::code;
use crate::html::{Page, page, token};
use crate::site::Site;

/// How long a slow request takes at most.
const SLOWEST: Duration = Duration::from_secs(10);

// code: race
#[derive(Deserialize)]
pub(crate) struct Slow {
    ms: u64,
}

/// A request that takes its time, and then writes.
pub(crate) async fn slow(session: Session, CsrfForm(slow): CsrfForm<Slow>) -> Result<String> {
    tokio::time::sleep(Duration::from_millis(slow.ms).min(SLOWEST)).await;
    let slow = session.get("slow")?.unwrap_or(0_u32) + 1;
    session.insert("slow", slow)?;
    Ok(format!("{slow} slow requests in this session"))
}

pub(crate) async fn show(State(site): State<Arc<Site>>, session: Session) -> Result<Html<String>> {
    let outcome = match site.sessions {
        Some(_) => {
            "The slow request is refused with 409, and you stay signed out: a save names the version that it \
             read, and the record of that version is gone. In many session stores the late save would write the whole \
             session again, owner and all."
        }
        None => {
            "With --cookie-only the slow request succeeds, and its response brings the session back: there is no \
             record that a sign-out could remove. This is what --cookie-only can't do."
        }
    };
    let (one, two) = (token(&session), token(&session));
    let content = format!(
        "<section><h2>What happens</h2><ol class=\"steps\"><li>A request begins, which changes this session after 2 \
         seconds.</li><li>Meanwhile another request signs you out.</li><li>The first one wants to save.</li></ol>\
         <p>{outcome}</p></section>\
         <section id=\"race\"><h2>Try it</h2>\
         <p>Sign in before, so that there is something to sign out of.</p>\
         <p><button type=\"button\" id=\"run\">Run the race</button></p>\
         <p role=\"status\" id=\"outcome\"></p>\
         <p>Or by hand: the first button opens a tab; press the second one at once.</p>\
         <form method=\"post\" action=\"/race/slow\" target=\"_blank\" id=\"slow\">{one}<input type=\"hidden\" \
         name=\"ms\" value=\"2000\"><button>Begin a slow request</button></form> \
         <form method=\"post\" action=\"/sign-out\" id=\"leave\">{two}<button>Sign out meanwhile</button></form>\
         </section>"
    );
    let shown = Page {
        path: "/race",
        title: "A race",
        content,
        code: &[code!("race.rs", "race"), code!("account.rs", "sign-in")],
    };
    page(&site, &session, shown).await
}
// end
