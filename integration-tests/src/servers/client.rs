//! A minimal browser: HTTP/1.1, JSON, cookies.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{COOKIE, SET_COOKIE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::jar::Jar;

/// The time limit of a response.
const LIMIT: Duration = Duration::from_secs(60);

/// A browser that visits a server on this machine. Its clones, and those [at](Self::at) other
/// ports, share its cookies.
#[derive(Clone, Debug)]
pub struct Client {
    port: u16,
    jar: Arc<Mutex<Jar>>,
    headers: Vec<(String, String)>,
}

/// A server's response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Client {
    /// Creates a browser without cookies that visits `port` of 127.0.0.1.
    #[must_use]
    pub fn new(port: u16) -> Self {
        Self {
            port,
            jar: Arc::default(),
            headers: Vec::new(),
        }
    }

    /// Returns the same browser for another port of the same host, to which it sends the same
    /// cookies.
    #[must_use]
    pub fn at(&self, port: u16) -> Self {
        Self {
            port,
            ..self.clone()
        }
    }

    /// Adds a header to every request, such as `X-Forwarded-Proto`.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gets a page.
    ///
    /// # Panics
    /// If no complete answer comes.
    pub async fn get(&self, path: &str) -> Response {
        self.send("GET", path, None).await
    }

    /// Posts JSON.
    ///
    /// # Panics
    /// If no complete answer comes.
    pub async fn post(&self, path: &str, json: &serde_json::Value) -> Response {
        self.send("POST", path, Some(json.to_string())).await
    }

    /// Returns the value of the cookie of this name as it was sent, not percent-decoded.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.jar().value(name).map(str::to_owned)
    }

    /// Adds a cookie for all paths.
    pub fn set_cookie(&self, name: &str, value: &str) {
        self.jar().keep(&format!("{name}={value}; Path=/"), "/");
    }

    /// Removes the cookies of this name.
    pub fn forget(&self, name: &str) {
        self.jar().forget(name);
    }

    fn jar(&self) -> MutexGuard<'_, Jar> {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, method: &str, target: &str, json: Option<String>) -> Response {
        let path = target.split('?').next().unwrap_or_default();
        let cookies = self.jar().line(path);
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n",
            self.port
        );
        let cookies = cookies.map(|line| (COOKIE.to_string(), line));
        for (name, value) in self.headers.iter().chain(&cookies) {
            request += &format!("{name}: {value}\r\n");
        }
        let body = json.unwrap_or_default();
        if method != "GET" {
            let length = body.len();
            request += &format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
        }
        request += "\r\n";
        request += &body;
        let answer = tokio::time::timeout(LIMIT, exchange(self.port, request.as_bytes()));
        let answer = answer.await.expect("an answer in time");
        let answer = answer.unwrap_or_else(|error| panic!("{method} {target}: {error}"));
        let response = Response::parse(&answer);
        let response = response.unwrap_or_else(|why| panic!("{method} {target}: {why}"));
        for line in response.set_cookies() {
            self.jar().keep(line, path);
        }
        response
    }
}

async fn exchange(port: u16, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

impl Response {
    /// Returns the body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let json = serde_json::from_slice(&self.body);
        json.unwrap_or_else(|error| panic!("{}: {error}: {}", self.status, self.text()))
    }

    /// Returns the body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the Set-Cookie headers in order.
    #[must_use]
    pub fn set_cookies(&self) -> Vec<&str> {
        let lines = self.headers.get_all(SET_COOKIE).iter();
        lines.filter_map(|line| line.to_str().ok()).collect()
    }

    fn parse(answer: &[u8]) -> Result<Self, &'static str> {
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let end = end.ok_or("no whole head came")?;
        let head = std::str::from_utf8(&answer[..end]).map_err(|_| "the head is no text")?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.and_then(|code| code.parse().ok());
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let name: HeaderName = name.parse().map_err(|_| "a header's name is wrong")?;
            let value: HeaderValue = value.trim().parse().map_err(|_| "a header is wrong")?;
            headers.append(name, value);
        }
        let body = &answer[end + 4..];
        let body = if headers.contains_key(TRANSFER_ENCODING) {
            unchunk(body).ok_or("the body breaks off")?
        } else {
            whole(body, &headers).ok_or("the body breaks off")?
        };
        Ok(Self {
            status: status.ok_or("no status came")?,
            headers,
            body,
        })
    }
}

fn whole(body: &[u8], headers: &HeaderMap) -> Option<Vec<u8>> {
    let length = headers.get(http::header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    (length.is_none_or(|length| length == body.len())).then(|| body.to_vec())
}

/// The content of a chunked body; `None` if its end is missing.
fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let line = body.windows(2).position(|bytes| bytes == b"\r\n")?;
        let size = std::str::from_utf8(&body[..line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        let rest = &body[line + 2..];
        if size == 0 {
            return Some(content);
        }
        content.extend(rest.get(..size)?);
        body = rest.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_whole_or_refused() {
        let chunked = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\nSet-Cookie: a=1\r\n\
            set-cookie: b=2\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n";
        let response = Response::parse(chunked).expect("whole");
        assert_eq!(response.status, StatusCode::CREATED);
        assert_eq!(response.json(), serde_json::json!({ "a": 1 }));
        assert_eq!(response.set_cookies(), ["a=1", "b=2"]);
        assert!(Response::parse(&chunked[..chunked.len() - 6]).is_err());
        let counted = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(Response::parse(counted).expect("whole").text(), "{}");
        assert!(Response::parse(&counted[..counted.len() - 1]).is_err());
        assert!(Response::parse(b"HTTP/1.1 200 OK\r\n").is_err());
    }
}
