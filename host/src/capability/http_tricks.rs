//! Tricks to reach an address that was not granted. Each goes through the real capability; a server that would answer must
//! never hear of one.

use super::*;
use airlock_core::grant::Grants;

/// Resolves every name to the same addresses.
struct Everywhere(Vec<IpAddr>);

#[async_trait]
impl Resolver for Everywhere {
    async fn resolve(&self, _: &str) -> Result<Vec<IpAddr>, String> {
        Ok(self.0.clone())
    }
}

/// As much as can be granted without naming a private address: every name, on this port too.
fn generous(port: u16) -> Vec<String> {
    let mut hosts = Vec::new();
    for host in [
        "*",
        "*.example.com",
        "api.example.com",
        "localhost",
        "metadata",
        "0x7f.example.com",
    ] {
        hosts.push(host.to_owned());
        hosts.push(format!("{host}:{port}"));
    }
    hosts
}

fn everywhere(hosts: Vec<String>, addresses: &[&str]) -> Http {
    let grants = Grants {
        http: hosts,
        ..Grants::default()
    };
    let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    let resolver = Arc::new(Everywhere(addresses));
    Http::new(Arc::new(grants.into()), Vault::default(), resolver)
}

/// `PORT` is that of a server on 127.0.0.1, to which every name resolves too.
const URLS: &[&str] = &[
    // Notations of 127.0.0.1: decimal, octal, hexadecimal, short, mixed, overlong.
    "http://127.0.0.1:PORT/",
    "http://2130706433:PORT/",
    "http://0x7f000001:PORT/",
    "http://0X7F000001:PORT/",
    "http://017700000001:PORT/",
    "http://0x7f.0.0.1:PORT/",
    "http://0x7f.0x0.0x0.0x1:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://0177.0.0.01:PORT/",
    "http://00177.00.00.01:PORT/",
    "http://0177.0x0.0.1:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://127.0x1:PORT/",
    "http://0x7f.1:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://127.000.000.001:PORT/",
    "http://127.0.0.0x1:PORT/",
    "http://127.0.0.1.:PORT/.",
    "http://127.8.8.8:PORT/",
    "http://127.255.255.254:PORT/",
    "http://4294967295:PORT/",
    "http://4294967296:PORT/",
    "http://256.0.0.1:PORT/",
    "http://127.0.0.1.1:PORT/",
    "http://0x100000000:PORT/",
    "http://0x:PORT/",
    // This host, by no address.
    "http://0:PORT/",
    "http://0.0.0.0:PORT/",
    "http://0.0:PORT/",
    "http://00000000:PORT/",
    "http://0x0:PORT/",
    "http://[::]:PORT/",
    "http://[0:0:0:0:0:0:0:0]:PORT/",
    // Names of this host, and names that resolve to it.
    "http://localhost:PORT/",
    "http://LOCALHOST:PORT/",
    "http://LocalHost.:PORT/",
    "http://localhost.:PORT/",
    "http://api.example.com:PORT/",
    "http://API.EXAMPLE.COM:PORT/",
    "http://api.example.com.:PORT/",
    "http://deep.api.example.com:PORT/",
    "http://localtest.me:PORT/",
    "http://127.0.0.1.nip.io:PORT/",
    "http://localhost.localdomain:PORT/",
    "http://ip6-localhost:PORT/",
    "http://0x7f.example.com:PORT/",
    "http://xn--e1afmkfd.example.com:PORT/",
    "http://метадата.example.com:PORT/",
    "http://metadata:PORT/",
    "http://metadata.google.internal:PORT/",
    "http://metadata.goog:PORT/",
    "http://METADATA.google.internal.:PORT/",
    "http://instance-data.ec2.internal:PORT/",
    // IPv6: loopback, and what carries an IPv4 address.
    "http://[::1]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]:PORT/",
    "http://[::0001]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::FFFF:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[0:0:0:0:0:ffff:7f00:1]:PORT/",
    "http://[::ffff:0:127.0.0.1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[::7f00:1]:PORT/",
    "http://[64:ff9b::127.0.0.1]:PORT/",
    "http://[64:ff9b::7f00:1]:PORT/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::7f00:1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[2002:7f00:0001::1]:PORT/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[2001:0:7f00:1::]:PORT/",
    "http://[2001:0:808:808:0:0:80ff:fffe]:PORT/",
    "http://[2001:db8::1]:PORT/",
    "http://[fc00::1]:PORT/",
    "http://[fd00::1]:PORT/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]:PORT/",
    "http://[fec0::1]:PORT/",
    "http://[ff02::1]:PORT/",
    "http://[100::1]:PORT/",
    "http://[5f00::1]:PORT/",
    // Zone ids, in every spelling that anybody reads.
    "http://[fe80::1%25eth0]:PORT/",
    "http://[fe80::1%eth0]:PORT/",
    "http://[::1%25lo]:PORT/",
    "http://[::1%1]:PORT/",
    "http://[::1%00]:PORT/",
    // Brackets that are wrong.
    "http://[::1:PORT/",
    "http://::1:PORT/",
    "http://[127.0.0.1]:PORT/",
    "http://[::1].example.com:PORT/",
    "http://[::1]example.com:PORT/",
    "http://[v1.x]:PORT/",
    // Private, link-local, shared and metadata addresses.
    "http://10.0.0.1/",
    "http://167772161/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://0xc0a80001/",
    "http://0300.0250.0.1/",
    "http://100.64.0.1/",
    "http://100.100.100.200/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.169.254./latest/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0xA9.0xFE.0xA9.0xFE/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://169.16689662/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://169.254.170.2/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    // User names, and what looks like a host before the real one.
    "http://api.example.com@127.0.0.1:PORT/",
    "http://api.example.com:80@127.0.0.1:PORT/",
    "http://api.example.com%40127.0.0.1:PORT/",
    "http://127.0.0.1:PORT@api.example.com/",
    "http://a:b@api.example.com:PORT/",
    "http://@127.0.0.1:PORT/",
    "http://api.example.com@@127.0.0.1:PORT/",
    "http://api.example.com%00@127.0.0.1:PORT/",
    // Backslashes, and other things that some take for the end of the host.
    "http://127.0.0.1:PORT\\@api.example.com/",
    "http://api.example.com\\@127.0.0.1:PORT/",
    "http:\\\\127.0.0.1:PORT/",
    "http:/127.0.0.1:PORT/",
    "http:127.0.0.1:PORT/",
    "http:///127.0.0.1:PORT/",
    "http://127.0.0.1:PORT#@api.example.com/",
    "http://127.0.0.1:PORT?@api.example.com/",
    "http://api.example.com\t:PORT/",
    "http://127.0\n.0.1:PORT/",
    "\thttp://127.0.0.1:PORT/",
    " http://127.0.0.1:PORT/ ",
    "http://127.0.0.1 :PORT/",
    "http://127.0.0.1%20:PORT/",
    "http://127.0.0.1%00.example.com:PORT/",
    "http://127.0.0.1\0.example.com:PORT/",
    "http://127.0.0.1%2f.example.com:PORT/",
    "http://127.0.0.1%23.example.com:PORT/",
    // Other alphabets that become digits and dots.
    "http://１２７.0.0.1:PORT/",
    "http://①②⑦.⓪.⓪.①:PORT/",
    "http://127。0。0。1:PORT/",
    "http://127．0．0．1:PORT/",
    "http://127｡0｡0｡1:PORT/",
    "http://𝟭𝟮𝟳.𝟬.𝟬.𝟭:PORT/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:PORT/",
    "http://loc\u{ad}alhost:PORT/",
    "http://loc\u{200b}alhost:PORT/",
    "http://ｌｏｃａｌｈｏｓｔ:PORT/",
    "http://%31%32%37.0.0.1:PORT/",
    "http://%6c%6f%63alhost:PORT/",
    "http://1%327.0.0.1:PORT/",
    "http://[::①]:PORT/",
    "http://٠.٠.٠.٠:PORT/",
    // Ports.
    "http://api.example.com:22/",
    "http://api.example.com:0/",
    "http://api.example.com:65536/",
    "http://api.example.com:-1/",
    "http://api.example.com:+PORT/",
    "http://api.example.com:0PORT/",
    "http://api.example.com:PORT:80/",
    "http://api.example.com:８０/",
    "http://127.0.0.1:/",
    // Schemes.
    "file:///etc/passwd",
    "ftp://127.0.0.1:PORT/",
    "gopher://127.0.0.1:PORT/_GET",
    "ws://127.0.0.1:PORT/",
    "data:text/plain,x",
    "javascript:alert(1)",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
    "unix:/var/run/docker.sock",
    "jar:http://127.0.0.1:PORT/!/",
    "HTTPS://127.0.0.1:PORT/",
    "hTTp://127.0.0.1:PORT/",
    "//127.0.0.1:PORT/",
    "127.0.0.1:PORT",
    "http://",
    "http://:PORT/",
    "http://./",
    "http://..:PORT/",
    "http://.127.0.0.1:PORT/",
    "http://-.example.com:PORT/",
    "http://*.example.com:PORT/",
    "http://*:PORT/",
];

