//! Refuses requests that other sites forge.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;

use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use session_web::CrossOriginProtection;

use crate::convert;

/// Refuses requests that change something and come from another origin's page, with 403, by the
/// rules of [`CrossOriginProtection`]. Goes inside of the
/// [`SessionMiddleware`](crate::SessionMiddleware), which is to say before it in the code:
///
/// ```
/// # fn example(store: session_memory::MemoryStore) {
/// use actix_web::{App, web};
/// use session_actix::{
///     CrossOriginMiddleware, CrossOriginProtection, SessionLayer, SessionMiddleware,
/// };
/// # async fn pay() -> &'static str { "paid" }
///
/// let app = App::new()
///     .route("/pay", web::post().to(pay))
///     .wrap(CrossOriginMiddleware::new(CrossOriginProtection::new()))
///     .wrap(SessionMiddleware::new(SessionLayer::new(store)));
/// # let _ = app;
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CrossOriginMiddleware {
    rules: CrossOriginProtection,
}

impl CrossOriginMiddleware {
    /// The middleware that follows these rules.
    #[must_use]
    pub const fn new(rules: CrossOriginProtection) -> Self {
        Self { rules }
    }
}

impl<S, B> Transform<S, ServiceRequest> for CrossOriginMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Transform = CrossOriginService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(CrossOriginService {
            inner: Rc::new(inner),
            rules: self.rules.clone(),
        }))
    }
}

/// What [`CrossOriginMiddleware`] makes of a service.
#[derive(Clone, Debug)]
pub struct CrossOriginService<S> {
    inner: Rc<S>,
    rules: CrossOriginProtection,
}

impl<S, B> Service<ServiceRequest> for CrossOriginService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (inner, rules) = (Rc::clone(&self.inner), self.rules.clone());
        Box::pin(async move {
            rules.check(&convert::request(&request)).await?;
            inner.call(request).await
        })
    }
}
