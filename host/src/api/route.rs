//! A route as a row of a table: its method, its path, the role that it needs and what it does. It owns how a request becomes the
//! call of an action and how an action's panic becomes an answer. It refuses to route what is in no table.

use super::about::About;
use super::error::ApiError;
use super::fields::Fields;
use super::reply::Reply;
use super::{ARTIFACTS_AT_ONCE, JSON_BYTES_MAX, OPEN_PATHS, REQUESTS_MAX, airflow, mlflow};
use crate::app::{App, Caller, Role, TraceParent};
use crate::tracking::{ARTIFACT_BYTES_MAX, Actor};
use crate::web::PageAsked;
use axum::Json;
use axum::RequestPartsExt as _;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{RawPathParams, Request};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, get, on};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a client may take to send the body of a request.
const BODY_TIME_MAX: Duration = Duration::from_mins(10);
/// How long a client may send nothing of a body that it announced.
const BODY_QUIET_MAX: Duration = Duration::from_secs(30);

/// What an action is given.
pub(super) struct Call<'a> {
    pub(super) app: &'a App,
    /// Who asks, as the audit trail names them.
    pub(super) actor: &'a Actor,
    /// Who asks, with what they may do and to what.
    pub(super) caller: &'a Caller,
    pub(super) fields: Fields,
    /// The trace that the request is a part of.
    pub(super) trace_parent: Option<TraceParent>,
    /// As it came; empty for a route that takes none.
    pub(super) body: &'a [u8],
}

