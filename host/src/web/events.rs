//! The stream of changes (server-sent events): each event says what changed, its id is the cursor to go on from. A page that hears of
//! something that it shows fetches itself anew; a program may follow it with a token. It refuses to hold anything for a slow reader:
//! the feed keeps what there is, a reader that is too far behind is told to begin anew (`reset`), and one that reads nothing is let go.

use super::answer::Refusal;
use super::door::{Doors, Visitor};
use super::form::Pairs;
use crate::app::{App, Changed, News};
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use hyper::body::Frame;
use serde_json::json;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};

/// Streams that are open at once.
pub const EVENT_STREAMS_MAX: usize = 320;
/// A comment goes so often where nothing changes, so that both ends know of each other.
const QUIET_MAX: Duration = Duration::from_secs(15);
/// How long a reader may take for one event.
const SLOW_MAX: Duration = Duration::from_secs(30);
/// How long a client waits before it comes back, milliseconds.
const RETRY_MS: u32 = 1_000;

/// `/events`.
pub(super) fn routes(app: &Arc<App>, doors: &Doors) -> MethodRouter {
    let (app, places) = (app.clone(), Arc::new(Semaphore::new(EVENT_STREAMS_MAX)));
    let doors = doors.clone();
    get(move |request: Request| follow(app.clone(), places.clone(), doors.closing(), request))
}

#[expect(clippy::unused_async, reason = "a handler of axum's")]
async fn follow(
    app: Arc<App>,
    places: Arc<Semaphore>,
    mut closing: watch::Receiver<bool>,
    request: Request,
) -> Response {
    let Some(visitor) = request.extensions().get::<Visitor>().cloned() else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    if let Err(refusal) = visitor.check_reach() {
        return refusal.page(None);
    }
    let Ok(place) = places.try_acquire_owned() else {
        let message =
            format!("there are {EVENT_STREAMS_MAX} event streams, and there may be no more");
        let refusal = Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            message,
            "close pages that nobody looks at",
        );
        let mut response = refusal.page(None);
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
        return response;
    };
    let cursor =
        cursor(request.headers(), request.uri().query()).unwrap_or_else(|| app.feed().cursor());
    let token = visitor.session.map(|session| session.token);
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        tokio::select! {
            () = tell(&app, token, cursor, &send) => {}
            _ = closing.wait_for(|is_closing| *is_closing) => {}
        }
        drop(place);
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        ),
        (
            header::HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    (headers, Body::new(Events(receive))).into_response()
}

/// Where a reader was: what its browser remembers, or what the page says.
fn cursor(headers: &HeaderMap, query: Option<&str>) -> Option<u64> {
    let remembered = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok());
    let remembered = remembered.and_then(|text| text.parse().ok());
    let query = Pairs::parse(query.unwrap_or_default().as_bytes()).ok()?;
    remembered.or_else(|| query.get("since").parse().ok())
}

/// Sends until the reader is gone, too slow, or not allowed any more.
async fn tell(app: &Arc<App>, token: Option<String>, mut cursor: u64, send: &mpsc::Sender<Bytes>) {
    let mut wakes = app.feed().wakes();
    let hello = format!("retry: {RETRY_MS}\n: hello\n\n");
    if !sent(send, hello).await {
        return;
    }
    loop {
        wakes.mark_unchanged();
        while let Some(news) = app.feed().after(cursor) {
            let (next, text) = event(news);
            cursor = next;
            if !sent(send, text).await {
                return;
            }
        }
        let quiet = tokio::time::timeout(QUIET_MAX, wakes.changed()).await;
        match quiet {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                if !is_allowed(app, token.clone()).await
                    || !sent(send, ": quiet\n\n".to_owned()).await
                {
                    return;
                }
            }
        }
    }
}

/// Whether the session's token was not revoked since.
async fn is_allowed(app: &Arc<App>, token: Option<String>) -> bool {
    let Some(token) = token else { return true };
    let app = app.clone();
    let asked = tokio::task::spawn_blocking(move || app.caller(&token)).await;
    matches!(asked, Ok(Ok(Some(_))))
}

async fn sent(send: &mpsc::Sender<Bytes>, text: String) -> bool {
    let sending = send.send(Bytes::from(text));
    matches!(tokio::time::timeout(SLOW_MAX, sending).await, Ok(Ok(())))
}

fn event(news: News) -> (u64, String) {
    match news {
        News::Missed { cursor } => (
            cursor,
            format!("id: {cursor}\nevent: reset\ndata: {{}}\n\n"),
        ),
        News::Changes { cursor, changed } => (
            cursor,
            format!("id: {cursor}\nevent: changed\ndata: {}\n\n", data(&changed)),
        ),
    }
}

fn data(changed: &Changed) -> String {
    let runs: Vec<_> = changed
        .runs
        .iter()
        .map(|(dag_id, run_id)| json!({"dag_id": dag_id, "run_id": run_id}))
        .collect();
    json!({"runs": runs, "dags": changed.dags, "topics": changed.topics}).to_string()
}

/// The body of an answer that goes on.
struct Events(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.get_mut()
            .0
            .poll_recv(context)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browsers_own_cursor_wins() {
        let mut headers = HeaderMap::new();
        assert_eq!(cursor(&headers, None), None);
        assert_eq!(cursor(&headers, Some("since=7")), Some(7));
        assert_eq!(cursor(&headers, Some("since=x")), None);
        headers.insert("last-event-id", HeaderValue::from_static("9"));
        assert_eq!(cursor(&headers, Some("since=7")), Some(9));
    }

    #[test]
    fn an_event_is_one_line_of_data_with_its_cursor() {
        let mut changed = Changed::default();
        changed.dags.insert("churn".to_owned());
        let (cursor, text) = event(News::Changes { cursor: 5, changed });
        assert_eq!(cursor, 5);
        assert_eq!(
            text,
            "id: 5\nevent: changed\ndata: {\"runs\":[],\"dags\":[\"churn\"],\"topics\":[]}\n\n"
        );
    }
}
