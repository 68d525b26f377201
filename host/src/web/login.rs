//! Logging in and out: a token becomes a session. It refuses a form that another site sent, more failures of an address in a
//! minute than the limit, and to send anybody elsewhere than to a page of ours.

use super::answer::{Answer, Page, Refusal, respond};
use super::door::{Doors, SESSION_COOKIE, cookie};
use super::form::Pairs;
use super::layout;
use super::route::set_cookie;
use super::session::{Client, SESSION_TIME_MAX, is_same, is_secret, secret};
use super::visit::{Theme, Visit};
use crate::app::App;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get};
use maud::{Markup, html};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

/// The longest log-in form, bytes.
const LOGIN_BYTES_MAX: usize = 8 << 10;
/// Ties the form of the log-in to the browser that it was made for.
const LOGIN_COOKIE: &str = "airlock_login";

/// `/login`.
pub(super) fn routes(app: &Arc<App>, doors: &Doors) -> MethodRouter {
    let (show_app, show_doors) = (app.clone(), doors.clone());
    let (app, doors) = (app.clone(), doors.clone());
    get(move |request: Request| show(show_app.clone(), show_doors.clone(), request))
        .post(move |request: Request| submit(app.clone(), doors.clone(), request))
}

async fn show(app: Arc<App>, doors: Doors, request: Request) -> Response {
    let query =
        Pairs::parse(request.uri().query().unwrap_or_default().as_bytes()).unwrap_or_default();
    let next = own_page(query.get("next"));
    let is_in = doors.session(request.headers()).is_some();
    let once = query.get("once");
    if once.is_empty() {
        return form_page(request.headers(), next, None);
    }
    let token = doors.sessions.follow_link(once);
    let entered = match token {
        Some(token) => enter(app, &doors, token).await,
        None => None,
    };
    match entered {
        Some(cookie) => go_in(next, &cookie),
        None if is_in => Redirect::to(next).into_response(),
        None => {
            let refusal = Refusal::denied(
                "this link has logged somebody in already, or is from an earlier start of the service",
                "log in with a token, or start `airlock dev` again: it prints a new link",
            );
            form_page(request.headers(), next, Some(&refusal))
        }
    }
}

async fn submit(app: Arc<App>, doors: Doors, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let form = to_bytes(body, LOGIN_BYTES_MAX).await.unwrap_or_default();
    let form = Pairs::parse(&form).unwrap_or_default();
    let next = own_page(form.get("next")).to_owned();
    if let Err(refusal) = check_origin(&parts.headers, &form) {
        return form_page(&parts.headers, &next, Some(&refusal));
    }
    let client = parts.extensions.get::<Client>().copied();
    let client = client.unwrap_or(Client::at(Ipv4Addr::UNSPECIFIED.into()));
    if let Err(wait) = doors.sessions.may_try(client, Instant::now()) {
        let seconds = wait.as_secs() + 1;
        let message = "too many log-ins from this address have failed within a minute";
        let hint = format!("wait {seconds} seconds, then try again");
        let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, message, hint);
        let mut response = form_page(&parts.headers, &next, Some(&refusal));
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        return response;
    }
    if let Some(cookie) = enter(app, &doors, form.get("token").trim().to_owned()).await {
        return go_in(&next, &cookie);
    }
    doors.sessions.failed(client, Instant::now());
    let refusal = Refusal::new(
        StatusCode::UNAUTHORIZED,
        "the token is unknown or was revoked",
        "`airlock tokens list` shows which there are; `airlock tokens create NAME --role operator` makes one",
    );
    form_page(&parts.headers, &next, Some(&refusal))
}

/// A session for a token that is somebody's; yields its cookie.
async fn enter(app: Arc<App>, doors: &Doors, token: String) -> Option<String> {
    let shown = token.clone();
    let caller = tokio::task::spawn_blocking(move || app.caller(&shown)).await;
    caller.ok()?.ok()??;
    doors.sessions.begin(token, Instant::now())
}

/// The form came from our own page, in the browser that it was made for.
fn check_origin(headers: &HeaderMap, form: &Pairs) -> Result<(), Refusal> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let is_own = match text(header::ORIGIN) {
        Some(origin) => origin
            .split_once("://")
            .is_some_and(|(_, rest)| rest == host),
        None => true,
    };
    let given = cookie(headers, LOGIN_COOKIE).unwrap_or_default();
    if is_own && !given.is_empty() && is_same(&given, form.get("csrf")) {
        return Ok(());
    }
    Err(Refusal::denied(
        "this form was not made by this page, so nobody was logged in",
        "send it once more from here; the browser must keep cookies",
    ))
}

