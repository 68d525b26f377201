//! The pages as a table: method, path, the role that it needs and what makes it. It owns how a request becomes a visit, and that a
//! form without the session's CSRF token changes nothing. It refuses to route what is in no table.

use super::answer::{Answer, Refusal};
use super::door::{Doors, Visitor};
use super::form::Pairs;
use super::session::is_same;
use super::visit::{Theme, Visit};
use super::{FORM_BYTES_MAX, PAGES_MAX, admin, assets, dag, dags, events, home, login, ml, run};
use crate::app::{App, Role};
use axum::RequestPartsExt as _;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, get, on};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The cookie that remembers how pages are lit.
const THEME_COOKIE: &str = "airlock_theme";

/// Makes a page, or does what a form asks, on a thread that may block.
type Action = fn(&Visit) -> Result<Answer, Refusal>;

/// A row of the table.
#[derive(Clone, Copy)]
pub struct PageRoute {
    /// GET or POST.
    pub method: &'static str,
    /// As axum writes paths.
    pub path: &'static str,
    /// The least role that may ask for it.
    pub role: Role,
    action: Action,
}

const fn page(path: &'static str, action: Action) -> PageRoute {
    PageRoute {
        method: "GET",
        path,
        role: Role::Viewer,
        action,
    }
}

const fn form(path: &'static str, role: Role, action: Action) -> PageRoute {
    PageRoute {
        method: "POST",
        path,
        role,
        action,
    }
}

/// Every page and every form.
pub static ROUTES: &[PageRoute] = &[
    page("/", home::page),
    page("/dags", dags::list::page),
    page("/import-errors", dags::errors::page),
    page("/dags/{dag_id}", dag::overview::grid),
    page("/dags/{dag_id}/graph", dag::overview::graph),
    page("/dags/{dag_id}/runs", dag::runs::page),
    page("/dags/{dag_id}/durations", dag::durations::page),
    page("/dags/{dag_id}/calendar", dag::calendar::page),
    page("/dags/{dag_id}/code", dag::code::page),
    page("/dags/{dag_id}/details", dag::details::page),
    page("/dags/{dag_id}/trigger", dag::trigger::page),
    form(
        "/dags/{dag_id}/trigger",
        Role::Operator,
        dag::trigger::submit,
    ),
    form("/dags/{dag_id}/pause", Role::Operator, dag::pause),
    page("/dags/{dag_id}/runs/{run_id}", run::overview::page),
    page("/dags/{dag_id}/runs/{run_id}/graph", run::overview::graph),
    page("/dags/{dag_id}/runs/{run_id}/timeline", run::timeline::page),
    page("/dags/{dag_id}/runs/{run_id}/xcoms", run::overview::xcoms),
    page("/dags/{dag_id}/runs/{run_id}/change", run::change::page),
    form(
        "/dags/{dag_id}/runs/{run_id}/change",
        Role::Operator,
        run::change::submit,
    ),
    page(
        "/dags/{dag_id}/runs/{run_id}/tasks/{task_id}",
        run::instance::page,
    ),
    page(
        "/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/log",
        run::log::page,
    ),
    page(
        "/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/log.txt",
        run::log::text,
    ),
    page("/experiments", ml::experiments::list),
    page("/experiment", ml::experiments::page),
    page("/compare", ml::compare::page),
    page("/tracking-run", ml::tracking_run::page),
    page("/models", ml::models::list),
    page("/model", ml::models::page),
    form("/model/promote", Role::Author, ml::models::promote),
    form("/model/rollback", Role::Author, ml::models::rollback),
    page("/plugins", admin::plugins::list),
    page("/plugin", admin::plugins::page),
    form("/plugin/tighten", Role::Admin, admin::plugin_use::tighten),
    page("/pools", admin::pools::page),
    form("/pools", Role::Admin, admin::pools::set),
    form("/pools/delete", Role::Admin, admin::pools::delete),
    page("/variables", admin::variables::page),
    form("/variables", Role::Admin, admin::variables::set),
    form("/variables/delete", Role::Admin, admin::variables::delete),
    page("/connections", admin::connections::page),
    form("/connections", Role::Admin, admin::connections::set),
    form(
        "/connections/delete",
        Role::Admin,
        admin::connections::delete,
    ),
    page("/questions", admin::questions::page),
    form("/questions", Role::Operator, admin::questions::answer),
    page("/audit", admin::audit::page),
    form("/logout", Role::Viewer, login::logout_seen),
];

/// What pages need.
#[derive(Clone)]
struct Web {
    app: Arc<App>,
    doors: Doors,
    places: Arc<Semaphore>,
}

