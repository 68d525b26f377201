//! The API over HTTP, without MLflow's own client: who is let in, what is refused and in which words, and what every route needs.

mod airflow;
mod artifacts;
mod audit;
mod client;
mod deletions;
mod guard;
mod lineage;
mod listen;
mod pages;
mod registry;
mod runs;
mod sweep;
mod tls;
mod tokens;
mod traces;

use airlock_tests::{Airlock, Service};
use client::Client;

/// A service with a free port, and a client with a token of a role.
fn service(airlock: &Airlock) -> (Service, Client) {
    let service = airlock.serve_with(&["--listen", "127.0.0.1:0"]);
    let client = Client::of(airlock).with_token(&token(airlock, "admin", "admin"));
    (service, client)
}

/// Makes a token.
fn token(airlock: &Airlock, name: &str, role: &str) -> String {
    let made = airlock.ok(&["tokens", "create", name, "--role", role]);
    made.stdout.trim().to_owned()
}
