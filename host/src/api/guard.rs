//! The one layer that every request passes: is it meant for this service, and whose token has it? It lets nobody in by the form of
//! a path: what is open is a list of exact paths. It refuses to know what a route does.

use super::error::{ApiError, written};
use super::listen::Listen;
use crate::app::{App, Caller};
use crate::web::{Doors, PageAsked, Session, Visitor};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;
use std::time::Instant;

/// What may be read without a token.
pub const OPEN_PATHS: [&str; 4] = ["/health", "/healthz", "/readyz", "/version"];
/// The longest Authorization header that is looked at, bytes.
const AUTHORIZATION_BYTES_MAX: usize = 1_024;

/// What the layer asks.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) app: Arc<App>,
    pub(super) listen: Arc<Listen>,
    pub(super) doors: Doors,
}

/// What a request shows of who sends it.
enum Shown {
    /// Nothing, where nothing is needed.
    Nobody,
    Token(String),
    /// The cookie of the pages.
    Session(Session),
}

/// See the module's documentation. What comes after finds a `Visitor` among the request's extensions and, unless it would change
/// something on the word of a cookie alone, a `Caller`.
pub(super) async fn guard(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Response {
    let shown = shown(&guard, &request);
    let asked = PageAsked::of(&request);
    let path = request.uri().path().to_owned();
    let (begun, method, app) = (Instant::now(), request.method().clone(), guard.app.clone());
    let response = match admit(guard.app, shown).await {
        Ok(visitor) => {
            if let Some(visitor) = visitor {
                if visitor.is_proved(request.method(), request.headers()) {
                    request.extensions_mut().insert(visitor.caller.clone());
                }
                request.extensions_mut().insert(visitor);
            }
            next.run(request).await
        }
        Err(error) if error.is_unauthenticated() => {
            asked.to_login().unwrap_or_else(|| error.into_response())
        }
        Err(error) => error.into_response(),
    };
    let mut response = written(&path, response);
    let status = response.status().as_u16();
    app.metrics()
        .answered(method.as_str(), status, begun.elapsed());
    crate::web::safety_headers(response.headers_mut());
    response
}

/// What a request shows; nothing on an open path.
fn shown(guard: &Guard, request: &Request) -> Result<Shown, ApiError> {
    check_host(&guard.listen, request)?;
    check_origin(&guard.listen, request)?;
    let path = request.uri().path();
    let is_open = request.method() == Method::GET && OPEN_PATHS.contains(&path);
    if is_open || crate::web::is_open(request.method(), path) {
        return Ok(Shown::Nobody);
    }
    if let Some(token) = token(request.headers())? {
        return Ok(Shown::Token(token));
    }
    let session = guard.doors.session(request.headers());
    session.map(Shown::Session).ok_or_else(|| {
        ApiError::unauthenticated(
            "a token is needed: `airlock tokens create NAME` makes one; send it as `Authorization: Bearer TOKEN` (MLFLOW_TRACKING_TOKEN)",
        )
    })
}

/// Whose token or session it is; nobody's where none is needed.
async fn admit(app: Arc<App>, shown: Result<Shown, ApiError>) -> Result<Option<Visitor>, ApiError> {
    let (token, session) = match shown? {
        Shown::Nobody => return Ok(None),
        Shown::Token(token) => (token, None),
        // A token that was revoked ends its sessions with the next request.
        Shown::Session(session) => (session.token.clone(), Some(session)),
    };
    let asked = tokio::task::spawn_blocking(move || app.caller(&token)).await;
    let caller: Option<Caller> = asked.map_err(|error| ApiError::internal(&error))??;
    let unknown = || {
        ApiError::unauthenticated(
            "the token is unknown or was revoked; `airlock tokens list` shows which there are",
        )
    };
    let caller = caller.ok_or_else(unknown)?;
    Ok(Some(Visitor { caller, session }))
}

/// A name that somebody else points at this machine is refused: a web page could reach the service by it.
fn check_host(listen: &Listen, request: &Request) -> Result<(), ApiError> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    // An absolute URI in the request line says it too.
    let target = request
        .uri()
        .authority()
        .map(axum::http::uri::Authority::as_str);
    let is_ours = second.is_none()
        && listen.is_called(host)
        && target.is_none_or(|target| listen.is_called(target));
    if is_ours {
        return Ok(());
    }
    let shown: String = host.chars().take(80).collect();
    Err(ApiError::denied(format!(
        "the Host header {shown:?} does not name this service; `airlock serve --listen-name NAME` adds a name"
    )))
}

/// A page of somebody else's may send a request and not read the answer: what it sends says so, and is refused.
fn check_origin(listen: &Listen, request: &Request) -> Result<(), ApiError> {
    for origin in request.headers().get_all(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let host = origin.split_once("://").map_or("", |(_, host)| host);
        if !listen.is_called(host) {
            let shown: String = origin.chars().take(80).collect();
            return Err(ApiError::denied(format!(
                "the request comes from a page of {shown:?}, and not from this service"
            )));
        }
    }
    Ok(())
}

/// The token of a request: a bearer's, or the password of basic authentication.
fn token(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let broken = || {
        ApiError::unauthenticated(
            "the Authorization header cannot be read; `Bearer TOKEN`, or basic authentication with the token as password",
        )
    };
    if values.next().is_some() || value.len() > AUTHORIZATION_BYTES_MAX {
        return Err(broken());
    }
    let (scheme, rest) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(broken)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(rest.trim().to_owned()));
    }
    let password = scheme.eq_ignore_ascii_case("basic").then(|| {
        let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
        Some(decoded.split_once(':')?.1.to_owned())
    });
    password.flatten().map(Some).ok_or_else(broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    fn sent(values: &[&str]) -> Result<Option<String>, ApiError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        token(&headers)
    }

    #[test]
    fn a_token_comes_as_bearer_or_as_basics_password() {
        assert_eq!(sent(&["Bearer alk_1"]), Ok(Some("alk_1".to_owned())));
        assert_eq!(sent(&["bearer  alk_1"]), Ok(Some("alk_1".to_owned())));
        let basic = format!("Basic {}", STANDARD.encode("me:alk_1"));
        assert_eq!(sent(&[&basic]), Ok(Some("alk_1".to_owned())));
        assert_eq!(sent(&[]), Ok(None));
    }

    #[test]
    fn what_cannot_be_read_is_no_token() {
        let long = format!("Bearer {}", "a".repeat(AUTHORIZATION_BYTES_MAX));
        for values in [
            &["Bearer"][..],
            &["Digest a"],
            &["Basic !!"],
            &["Basic bWU="],
            &["Bearer a", "Bearer b"],
            &[&long],
        ] {
            assert!(sent(values).is_err(), "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_panic(value in "[ -~]{0,200}") {
            let _ = sent(&[&value]);
        }
    }
}
