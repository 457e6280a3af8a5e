//! The site on actix-web.

use actix_web::{App, HttpServer, web};
use session_actix::{CrossOriginProtection, GuardMiddleware, Result, Session, SessionMiddleware};

#[derive(serde::Deserialize)]
struct SignIn {
    name: String,
}

async fn sign_in(session: Session, form: web::Form<SignIn>) -> Result<String> {
    site::sign_in(session, &form.name).await
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionMiddleware::new(site::sessions()?);
    let server = HttpServer::new(move || {
        App::new()
            .route("/", web::get().to(site::home))
            .route("/account", web::get().to(site::account))
            .route("/sign-in", web::post().to(sign_in))
            .route("/sign-out", web::post().to(site::sign_out))
            .wrap(GuardMiddleware::new(CrossOriginProtection::new()))
            .wrap(sessions.clone())
    });
    Ok(server.bind(site::address())?.run().await?)
}
