//! The token in the first field of a `multipart/form-data` body (RFC 7578). Only that field is
//! read, so that files behind it reach their reader as a stream, and cost no memory here.

use std::fmt;
use std::ops::Range;

use session_core::Result;

use super::{FIELD, FormToken, check};
use crate::list;

/// The most bytes before the end of the first field. Browsers write about 250.
const MAX_BYTES: usize = 2_048;

/// Reads the body of a multipart form up to the end of its first field, and takes that field out if
/// it is the token's.
///
/// [`push`](Self::push) takes the body as it arrives, and gives what of it the form's reader is to
/// get, once that is known. All that arrives from then on goes to the reader as it is.
///
/// ```
/// # use session_web::{FormToken, Result, Session};
/// # fn check(session: Session, arriving: [&'static [u8]; 2]) -> Result<Vec<u8>> {
/// let content_type = b"multipart/form-data; boundary=simple";
/// let mut token = FormToken::new(session, None)?.in_multipart(Some(content_type));
/// let mut arriving = arriving.into_iter();
/// let mut form = loop {
///     let Some(bytes) = arriving.next() else {
///         break token.end()?;
///     };
///     if let Some(form) = token.push(bytes)? {
///         break form;
///     }
/// };
/// form.extend(arriving.flatten());
/// # Ok(form)
/// # }
/// # let session = session_memory::Sessions::new(session_memory::MemoryStore::new()).start();
/// # let head = b"--simple\r\nContent-Disposition: form-data; name=\"_csrf\"\r\n\r\n".as_slice();
/// # let first = [head, session.csrf_token()?.as_bytes(), b"\r\n--sim"].concat().leak();
/// # assert_eq!(check(session.clone(), [first, b"ple--"])?, b"--simple--");
/// # assert!(check(session.clone(), [head, b"made up\r\n--simple--"]).is_err());
/// # session.discard();
/// # Ok::<_, session_web::Error>(())
/// ```
pub struct MultipartToken {
    token: FormToken,
    /// What each part begins with; `None` if the body is of another type.
    delimiter: Option<Vec<u8>>,
    read: Vec<u8>,
    search: Search,
}

/// How far the bytes so far are searched, so that small pieces cost no more than large ones.
#[derive(Default)]
struct Search {
    /// Where the content of the token's field begins, once that is known.
    content: Option<usize>,
    /// What is searched for does not begin before.
    from: usize,
}

/// What the bytes of a body say of its first part.
#[derive(Debug, PartialEq, Eq)]
enum FirstPart {
    /// It has not ended.
    Unfinished,
    /// It is not the token, or no part.
    Other,
    /// It is the token, and the next part begins at that byte.
    Token(Range<usize>, usize),
}

const NOT_FIRST: &str = "it has no form token of this session: the first field of a multipart form \
                         must be _csrf, or a header x-csrf-token";

impl MultipartToken {
    pub(super) fn new(token: FormToken, content_type: &[u8]) -> Self {
        let boundary = boundary(content_type);
        Self {
            token,
            delimiter: boundary.map(|boundary| [b"--", boundary.as_slice()].concat()),
            read: Vec::new(),
            search: Search::default(),
        }
    }

    /// Takes the next bytes of the body. `Some` is what of all bytes so far the form's reader gets;
    /// `None` says that more are needed, of which at most 2,048 are kept.
    ///
    /// # Errors
    /// [`ErrorKind::Forged`](session_core::ErrorKind::Forged) if neither the header nor the first
    /// field, within 2,048 bytes, has a token of this session.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
        self.read.extend_from_slice(bytes);
        match self.first_part() {
            FirstPart::Unfinished => Ok(None),
            FirstPart::Other => self.other().map(Some),
            FirstPart::Token(token, end) => {
                if !self.token.is_in_header {
                    let token = std::str::from_utf8(&self.read[token]).ok();
                    check(&self.token.session, token, NOT_FIRST)?;
                }
                Ok(Some(self.read.split_off(end)))
            }
        }
    }

    /// The body has ended before [`push`](Self::push) gave any of it. Gives all of it to the form's
    /// reader.
    ///
    /// # Errors
    /// [`ErrorKind::Forged`](session_core::ErrorKind::Forged) if the header has no token of this
    /// session.
    pub fn end(mut self) -> Result<Vec<u8>> {
        self.other()
    }

    /// The first field is another one, so only a header can have had the token.
    fn other(&mut self) -> Result<Vec<u8>> {
        match self.token.is_in_header {
            true => Ok(std::mem::take(&mut self.read)),
            false => check(&self.token.session, None, NOT_FIRST).map(|()| Vec::new()),
        }
    }

    fn first_part(&mut self) -> FirstPart {
        let Some(delimiter) = &self.delimiter else {
            return FirstPart::Other;
        };
        // However the body is cut into pieces, the same of its bytes decide.
        let head = &self.read[..self.read.len().min(MAX_BYTES)];
        match self.search.first_part(head, delimiter) {
            FirstPart::Unfinished if head.len() == MAX_BYTES => FirstPart::Other,
            part => part,
        }
    }
}

