//! Every route of the table, whichever is added: nobody without a token, nobody below its role.

use crate::{service, token};
use airlock_tests::Airlock;
use serde_json::Value;
use std::collections::BTreeSet;

/// A row of the table.
struct Route {
    method: String,
    path: String,
    role: String,
    reach: String,
}

/// The program's own table.
fn routes(airlock: &Airlock) -> Vec<Route> {
    let listed = airlock.ok(&["tokens", "routes", "--json"]).json();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let route = |row: &Value| Route {
        method: text(row, "method"),
        path: text(row, "path"),
        role: text(row, "role"),
        reach: text(row, "reach"),
    };
    listed.as_array().unwrap().iter().map(route).collect()
}

/// The path with something plausible in its places.
fn path(route: &Route) -> String {
    let fill = |part: &str| {
        if part.starts_with('{') {
            "x".to_owned()
        } else {
            part.to_owned()
        }
    };
    route
        .path
        .split('/')
        .map(fill)
        .collect::<Vec<_>>()
        .join("/")
}

#[test]
fn every_route_refuses_who_has_no_token_a_wrong_one_or_another_host() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let (nobody, stranger) = (
        client.without_token(),
        client.with_token("alk_0123456789abcdef_00"),
    );
    let routes = routes(&airlock);
    assert!(routes.len() > 50);
    for route in &routes {
        let path = path(route);
        for refused in [&nobody, &stranger] {
            let answer = refused.send(&route.method, &path, b"{}");
            assert_eq!(
                answer.error(),
                (401, "UNAUTHENTICATED".to_owned()),
                "{} {path}",
                route.method
            );
        }
        let answer = client.send_as("evil.example", &route.method, &path, b"{}");
        assert_eq!(
            answer.error(),
            (403, "PERMISSION_DENIED".to_owned()),
            "{} {path}",
            route.method
        );
    }
}

#[test]
fn every_route_refuses_the_role_below_its_own() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let roles = ["viewer", "operator", "author", "admin"];
    let clients = roles.map(|role| {
        (
            role,
            client.with_token(&token(&airlock, &format!("a-{role}"), role)),
        )
    });
    let mut asked = BTreeSet::new();
    for route in &routes(&airlock) {
        let (needed, path) = (route.role.clone(), path(route));
        let first = roles.iter().position(|role| *role == needed).unwrap();
        for (rank, (role, client)) in clients.iter().enumerate() {
            let answer = client.send(&route.method, &path, b"{}");
            let is_denied = answer.status == 403;
            assert_eq!(
                is_denied,
                rank < first,
                "{role} at {} {path}: {}",
                route.method,
                answer.text()
            );
            assert_ne!(answer.status, 401, "{role} at {} {path}", route.method);
            // What is missing or unknown is the client's mistake and never ours.
            assert!(
                answer.status < 500,
                "{role} at {} {path}: {}",
                route.method,
                answer.text()
            );
        }
        asked.insert(needed);
    }
    assert_eq!(asked, roles.map(str::to_owned).into());
}

#[test]
fn what_changes_something_needs_more_than_reading() {
    // MLflow asks these with a body; and everybody may log out.
    let reads = [
        "/logout",
        "/api/2.0/mlflow/experiments/search",
        "/api/2.0/mlflow/runs/search",
        "/api/2.0/mlflow/logged-models/search",
        "/api/2.0/mlflow/registered-models/get-latest-versions",
        // And Airflow these.
        "/api/v2/dags/{dag_id}/dagRuns/list",
        "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/list",
    ];
    // Reading these tells about more than runs.
    let kept = [
        "/api/v2/variables",
        "/api/v2/connections",
        "/api/v2/eventLogs",
        "/api/v2/airlock/auditDigest",
    ];
    let airlock = Airlock::new();
    let routes = routes(&airlock);
    for route in &routes {
        let (method, path) = (route.method.as_str(), route.path.as_str());
        let is_kept = kept.iter().any(|prefix| path.starts_with(prefix));
        let is_read = !is_kept && (method == "GET" || reads.contains(&path));
        assert_eq!(route.role == "viewer", is_read, "{method} {path}");
    }
    let distinct: BTreeSet<_> = routes
        .iter()
        .map(|route| (&route.method, &route.path))
        .collect();
    assert_eq!(
        distinct.len(),
        routes.len(),
        "a route is in the table twice"
    );
}

