//! Why a form is refused before its handler runs.

use std::fmt;

use axum::extract::rejection::FormRejection;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use session_core::Error;

use crate::form_token::IsMultipart;

/// Why a [`CsrfForm`](crate::CsrfForm) or a [`CsrfMultipart`](crate::CsrfMultipart) is refused. `R`
/// is the rejection of what reads the form.
#[derive(Debug)]
#[non_exhaustive]
pub enum CsrfRejection<R = FormRejection> {
    /// The form has no token of this session, or the session can't be loaded.
    Session(Error),
    /// The form can't be read.
    Form(R),
    /// The form is not of the type that [`CsrfForm`](crate::CsrfForm) reads.
    Multipart(IsMultipart),
}

impl<R: fmt::Display> fmt::Display for CsrfRejection<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(error) => error.fmt(f),
            Self::Form(rejection) => rejection.fmt(f),
            Self::Multipart(refusal) => refusal.fmt(f),
        }
    }
}

impl<R: std::error::Error + 'static> std::error::Error for CsrfRejection<R> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Session(error) => error.source(),
            Self::Form(rejection) => rejection.source(),
            Self::Multipart(refusal) => refusal.source(),
        }
    }
}

impl<R: IntoResponse> IntoResponse for CsrfRejection<R> {
    fn into_response(self) -> Response {
        match self {
            Self::Session(error) => error.into_response(),
            Self::Form(rejection) => rejection.into_response(),
            Self::Multipart(refusal) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, refusal.to_string()).into_response()
            }
        }
    }
}
