//! The site on actix-web.

use actix_web::{App, HttpServer, web};
use session_actix::{
    CrossOriginMiddleware, CrossOriginProtection, Secure, Session, SessionLayer, SessionMiddleware,
};
use session_memory::MemoryStore;

#[derive(serde::Deserialize)]
struct SignIn {
    name: String,
}

async fn home(session: Session) -> String {
    match session.owner() {
        Some(user) => format!("signed in as {}\n", user.as_str()),
        None => "not signed in\n".to_owned(),
    }
}

async fn sign_in(session: Session, form: web::Form<SignIn>) -> actix_web::Result<String> {
    session.sign_in(&*form.name).await?;
    Ok(format!("welcome, {}\n", form.name))
}

async fn sign_out(session: Session) -> actix_web::Result<&'static str> {
    session.destroy().await?;
    Ok("goodbye\n")
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let address = address.unwrap_or("127.0.0.1:3000".to_owned());
    let layer = SessionLayer::builder(MemoryStore::new())
        .secure(Secure::Development)
        .build()?;
    let sessions = SessionMiddleware::new(layer);
    let server = HttpServer::new(move || {
        App::new()
            .route("/", web::get().to(home))
            .route("/sign-in", web::post().to(sign_in))
            .route("/sign-out", web::post().to(sign_out))
            .wrap(CrossOriginMiddleware::new(CrossOriginProtection::new()))
            .wrap(sessions.clone())
    });
    Ok(server.bind(address)?.run().await?)
}
