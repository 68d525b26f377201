use super::super::vault::Secret;
use super::*;
use airlock_core::grant::Grants;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[path = "http_tricks.rs"]
mod tricks;

/// A server that answers every connection with `answer(request)` and keeps what it was sent.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

fn serve(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = read_request(&mut stream);
            kept.lock().unwrap().push(request.clone());
            // The client may have gone away.
            let _ = stream.write_all(&answer(&request));
        }
    });
    Server { address, seen }
}

fn read_request(stream: &mut std::net::TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).unwrap_or(0);
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse()
                        .ok()
                })
                .unwrap_or(0_usize);
            if body.len() >= length {
                return text;
            }
        }
        if count == 0 {
            return text;
        }
    }
}

fn ok(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Answers with the first set of addresses at the first question, the second at the second.
struct Flip(AtomicUsize, Vec<Vec<IpAddr>>);

#[async_trait]
impl Resolver for Flip {
    async fn resolve(&self, _: &str) -> Result<Vec<IpAddr>, String> {
        let turn = self.0.fetch_add(1, Ordering::Relaxed);
        self.1
            .get(turn)
            .cloned()
            .ok_or_else(|| "asked too often".to_owned())
    }
}

fn resolver(answers: &[&[&str]]) -> Arc<Flip> {
    let parse = |set: &&[&str]| set.iter().map(|text| text.parse().unwrap()).collect();
    Arc::new(Flip(
        AtomicUsize::new(0),
        answers.iter().map(parse).collect(),
    ))
}

fn http_with(grants: &[String], resolver: Arc<Flip>, vault: &Vault) -> Http {
    let grants = Grants {
        http: grants.to_vec(),
        ..Grants::default()
    };
    Http::new(Arc::new(grants.into()), vault.clone(), resolver)
}

fn http(grants: &[String]) -> Http {
    http_with(grants, resolver(&[]), &Vault::default())
}

fn get(url: &str) -> HttpRequest {
    HttpRequest {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        timeout: Duration::from_mins(1),
    }
}

#[tokio::test]
async fn a_granted_address_answers_and_another_is_denied() {
    let server = serve(|_| ok("hello"));
    let port = http(&[server.address.to_string()]);
    let response = port
        .send(get(&format!("http://{}/x?y=1", server.address)))
        .await
        .unwrap();
    assert_eq!((response.status, &*response.body), (200, &b"hello"[..]));
    assert!(server.seen.lock().unwrap()[0].starts_with("GET /x?y=1 HTTP/1.1\r\n"));
    for other in [
        "http://127.0.0.1:1/",
        "http://example.com/",
        "https://169.254.169.254/",
    ] {
        let refused = port.send(get(other)).await;
        assert!(
            matches!(refused, Err(HttpError::Denied(text)) if text.contains("`http`")),
            "{other}"
        );
    }
}

#[tokio::test]
async fn a_request_says_the_attempts_trace_unless_the_guest_says_another() {
    let server = serve(|_| ok("hello"));
    let own = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let port = http(&[server.address.to_string()]).traced(Some(own.to_owned()));
    let url = format!("http://{}/", server.address);
    port.send(get(&url)).await.unwrap();
    let mut other = get(&url);
    other.headers = vec![("Traceparent".to_owned(), b"00-other".to_vec())];
    port.send(other).await.unwrap();
    http(&[server.address.to_string()])
        .send(get(&url))
        .await
        .unwrap();
    let seen = server.seen.lock().unwrap();
    let said = |head: &String| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let own = lines.filter(|(name, _)| name.eq_ignore_ascii_case("traceparent"));
        own.map(|(_, value)| value.to_owned()).collect::<Vec<_>>()
    };
    let said: Vec<_> = seen.iter().map(said).collect();
    assert_eq!(
        said,
        [vec![own.to_owned()], vec!["00-other".to_owned()], vec![]]
    );
}

