use super::*;
use proptest::prelude::*;
use std::net::IpAddr;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const BLOCKED: [&str; 83] = [
    "0.0.0.0",
    "0.0.0.1",
    "0.255.255.255",
    "10.0.0.0",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.0",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.0",
    "127.0.0.1",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.0",
    "169.254.169.254",
    "169.254.170.2",
    "169.254.255.255",
    "172.16.0.0",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.0",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.0.255",
    "192.0.2.1",
    "192.31.196.1",
    "192.88.99.1",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.0",
    "224.0.0.251",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.254",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:192.168.1.1",
    "::ffff:100.64.0.1",
    "::ffff:0:10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::1",
    "64:ff9b:1:ffff::8.8.8.8",
    "100::1",
    "100:0:0:1::1",
    "2001:0:7f00:1::",
    "2001:0:808:808:0:0:f5ff:fffe",
    "2001:0:a00:1:0:0:f7f7:f7f7",
    "2001:1::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2001:db8:ffff::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::1",
    "2002:c0a8:101::1",
    "3fff::1",
    "3fff:fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fdff:ffff::1",
    "fe80::1",
    "febf:ffff::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "4000::1",
];

const GLOBAL: [&str; 41] = [
    "1.0.0.0",
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.88.98.1",
    "192.88.100.1",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.1",
    "198.51.101.1",
    "203.0.112.1",
    "203.0.114.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "2a00:1450::1",
    "2001:200::1",
    "2001:db7::1",
    "2001:db9::1",
    "::ffff:8.8.8.8",
    "::8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
    "2001:0:808:808:0:0:f7f7:f7f7",
    "2620:fe::fe",
];

#[test]
fn only_the_public_internet_is_global() {
    for text in BLOCKED {
        assert!(!is_global(ip(text)), "{text} is blocked");
    }
    for text in GLOBAL {
        assert!(is_global(ip(text)), "{text} is global");
    }
}

#[test]
fn metadata_is_known_in_every_notation() {
    for text in [
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "2002:a9fe:a9fe::1",
    ] {
        assert!(is_metadata(ip(text)), "{text}");
    }
    for text in ["8.8.8.8", "169.254.1.1", "::1", "fe80::1"] {
        assert!(!is_metadata(ip(text)), "{text}");
    }
}

