//! What a server of objects said, in the guest's words. No text of the server's and no address is told: a status, the server's own
//! code, and what to look at.

use super::network::{REQUEST_MAX, Refused, STALL_MAX};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};
use std::error::Error as StdError;

/// An answer from a failure. `with` names the credentials, like `connection "aws_default"`.
pub(super) fn refusal(action: &str, uri: &str, with: &str, error: &Error) -> CapabilityError {
    if let Some(refused) = cause::<Refused>(error) {
        return refused_by_status(action, uri, with, refused);
    }
    match error {
        Error::NotFound { .. } => CapabilityError::NotFound(format!("there is nothing at {uri}")),
        Error::Precondition { .. } | Error::NotModified { .. } => changed(uri),
        Error::AlreadyExists { .. } => CapabilityError::Conflict(format!(
            "cannot {action} {uri}: others change it at the same time"
        )),
        Error::InvalidPath { .. } => CapabilityError::Invalid(format!(
            "cannot {action} {uri}: an object there has a name with an empty segment, '.' or '..', which no URI here names"
        )),
        _ => CapabilityError::Unavailable(format!("cannot {action} {uri}: {}", unanswered(error))),
    }
}

/// The object is not what it was when it was opened.
pub(super) fn changed(uri: &str) -> CapabilityError {
    CapabilityError::Conflict(format!("{uri} changed while it was read; read it anew"))
}

fn refused_by_status(action: &str, uri: &str, with: &str, refused: &Refused) -> CapabilityError {
    let said = format!("{} {}", refused.status.as_u16(), refused.code);
    let said = said.trim_end();
    let wrong_place = matches!(
        refused.code.as_str(),
        "AuthorizationHeaderMalformed" | "PermanentRedirect" | "TemporaryRedirect"
    );
    match refused.status.as_u16() {
        300..400 => CapabilityError::Denied(format!(
            "cannot {action} {uri}: the server sends elsewhere ({said}), which is not followed; correct region_name or endpoint_url of {with}"
        )),
        _ if wrong_place => CapabilityError::Denied(format!(
            "cannot {action} {uri}: the server is for another region ({said}); correct region_name or endpoint_url of {with}"
        )),
        // It is shorter now than it was.
        416 => changed(uri),
        401 | 403 => CapabilityError::Denied(format!(
            "cannot {action} {uri}: the server does not let {with} do it ({said})"
        )),
        400 if matches!(refused.code.as_str(), "ExpiredToken" | "InvalidToken") => {
            CapabilityError::Denied(format!(
                "cannot {action} {uri}: the session token of {with} is not valid ({said})"
            ))
        }
        429 | 500..600 => CapabilityError::Unavailable(format!(
            "cannot {action} {uri}: the server fails or is overloaded ({said}), also when asked again"
        )),
        _ => CapabilityError::Invalid(format!(
            "cannot {action} {uri}: the server refuses ({said})"
        )),
    }
}

fn unanswered(error: &Error) -> String {
    match cause::<HttpError>(error).map(HttpError::kind) {
        Some(HttpErrorKind::Timeout) => format!(
            "the server did not answer in time (no byte for {STALL_MAX:?}, or {REQUEST_MAX:?} in all)"
        ),
        Some(HttpErrorKind::Connect) => "the server cannot be reached".to_owned(),
        Some(HttpErrorKind::Request | HttpErrorKind::Interrupted) => {
            "the connection was cut, also when asked again".to_owned()
        }
        _ => "the server's answer cannot be read".to_owned(),
    }
}

/// The first cause of this type.
fn cause<T: StdError + 'static>(error: &Error) -> Option<&T> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
