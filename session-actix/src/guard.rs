//! Middleware that lets a request through or refuses it, by the rules of session-web.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;

use actix_web::HttpMessage;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use session_web::SessionHandle;

use crate::convert;
use crate::middleware::log;

/// Lets through what its rules let through, and refuses all other requests: [`RequireOwner`] refuses
/// those without a signed-in user, with 401 or a redirect to the sign-in page, and
/// [`CrossOriginProtection`] those that other sites' pages send, with 403. Goes inside of the
/// [`SessionMiddleware`](crate::SessionMiddleware), which is to say before it in the code:
///
/// ```
/// # fn example(store: session_memory::MemoryStore) -> session_actix::Result<()> {
/// use std::time::Duration;
///
/// use actix_web::{App, web};
/// use session_actix::{
///     CrossOriginProtection, GuardMiddleware, Owner, RequireOwner, SessionLayer, SessionMiddleware,
/// };
/// # async fn sign_in() -> &'static str { "" }
/// # async fn change_password() -> &'static str { "" }
///
/// async fn account(owner: Owner) -> String {
///     format!("hello {}", owner.as_str())
/// }
///
/// let signed_in = RequireOwner::new().redirect_to("/sign-in")?;
/// let just_signed_in = signed_in.clone().within(Duration::from_secs(10 * 60));
///
/// let password = web::resource("/password").route(web::post().to(change_password));
/// let account = web::resource("/account").route(web::get().to(account));
/// let app = App::new()
///     .service(password.wrap(GuardMiddleware::new(just_signed_in)))
///     .service(account.wrap(GuardMiddleware::new(signed_in)))
///     .route("/sign-in", web::post().to(sign_in))
///     .wrap(GuardMiddleware::new(CrossOriginProtection::new()))
///     .wrap(SessionMiddleware::new(SessionLayer::new(store)));
/// # let _ = app;
/// # Ok(()) }
/// ```
///
/// A refusal is the response to an [`Error`](crate::Error), as an extractor's is, so
/// [`on_error`](crate::SessionLayerBuilder::on_error) makes a page of it. The documentation of each
/// rule says how many round trips it takes.
///
/// [`RequireOwner`]: crate::RequireOwner
/// [`CrossOriginProtection`]: crate::CrossOriginProtection
#[derive(Clone, Debug)]
pub struct GuardMiddleware<G> {
    rules: G,
}

impl<G> GuardMiddleware<G> {
    /// The middleware that follows these rules.
    #[must_use]
    pub const fn new(rules: G) -> Self {
        Self { rules }
    }
}

mod sealed {
    use http::Response;
    use http::request::Parts;
    use session_web::{CrossOriginProtection, Error, RequireOwner, Result};

    pub trait Rules: Clone + 'static {
        /// Lets the request through, or says why not.
        fn check(&self, request: &Parts) -> impl Future<Output = Result<()>>;

        /// The response to a refusal, if that is not the error's own.
        fn redirect(&self, _error: &Error, _request: &Parts) -> Option<Response<String>> {
            None
        }
    }

    impl Rules for CrossOriginProtection {
        async fn check(&self, request: &Parts) -> Result<()> {
            Self::check(self, request).await
        }
    }

    impl Rules for RequireOwner {
        async fn check(&self, request: &Parts) -> Result<()> {
            Self::check(self, request).await
        }

        fn redirect(&self, error: &Error, request: &Parts) -> Option<Response<String>> {
            Self::redirect(self, error, request)
        }
    }
}

impl<S, B, G> Transform<S, ServiceRequest> for GuardMiddleware<G>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    B: MessageBody,
    G: sealed::Rules,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Transform = GuardService<S, G>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(GuardService {
            inner: Rc::new(inner),
            rules: self.rules.clone(),
        }))
    }
}

/// What [`GuardMiddleware`] makes of a service.
#[derive(Clone, Debug)]
pub struct GuardService<S, G> {
    inner: Rc<S>,
    rules: G,
}

impl<S, B, G> Service<ServiceRequest> for GuardService<S, G>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    B: MessageBody,
    G: sealed::Rules,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>>>>;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (inner, rules) = (Rc::clone(&self.inner), self.rules.clone());
        Box::pin(async move {
            let head = convert::request(&request);
            let Err(error) = rules.check(&head).await else {
                return Ok(inner.call(request).await?.map_into_left_body());
            };
            let has_middleware = request.extensions().contains::<SessionHandle>();
            if !has_middleware {
                // No session middleware does it.
                log(&error);
            }
            let refusal = match rules.redirect(&error, &head) {
                Some(redirect) => request.into_response(convert::page(redirect)),
                None => request.error_response(error),
            };
            Ok(refusal.map_into_right_body())
        })
    }
}
