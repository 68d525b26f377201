//! What a page answers: a page, a way to another one, text; or a refusal that says in words what happened and what to do. A mistake
//! of ours is told to the service's log and not to the visitor.

use super::layout;
use super::visit::{Theme, Visit};
use crate::error::{ErrorKind, UserError};
use crate::tracking::TrackingError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

/// A page, without what all pages have.
pub(super) struct Page {
    /// What the browser's tab says.
    pub(super) title: String,
    /// Which part of the navigation it belongs to: the path of that part.
    pub(super) section: &'static str,
    /// What it hears of: `run:DAG/RUN`, `dag:DAG`, `runs`, or a topic of the feed. Empty for a page that never changes.
    pub(super) live: Vec<String>,
    /// The way here.
    pub(super) crumbs: Vec<(String, String)>,
    pub(super) body: Markup,
}

/// See the module's documentation.
pub(super) enum Answer {
    Page(Box<Page>),
    /// The page again, with what was wrong in what was sent or asked for.
    Again(Box<Page>, StatusCode),
    /// After a form: look here, where it was done.
    See(String),
    /// Plain text, for people and programs.
    Text(String),
}

impl From<Page> for Answer {
    fn from(page: Page) -> Self {
        Self::Page(Box::new(page))
    }
}

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) message: String,
    pub(super) hint: String,
}

impl Refusal {
    pub(super) fn new(
        status: StatusCode,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            status,
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// What was named is not there.
    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            message,
            "it may have been removed; the lists show what there is",
        )
    }

    /// It makes no sense.
    pub(super) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message, hint)
    }

    /// Who asks may not.
    pub(super) fn denied(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message, hint)
    }

    /// A mistake in Airlock, or a store that does not answer. What happened is in the log alone.
    pub(super) fn internal(what: &dyn std::fmt::Display) -> Self {
        tracing::error!(%what, "a page could not be made");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the service could not carry this out",
            "its own output says why; nothing that was acknowledged is lost",
        )
    }

    fn title(&self) -> &'static str {
        match self.status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::FORBIDDEN => "Not allowed",
            StatusCode::CONFLICT => "Not possible now",
            StatusCode::INTERNAL_SERVER_ERROR => "Something went wrong here",
            StatusCode::TOO_MANY_REQUESTS => "Too many log-ins",
            _ => "This does not work",
        }
    }

    /// As a part of a page.
    pub(super) fn notice(&self) -> Markup {
        html! {
            div.notice.bad role="alert" {
                @for line in self.message.lines() { p { (line) } }
                @if !self.hint.is_empty() { p.hint { (self.hint) } }
            }
        }
    }

    /// As a page of its own.
    pub(super) fn page(&self, visit: Option<&Visit>) -> Response {
        let page = Page {
            title: self.title().to_owned(),
            section: "",
            live: Vec::new(),
            crumbs: Vec::new(),
            body: html! {
                h1 { (self.title()) }
                (self.notice())
                p { a href="/" { "Home" } " · " a href="/dags" { "DAGs" } }
            },
        };
        let text = match visit {
            Some(visit) => layout::page(visit, &page),
            None => layout::bare(Theme::System, &page),
        };
        let mut response = respond(&text);
        *response.status_mut() = self.status;
        response
    }
}

impl From<UserError> for Refusal {
    fn from(error: UserError) -> Self {
        let status = match error.kind {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Denied => StatusCode::FORBIDDEN,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Bug | ErrorKind::Store => return Self::internal(&error),
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.message, error.hint.unwrap_or_default())
    }
}

impl From<TrackingError> for Refusal {
    fn from(error: TrackingError) -> Self {
        UserError::from(error).into()
    }
}

impl Answer {
    /// A page that says what was wrong, if something was.
    pub(super) fn of(page: Page, refusal: Option<&Refusal>) -> Self {
        match refusal {
            Some(refusal) => Self::Again(Box::new(page), refusal.status),
            None => page.into(),
        }
    }

    pub(super) fn into_response(self, visit: &Visit) -> Response {
        match self {
            Self::Page(page) => respond(&layout::page(visit, &page)),
            Self::Again(page, status) => {
                let mut response = respond(&layout::page(visit, &page));
                *response.status_mut() = status;
                response
            }
            Self::See(path) => Redirect::to(&path).into_response(),
            Self::Text(text) => {
                let kind = HeaderValue::from_static("text/plain; charset=utf-8");
                ([(header::CONTENT_TYPE, kind)], text).into_response()
            }
        }
    }
}

/// Markup as an answer.
pub(super) fn respond(text: &Markup) -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], text.0.clone()).into_response()
}
