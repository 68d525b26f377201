//! Every route of the table, whichever is added: nobody without a token, nobody below its role.

use crate::{service, token};
use airlock::api::{OPEN_PATHS, ROUTES, Route};
use airlock_tests::Airlock;
use std::collections::BTreeSet;

fn routes() -> Vec<&'static Route> {
    ROUTES.iter().copied().flatten().collect()
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
    assert!(routes().len() > 50);
    for route in routes() {
        let path = path(route);
        for refused in [&nobody, &stranger] {
            let answer = refused.send(route.method, &path, b"{}");
            assert_eq!(
                answer.error(),
                (401, "UNAUTHENTICATED".to_owned()),
                "{} {path}",
                route.method
            );
        }
        let answer = client.send_as("evil.example", route.method, &path, b"{}");
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
    let clients = roles.map(|role| (role, client.with_token(&token(&airlock, role, role))));
    let mut asked = BTreeSet::new();
    for route in routes() {
        let (needed, path) = (route.role.to_string(), path(route));
        let first = roles.iter().position(|role| *role == needed).unwrap();
        for (rank, (role, client)) in clients.iter().enumerate() {
            let answer = client.send(route.method, &path, b"{}");
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
        ["author", "operator", "viewer"].map(str::to_owned).into()
    );
}

#[test]
fn what_changes_something_needs_more_than_reading() {
    // MLflow asks these with a body.
    let reads = [
        "/api/2.0/mlflow/experiments/search",
        "/api/2.0/mlflow/runs/search",
        "/api/2.0/mlflow/logged-models/search",
        "/api/2.0/mlflow/registered-models/get-latest-versions",
    ];
    for route in routes() {
        let is_read = route.method == "GET" || reads.contains(&route.path);
        assert_eq!(
            route.role == airlock::app::Role::Viewer,
            is_read,
            "{} {}",
            route.method,
            route.path
        );
        assert!(!OPEN_PATHS.contains(&route.path));
    }
    let distinct: BTreeSet<_> = routes()
        .iter()
        .map(|route| (route.method, route.path))
        .collect();
    assert_eq!(
        distinct.len(),
        routes().len(),
        "a route is in the table twice"
    );
}
