//! What the API answers when it cannot: MLflow's error JSON with its codes and statuses. It refuses to tell a client what went
//! wrong inside: that goes to the service's own log.

use crate::error::{ErrorKind, UserError};
use crate::tracking::TrackingError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An error as MLflow's clients read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    /// With a status that MLflow gives this code no other meaning for.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    /// The request makes no sense.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_PARAMETER_VALUE", message)
    }

    /// It cannot be read as a request.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", message)
    }

    /// What was named is not there.
    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "RESOURCE_DOES_NOT_EXIST", message)
    }

    /// There is no such route.
    pub(super) fn no_route(method: &str, path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "ENDPOINT_NOT_FOUND",
            format!("there is no {method} {path}"),
        )
    }

    /// Nobody knows who asks.
    pub(super) fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", message)
    }

    /// Whether it is about nobody knowing who asks.
    pub(super) fn is_unauthenticated(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// Who asks may not.
    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "PERMISSION_DENIED", message)
    }

    /// More than a named limit.
    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "INVALID_PARAMETER_VALUE",
            message,
        )
    }

    /// A mistake in Airlock, or a store that does not answer. What happened is in the log alone.
    pub(super) fn internal(what: &dyn std::fmt::Display) -> Self {
        tracing::error!(%what, "a request of the API failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL_ERROR",
            "the service could not carry the request out; its own output says why",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({"error_code": self.code, "message": self.message});
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let ways = HeaderValue::from_static(r#"Bearer realm="airlock", Basic realm="airlock""#);
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, ways);
        }
        response
    }
}

impl From<TrackingError> for ApiError {
    fn from(error: TrackingError) -> Self {
        match error {
            TrackingError::NotFound(message) => Self::missing(message),
            TrackingError::AlreadyExists(message) => {
                Self::new(StatusCode::BAD_REQUEST, "RESOURCE_ALREADY_EXISTS", message)
            }
            error @ (TrackingError::Store(_)
            | TrackingError::Commit(_)
            | TrackingError::Damaged { .. }) => Self::internal(&error),
            error => Self::invalid(error.to_string()),
        }
    }
}

impl From<UserError> for ApiError {
    fn from(error: UserError) -> Self {
        match error.kind {
            ErrorKind::NotFound => Self::missing(error.message),
            ErrorKind::Bug | ErrorKind::Store => Self::internal(&error),
            _ => Self::invalid(error.message),
        }
    }
}
