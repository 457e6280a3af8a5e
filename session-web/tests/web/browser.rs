//! A browser that keeps cookies.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use http::header::{CONTENT_TYPE, COOKIE, HOST, SET_COOKIE};
use http::{Method, Request, Response, StatusCode};
use session_web::Https;
use tower::ServiceExt;

/// A browser with one cookie jar, at `https://example.org` behind no proxy.
#[derive(Clone, Default)]
pub(crate) struct Browser {
    jar: Arc<Mutex<Vec<(String, String)>>>,
    is_plain: bool,
    pub(crate) headers: Vec<(&'static str, String)>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// One at `http://example.org`.
    pub(crate) fn by_http() -> Self {
        Self {
            is_plain: true,
            ..Self::default()
        }
    }

    /// One that has got this cookie, a name and a value, somehow.
    pub(crate) fn holding(pair: &str) -> Self {
        let (name, value) = pair.split_once('=').expect("a pair");
        let jar = vec![(name.to_owned(), value.to_owned())];
        Self {
            jar: Arc::new(Mutex::new(jar)),
            ..Self::default()
        }
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
            is_plain: self.is_plain,
            headers: self.headers.clone(),
        }
    }

    /// Gets the page and keeps what cookies it sets.
    pub(crate) async fn get(&self, app: &Router, path: &str) -> Page {
        self.send(app, Method::GET, path, "", Body::empty()).await
    }

    /// Posts a form with this one field.
    pub(crate) async fn post(&self, app: &Router, path: &str, name: &str, value: &str) -> Page {
        let form = Body::from(format!("{name}={value}"));
        let kind = "application/x-www-form-urlencoded";
        self.send(app, Method::POST, path, kind, form).await
    }

    /// Posts this body of a multipart form to `/upload`.
    pub(crate) async fn upload(&self, app: &Router, body: impl Into<Body>) -> Page {
        let kind = crate::multipart::content_type();
        let body = body.into();
        self.send(app, Method::POST, "/upload", &kind, body).await
    }

    async fn send(&self, app: &Router, method: Method, path: &str, kind: &str, body: Body) -> Page {
        let mut request = Request::builder().method(&method).uri(path);
        if !kind.is_empty() {
            request = request.header(CONTENT_TYPE, kind);
        }
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
        if !self.is_plain {
            request = request.extension(Https);
        }
        let request = request.body(body).expect("a good request");
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

    /// Names and values of the cookies that are set, without those that are removed.
    pub(crate) fn new_cookies(&self) -> Vec<String> {
        let all = self.set_cookies().into_iter();
        let new = all.filter(|cookie| !cookie.contains("Max-Age=0"));
        let pair = |cookie: &str| cookie.split(';').next().expect("a pair").to_owned();
        new.map(pair).collect()
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
