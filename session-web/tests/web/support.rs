//! A store whose calls can be counted and refused, and a browser that keeps cookies.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use http::header::{COOKIE, HOST, SET_COOKIE};
use http::{Request, Response, StatusCode};
use session_core::{
    Capabilities, Draft, Error, Record, Result, Saved, SessionDirectory, SessionId, SessionStore,
    Stamp, Timeout, Ttl, async_trait,
};
use session_memory::MemoryStore;
use tower::ServiceExt;

/// A memory store that counts its calls and can be down.
#[derive(Clone, Debug, Default)]
pub(crate) struct Probe {
    inner: MemoryStore,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    loads: AtomicUsize,
    writes: AtomicUsize,
    touches: AtomicUsize,
    loads_fail: AtomicBool,
    writes_fail: AtomicBool,
    answers_fail: AtomicBool,
}

impl Probe {
    /// Loads, writes and touches since the last time this was asked.
    pub(crate) fn taken(&self) -> (usize, usize, usize) {
        let take = |counter: &AtomicUsize| counter.swap(0, SeqCst);
        let state = &self.state;
        (
            take(&state.loads),
            take(&state.writes),
            take(&state.touches),
        )
    }

    pub(crate) fn fail_loads(&self, fail: bool) {
        self.state.loads_fail.store(fail, SeqCst);
    }

    pub(crate) fn fail_writes(&self, fail: bool) {
        self.state.writes_fail.store(fail, SeqCst);
    }

    /// Writes happen, and then the connection breaks, again and again.
    pub(crate) fn fail_answers(&self, fail: bool) {
        self.state.answers_fail.store(fail, SeqCst);
    }

    pub(crate) fn store(&self) -> &MemoryStore {
        &self.inner
    }

    fn read(&self) -> Result<()> {
        self.state.loads.fetch_add(1, SeqCst);
        refuse(self.state.loads_fail.load(SeqCst))
    }

    async fn write<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.state.writes.fetch_add(1, SeqCst);
        refuse(self.state.writes_fail.load(SeqCst))?;
        let done = work.await;
        refuse(self.state.answers_fail.load(SeqCst))?;
        done
    }
}

fn refuse(yes: bool) -> Result<()> {
    match yes {
        true => Err(Error::unavailable("probe", "it is down")),
        false => Ok(()),
    }
}

#[async_trait]
impl SessionStore for Probe {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn directory(&self) -> Option<&dyn SessionDirectory> {
        self.inner.directory()
    }

    async fn create(&self, id: &SessionId, draft: &Draft) -> Result<Stamp> {
        self.write(self.inner.create(id, draft)).await
    }

    async fn load(&self, id: &SessionId) -> Result<Option<Record>> {
        self.read()?;
        self.inner.load(id).await
    }

    async fn save(&self, id: &SessionId, draft: &Draft, expected: Stamp) -> Result<Saved> {
        self.write(self.inner.save(id, draft, expected)).await
    }

    async fn touch(&self, id: &SessionId, idle: Timeout) -> Result<Option<Ttl>> {
        self.state.touches.fetch_add(1, SeqCst);
        refuse(self.state.writes_fail.load(SeqCst))?;
        self.inner.touch(id, idle).await
    }

    async fn rename(
        &self,
        from: &SessionId,
        to: &SessionId,
        draft: &Draft,
        expected: Stamp,
    ) -> Result<Saved> {
        self.write(self.inner.rename(from, to, draft, expected))
            .await
    }

    async fn destroy(&self, id: &SessionId) -> Result<bool> {
        self.write(self.inner.destroy(id)).await
    }
}

/// A browser with one cookie jar, at `https://example.org` behind no proxy.
#[derive(Clone, Default)]
pub(crate) struct Browser {
    jar: Arc<Mutex<Vec<(String, String)>>>,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sends this header along from now on.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The cookies, as they are sent.
    pub(crate) fn cookies(&self) -> String {
        let jar = self.jar.lock().expect("whole");
        let pairs: Vec<String> = jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    /// Another tab, or somebody who has copied the cookies.
    pub(crate) fn copied(&self) -> Self {
        let jar = self.jar.lock().expect("whole").clone();
        Self {
            jar: Arc::new(Mutex::new(jar)),
            headers: self.headers.clone(),
        }
    }

    /// Gets the page and keeps what cookies it sets.
    pub(crate) async fn get(&self, app: &Router, path: &str) -> Page {
        let mut request = Request::builder().uri(path);
        if !self.headers.iter().any(|(name, _)| *name == "host") {
            request = request.header(HOST, "example.org");
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let cookies = self.cookies();
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies);
        }
        let request = request.body(Body::empty()).expect("a good request");
        let response = app.clone().oneshot(request).await.expect("infallible");
        self.keep(&response);
        Page::read(response).await
    }

    fn keep<B>(&self, response: &Response<B>) {
        let mut jar = self.jar.lock().expect("whole");
        for cookie in response.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().expect("ASCII");
            let (name, rest) = cookie.split_once('=').expect("a name");
            let value = rest.split(';').next().expect("a value");
            jar.retain(|(kept, _)| kept != name);
            if !cookie.contains("Max-Age=0") {
                jar.push((name.to_owned(), value.to_owned()));
            }
        }
    }
}

/// A response that was read to its end.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

impl Page {
    async fn read(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("whole");
        Self {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).expect("UTF-8"),
        }
    }

    /// All `Set-Cookie` headers.
    pub(crate) fn set_cookies(&self) -> Vec<&str> {
        let all = self.headers.get_all(SET_COOKIE).into_iter();
        all.map(|cookie| cookie.to_str().expect("ASCII")).collect()
    }

    /// The attributes of the one cookie that is set.
    pub(crate) fn attributes(&self) -> &str {
        let [cookie] = self.set_cookies()[..] else {
            panic!("one cookie is set: {:?}", self.set_cookies());
        };
        cookie
            .split_once("; ")
            .map_or("", |(_, attributes)| attributes)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("ASCII"))
    }
}