#[tokio::test]
async fn every_spelling_of_a_private_address_is_denied() {
    // Even where a wildcard or the very text is granted as a name.
    let server = serve(|_| ok("secret"));
    let number = server.address.port();
    let port = http_with(
        &[
            format!("*.example.com:{number}"),
            format!("localhost:{number}"),
        ],
        resolver(&[
            &["127.0.0.1"],
            &["::1"],
            &["93.184.216.34", "10.0.0.1"],
            &["::ffff:127.0.0.1"],
        ]),
        &Vault::default(),
    );
    for host in [
        "localhost",
        "a.example.com",
        "b.example.com",
        "c.example.com",
    ] {
        let refused = port.send(get(&format!("http://{host}:{number}/"))).await;
        assert!(
            matches!(refused, Err(HttpError::Denied(_))),
            "{host}: {refused:?}"
        );
    }
    for spelling in [
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:7f00:1]",
    ] {
        let refused = port
            .send(get(&format!("http://{spelling}:{number}/")))
            .await;
        assert!(
            matches!(refused, Err(HttpError::Denied(_))),
            "{spelling}: {refused:?}"
        );
    }
    assert!(server.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_address_connected_to() {
    let server = serve(|_| ok("checked"));
    let number = server.address.port();
    // The name and the address are granted. The second answer of the rebinding name is never asked for by this request.
    let flip = resolver(&[&["127.0.0.1"], &["10.9.9.9"]]);
    let port = http_with(
        &[format!("flip.test:{number}"), format!("127.0.0.1:{number}")],
        flip.clone(),
        &Vault::default(),
    );
    let url = format!("http://flip.test:{number}/");
    assert_eq!(port.send(get(&url)).await.unwrap().body, b"checked");
    assert_eq!(flip.0.load(Ordering::Relaxed), 1);
    let refused = port.send(get(&url)).await;
    assert!(matches!(refused, Err(HttpError::Denied(_))), "{refused:?}");
    assert_eq!(server.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_redirect_comes_back_and_is_not_followed() {
    let inner = serve(|_| ok("inner"));
    let target = inner.address;
    let server = serve(move |_| {
        format!("HTTP/1.1 302 Found\r\nlocation: http://{target}/\r\ncontent-length: 0\r\n\r\n")
            .into_bytes()
    });
    let port = http(&[server.address.to_string(), target.to_string()]);
    let response = port
        .send(get(&format!("http://{}/", server.address)))
        .await
        .unwrap();
    assert_eq!(response.status, 302);
    assert!(inner.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_both_ways() {
    let server = serve(|_| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
        bytes.resize(usize::try_from(HTTP_BODY_BYTES_MAX).unwrap() + 1_000, b'x');
        bytes
    });
    let port = http(&[server.address.to_string()]);
    let url = format!("http://{}/", server.address);
    assert_eq!(port.send(get(&url)).await, Err(HttpError::TooLarge));
    let mut request = get(&url);
    request.body = vec![0; usize::try_from(HTTP_BODY_BYTES_MAX).unwrap() + 1];
    assert_eq!(port.send(request).await, Err(HttpError::TooLarge));
    assert_eq!(server.seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_that_never_ends_is_timed_out() {
    // It accepts into its backlog and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let mut request = get(&format!("http://{address}/"));
    request.timeout = Duration::from_millis(50);
    let port = http(&[address.to_string()]);
    assert_eq!(port.send(request).await, Err(HttpError::TimedOut));
}

fn vault_for(hosts: Vec<String>) -> Vault {
    let vault = Vault::default();
    vault.add(Secret {
        name: "TOKEN".into(),
        placeholder: "airlock-secret-77".into(),
        value: "t0p \"secret\"".into(),
        hosts,
    });
    vault
}

#[tokio::test]
async fn a_secret_goes_out_and_its_echo_does_not_come_back() {
    let server = serve(|request| ok(&format!("you sent {request}")));
    let authority = server.address.to_string();
    let vault = vault_for(vec![authority.clone()]);
    let port = http_with(std::slice::from_ref(&authority), resolver(&[]), &vault);
    let mut request = get(&format!(
        "http://{authority}/hook/airlock-secret-77?k=airlock-secret-77"
    ));
    request.method = "POST".to_owned();
    request.headers = vec![
        ("authorization".into(), b"Bearer airlock-secret-77".to_vec()),
        (
            "content-type".into(),
            b"application/json; charset=utf-8".to_vec(),
        ),
        ("host".into(), authority.into_bytes()),
    ];
    request.body = br#"{"token":"airlock-secret-77"}"#.to_vec();
    let response = port.send(request).await.unwrap();
    let sent = server.seen.lock().unwrap()[0].clone();
    assert!(
        sent.starts_with("POST /hook/t0p%20%22secret%22?k=t0p%20%22secret%22 "),
        "{sent}"
    );
    assert!(
        sent.contains("authorization: Bearer t0p \"secret\"\r\n"),
        "{sent}"
    );
    assert!(sent.ends_with(r#"{"token":"t0p \"secret\""}"#), "{sent}");
    let echo = String::from_utf8(response.body).unwrap();
    assert!(!echo.contains("t0p"), "{echo}");
    assert_eq!(echo.matches("airlock-secret-77").count(), 4, "{echo}");
}

#[tokio::test]
async fn a_secret_for_another_host_stops_the_request() {
    let server = serve(|_| ok(""));
    let authority = server.address.to_string();
    let vault = vault_for(vec!["api.example.com".into()]);
    let port = http_with(std::slice::from_ref(&authority), resolver(&[]), &vault);
    let mut in_header = get(&format!("http://{authority}/"));
    in_header.headers = vec![("x-key".into(), b"airlock-secret-77".to_vec())];
    let mut in_body = get(&format!("http://{authority}/"));
    in_body.body = b"airlock-secret-77".to_vec();
    let in_path = get(&format!("http://{authority}/airlock-secret-77"));
    for request in [in_header, in_body, in_path] {
        let refused = port.send(request).await;
        assert!(matches!(refused, Err(HttpError::Denied(text)) if text.contains("TOKEN")));
    }
    assert!(server.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn senseless_requests_are_refused_as_values() {
    let port = http(&["api.example.com".into()]);
    for url in [
        "",
        "/relative",
        "ftp://api.example.com/",
        "http://user:pw@api.example.com/",
        "http://",
    ] {
        let refused = port.send(get(url)).await;
        assert!(
            matches!(refused, Err(HttpError::Invalid(_))),
            "{url}: {refused:?}"
        );
    }
    let server = serve(|_| ok(""));
    let port = http(&[server.address.to_string()]);
    for (name, value) in [
        ("host", "internal.example.com"),
        ("transfer-encoding", "chunked"),
        ("x-split", "a\r\nb: c"),
        ("bad name", "x"),
    ] {
        let mut request = get(&format!("http://{}/", server.address));
        request.headers = vec![(name.to_owned(), value.as_bytes().to_vec())];
        let refused = port.send(request).await;
        assert!(
            matches!(refused, Err(HttpError::Invalid(_))),
            "{name}: {refused:?}"
        );
    }
    assert!(server.seen.lock().unwrap().is_empty());
}