/// What a route does, on a thread that may block.
#[derive(Clone, Copy)]
pub(super) enum Action {
    /// Answers JSON.
    Json(fn(&Call<'_>) -> Result<Value, ApiError>),
    /// Has its fields in path and query and may have a JSON body besides; says status and bytes itself.
    Reply(fn(&Call<'_>) -> Result<Reply, ApiError>),
    /// Takes bytes, and answers JSON.
    Upload(fn(&Call<'_>, &[u8]) -> Result<Value, ApiError>),
    /// Answers bytes.
    Download(fn(&Call<'_>) -> Result<Vec<u8>, ApiError>),
}

/// How far a token must reach to call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// All of the service.
    Everything,
    /// The DAG that the path names.
    Dag,
    /// Any DAG: what the token does not reach is left out of the answer, or is not there.
    Filtered,
    /// Nothing: it tells nobody anything about a DAG.
    Nothing,
}

impl std::fmt::Display for Scope {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Everything => "everything",
            Self::Dag => "dag",
            Self::Filtered => "filtered",
            Self::Nothing => "nothing",
        })
    }
}

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Route {
    /// GET, POST, PUT, PATCH or DELETE.
    pub method: &'static str,
    /// As axum writes paths.
    pub path: &'static str,
    /// The least role that may call it.
    pub role: Role,
    /// How far its token must reach.
    pub scope: Scope,
    pub(super) action: Action,
    pub(super) about: About,
}

/// Airflow's word for all DAGs, or all runs of a DAG, in a path.
pub(super) const ALL: &str = "~";

impl Route {
    /// A route that moves bytes.
    pub(super) const fn bytes(
        method: &'static str,
        path: &'static str,
        role: Role,
        action: Action,
    ) -> Self {
        Self {
            method,
            path,
            role,
            scope: Scope::Everything,
            action,
            about: About::NOTHING,
        }
    }

    /// A route below `/api/v2`: of one DAG where its path names one.
    pub(super) const fn airflow(
        method: &'static str,
        path: &'static str,
        role: Role,
        action: fn(&Call<'_>) -> Result<Reply, ApiError>,
        about: About,
    ) -> Self {
        Self {
            method,
            path,
            role,
            scope: if names_dag(path) {
                Scope::Dag
            } else {
                Scope::Everything
            },
            action: Action::Reply(action),
            about,
        }
    }

    /// The same route, whose action leaves out what the token does not reach.
    pub(super) const fn filtered(self) -> Self {
        Self {
            scope: Scope::Filtered,
            ..self
        }
    }

    /// The same route, for every token.
    pub(super) const fn for_all(self) -> Self {
        Self {
            scope: Scope::Nothing,
            ..self
        }
    }

    /// A route that answers JSON.
    pub(super) const fn json(
        method: &'static str,
        path: &'static str,
        role: Role,
        action: fn(&Call<'_>) -> Result<Value, ApiError>,
    ) -> Self {
        Self {
            method,
            path,
            role,
            scope: Scope::Everything,
            action: Action::Json(action),
            about: About::NOTHING,
        }
    }
}

/// The places that requests take.
#[derive(Clone)]
struct Places {
    requests: Arc<Semaphore>,
    artifacts: Arc<Semaphore>,
}

/// Everything that can be asked. Whoever comes here has passed `guard`.
pub(super) fn router(app: &Arc<App>) -> Router {
    let places = Places {
        requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
        artifacts: Arc::new(Semaphore::new(ARTIFACTS_AT_ONCE)),
    };
    let mut router = Router::new();
    for path in OPEN_PATHS {
        let app = app.clone();
        router = router.route(path, get(move || async move { open(&app, path).await }));
    }
    for route in routes() {
        let Ok(method) = MethodFilter::try_from(method(route)) else {
            continue;
        };
        let (app, places) = (app.clone(), places.clone());
        let handler = move |request: Request| {
            let (app, places) = (app.clone(), places.clone());
            async move { answer(app, places, route, request).await }
        };
        router = router.route(route.path, on(method, handler));
    }
    router
        .method_not_allowed_fallback(no_method)
        .fallback(no_route)
}

/// Every route that needs a token.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    let tables = mlflow::ROUTES.iter().chain(airflow::ROUTES);
    tables.copied().flatten()
}

/// Whether `{dag_id}` is in a path.
const fn names_dag(path: &str) -> bool {
    const NAME: &[u8] = b"{dag_id}";
    let mut rest = path.as_bytes();
    while let [_, after @ ..] = rest {
        if let Some((head, _)) = rest.split_at_checked(NAME.len()) {
            let (mut left, mut right) = (head, NAME);
            let mut is_same = true;
            while let ([one, more @ ..], [other, others @ ..]) = (left, right) {
                is_same = is_same && *one == *other;
                (left, right) = (more, others);
            }
            if is_same {
                return true;
            }
        }
        rest = after;
    }
    false
}

fn method(route: &Route) -> Method {
    Method::from_bytes(route.method.as_bytes()).unwrap_or_default()
}

/// What anybody may know.
async fn open(app: &App, path: &str) -> Response {
    match path {
        "/version" => env!("CARGO_PKG_VERSION").into_response(),
        "/readyz" if !app.health().await.is_well() => {
            let message = "the store or the scheduler does not answer";
            (StatusCode::SERVICE_UNAVAILABLE, message).into_response()
        }
        _ => "OK".into_response(),
    }
}

async fn no_route(request: Request) -> Response {
    if let Some(page) = PageAsked::of(&request).no_page() {
        return page;
    }
    let (method, uri) = (request.method(), request.uri());
    ApiError::no_route(method.as_str(), uri.path()).into_response()
}

async fn no_method(request: Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("{path} knows no {method}");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "BAD_REQUEST", message).into_response()
}

/// Carries a request out in a task of its own, so that whatever panics in it is an answer.
async fn answer(
    app: Arc<App>,
    places: Places,
    route: &'static Route,
    request: Request,
) -> Response {
    let work = tokio::spawn(async move { perform(app, &places, route, request).await });
    match work.await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => error.into_response(),
        Err(error) => ApiError::internal(&error).into_response(),
    }
}

async fn perform(
    app: Arc<App>,
    places: &Places,
    route: &Route,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = caller(route, &request)?;
    let (mut parts, body) = request.into_parts();
    let paths = parts.extract::<RawPathParams>().await;
    let paths = paths.map_err(|error| ApiError::bad_request(error.body_text()))?;
    let dag_id = paths.iter().find(|(name, _)| *name == "dag_id");
    check_reach(route.scope, &caller, dag_id.map(|(_, dag_id)| dag_id))?;
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let is_json = matches!(route.action, Action::Json(_) | Action::Reply(_));
    let is_reply = matches!(route.action, Action::Reply(_));
    let closed = |_| ApiError::internal(&"the places of requests are gone");
    let place = if is_json {
        None
    } else {
        let places = places.artifacts.clone();
        Some(places.acquire_owned().await.map_err(closed)?)
    };
    let body = read(body, limit(route)).await?;
    let _place = places.requests.acquire().await.map_err(closed)?;
    let action = route.action;
    let trace_parent = parts.headers.get("traceparent");
    let trace_parent = trace_parent.and_then(|value| TraceParent::parse(value.to_str().ok()?));
    let reads_query = parts.method == Method::GET || !is_json || is_reply;
    let about = route.about;
    let work = move || {
        let mut fields = if reads_query {
            Fields::from_query(&query)?
        } else {
            Fields::from_json(&body)?
        };
        if is_reply {
            about.check_query(&fields)?;
        }
        for (name, value) in &paths {
            fields.insert(name, value);
        }
        let call = Call {
            app: &app,
            actor: &caller.actor,
            caller: &caller,
            fields,
            trace_parent,
            body: &body,
        };
        Ok(match action {
            Action::Reply(action) => action(&call)?.into_response(),
            Action::Json(action) => Json(action(&call)?).into_response(),
            Action::Upload(action) => Json(action(&call, &body)?).into_response(),
            Action::Download(action) => attachment(action(&call)?, place),
        })
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ApiError::internal(&error))?
}

/// Denies by default: without a caller, and below the route's role.
fn caller(route: &Route, request: &Request) -> Result<Caller, ApiError> {
    let caller = request.extensions().get::<Caller>().cloned();
    let caller = caller.ok_or_else(|| ApiError::unauthenticated("a token is needed"))?;
    if caller.role >= route.role {
        return Ok(caller);
    }
    Err(ApiError::denied(format!(
        "the token {:?} has the role {}, and this needs {}",
        caller.actor.id, caller.role, route.role
    )))
}

/// Denies by default: a token for some DAGs reaches what is theirs and nothing else.
fn check_reach(scope: Scope, caller: &Caller, dag_id: Option<&str>) -> Result<(), ApiError> {
    if caller.reach.is_everything() {
        return Ok(());
    }
    let is_reached = match scope {
        Scope::Nothing | Scope::Filtered => true,
        Scope::Everything => false,
        Scope::Dag => dag_id.is_some_and(|dag_id| caller.reach.holds(dag_id)),
    };
    if is_reached {
        return Ok(());
    }
    Err(ApiError::denied(format!(
        "the token {:?} is for some DAGs, and this is not theirs",
        caller.actor.id
    )))
}

fn limit(route: &Route) -> usize {
    match route.action {
        Action::Json(_) | Action::Reply(_) => JSON_BYTES_MAX,
        Action::Upload(_) => ARTIFACT_BYTES_MAX,
        Action::Download(_) => 0,
    }
}

/// The whole body, if it is small enough and comes in time.
async fn read(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(over(limit));
    }
    let slow = |_| {
        let status = StatusCode::REQUEST_TIMEOUT;
        ApiError::new(
            status,
            "DEADLINE_EXCEEDED",
            "the body of the request did not come in time",
        )
    };
    let read = async {
        let mut body = Limited::new(body, limit);
        let mut bytes = Vec::new();
        while let Some(frame) = tokio::time::timeout(BODY_QUIET_MAX, body.frame())
            .await
            .map_err(slow)?
        {
            let frame = frame.map_err(|error| broken(&*error, limit))?;
            bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
        Ok(Bytes::from(bytes))
    };
    tokio::time::timeout(BODY_TIME_MAX, read)
        .await
        .map_err(slow)?
}

fn broken(error: &(dyn std::error::Error + 'static), limit: usize) -> ApiError {
    if error.is::<LengthLimitError>() {
        return over(limit);
    }
    ApiError::bad_request("the body of the request broke off")
}

fn over(limit: usize) -> ApiError {
    ApiError::too_large(format!("the body is over the limit of {limit} bytes"))
}

/// Bytes that are on their way, and the place that they take until the last one has gone.
struct Sent {
    bytes: Vec<u8>,
    _place: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes that no browser shows as a page.
fn attachment(bytes: Vec<u8>, place: Option<OwnedSemaphorePermit>) -> Response {
    let bytes = Bytes::from_owner(Sent {
        bytes,
        _place: place,
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        ),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment"),
        ),
    ];
    (headers, bytes).into_response()
}
