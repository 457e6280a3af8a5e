//! The answers of the server.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use session_store::{
    Cursor, Error, ErrorKind, Owner, Result, SessionDirectory, SessionId, SessionInfo,
};

use super::{Shared, guard};

const PAGE: &str = include_str!("page.html");

/// How many sessions a search shows at once.
const FOUND: usize = 50;
/// How many sessions of an owner end at once.
const BATCH: usize = 1_000;

/// The page. Only its own script and style run, by a number that no one can guess.
pub(super) async fn page() -> Response {
    let Ok(nonce) = guard::secret() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut headers = HeaderMap::new();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    (headers, Html(PAGE.replace("{nonce}", &nonce))).into_response()
}

pub(super) async fn state(State(shared): State<Shared>) -> Json<Value> {
    Json(shared.board.json())
}

#[derive(Deserialize)]
pub(super) struct Search {
    /// An owner, or the id of a session.
    q: String,
    cursor: Option<String>,
}

/// The session of this id, and those of this owner.
pub(super) async fn search(
    State(shared): State<Shared>,
    Query(search): Query<Search>,
) -> Result<Json<Value>, Refused> {
    let mut found = Vec::new();
    let id = SessionId::from_stored(&search.q).ok();
    if let (Some(id), None) = (id, &search.cursor) {
        let record = shared.store.load(&id).await?;
        found.extend(record.map(|record| SessionInfo::of(id, &record)));
    }
    let mut next = None;
    if let Ok(owner) = Owner::new(&search.q) {
        let cursor = search.cursor.map(Cursor::new);
        let page = directory(&shared)?
            .owned_by(&owner, cursor.as_ref(), FOUND)
            .await?;
        found.extend(page.sessions);
        next = page.next;
    }
    let sessions: Vec<Value> = found.iter().map(line).collect();
    Ok(Json(json!({
        "sessions": sessions,
        "next": next.as_ref().map(Cursor::as_str),
    })))
}

/// What may be known of a session: no value, and no credential.
fn line(session: &SessionInfo) -> Value {
    let description = session.description.as_ref();
    let device = description.map(|description| {
        let parts = [
            description.label(),
            description.browser(),
            description.system(),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    });
    json!({
        "id": session.id.as_str(),
        "owner": session.owner.as_ref().map(Owner::as_str),
        "device": device,
        "age": session.age.as_secs(),
        "left": session.ttl.left().map(|left| left.as_secs()),
        "size": session.size,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Revoke {
    Id(String),
    Owner(String),
}

/// Ends a session, or all of an owner.
pub(super) async fn revoke(
    State(shared): State<Shared>,
    Json(revoke): Json<Revoke>,
) -> Result<Json<Value>, Refused> {
    let ended = match revoke {
        Revoke::Id(id) => {
            let id = SessionId::from_stored(&id)?;
            usize::from(shared.store.destroy(&id, None).await?.is_some())
        }
        Revoke::Owner(owner) => {
            let owner = Owner::new(owner)?;
            let (directory, mut ended) = (directory(&shared)?, 0);
            loop {
                let batch = directory.destroy_owned_by(&owner, None, BATCH).await?;
                if batch.is_empty() {
                    break ended;
                }
                ended += batch.len();
            }
        }
    };
    Ok(Json(json!({ "ended": ended })))
}

fn directory(shared: &Shared) -> Result<&dyn SessionDirectory> {
    let directory = shared.store.directory();
    directory.ok_or_else(|| Error::unsupported("listing sessions"))
}

/// An error as an answer: its text has no secret.
pub(super) struct Refused(Error);

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self.0.kind() {
            ErrorKind::Unavailable | ErrorKind::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        (status, Json(json!({ "error": self.0.to_string() }))).into_response()
    }
}