#[test]
fn an_expired_token_opens_no_route() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let made = airlock.ok(&[
        "tokens",
        "create",
        "brief",
        "--role",
        "admin",
        "--expires",
        "2s",
    ]);
    let brief = client.with_token(made.stdout.trim());
    // It expires by itself: asked until it has.
    while brief.get("/api/v2/version").status != 401 {
        std::thread::yield_now();
    }
    for route in &routes(&airlock) {
        let answer = brief.send(&route.method, &path(route), b"{}");
        let told = (answer.status, answer.error().1);
        assert_eq!(
            told,
            (401, "UNAUTHENTICATED".to_owned()),
            "{} {}",
            route.method,
            route.path
        );
    }
    // Its name is free again.
    airlock.ok(&["tokens", "create", "brief", "--role", "viewer"]);
}

#[test]
fn a_token_for_other_dags_opens_what_belongs_to_no_dag_and_what_it_filters_alone() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let made = airlock.ok(&[
        "tokens", "create", "scoped", "--role", "admin", "--dag", "other_*",
    ]);
    let scoped = client.with_token(made.stdout.trim());
    let mut reaches = BTreeSet::new();
    for route in &routes(&airlock) {
        let answer = scoped.send(&route.method, &path(route), b"{}");
        let is_denied = answer.status == 403;
        let may_be_asked = match route.reach.as_str() {
            "everything" | "dag" => false,
            // The path names a DAG that the token does not reach.
            "filtered" if route.path.contains("{dag_id}") => false,
            "filtered" | "nothing" => true,
            other => panic!("{other}"),
        };
        assert_eq!(
            is_denied,
            !may_be_asked,
            "{} {}: {}",
            route.method,
            route.path,
            answer.text()
        );
        reaches.insert(route.reach.clone());
    }
    assert_eq!(reaches.len(), 4, "{reaches:?}");
}

#[test]
fn a_page_of_somebody_else_opens_no_route_and_no_header_changes_the_method() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    for route in &routes(&airlock) {
        let (method, path) = (route.method.as_str(), path(route));
        for origin in [
            "http://evil.example",
            "null",
            "http://localhost.evil.example",
        ] {
            let lines = format!("Host: localhost\r\nOrigin: {origin}\r\n");
            let answer = client.send_with(&lines, method, &path, b"{}");
            assert_eq!(answer.error().0, 403, "{origin} at {method} {path}");
        }
        if method == "GET" {
            let plain = client
                .send_with("Host: localhost\r\n", method, &path, b"")
                .status;
            for header in [
                "X-HTTP-Method-Override",
                "X-HTTP-Method",
                "X-Method-Override",
            ] {
                let lines =
                    format!("Host: localhost\r\nOrigin: http://localhost\r\n{header}: DELETE\r\n");
                let answer = client.send_with(&lines, method, &path, b"");
                assert_eq!(answer.status, plain, "{header} at {path}");
            }
        }
    }
}

#[test]
fn another_spelling_of_a_path_is_another_path() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let nobody = client.without_token();
    for route in &routes(&airlock) {
        if route.method != "GET" || !route.path.starts_with("/api/v2") {
            continue;
        }
        let path = path(route);
        let spellings = [
            path.replacen("/api", "//api", 1),
            path.replacen("/v2/", "//v2/", 1),
            path.replacen("/api/v2", "/api%2Fv2", 1),
            path.replacen("/api/v2", "/api%2fv2", 1),
            path.replacen("/api/v2", "/API/v2", 1),
            path.replacen("/api/v2", "/api/V2", 1),
            path.replacen("/api/v2", "/api/v2/.", 1),
            path.replacen("/api/v2", "/x/../api/v2", 1),
            path.replacen("/api/v2", "/api/v2.", 1),
            format!("{path}/"),
            format!("{path}/."),
            format!("{path}%00"),
        ];
        for spelling in &spellings {
            assert_eq!(nobody.get(spelling).status, 401, "{spelling}");
            let status = client.get(spelling).status;
            // In the place of an id it is an id, and no good one.
            assert!(status == 404 || status == 400, "{spelling}: {status}");
        }
    }
}
