//! An answer whose action says its status: JSON bytes, written once from what they say.

use super::error::ApiError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    content_type: HeaderValue,
    body: Vec<u8>,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Reply {
    fn json(status: StatusCode, value: &impl Serialize) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(value).map_err(|error| ApiError::internal(&error))?;
        Ok(Self {
            status,
            content_type: JSON,
            body,
        })
    }

    /// 200.
    pub(super) fn ok(value: &impl Serialize) -> Result<Self, ApiError> {
        Self::json(StatusCode::OK, value)
    }

    /// 201.
    pub(super) fn created(value: &impl Serialize) -> Result<Self, ApiError> {
        Self::json(StatusCode::CREATED, value)
    }

    /// 204: it was done, and there is nothing to say.
    pub(super) fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            content_type: JSON,
            body: Vec::new(),
        }
    }

    /// 200 with bytes of another type.
    pub(super) fn bytes(content_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: HeaderValue::from_static(content_type),
            body,
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        if self.status == StatusCode::NO_CONTENT {
            return self.status.into_response();
        }
        let headers = [(header::CONTENT_TYPE, self.content_type)];
        (self.status, headers, self.body).into_response()
    }
}
