//! What the API answers when it cannot, as the client of the path reads it: MLflow's error JSON with its codes and statuses, or
//! below `/api/v2` problem+json (RFC 9457) with the `detail` that Airflow's clients look for. It refuses to tell a client what
//! went wrong inside: that goes to the service's own log.

use crate::error::{ErrorKind, UserError};
use crate::tracking::TrackingError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// The paths whose clients read problem+json.
const PROBLEM_PREFIX: &str = "/api/v2";
/// What a problem+json body is called.
const PROBLEM_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An error before anybody knows who reads it: it travels with its response until `written`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    hint: Option<String>,
}

impl ApiError {
    /// With a status that MLflow gives this code no other meaning for.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            hint: None,
        }
    }

    /// The same with what to do.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
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

    /// It is there already, or somebody else has it.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "RESOURCE_CONFLICT", message)
    }

    /// Airflow has it and Airlock has not.
    pub(super) fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "NOT_IMPLEMENTED", message)
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

impl std::fmt::Display for ApiError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.message)
    }
}

impl ApiError {
    /// As MLflow's clients read it.
    fn for_mlflow(&self) -> Response {
        let body = json!({"error_code": self.code, "message": self.message});
        (self.status, Json(body)).into_response()
    }

    /// RFC 9457; `code` and `hint` are members of our own.
    fn for_airflow(&self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.message,
            "code": self.code,
        });
        if let (Some(hint), Some(members)) = (&self.hint, body.as_object_mut()) {
            members.insert("hint".to_owned(), json!(hint));
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, PROBLEM_TYPE);
        response
    }
}

/// Writes the error that a response carries, if it carries one, as the clients of this path read it.
pub(super) fn written(path: &str, mut response: Response) -> Response {
    let Some(error) = response.extensions_mut().remove::<ApiError>() else {
        return response;
    };
    let mut written = if path.starts_with(PROBLEM_PREFIX) {
        error.for_airflow()
    } else {
        error.for_mlflow()
    };
    if error.status == StatusCode::UNAUTHORIZED {
        let ways = HeaderValue::from_static(r#"Bearer realm="airlock", Basic realm="airlock""#);
        written.headers_mut().insert(header::WWW_AUTHENTICATE, ways);
    }
    written
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
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
        let UserError {
            kind,
            message,
            hint,
        } = error;
        let told = match kind {
            ErrorKind::NotFound => Self::missing(message),
            ErrorKind::Conflict => Self::conflict(message),
            ErrorKind::Denied => Self::denied(message),
            ErrorKind::Bug | ErrorKind::Store => return Self::internal(&message),
            _ => Self::invalid(message),
        };
        Self { hint, ..told }
    }
}