/// Every page. Whoever comes here has passed the guard.
pub fn router(app: &Arc<App>, doors: &Doors) -> Router {
    let web = Web {
        app: app.clone(),
        doors: doors.clone(),
        places: Arc::new(Semaphore::new(PAGES_MAX)),
    };
    let mut router = Router::new()
        .route("/assets/{name}", get(asset))
        .route("/login", login::routes(app, doors))
        .route("/events", events::routes(app, doors));
    for route in ROUTES {
        let method = Method::from_bytes(route.method.as_bytes()).unwrap_or_default();
        let Ok(method) = MethodFilter::try_from(method) else {
            continue;
        };
        let web = web.clone();
        let handler = move |request: Request| {
            let web = web.clone();
            async move { answer(web, route, request).await }
        };
        router = router.route(route.path, on(method, handler));
    }
    router
}

async fn asset(request: Request) -> Response {
    match assets::find(request.uri().path()) {
        Some(asset) => asset.respond(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Carries a visit out in a task of its own, so that whatever panics in it is an answer.
async fn answer(web: Web, route: &'static PageRoute, request: Request) -> Response {
    match tokio::spawn(perform(web, route, request)).await {
        Ok(response) => response,
        Err(error) => Refusal::internal(&error).page(None),
    }
}

async fn perform(web: Web, route: &'static PageRoute, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(visitor) = parts.extensions.get::<Visitor>().cloned() else {
        let refusal = Refusal::new(
            StatusCode::UNAUTHORIZED,
            "nobody is logged in",
            "log in first",
        );
        return refusal.page(None);
    };
    if let Err(refusal) = visitor.check_reach() {
        return refusal.page(None);
    }
    let Ok(body) = to_bytes(body, FORM_BYTES_MAX).await else {
        let message = format!("the form is over the limit of {FORM_BYTES_MAX} bytes, or broke off");
        return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message, "send less").page(None);
    };
    let Ok(_place) = web.places.acquire().await else {
        return Refusal::internal(&"the places of pages are gone").page(None);
    };
    let (app, doors) = (web.app, web.doors);
    let made = match visit(app, &visitor, parts, &body).await {
        Ok(made) => made,
        Err(refusal) => return refusal.page(None),
    };
    let done = tokio::task::spawn_blocking(move || finish(route, &doors, &visitor, &made)).await;
    done.unwrap_or_else(|error| Refusal::internal(&error).page(None))
}

fn finish(route: &PageRoute, doors: &Doors, visitor: &Visitor, visit: &Visit) -> Response {
    let done = check(route, visitor, visit).and_then(|()| (route.action)(visit));
    let mut response = match done {
        Ok(answer) => answer.into_response(visit),
        Err(refusal) => refusal.page(Some(visit)),
    };
    if let Some(theme) = Theme::parse(visit.option("theme")) {
        set_cookie(
            &mut response,
            &format!(
                "{THEME_COOKIE}={}; Path=/; SameSite=Lax; Max-Age=31536000",
                theme.as_str()
            ),
        );
    }
    if let ("/logout", Some(session)) = (route.path, &visitor.session) {
        doors.sessions.end(session);
        set_cookie(&mut response, &login::forget_cookie());
    }
    response
}

/// Adds a cookie to an answer.
pub(super) fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// Denies by default: below the route's role, and what changes something without the session's own word.
fn check(route: &PageRoute, visitor: &Visitor, visit: &Visit) -> Result<(), Refusal> {
    if visitor.caller.role < route.role {
        let message = format!(
            "{:?} has the role {}, and this needs {}",
            visitor.caller.actor.id, visitor.caller.role, route.role
        );
        return Err(Refusal::denied(message, "log in with a token of that role"));
    }
    if route.method == "GET" {
        return Ok(());
    }
    let Some(session) = &visitor.session else {
        return Ok(());
    };
    if is_same(visit.form.get("csrf"), &session.csrf) {
        return Ok(());
    }
    Err(Refusal::denied(
        "this form was not made for this session, so nothing was done",
        "load the page again and send it once more; you may have logged in again since it was made",
    ))
}

async fn visit(
    app: Arc<App>,
    visitor: &Visitor,
    mut parts: Parts,
    body: &[u8],
) -> Result<Visit, Refusal> {
    let places = parts.extract::<RawPathParams>().await;
    let places = places.map_err(|error| Refusal::usage(error.body_text(), "check the address"))?;
    let places = places
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let query = Pairs::parse(parts.uri.query().unwrap_or_default().as_bytes())?;
    let cookie = super::door::cookie(&parts.headers, THEME_COOKIE).unwrap_or_default();
    let theme = Theme::parse(query.get("theme")).or_else(|| Theme::parse(&cookie));
    Ok(Visit {
        app,
        caller: visitor.caller.clone(),
        csrf: visitor
            .session
            .as_ref()
            .map_or(String::new(), |session| session.csrf.clone()),
        path: parts.uri.path().to_owned(),
        places,
        query,
        form: Pairs::parse(body)?,
        theme: theme.unwrap_or(Theme::System),
    })
}
