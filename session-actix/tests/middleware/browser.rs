//! A browser with one tab, as far as cookies go.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use actix_web::HttpResponse;
use actix_web::body::{MessageBody, to_bytes};
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::test::TestRequest;
use futures_util::future::LocalBoxFuture;

/// An application that answers requests.
pub(crate) type Site = Rc<dyn Fn(TestRequest) -> LocalBoxFuture<'static, Page>>;

/// Makes a [`Site`] of an `App`.
macro_rules! served {
    ($app:expr) => {{
        use actix_web::dev::Service;
        let service = std::rc::Rc::new(actix_web::test::init_service($app).await);
        let site: crate::browser::Site = std::rc::Rc::new(move |request| {
            // The call begins when the site is asked, as in a server.
            let answer = service.call(request.to_request());
            Box::pin(async move {
                match answer.await {
                    Ok(response) => crate::browser::Page::of(response.into_parts().1).await,
                    Err(error) => crate::browser::Page::of(error.error_response()).await,
                }
            })
        });
        site
    }};
}
pub(crate) use served;

/// A response.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Page {
    pub(crate) async fn of<B: MessageBody>(response: HttpResponse<B>) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body()).await;
        let body = body.unwrap_or_else(|_| panic!("a body"));
        Self {
            status,
            headers,
            text: String::from_utf8(body.to_vec()).expect("text"),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.get(name)?;
        Some(value.to_str().expect("ASCII"))
    }

    pub(crate) fn set_cookies(&self) -> Vec<&str> {
        let lines = self.headers.get_all("set-cookie");
        lines.map(|line| line.to_str().expect("ASCII")).collect()
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Browser {
    cookies: RefCell<BTreeMap<String, String>>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with_cookie(name: &str, value: &str) -> Self {
        let browser = Self::new();
        browser.set(name, value);
        browser
    }

    fn set(&self, name: &str, value: &str) {
        let mut cookies = self.cookies.borrow_mut();
        cookies.insert(name.to_owned(), value.to_owned());
    }

    /// What it sends.
    pub(crate) fn cookies(&self) -> String {
        let cookies = self.cookies.borrow();
        let pairs: Vec<_> = cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        pairs.join("; ")
    }

    pub(crate) async fn get(&self, site: &Site, path: &str) -> Page {
        self.send(site, TestRequest::get().uri(path)).await
    }

    pub(crate) async fn send(&self, site: &Site, request: TestRequest) -> Page {
        let mut request = request.insert_header(("host", "example.org"));
        let cookies = self.cookies();
        if !cookies.is_empty() {
            request = request.insert_header(("cookie", cookies));
        }
        let page = site(request).await;
        for line in page.set_cookies() {
            let (pair, attributes) = line.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a pair");
            if attributes.contains("Max-Age=0") {
                self.cookies.borrow_mut().remove(name);
            } else {
                self.set(name, value);
            }
        }
        page
    }
}
