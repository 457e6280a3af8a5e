//! What the site does, whatever framework it is on. `home`, `account` and `sign_out` are handlers of
//! axum and of actix-web as they are.

use session_memory::MemoryStore;
use session_web::{Owner, Result, Secure, Session, SessionLayer};

/// Who is signed in.
pub async fn home(session: Session) -> String {
    match session.owner() {
        Some(user) => format!("signed in as {}\n", user.as_str()),
        None => "not signed in\n".to_owned(),
    }
}

/// For signed-in users.
pub async fn account(owner: Owner) -> String {
    format!("the account of {}\n", owner.as_str())
}

/// Asks for no password.
pub async fn sign_in(session: Session, name: &str) -> Result<String> {
    // Your check of a password comes here. This site is for the machine that it runs on.
    session.sign_in(name).await?;
    Ok(format!("welcome, {name}\n"))
}

/// Ends the session.
pub async fn sign_out(session: Session) -> Result<&'static str> {
    session.destroy().await?;
    Ok("goodbye\n")
}

/// Sessions in memory, by plain http too.
pub fn sessions() -> Result<SessionLayer> {
    SessionLayer::builder(MemoryStore::new())
        .secure(Secure::Development)
        .build()
}

/// Where the program is to listen: its first argument.
pub fn address() -> String {
    let address = std::env::args().nth(1);
    address.unwrap_or("127.0.0.1:3000".to_owned())
}