#[tokio::test]
async fn no_url_reaches_an_address_that_was_not_named() {
    assert!(URLS.len() >= 120, "{} tricks", URLS.len());
    let server = serve(|_| ok("private"));
    let number = server.address.port();
    let port = everywhere(generous(number), &["127.0.0.1"]);
    for trick in URLS {
        let url = trick.replace("PORT", &number.to_string());
        let answer = port.send(get(&url)).await;
        let refused = matches!(answer, Err(HttpError::Denied(_) | HttpError::Invalid(_)));
        assert!(refused, "{trick:?}: {answer:?}");
    }
    assert!(server.seen.lock().unwrap().is_empty());
}

/// What a granted name may resolve to and must not be led to.
const PRIVATE: &[&str] = &[
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "100.100.100.200",
    "127.0.0.1",
    "127.1.2.3",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.254",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.31.196.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.251",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::1",
    "2001:0:a00:1::",
    "2001:0:808:808::f5ff:fffe",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::254",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "4000::1",
    "e000::1",
];

#[tokio::test]
async fn no_name_leads_to_a_private_address_alone_or_among_public_ones() {
    for address in PRIVATE {
        for addresses in [
            &[*address][..],
            &["93.184.216.34", *address],
            &[*address, "93.184.216.34"],
            &["2606:4700::1111", "8.8.8.8", *address],
        ] {
            for url in ["http://api.example.com/", "https://api.example.com/"] {
                let answer = everywhere(generous(1), addresses).send(get(url)).await;
                let denied =
                    matches!(&answer, Err(HttpError::Denied(text)) if text.contains("not public"));
                assert!(denied, "{addresses:?}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_private_address_is_reached_on_the_port_that_was_named_and_no_other() {
    let server = serve(|_| ok("private"));
    let number = server.address.port();
    for (grant, url) in [
        (
            "127.0.0.1".to_owned(),
            format!("http://127.0.0.1:{number}/"),
        ),
        (
            "127.0.0.1:1".to_owned(),
            format!("http://127.0.0.1:{number}/"),
        ),
        (
            "127.0.0.2".to_owned(),
            format!("http://127.0.0.1:{number}/"),
        ),
        (
            format!("127.0.0.2:{number}"),
            format!("http://127.0.0.1:{number}/"),
        ),
        (
            format!("[::1]:{number}"),
            format!("http://127.0.0.1:{number}/"),
        ),
        (
            format!("*.0.0.1:{number}"),
            format!("http://127.0.0.1:{number}/"),
        ),
        (format!("*:{number}"), format!("http://127.0.0.1:{number}/")),
        (
            format!("127.0.0.1:{number}"),
            format!("http://[::ffff:127.0.0.1]:{number}/"),
        ),
        (
            format!("127.0.0.1:{number}"),
            format!("http://127.0.0.2:{number}/"),
        ),
        (
            format!("127.0.0.1:{number}"),
            format!("http://api.example.com:{number}/"),
        ),
    ] {
        let port = everywhere(vec![grant.clone()], &["127.0.0.1"]);
        let answer = port.send(get(&url)).await;
        assert!(
            matches!(answer, Err(HttpError::Denied(_))),
            "{grant} {url}: {answer:?}"
        );
    }
    assert!(server.seen.lock().unwrap().is_empty());
}

/// Paths and queries that try to become another request, or another request's target.
const TARGETS: &[&str] = &[
    "/a%0d%0aHost:%20evil",
    "/a\r\nHost: evil",
    "/a HTTP/1.1\r\nHost: evil\r\n\r\nGET /b",
    "/?q=a\r\nX: y",
    "/?q=a%0d%0aX:y",
    "//evil.example.com/",
    "/\\evil.example.com/",
    "/http://evil.example.com/",
    "/..//evil",
    "/@evil.example.com",
    "/#\r\nX: y",
    "?http://evil.example.com/",
    "/\u{2028}Host: evil",
    "/\u{0085}Host: evil",
    "/\0Host",
    "/\tHTTP/1.1",
];

#[tokio::test]
async fn no_path_becomes_a_header_or_another_request() {
    let server = serve(|_| ok("one"));
    let authority = server.address.to_string();
    let port = http(std::slice::from_ref(&authority));
    for target in TARGETS {
        let before = server.seen.lock().unwrap().len();
        let answer = port.send(get(&format!("http://{authority}{target}"))).await;
        let heard = server.seen.lock().unwrap().split_off(before);
        match answer {
            Err(HttpError::Invalid(_)) => assert!(heard.is_empty(), "{target:?}"),
            Ok(answer) => {
                assert_eq!(answer.body, b"one", "{target:?}");
                let [request] = &heard[..] else {
                    panic!("{target:?} is one request: {heard:?}");
                };
                let line = request.lines().next().unwrap();
                assert!(
                    line.starts_with("GET /") && line.ends_with(" HTTP/1.1"),
                    "{line}"
                );
                assert_eq!(line.split(' ').count(), 3, "{line}");
                let hosts = request.to_ascii_lowercase().matches("\r\nhost:").count();
                assert_eq!(hosts, 1, "{request}");
                assert!(
                    request.contains(&format!("\r\nhost: {authority}\r\n")),
                    "{request}"
                );
                assert!(!request.contains("\r\nX"), "{request}");
            }
            other => panic!("{target:?}: {other:?}"),
        }
    }
}

/// Headers that would change the connection, or are none.
const HEADERS: &[(&str, &str)] = &[
    ("Host", "evil"),
    ("HOST", "evil"),
    ("host ", "x"),
    ("host\r\nx", "y"),
    (":authority", "evil"),
    (":path", "/evil"),
    ("transfer-encoding", "chunked"),
    ("Transfer-Encoding", "identity"),
    ("te", "trailers"),
    ("connection", "upgrade"),
    ("upgrade", "h2c"),
    ("proxy-connection", "keep-alive"),
    ("proxy-authorization", "Basic x"),
    ("trailer", "x"),
    ("expect", "100-continue"),
    ("x-a", "b\r\nhost: evil"),
    ("x-a", "b\nhost: evil"),
    ("x-a", "b\rhost: evil"),
    ("x-a", "b\0c"),
    ("x:a", "b"),
    ("", "b"),
];

#[tokio::test]
async fn no_header_or_method_changes_where_a_request_goes_or_where_it_ends() {
    let server = serve(|_| ok("one"));
    let authority = server.address.to_string();
    let port = http(std::slice::from_ref(&authority));
    let (host, number) = authority.split_once(':').unwrap();
    let bad_hosts = [
        "evil.example.com".to_owned(),
        "metadata.google.internal".to_owned(),
        host.to_owned(),
        format!("{host}:80"),
        format!("{authority}.evil.example.com"),
        format!("evil@{authority}"),
        format!("{authority}, evil"),
        format!("{authority}\r\nX-Evil: 1"),
        format!("{host}:0{number}"),
        format!("http://{authority}"),
        String::new(),
    ];
    let hosts = bad_hosts
        .into_iter()
        .map(|value| ("host".to_owned(), value));
    let others = HEADERS
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    for (name, value) in hosts.chain(others) {
        let mut request = get(&format!("http://{authority}/"));
        request.headers = vec![(name.clone(), value.clone().into_bytes())];
        let answer = port.send(request).await;
        assert!(
            matches!(answer, Err(HttpError::Invalid(_))),
            "{name:?}: {value:?}: {answer:?}"
        );
    }
    for method in [
        "GET / HTTP/1.1\r\nX: y\r\n\r\nGET",
        "GET ",
        "G\tT",
        "",
        "GET\0",
    ] {
        let mut request = get(&format!("http://{authority}/"));
        method.clone_into(&mut request.method);
        let answer = port.send(request).await;
        assert!(
            matches!(answer, Err(HttpError::Invalid(_))),
            "{method:?}: {answer:?}"
        );
    }
    assert!(server.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_length_that_lies_is_corrected() {
    let server = serve(|_| ok("one"));
    let authority = server.address.to_string();
    let port = http(std::slice::from_ref(&authority));
    let mut request = get(&format!("http://{authority}/"));
    request.headers = vec![("content-length".into(), b"1000".to_vec())];
    request.body = b"abc".to_vec();
    assert_eq!(port.send(request).await.unwrap().body, b"one");
    let heard = server.seen.lock().unwrap()[0].to_ascii_lowercase();
    assert!(
        heard.contains("content-length: 3\r\n") && !heard.contains("1000"),
        "{heard}"
    );
}

#[tokio::test]
async fn no_redirect_is_followed_wherever_it_leads() {
    let private = serve(|_| ok("private"));
    let number = private.address.port();
    let locations: Vec<String> = URLS
        .iter()
        .filter(|trick| trick.bytes().all(|byte| (b' '..0x7f).contains(&byte)))
        .map(|trick| trick.replace("PORT", &number.to_string()))
        .collect();
    assert!(locations.len() >= 100);
    let (count, next) = (locations.len(), AtomicUsize::new(0));
    let server = serve(move |_| {
        let turn = next.fetch_add(1, Ordering::Relaxed);
        let status = ["301 M", "302 F", "303 S", "307 T", "308 P"][turn % 5];
        let location = &locations[turn];
        format!("HTTP/1.1 {status}\r\nlocation: {location}\r\nrefresh: 0; url={location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into_bytes()
    });
    let port = http(&[server.address.to_string(), private.address.to_string()]);
    for _ in 0..count {
        let answer = port.send(get(&format!("http://{}/", server.address))).await;
        let status = answer.unwrap().status;
        assert!((301..=308).contains(&status), "{status}");
    }
    assert!(private.seen.lock().unwrap().is_empty());
    assert_eq!(server.seen.lock().unwrap().len(), count);
}

#[tokio::test]
async fn a_redirect_does_not_carry_a_secret_to_another_host() {
    let thief = serve(|request| ok(&format!("stolen {request}")));
    let target = thief.address;
    let server = serve(move |_| {
        format!("HTTP/1.1 307 T\r\nlocation: http://{target}/airlock-secret-77\r\ncontent-length: 0\r\n\r\n")
            .into_bytes()
    });
    let authority = server.address.to_string();
    let vault = vault_for(vec![authority.clone()]);
    let port = http_with(
        &[authority.clone(), target.to_string()],
        resolver(&[]),
        &vault,
    );
    let mut request = get(&format!("http://{authority}/"));
    request.headers = vec![("authorization".into(), b"Bearer airlock-secret-77".to_vec())];
    let answer = port.send(request.clone()).await.unwrap();
    assert_eq!(answer.status, 307);
    assert!(thief.seen.lock().unwrap().is_empty());
    // A guest that follows it by itself sends a placeholder, and that is stopped.
    request.url = format!("http://{target}/");
    let answer = port.send(request).await;
    assert!(matches!(answer, Err(HttpError::Denied(_))), "{answer:?}");
    assert!(thief.seen.lock().unwrap().is_empty());
}

/// A request with the placeholder of `vault_for` at this place.
fn at(authority: &str, place: &str) -> HttpRequest {
    let secret = "airlock-secret-77";
    let mut request = get(&format!("http://{authority}/"));
    let with = |name: &str, value: String| (name.to_owned(), value.into_bytes());
    match place {
        "path" => request.url.push_str(secret),
        "path middle" => request.url.push_str(&format!("a/{secret}/b")),
        "query" => request.url.push_str(&format!("?k={secret}")),
        "query name" => request.url.push_str(&format!("?{secret}=1")),
        "header" => request.headers = vec![with("x-key", secret.to_owned())],
        "second header" => {
            request.headers = vec![
                with("x-a", "1".into()),
                with("x-key", format!("a{secret}b")),
            ];
        }
        "cookie" => request.headers = vec![with("cookie", format!("s={secret}; t=1"))],
        "body" => request.body = secret.into(),
        "late in the body" => {
            request.body = vec![b'x'; 100_000];
            request.body.extend_from_slice(secret.as_bytes());
        }
        "twice" => request.body = format!("{secret}{secret}").into(),
        "form" => {
            request.headers = vec![with(
                "content-type",
                "application/x-www-form-urlencoded".into(),
            )];
            request.body = format!("k={secret}").into();
        }
        "json" => {
            request.headers = vec![with("content-type", "application/problem+json".into())];
            request.body = format!(r#"{{"k":"{secret}"}}"#).into();
        }
        other => panic!("{other}"),
    }
    request
}

/// Each way of writing a placeholder down that the host must either fill in for a granted host or leave as the useless text it is.
#[tokio::test]
async fn a_placeholder_is_filled_in_everywhere_for_its_host_and_nowhere_for_another() {
    let server = serve(|_| ok("thanks"));
    let other = serve(|_| ok("thanks"));
    let (good, bad) = (server.address.to_string(), other.address.to_string());
    let vault = vault_for(vec![good.clone()]);
    let port = http_with(&[good.clone(), bad.clone()], resolver(&[]), &vault);
    let places = [
        "path",
        "path middle",
        "query",
        "query name",
        "header",
        "second header",
        "cookie",
        "body",
        "late in the body",
        "twice",
        "form",
        "json",
    ];
    for place in places {
        let before = server.seen.lock().unwrap().len();
        assert_eq!(
            port.send(at(&good, place)).await.unwrap().status,
            200,
            "{place}"
        );
        let heard = server.seen.lock().unwrap()[before].clone();
        assert!(
            heard.contains("t0p") && !heard.contains("airlock-secret"),
            "{place}: {heard}"
        );
        let answer = port.send(at(&bad, place)).await;
        assert!(
            matches!(answer, Err(HttpError::Denied(_))),
            "{place}: {answer:?}"
        );
    }
    assert!(
        other.seen.lock().unwrap().is_empty(),
        "no part of any request went out"
    );
}

#[tokio::test]
async fn a_placeholder_that_is_written_otherwise_is_only_text() {
    let server = serve(|_| ok(""));
    let authority = server.address.to_string();
    let vault = vault_for(vec!["api.example.com".into()]);
    let port = http_with(std::slice::from_ref(&authority), resolver(&[]), &vault);
    for spelling in [
        "airlock-secret-7",
        "AIRLOCK-SECRET-77",
        "airlock%2Dsecret%2D77",
        "airlock-secret-\u{200b}77",
        "77-terces-kcolria",
        "YWlybG9jay1zZWNyZXQtNzc=",
    ] {
        let mut request = get(&format!("http://{authority}/"));
        request.body = spelling.into();
        port.send(request).await.unwrap();
        let heard = server.seen.lock().unwrap().pop().unwrap();
        assert!(
            heard.ends_with(spelling) && !heard.contains("t0p"),
            "{heard}"
        );
    }
}