/// A page of ours to go to; whatever else is asked for becomes the first one.
fn own_page(next: &str) -> &str {
    let is_own = next.starts_with('/')
        && !next.starts_with("//")
        && !next.starts_with("/login")
        && next
            .bytes()
            .all(|byte| byte > b' ' && byte != b'\\' && byte < 0x7f);
    if is_own { next } else { "/" }
}

fn go_in(next: &str, cookie: &str) -> Response {
    let seconds = SESSION_TIME_MAX.as_secs();
    let mut response = Redirect::to(next).into_response();
    set_cookie(
        &mut response,
        &format!("{SESSION_COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}"),
    );
    response
}

/// What takes the session's cookie away.
pub(super) fn forget_cookie() -> String {
    format!("{SESSION_COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
}

/// After a log-out, which `route` carries out.
#[expect(clippy::unnecessary_wraps, reason = "the table's form")]
pub(super) fn logout_seen(_visit: &Visit) -> Result<Answer, Refusal> {
    Ok(Answer::See("/login".to_owned()))
}

/// What ties the form to the browser: the same in all of its tabs, because each of them shows the form when its session ends.
fn tie(headers: &HeaderMap) -> String {
    cookie(headers, LOGIN_COOKIE)
        .filter(|known| is_secret(known))
        .or_else(secret)
        .unwrap_or_default()
}

fn form_page(headers: &HeaderMap, next: &str, refusal: Option<&Refusal>) -> Response {
    let csrf = tie(headers);
    let page = Page {
        title: "Log in".to_owned(),
        section: "",
        live: Vec::new(),
        crumbs: Vec::new(),
        body: body(next, &csrf, refusal),
    };
    let mut response = respond(&layout::bare(Theme::System, &page));
    *response.status_mut() = refusal.map_or(StatusCode::OK, |refusal| refusal.status);
    set_cookie(
        &mut response,
        &format!("{LOGIN_COOKIE}={csrf}; Path=/login; HttpOnly; SameSite=Strict"),
    );
    response
}

fn body(next: &str, csrf: &str, refusal: Option<&Refusal>) -> Markup {
    html! {
        div.login {
            h1 { "Log in to Airlock" }
            @if let Some(refusal) = refusal { (refusal.notice()) }
            form method="post" action="/login" class="stack" {
                input type="hidden" name="csrf" value=(csrf);
                input type="hidden" name="next" value=(next);
                label for="token" { "Token" }
                input id="token" name="token" type="password" autocomplete="current-password" required autofocus spellcheck="false";
                button.primary type="submit" { "Log in" }
            }
            p.hint { "A token begins with " code { "alk_" } ". " code { "airlock tokens create NAME --role operator" } " makes one." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for next in ["/", "/dags/a/runs/b?x=1%2F"] {
            assert_eq!(own_page(next), next);
        }
        for next in [
            "",
            "//evil",
            "https://evil",
            "/\\evil",
            "/a\r\nb",
            "/login?next=/",
            "evil",
            "/a b",
        ] {
            assert_eq!(own_page(next), "/", "{next}");
        }
    }

    #[test]
    fn all_tabs_of_a_browser_show_the_same_form() {
        let with = |cookie: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
            headers
        };
        let first = tie(&HeaderMap::new());
        assert_eq!(tie(&with(&format!("airlock_login={first}"))), first);
        for foreign in ["", "short", "<script>alert(document.domain)</script>..."] {
            let made = tie(&with(&format!("airlock_login={foreign}")));
            assert!(is_secret(&made) && made != first, "{foreign}");
        }
    }

    #[test]
    fn the_form_of_another_site_logs_nobody_in() {
        let headers = |origin: &str, cookie: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8793"));
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
            headers.insert(header::COOKIE, HeaderValue::from_str(cookie).unwrap());
            headers
        };
        let form = Pairs::parse(b"csrf=abc").unwrap();
        let own = "http://127.0.0.1:8793";
        assert!(check_origin(&headers(own, "airlock_login=abc"), &form).is_ok());
        assert!(check_origin(&headers(own, "airlock_login=abd"), &form).is_err());
        assert!(check_origin(&headers(own, "other=abc"), &form).is_err());
        for origin in ["http://evil.example", "null", "http://127.0.0.1:8794"] {
            assert!(check_origin(&headers(origin, "airlock_login=abc"), &form).is_err());
        }
    }
}
