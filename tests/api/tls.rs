//! The API over TLS, with a client that knows the certificate's authority and one that does not.

use airlock_tests::{Airlock, root};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

/// Made for the tests, for localhost and 127.0.0.1.
fn fixture(name: &str) -> PathBuf {
    root().join("tests/fixtures/tls").join(name)
}

fn text(name: &str) -> String {
    fixture(name).display().to_string()
}

/// The answer to a request, or why there is none.
fn ask(address: &str, roots: RootCertStore) -> Result<String, std::io::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(address)?);
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    // The other end may close without a farewell.
    let _ = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn with_a_certificate_the_api_speaks_tls_alone_also_at_an_address_that_others_reach() {
    let airlock = Airlock::new();
    let (certificate, key) = (text("server.pem"), text("server.key"));
    let _service = airlock.serve_with(&[
        "--listen",
        "0.0.0.0:0",
        "--tls-cert",
        &certificate,
        "--tls-key",
        &key,
    ]);
    let url = std::fs::read_to_string(airlock.data().join("api.url")).unwrap();
    let address = url
        .trim()
        .strip_prefix("https://0.0.0.0:")
        .unwrap_or_else(|| panic!("{url}"));
    let address = format!("127.0.0.1:{address}");
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(fixture("ca.pem")).unwrap())
        .unwrap();
    let answer = ask(&address, roots).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("OK"),
        "{answer}"
    );
    ask(&address, RootCertStore::empty()).unwrap_err();
    let mut plain = TcpStream::connect(&address).unwrap();
    plain
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
}

#[test]
fn what_is_no_certificate_or_not_its_key_is_told_before_anything_runs() {
    let airlock = Airlock::new();
    let serve = |certificate: &str, key: &str| {
        airlock.run_within(
            60,
            &[
                "serve",
                "--data",
                "data",
                "--listen",
                "127.0.0.1:0",
                "--tls-cert",
                certificate,
                "--tls-key",
                key,
            ],
        )
    };
    let other = airlock.file("other.pem", "no PEM");
    for (certificate, key) in [
        (text("server.key"), text("server.key")),
        (text("server.pem"), text("server.pem")),
        (text("ca.pem"), text("server.key")),
        (text("server.pem"), other.display().to_string()),
        (text("nowhere"), text("server.key")),
    ] {
        let refused = serve(&certificate, &key);
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(
            refused.stderr.contains("error: TLS cannot be set up with "),
            "{}",
            refused.stderr
        );
    }
    // One without the other is no TLS.
    let half = airlock.run_within(
        60,
        &["serve", "--data", "data", "--tls-cert", &text("server.pem")],
    );
    assert_eq!(half.code, 2, "{}", half.stderr);
}
