//! Where the service listens.

use crate::service;
use airlock_tests::Airlock;

#[test]
fn an_address_that_others_can_reach_is_refused() {
    let airlock = Airlock::new();
    let refused = airlock.run_within(60, &["serve", "--data", "data", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    assert_eq!(
        refused.stderr,
        "error: 0.0.0.0:0 can be reached from other machines, and there is no TLS: tokens would cross the network in the clear\n \
         hint: --tls-cert and --tls-key give it TLS; or listen at 127.0.0.1 behind a proxy; --listen-public listens here all the same\n"
    );
    let _service = airlock.serve_with(&["--listen", "0.0.0.0:0", "--listen-public"]);
    let url = std::fs::read_to_string(airlock.data().join("api.url")).unwrap();
    assert!(url.starts_with("http://0.0.0.0:"), "{url}");
}

#[test]
fn a_place_that_is_taken_is_told_before_anything_runs() {
    let airlock = Airlock::new();
    let (_service, client) = service(&airlock);
    let other = Airlock::new();
    let refused = other.run_within(
        60,
        &["serve", "--data", "data", "--listen", &client.address],
    );
    assert_eq!(refused.code, 7, "{}", refused.stderr);
    assert!(
        refused
            .stderr
            .contains("--listen ADDRESS:PORT names another place"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        airlock
            .run_within(60, &["serve", "--data", "other", "--listen", "nowhere"])
            .code,
        2
    );
}

#[test]
fn the_service_says_where_it_is_and_how_to_get_a_token_and_never_a_secret() {
    let airlock = Airlock::new();
    let first = airlock.serve_with(&["--listen", "127.0.0.1:0"]);
    let told = first.told();
    let url = std::fs::read_to_string(airlock.data().join("api.url")).unwrap();
    assert!(
        told.contains(&format!("API for Airflow and MLflow clients at {url}")),
        "{told}"
    );
    assert!(
        told.contains(
            "nobody has a token yet: `airlock tokens create NAME --role operator` makes one"
        ),
        "{told}"
    );
    assert!(!told.contains("alk_"));
    crate::token(&airlock, "ci", "viewer");
    assert!(first.stop().success());
    // Nobody finds an address at which nobody listens.
    assert!(!airlock.data().join("api.url").exists());
    let second = airlock.serve_with(&["--listen", "127.0.0.1:0"]);
    assert!(
        !second.told().contains("nobody has a token"),
        "{}",
        second.told()
    );
}

#[test]
fn off_listens_nowhere_and_the_settings_file_says_it_too() {
    let airlock = Airlock::new();
    let service = airlock.serve_with(&["--listen", "off"]);
    assert!(!airlock.data().join("api.url").exists());
    assert!(
        !service.told().contains("API for Airflow and MLflow"),
        "{}",
        service.told()
    );
    drop(service);
    let other = Airlock::new();
    other.file("airlock.toml", "listen = \"10.0.0.1:1\"\n");
    let mut command = other.bare(&["serve", "--data", "data"]);
    let refused = command.env_remove("AIRLOCK_LISTEN").output().unwrap();
    assert_eq!(
        refused.status.code(),
        Some(5),
        "{}",
        String::from_utf8_lossy(&refused.stderr)
    );
}

#[test]
fn requests_end_when_the_service_stops() {
    let airlock = Airlock::new();
    let (service, client) = service(&airlock);
    // A connection without a request does not keep the service.
    let idle = std::net::TcpStream::connect(&client.address).unwrap();
    assert!(service.stop().success());
    drop(idle);
    assert!(std::net::TcpStream::connect(&client.address).is_err());
}
