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
}

/// The program's own table.
fn routes(airlock: &Airlock) -> Vec<Route> {
    let listed = airlock.ok(&["tokens", "routes", "--json"]).json();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let route = |row: &Value| Route {
        method: text(row, "method"),
        path: text(row, "path"),
        role: text(row, "role"),
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
    assert_eq!(
        asked,
        ["admin", "author", "operator", "viewer"]
            .map(str::to_owned)
            .into()
    );
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
    ];
    let airlock = Airlock::new();
    let routes = routes(&airlock);
    for route in &routes {
        let (method, path) = (route.method.as_str(), route.path.as_str());
        let is_read = method == "GET" || reads.contains(&path);
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