#[test]
fn a_host_has_one_notation() {
    for (text, canonical) in [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("a_b.example", "a_b.example"),
        ("10.0.0.1", "10.0.0.1"),
        ("[::1]", "[::1]"),
        ("[2001:DB8::1]", "[2001:db8::1]"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ] {
        assert_eq!(canonical_host(text).as_deref(), Ok(canonical), "{text}");
    }
    for text in [
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "-a.com",
        "a-.com",
        "bücher.example",
        "a b",
        "a/b",
        "a@b",
        "a:1",
        "a%2eb",
        "a\\b",
        "a\0b",
        "127.1",
        "127.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "127.0.0.01",
        "1.2.3.4.5",
        "256.0.0.1",
        "0.0.0.0x1",
        "foo.1",
        "foo.0x1",
        "0x",
        "[::1",
        "::1",
        "[::1%25eth0]",
        "[::1%eth0]",
        "[0:0:0:0:0:0:0:1]",
        "[::0001]",
        "[127.0.0.1]",
        "１２７.0.0.1",
        "127。0。0。1",
        "*",
        "*.a.com",
    ] {
        assert!(canonical_host(text).is_err(), "{text:?} is refused");
    }
    assert!(canonical_host(&"a".repeat(64)).is_err());
    assert!(canonical_host(&"a.".repeat(128)).is_err());
}

fn http(patterns: &[&str]) -> Grants {
    Grants {
        http: patterns.iter().map(|&text| text.to_owned()).collect(),
        ..Grants::default()
    }
}

#[test]
fn host_patterns_match_whole_labels_and_named_ports() {
    for (pattern, host, port, allowed) in [
        ("a.com", "a.com", 443, true),
        ("a.com", "A.COM.", 80, true),
        ("a.com", "a.com", 8080, false),
        ("a.com:8080", "a.com", 8080, true),
        ("a.com:8080", "a.com", 443, false),
        ("a.com", "b.a.com", 443, false),
        ("*.a.com", "b.a.com", 443, true),
        ("*.a.com", "c.b.a.com", 443, true),
        ("*.a.com", "a.com", 443, false),
        ("*.a.com", "evila.com", 443, false),
        ("*.a.com", ".a.com", 443, false),
        ("*.a.com", "b.a.com.evil.org", 443, false),
        ("*.a.com:8443", "b.a.com", 8443, true),
        ("*", "anything.org", 443, true),
        ("*", "10.0.0.1", 443, false),
        ("*", "8.8.8.8", 443, false),
        ("*", "[::1]", 443, false),
        ("*", "metadata.google.internal", 80, false),
        ("*.google.internal", "metadata.google.internal", 80, false),
        (
            "metadata.google.internal",
            "metadata.google.internal",
            80,
            true,
        ),
        ("10.0.0.1", "10.0.0.1", 80, true),
        ("10.0.0.1", "010.0.0.1", 80, false),
        ("10.0.0.1", "167772161", 80, false),
        ("[::1]:9000", "[::1]", 9000, true),
        ("[::1]", "[::1]", 443, true),
        ("*.com", "com", 443, false),
        ("192.168.1.*", "192.168.1.7", 443, false),
        ("192.168.1.*", "192.168.1.evil.example", 443, false),
        ("a.com:0443", "a.com", 443, false),
        ("a.com:0", "a.com", 0, false),
        ("", "", 443, false),
    ] {
        let grants = http(&[pattern]);
        assert_eq!(
            grants.allows_http(host, port),
            allowed,
            "{pattern} {host}:{port}"
        );
    }
}

#[test]
fn a_private_address_is_reached_only_when_named_literally() {
    let grants = http(&[
        "mlflow.internal:5000",
        "10.0.0.5:5000",
        "localhost:8080",
        "[::1]:8080",
        "*",
    ]);
    assert!(grants.allows_address(ip("8.8.8.8"), 443));
    assert!(grants.allows_address(ip("10.0.0.5"), 5000));
    assert!(grants.allows_address(ip("::ffff:10.0.0.5"), 5000));
    assert!(grants.allows_address(ip("::1"), 8080));
    for (address, port) in [
        ("10.0.0.6", 5000),
        ("10.0.0.5", 443),
        ("127.0.0.1", 443),
        ("127.0.0.1", 8080),
        ("::1", 8081),
        ("10.0.0.1", 8080),
        ("169.254.169.254", 443),
    ] {
        assert!(
            !grants.allows_address(ip(address), port),
            "{address}:{port}"
        );
    }
}

#[test]
fn storage_is_compared_by_whole_segments_in_normal_form() {
    let grants = Grants {
        storage: vec![
            "s3://data/".into(),
            "file://./data/".into(),
            "s3://broken".into(),
        ],
        storage_read: vec!["gs://public/a/".into()],
        ..Grants::default()
    };
    for (uri, read, write) in [
        ("s3://data/x.parquet", true, true),
        ("S3://data/x", true, true),
        ("s3://data/", true, true),
        ("s3://data/a/b/c", true, true),
        ("s3://data", false, false),
        ("s3://data2/x", false, false),
        ("s3://Data/x", false, false),
        ("s3://broken/x", false, false),
        ("s3://data/../other/x", false, false),
        ("s3://data/./x", false, false),
        ("s3://data//x", false, false),
        ("s3://data/%2e%2e/x", false, false),
        ("s3://data/%2E./x", false, false),
        ("s3://data/a%2fb", false, false),
        ("s3://data/a%252fb", false, false),
        ("s3://data/a%00", false, false),
        ("s3://data/a\\b", false, false),
        ("s3://data/a\nb", false, false),
        ("s3://data/a?versionId=1", false, false),
        ("s3://data/a#b", false, false),
        ("s3://user@data/x", false, false),
        ("s3://user:pw@data/x", false, false),
        ("s3://data:80/x", false, false),
        ("s3:///x", false, false),
        ("s3:/data/x", false, false),
        ("http://data/x", false, false),
        ("file://./data/x", true, true),
        ("file://./data/../x", false, false),
        ("file://./data2/x", false, false),
        ("file:///data/x", false, false),
        ("file://data/x", false, false),
        ("file://host/data/x", false, false),
        ("file:////etc/passwd", false, false),
        ("gs://public/a/x", true, false),
        ("gs://public/b/x", false, false),
        ("", false, false),
    ] {
        assert_eq!(grants.allows_storage(uri, false), read, "read {uri:?}");
        assert_eq!(grants.allows_storage(uri, true), write, "write {uri:?}");
    }
    assert!(normalise_uri(&format!("s3://data/{}", "a".repeat(URI_BYTES_MAX))).is_err());
}

#[test]
fn a_denial_names_the_grant_that_would_allow_it() {
    let requests = [
        (
            Request::Http {
                host: "Hooks.Slack.com",
                port: 443,
            },
            r#"http: ["hooks.slack.com"]"#,
        ),
        (
            Request::Http {
                host: "10.0.0.5",
                port: 5000,
            },
            r#"http: ["10.0.0.5:5000"]"#,
        ),
        (
            Request::Storage {
                uri: "s3://data/a/b.csv",
                write: true,
            },
            r#"storage: ["s3://data/a/"]"#,
        ),
        (
            Request::Storage {
                uri: "s3://data/b.csv",
                write: false,
            },
            r#"storage_read: ["s3://data/"]"#,
        ),
        (Request::Experiment("churn"), r#"tracking: ["churn"]"#),
        (Request::Model("churn"), r#"models: ["churn"]"#),
        (Request::DagState("daily"), r#"dag_state: ["daily"]"#),
        (Request::TriggerDag("child"), r#"trigger_dags: ["child"]"#),
        (Request::Training, "training: {}"),
        (
            Request::Secret {
                name: "hf",
                host: "hf.co",
            },
            r#"secrets: {"hf": ["hf.co"]}"#,
        ),
    ];
    for (request, needed) in requests {
        let denied = Grants::default().check(request).unwrap_err();
        assert_eq!(denied.needed, needed);
        // The line is a grant, and it is enough. (A flow mapping in YAML is close to JSON: quote the bare key.)
        let (key, value) = needed.split_once(": ").unwrap();
        let json = format!("{{{key:?}: {value}}}");
        let grants: Grants = serde_json::from_str(&json).unwrap();
        assert_eq!(grants.check(request), Ok(()), "{needed}");
        assert_eq!(grants.validate(), Ok(()));
    }
}

#[test]
fn a_malformed_grant_is_reported_with_its_place() {
    let error = http(&["192.168.1.*"]).validate().unwrap_err().to_string();
    assert!(
        error.contains("grants.http") && error.contains("192.168.1.*"),
        "{error}"
    );
    let many = http(&["a.com"; PATTERNS_MAX + 1]);
    assert!(many.validate().unwrap_err().to_string().contains("256"));
    let grants = Grants {
        storage: vec!["s3://data".into()],
        ..Grants::default()
    };
    let error = grants.validate().unwrap_err().to_string();
    assert!(
        error.contains("grants.storage") && error.contains("ends in '/'"),
        "{error}"
    );
}

#[test]
fn permissions_read_as_sentences() {
    let grants = Grants {
        http: vec!["hooks.slack.com".into(), "*".into()],
        storage: vec!["s3://data/".into()],
        storage_read: vec!["gs://public/".into()],
        tracking: vec!["*".into()],
        models: vec!["churn".into()],
        training: Some(TrainingGrant::default()),
        dag_state: vec!["daily".into()],
        trigger_dags: vec!["child".into()],
        secrets: [("hf".to_owned(), vec!["hf.co".to_owned()])].into(),
        email: vec!["*@example.com".into(), "*".into()],
        scratch_bytes: Some(64 << 20),
        limits: Limits::default(),
    };
    assert_eq!(
        grants.sentences(),
        [
            "may call hooks.slack.com",
            "may call any host on the internet",
            "may read and write s3://data/",
            "may read gs://public/",
            "may log to any experiment",
            "may change model churn",
            "may train on this host, with up to 1 threads and 2048 MiB",
            "may give a program a scratch folder of up to 64 MiB",
            "may read the run states of DAG daily",
            "may trigger runs of DAG child",
            "may mail *@example.com",
            "may mail anybody",
            "may send secret hf to hf.co (and never sees its value)",
        ]
    );
    assert!(Grants::default().sentences().is_empty());
}

fn some_of(choices: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(prop::sample::select(choices).prop_map(str::to_owned), 0..4)
}

pub(super) const HOSTS: &[&str] = &[
    "localhost",
    "localhost:8080",
    "a.com",
    "a.com:8080",
    "a.com:443",
    "*.a.com",
    "b.a.com",
    "*.b.a.com:443",
    "c.b.a.com",
    "*",
    "*:8080",
    "10.0.0.1",
    "10.0.0.1:8080",
    "[::1]",
    "metadata",
    "bad host",
    "192.168.1.*",
];
pub(super) const PREFIXES: &[&str] = &[
    "s3://d/",
    "s3://d/a/",
    "s3://d/a/b/",
    "s3://d2/",
    "S3://d/a/",
    "file://./x/",
    "file:///x/",
    "s3://d",
    "x",
];
pub(super) const NAMES: &[&str] = &["*", "one", "two"];
pub(super) const ADDRESSES: &[&str] = &["*", "*@a.com", "*@b.org", "x@a.com", "y@a.com", "x", "*@"];

prop_compose! {
    pub(super) fn any_grants()(
        http in some_of(HOSTS), storage in some_of(PREFIXES), storage_read in some_of(PREFIXES),
        tracking in some_of(NAMES), models in some_of(NAMES), dag_state in some_of(NAMES),
        trigger_dags in some_of(NAMES), email in some_of(ADDRESSES),
        threads in prop::option::of(1..9_u32), memory in prop::option::of(1..9_u64),
        secret in prop::option::of(some_of(HOSTS)), scratch in prop::option::of(1..9_u64),
    ) -> Grants {
        Grants {
            http, storage, storage_read, tracking, models, dag_state, trigger_dags, email,
            training: threads.map(|threads| TrainingGrant { threads, memory_bytes: u64::from(threads) }),
            secrets: secret.map(|hosts| ("s".to_owned(), hosts)).into_iter().collect(),
            scratch_bytes: scratch,
            limits: Limits { memory_bytes: memory, log_bytes: None, output_bytes: memory },
        }
    }
}

pub(super) fn questions() -> Vec<Request<'static>> {
    let mut all = vec![Request::Training];
    all.extend(["x@a.com", "y@a.com", "x@b.org", "z@c.net", "x"].map(Request::Email));
    for host in [
        "a.com",
        "b.a.com",
        "c.b.a.com",
        "x.org",
        "10.0.0.1",
        "[::1]",
        "localhost",
        "metadata",
    ] {
        all.extend([80, 443, 8080].map(|port| Request::Http { host, port }));
        all.push(Request::Secret { name: "s", host });
    }
    for uri in [
        "s3://d/x",
        "s3://d/a/x",
        "s3://d/a/b/x",
        "s3://d2/x",
        "file://./x/y",
        "file:///x/y",
    ] {
        all.extend([true, false].map(|write| Request::Storage { uri, write }));
    }
    for name in ["one", "two", "three"] {
        all.extend([
            Request::Experiment(name),
            Request::Model(name),
            Request::DagState(name),
        ]);
    }
    all
}

proptest! {
    /// Exactly the intersection: nothing more, and nothing that both allow is lost.
    #[test]
    fn narrowing_is_the_intersection(one in any_grants(), two in any_grants()) {
        let both = one.narrow(&two);
        prop_assert_eq!(both.validate(), Ok(()));
        for question in questions() {
            let each = one.check(question).is_ok() && two.check(question).is_ok();
            prop_assert_eq!(both.check(question).is_ok(), each, "{:?}", question);
        }
        prop_assert!(both.limits.memory_bytes.unwrap_or(99) <= one.limits.memory_bytes.unwrap_or(99));
        prop_assert!(both.limits.output_bytes.unwrap_or(99) <= two.limits.output_bytes.unwrap_or(99));
        let scratch = one.scratch_bytes.zip(two.scratch_bytes).map(|(one, two)| one.min(two));
        prop_assert_eq!(both.scratch_bytes, scratch);
        if let Some(training) = &both.training {
            prop_assert!(training.threads <= one.training.as_ref().unwrap().threads);
            prop_assert!(training.threads <= two.training.as_ref().unwrap().threads);
        }
        prop_assert_eq!(&both, &two.narrow(&one));
        prop_assert_eq!(&both, &both.narrow(&both));
        for host in ["a.com", "localhost", "10.0.0.1"] {
            for (address, port) in [("10.0.0.1", 80), ("10.0.0.1", 8080), ("127.0.0.1", 8080), ("::1", 443)] {
                let allows = |grants: &Grants| {
                    grants.allows_http(host, port) && grants.allows_address(ip(address), port)
                };
                prop_assert!(!allows(&both) || (allows(&one) && allows(&two)), "{host} {address}:{port}");
            }
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>(), port in any::<u16>()) {
        let grants = Grants { http: vec![text.clone()], storage: vec![text.clone()], ..Grants::default() };
        grants.allows_http(&text, port);
        grants.allows_storage(&text, true);
        grants.allows_secret(&text, &text);
        let _ = grants.check(Request::Storage { uri: &text, write: false });
        let _ = grants.check(Request::Http { host: &text, port });
        let _ = grants.validate();
    }

    #[test]
    fn any_address_gives_the_same_answer_mapped(bits in any::<u32>()) {
        let v4 = std::net::Ipv4Addr::from(bits);
        prop_assert_eq!(is_global(IpAddr::V4(v4)), is_global(IpAddr::V6(v4.to_ipv6_mapped())));
    }
}