/// Shows how much is read, and nothing of it.
impl fmt::Debug for MultipartToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultipartToken")
            .field("read", &self.read.len())
            .finish_non_exhaustive()
    }
}

/// A form is of type `multipart/form-data`, where `CsrfForm` reads
/// `application/x-www-form-urlencoded`. As a response 415.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsMultipart;

impl IsMultipart {
    /// Refuses a form whose header `Content-Type` has this value.
    ///
    /// # Errors
    /// If it is `multipart/form-data`.
    pub fn refuse(content_type: Option<&[u8]>) -> std::result::Result<(), Self> {
        match content_type.is_some_and(is_multipart) {
            true => Err(Self),
            false => Ok(()),
        }
    }
}

impl fmt::Display for IsMultipart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "CsrfForm reads application/x-www-form-urlencoded, and this form is multipart/form-data: \
             take CsrfMultipart for it, or remove the form's enctype",
        )
    }
}

impl std::error::Error for IsMultipart {}

/// Whether a `Content-Type` is that of a multipart form.
fn is_multipart(content_type: &[u8]) -> bool {
    let mime = list::split(content_type, b';').next();
    mime.is_some_and(|mime| mime.eq_ignore_ascii_case(b"multipart/form-data"))
}

/// The boundary that a `Content-Type` names, if it is that of a multipart form.
fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let mut parts = list::split(content_type, b';');
    let boundary = parts.find_map(|part| parameter(part, b"boundary"))?;
    (is_multipart(content_type) && !boundary.is_empty()).then_some(boundary)
}

/// The value of a parameter `name=value`, if it has this name.
fn parameter(part: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let at = part.iter().position(|byte| *byte == b'=')?;
    let is_it = part[..at].trim_ascii().eq_ignore_ascii_case(name);
    is_it.then(|| list::unquoted(part[at + 1..].trim_ascii()))
}

impl Search {
    /// The first part of a body that begins with it, as browsers' do.
    fn first_part(&mut self, body: &[u8], delimiter: &[u8]) -> FirstPart {
        let content = match self.content {
            Some(content) => content,
            None => match self.content(body, delimiter) {
                Ok(content) => content,
                Err(part) => return part,
            },
        };
        let end = [b"\r\n", delimiter].concat();
        match self.find(body, &end) {
            Some(end) => FirstPart::Token(content..end, end + 2),
            None => FirstPart::Unfinished,
        }
    }

    /// Where the content of the first part begins.
    ///
    /// # Errors
    /// What the first part is, if it is not the token or its headers have not ended.
    fn content(&mut self, body: &[u8], delimiter: &[u8]) -> std::result::Result<usize, FirstPart> {
        let line = [delimiter, b"\r\n"].concat();
        if !body.starts_with(&line) {
            return Err(match line.starts_with(body) {
                true => FirstPart::Unfinished,
                false => FirstPart::Other,
            });
        }
        let headers = line.len();
        self.from = self.from.max(headers);
        let end = self.find(body, b"\r\n\r\n").ok_or(FirstPart::Unfinished)?;
        if !is_token_field(&body[headers..end]) {
            return Err(FirstPart::Other);
        }
        self.from = end + 4;
        self.content = Some(self.from);
        Ok(self.from)
    }

    fn find(&mut self, body: &[u8], what: &[u8]) -> Option<usize> {
        let mut windows = body[self.from..].windows(what.len());
        let found = windows.position(|window| window == what);
        if found.is_none() {
            self.from = self.from.max((body.len() + 1).saturating_sub(what.len()));
        }
        found.map(|at| self.from + at)
    }
}

