//! What the guard of the API needs for pages: whose cookie a request shows, what is open to anybody, where somebody without a session
//! is sent, and the headers that every answer has. It lets nobody in by the form of a path.

use super::assets;
use super::session::{Session, Sessions, is_same};
use crate::app::Caller;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::{IntoResponse, Redirect, Response};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;

/// The session's cookie.
pub(super) const SESSION_COOKIE: &str = "airlock_session";
/// The header with which a program shows a session's CSRF token.
pub(super) const CSRF_HEADER: &str = "x-csrf-token";
/// The longest Cookie header that is looked at, bytes.
const COOKIE_BYTES_MAX: usize = 8_192;
/// Nothing runs but our own module, nothing is loaded from elsewhere, nobody frames us, forms go to us.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Who asks for a page.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Whose token it is.
    pub caller: Caller,
    /// The session that they came with; none with a token in the request itself.
    pub session: Option<Session>,
}

/// What a request is, as far as the way back goes.
#[derive(Debug, Clone)]
pub struct PageAsked {
    is_page: bool,
    target: String,
}

impl PageAsked {
    /// Looks at a request.
    pub fn of(request: &Request) -> Self {
        let accepts = request.headers().get(header::ACCEPT);
        let accepts = accepts.and_then(|accepts| accepts.to_str().ok());
        let is_html = accepts.is_some_and(|accepts| accepts.contains("text/html"));
        let target = request.uri().path_and_query();
        Self {
            is_page: is_html && request.method() == Method::GET,
            target: target.map_or("/".to_owned(), |target| target.as_str().to_owned()),
        }
    }

    /// For a browser: that there is no such page. A program gets the API's own answer.
    pub fn no_page(&self) -> Option<Response> {
        let path = self.target.split('?').next().unwrap_or_default();
        let refusal = super::answer::Refusal::missing(format!("there is no page {path}"));
        self.is_page.then(|| refusal.page(None))
    }

    /// For a browser without a session: the way to the log-in and back.
    pub fn to_login(&self) -> Option<Response> {
        let way = super::link::query("/login", &[("next", &self.target)]);
        self.is_page.then(|| Redirect::to(&way).into_response())
    }
}

/// The pages' side of the guard.
#[derive(Clone, Default)]
pub struct Doors {
    /// Who is logged in.
    pub sessions: Arc<Sessions>,
    /// True from when the service stops: streams end then, so that nobody waits for them.
    closing: watch::Sender<bool>,
}

impl Doors {
    /// The service stops.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// The session whose cookie a request shows.
    pub fn session(&self, headers: &HeaderMap) -> Option<Session> {
        let cookie = cookie(headers, SESSION_COOKIE)?;
        self.sessions.of(&cookie, Instant::now())
    }
}

impl Visitor {
    /// Pages show everything, so a token that reaches some DAGs alone opens none.
    pub(super) fn check_reach(&self) -> Result<(), super::answer::Refusal> {
        if self.caller.reach.is_everything() {
            return Ok(());
        }
        Err(super::answer::Refusal::denied(
            "this token reaches some DAGs alone, and the pages show all",
            "log in with a token that was made without --dag; the API below /api/v2 takes this one",
        ))
    }

    /// Whether the request itself proves that it comes from a page of this session, for what is no form: it only reads, or it
    /// shows the CSRF token, or it shows its own token and no cookie.
    pub fn is_proved(&self, method: &Method, headers: &HeaderMap) -> bool {
        let Some(session) = &self.session else {
            return true;
        };
        let shown = headers
            .get(CSRF_HEADER)
            .and_then(|value| value.to_str().ok());
        method.is_safe() || shown.is_some_and(|shown| is_same(shown, &session.csrf))
    }
}

/// What anybody may ask for: the log-in, and how pages look. Exact paths.
pub fn is_open(method: &Method, path: &str) -> bool {
    match *method {
        Method::GET => path == "/login" || assets::find(path).is_some(),
        Method::POST => path == "/login",
        _ => false,
    }
}

/// The headers of every answer.
pub fn safety_headers(headers: &mut HeaderMap) {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        // An artifact is whatever a client uploaded: no browser may take it for a page.
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let policies = [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    for (name, value) in policies {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}

/// A cookie of a request.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let values = headers.get_all(header::COOKIE).iter();
    let values = values.filter(|value| value.len() <= COOKIE_BYTES_MAX);
    let pairs = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    let mut named = pairs.filter_map(|pair| pair.trim().split_once('='));
    named
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_login_and_the_assets_are_open_and_only_as_they_are_written() {
        assert!(is_open(&Method::GET, "/login"));
        assert!(is_open(&Method::POST, "/login"));
        assert!(is_open(&Method::GET, &assets::STYLE.path()));
        for path in [
            "/",
            "/login/",
            "//login",
            "/LOGIN",
            "/login.",
            "/logout",
            "/assets/",
            "/assets/app.css",
            "/events",
            "/dags",
        ] {
            assert!(!is_open(&Method::GET, path), "{path}");
        }
        assert!(!is_open(&Method::PUT, "/login"));
        assert!(!is_open(&Method::HEAD, "/login"));
    }

    #[test]
    fn cookies_are_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("a=1; airlock_session=xyz; b=2"),
        );
        assert_eq!(cookie(&headers, SESSION_COOKIE), Some("xyz".to_owned()));
        assert_eq!(cookie(&headers, "airlock"), None);
    }
}
