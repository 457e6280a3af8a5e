//! What a browser keeps between requests: cookies, a token, its clock, and the visit under way.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use http::{Request, StatusCode};
use session_core::{Error, Result};
use tokio::time::Instant;

use super::jar::{Jar, Target};
use super::visit::{TestRequest, Visitor};
use crate::conclude::X_SESSION;
use crate::config::Transport;

/// A request that a layer has not answered yet, and the status of its answer.
pub(super) type Open = Pin<Box<dyn Future<Output = StatusCode> + Send>>;

/// Clones share everything.
#[derive(Clone)]
pub(super) struct Browser(Arc<Shared>);

struct Shared {
    began: Instant,
    kept: Mutex<Kept>,
    /// Locked until a visit is over, so that the requests after it have its cookies.
    visit: tokio::sync::Mutex<Option<(Visitor, Open)>>,
}

/// No visit is under way, and none begins elsewhere as long as this is held.
pub(super) struct NoVisit<'b>(tokio::sync::MutexGuard<'b, Option<(Visitor, Open)>>);

impl NoVisit<'_> {
    /// Leaves a visit open until the client is used again.
    pub(super) fn begin(mut self, visitor: Visitor, response: Open) {
        *self.0 = Some((visitor, response));
    }
}

#[derive(Default)]
struct Kept {
    jar: Jar,
    /// The token of a layer that takes it from another header than `Cookie`.
    token: Option<(HeaderName, HeaderValue)>,
    ahead: Duration,
}

impl Browser {
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared {
            began: Instant::now(),
            kept: Mutex::default(),
            visit: tokio::sync::Mutex::default(),
        }))
    }

    pub(super) fn advance(&self, by: Duration) {
        let mut kept = self.kept();
        kept.ahead = kept.ahead.saturating_add(by);
    }

    /// The `Cookie` header of a request to `target`.
    pub(super) fn cookies(&self, target: Target<'_>) -> String {
        let mut kept = self.kept();
        let now = self.0.began.elapsed().saturating_add(kept.ahead);
        kept.jar.header(target, now)
    }

    /// Gives a request what the browser sends along. Gives where the layer will say how it takes
    /// tokens.
    pub(super) fn prepare<R>(
        &self,
        request: &mut Request<R>,
        target: Target<'_>,
        mut test: TestRequest,
    ) -> Arc<OnceLock<Transport>> {
        let cookies = self.cookies(target);
        let kept = self.kept();
        let headers = request.headers_mut();
        if !cookies.is_empty() {
            let cookies = HeaderValue::try_from(cookies);
            headers.append(COOKIE, cookies.expect("they came in a header"));
        }
        if let Some((name, value)) = &kept.token
            && !headers.contains_key(name)
        {
            headers.insert(name, value.clone());
        }
        test.millis_ahead = u64::try_from(kept.ahead.as_millis()).unwrap_or(u64::MAX);
        let transport = Arc::clone(&test.transport);
        request.extensions_mut().insert(test);
        transport
    }

    /// Keeps what a response has brought.
    pub(super) fn keep(
        &self,
        headers: &HeaderMap,
        target: Target<'_>,
        transport: Option<&Transport>,
    ) {
        let mut kept = self.kept();
        let now = self.0.began.elapsed().saturating_add(kept.ahead);
        // A date that the system can't tell is too far away to matter.
        let date = SystemTime::now();
        let date = date.checked_add(kept.ahead).unwrap_or(date);
        for header in headers.get_all(SET_COOKIE) {
            let header = String::from_utf8_lossy(header.as_bytes());
            if let Err(reason) = kept.jar.set(&header, target, now, date) {
                let name = header.split('=').next().unwrap_or_default();
                tracing::warn!(name, "a browser would drop this cookie: {reason}");
            }
        }
        if let Some(token) = transport.and_then(|transport| told(headers, transport)) {
            kept.token = token;
        }
    }

    /// Has the layer save the session that a test has visited, and keeps the cookie.
    pub(super) async fn end_visit(&self) -> Result<NoVisit<'_>> {
        let mut visit = self.0.visit.lock().await;
        let Some((visitor, response)) = visit.take() else {
            return Ok(NoVisit(visit));
        };
        drop(visitor);
        let status = response.await;
        match status.is_success() {
            true => Ok(NoVisit(visit)),
            false => Err(Error::refused(
                "save",
                format!("the layer has answered {status}, and the log says why"),
            )),
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.kept().jar.names().map(str::to_owned).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token in a response, and the header that it is to be sent in; `None` within if the session
/// has ended.
fn told(headers: &HeaderMap, transport: &Transport) -> Option<Option<(HeaderName, HeaderValue)>> {
    let (sent_in, told_in) = match transport {
        Transport::Cookie => return None,
        Transport::Bearer => (AUTHORIZATION, X_SESSION),
        Transport::Header(name) => (name.clone(), name.clone()),
    };
    let token = headers.get(told_in)?;
    if token.is_empty() {
        return Some(None);
    }
    let token = match transport {
        Transport::Bearer => [b"Bearer ", token.as_bytes()].concat(),
        _ => token.as_bytes().to_vec(),
    };
    let token = HeaderValue::from_bytes(&token);
    Some(Some((sent_in, token.expect("it came in a header"))))
}