/// Whether a part with these headers is the field for the token.
fn is_token_field(headers: &[u8]) -> bool {
    let mut lines = headers.split(|byte| *byte == b'\n');
    lines.any(|line| {
        let Some(at) = line.iter().position(|byte| *byte == b':') else {
            return false;
        };
        let mut parts = list::split(line[at + 1..].trim_ascii(), b';');
        line[..at].eq_ignore_ascii_case(b"content-disposition")
            && parts.any(|part| parameter(part, b"name").as_deref() == Some(FIELD.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use session_core::Session;
    use session_memory::{MemoryStore, Sessions};

    use super::*;

    const TYPE: &[u8] = b"multipart/form-data; boundary=----WebKitFormBoundary7MA4";
    const FILE: &str = "------WebKitFormBoundary7MA4\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
        Content-Type: text/plain\r\n\r\nhello\r\n\r\nworld\r\n\
        ------WebKitFormBoundary7MA4--\r\n";

    fn session() -> Session {
        Sessions::new(MemoryStore::new()).start()
    }

    /// What Chrome sends of a form with the token and a file.
    fn form(token: &str) -> String {
        format!(
            "------WebKitFormBoundary7MA4\r\n\
             Content-Disposition: form-data; name=\"_csrf\"\r\n\r\n{token}\r\n{FILE}"
        )
    }

    /// What the reader gets of a body that arrives in pieces of this length.
    fn read(session: &Session, header: Option<&str>, body: &str, piece: usize) -> Option<String> {
        let token = FormToken::new(session.clone(), header.map(str::as_bytes)).ok()?;
        let mut token = token.in_multipart(Some(TYPE));
        let mut pieces = body.as_bytes().chunks(piece);
        let mut read = loop {
            let Some(piece) = pieces.next() else {
                break token.end().ok()?;
            };
            if let Some(read) = token.push(piece).ok()? {
                break read;
            }
        };
        read.extend(pieces.flatten());
        Some(String::from_utf8(read).expect("as it was"))
    }

    #[test]
    fn the_token_is_taken_out_however_the_body_arrives() {
        let session = session();
        let token = session.csrf_token().expect("ours");
        let body = form(&token);
        for piece in 1..=body.len() {
            let read = read(&session, None, &body, piece);
            assert_eq!(read.as_deref(), Some(FILE), "{piece}");
        }
        let only = "------WebKitFormBoundary7MA4--";
        let alone = form(&token).replace(FILE, only);
        assert_eq!(read(&session, None, &alone, 9).as_deref(), Some(only));
        session.discard();
    }

    #[test]
    fn another_token_or_place_of_it_is_refused() {
        let (session, stranger) = (session(), session());
        let token = session.csrf_token().expect("ours");
        let strangers = stranger.csrf_token().expect("ours");
        let good = form(&token);
        let far = "a".repeat(MAX_BYTES);
        for (why, body) in [
            ("a stranger's", form(&strangers)),
            ("no token", form("")),
            ("no field", FILE.to_owned()),
            ("no part", String::new()),
            ("cut off", good[..good.len() - FILE.len()].to_owned()),
            ("another name", good.replacen("_csrf", "_csrf2", 1)),
            ("another boundary", good.replacen("7MA4", "7MA5", 1)),
            ("a preamble", format!("\r\n{good}")),
            (
                "after the file",
                good.replacen(&token, &format!("x\r\n{good}"), 1),
            ),
            (
                "far away",
                good.replacen(&token, &format!("{far}{token}"), 1),
            ),
            (
                "long headers",
                good.replacen("\r\n\r\n", &format!("\r\nX: {far}\r\n\r\n"), 1),
            ),
        ] {
            for piece in [1, 100, body.len().max(1)] {
                assert_eq!(read(&session, None, &body, piece), None, "{why}, {piece}");
            }
        }
        session.discard();
        stranger.discard();
    }

    #[test]
    fn a_token_in_the_header_does_for_the_form() {
        let session = session();
        let token = session.csrf_token().expect("ours");
        for (body, rest) in [
            (FILE.to_owned(), FILE),
            (form("any"), FILE),
            (String::new(), ""),
            ("no form".to_owned(), "no form"),
        ] {
            for piece in [1, 100] {
                let given = read(&session, Some(&token), &body, piece);
                assert_eq!(given.as_deref(), Some(rest), "{body}");
                assert_eq!(read(&session, Some("made up"), &body, piece), None);
            }
        }
        session.discard();
    }

    #[test]
    fn the_boundary_is_read_as_it_may_be_written() {
        for (content_type, expected) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            (
                "Multipart/Form-Data;charset=utf-8; Boundary=\"a;b\"",
                Some("a;b"),
            ),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/mixed; boundary=abc", None),
            ("application/x-www-form-urlencoded", None),
            ("", None),
        ] {
            let read = boundary(content_type.as_bytes());
            assert_eq!(
                read.as_deref(),
                expected.map(str::as_bytes),
                "{content_type}"
            );
        }
    }

    #[test]
    fn names_are_read_as_they_may_be_written() {
        for (headers, is_it) in [
            ("Content-Disposition: form-data; name=\"_csrf\"", true),
            ("content-disposition:form-data;name=_csrf", true),
            (
                "Content-Type: text/plain\r\nContent-Disposition: form-data; name=\"_csrf\"",
                true,
            ),
            (
                "Content-Disposition: form-data; name=\"a\"; filename=\"_csrf\"",
                false,
            ),
            (
                "Content-Disposition: form-data; name=\"a; name=_csrf\"",
                false,
            ),
            ("Content-Type: text/plain; name=_csrf", false),
            ("_csrf", false),
        ] {
            assert_eq!(is_token_field(headers.as_bytes()), is_it, "{headers}");
        }
    }
}
