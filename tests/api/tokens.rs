//! Tokens: made, used, listed, revoked.

use crate::{Client, service, token};
use airlock_tests::Airlock;
use serde_json::json;

const SEARCH: &str = "/api/2.0/mlflow/experiments/search";
const CREATE: &str = "/api/2.0/mlflow/experiments/create";

#[test]
fn a_token_is_shown_once_and_its_secret_is_nowhere_in_the_data_folder() {
    let airlock = Airlock::new();
    let (service, client) = service(&airlock);
    let made = airlock.ok(&["tokens", "create", "ci", "--role", "operator"]);
    let secret = made.stdout.trim();
    assert!(
        secret.starts_with("alk_") && secret.len() == 4 + 16 + 1 + 64,
        "{secret}"
    );
    assert_eq!(
        made.stderr,
        "token ci has the role operator; it is shown this once\n"
    );
    assert_eq!(client.with_token(secret).get(SEARCH).status, 200);
    let listed = airlock.ok(&["tokens", "list", "--json"]).json();
    let names: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (&row["name"], &row["role"], &row["created_by"]))
        .collect();
    assert_eq!(
        names,
        [
            (&json!("admin"), &json!("admin"), &json!("cli:tester")),
            (&json!("ci"), &json!("operator"), &json!("cli:tester"))
        ]
    );
    assert!(service.stop().success());
    let exported = airlock.folder().join("all.jsonl");
    airlock.ok(&["db", "export", exported.to_str().unwrap()]);
    let mut folders = vec![airlock.folder().to_owned()];
    let (_, proof) = secret.rsplit_once('_').unwrap();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if let Ok(bytes) = std::fs::read(entry.path()) {
                let is_there = bytes
                    .windows(proof.len())
                    .any(|part| part == proof.as_bytes());
                assert!(!is_there, "{}", entry.path().display());
            }
        }
    }
}

#[test]
fn a_revoked_token_lets_nobody_in_from_then_on() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let secret = token(&airlock, "ci", "viewer");
    assert_eq!(client.with_token(&secret).get(SEARCH).status, 200);
    assert_eq!(
        airlock.ok(&["tokens", "revoke", "ci"]).stderr,
        "token ci is revoked\n"
    );
    assert_eq!(client.with_token(&secret).get(SEARCH).status, 401);
    // A new one of the name is another one.
    let again = token(&airlock, "ci", "viewer");
    assert_eq!(client.with_token(&secret).get(SEARCH).status, 401);
    assert_eq!(client.with_token(&again).get(SEARCH).status, 200);
    let gone = airlock.run(&["tokens", "revoke", "cii"]);
    assert_eq!(gone.code, 3);
    assert_eq!(
        gone.stderr,
        "error: no token is called \"cii\"\n hint: did you mean `ci`?\n"
    );
    let twice = airlock.run(&["tokens", "create", "ci"]);
    assert_eq!(twice.code, 7);
    assert_eq!(airlock.run(&["tokens", "create", "a b"]).code, 2);
    assert_eq!(
        airlock
            .run(&["tokens", "create", "root", "--role", "root"])
            .code,
        2
    );
}

#[test]
fn tokens_survive_a_kill() {
    let airlock = Airlock::new();
    let (first, _client) = service(&airlock);
    let (secret, gone) = (
        token(&airlock, "ci", "viewer"),
        token(&airlock, "old", "viewer"),
    );
    airlock.ok(&["tokens", "revoke", "old"]);
    first.kill();
    let _second = airlock.serve_with(&["--listen", "127.0.0.1:0"]);
    let client = Client::of(&airlock);
    assert_eq!(client.with_token(&secret).get(SEARCH).status, 200);
    assert_eq!(client.with_token(&gone).get(SEARCH).status, 401);
}

#[test]
fn i19_a_role_may_do_what_it_says_and_no_more() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let of = |role: &str| client.with_token(&token(&airlock, &format!("a-{role}"), role));
    let (viewer, operator, author) = (of("viewer"), of("operator"), of("author"));
    let body = json!({"name": "churn"});
    let denied = viewer.post(CREATE, &body);
    assert_eq!(denied.error(), (403, "PERMISSION_DENIED".to_owned()));
    assert_eq!(
        denied.message(),
        r#"the token "a-viewer" has the role viewer, and this needs operator"#
    );
    operator.ok("POST", CREATE, &body);
    assert_eq!(viewer.get(SEARCH).status, 200);
    operator.ok("POST", "/api/2.0/mlflow/registered-models/create", &body);
    let source = json!({"name": "churn", "source": "s3://bucket/model"});
    operator.ok("POST", "/api/2.0/mlflow/model-versions/create", &source);
    let stage = json!({"name": "churn", "version": "1", "stage": "Production", "archive_existing_versions": true});
    let transition = "/api/2.0/mlflow/model-versions/transition-stage";
    assert_eq!(
        operator.post(transition, &stage).message(),
        r#"the token "a-operator" has the role operator, and this needs author"#
    );
    author.ok("POST", transition, &stage);
    // Who did it is in the trail, under the token's name.
    let shown = airlock.ok(&["models", "show", "churn", "--json"]).json();
    let trail = shown["history"].as_array().unwrap();
    let who = |action: &str| {
        trail
            .iter()
            .find(|event| event["action"] == action)
            .unwrap()["actor"]
            .clone()
    };
    assert_eq!(
        who("model_version.transition_stage"),
        json!({"kind": "user", "id": "a-author"})
    );
}
