//! Plugins from a real registry (docker-registry) on loopback, and from a web server that misbehaves.

use super::{all_grants, lock, ok, place, refused, test_task};
use airlock_tests::{Airlock, GUESTS};
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// A registry with a folder of its own; it ends with its owner.
struct Registry {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Registry {
    /// None where the program is missing and nothing says that it must be there.
    fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info, formatter: json}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: 127.0.0.1:0}}\n",
            folder.path().join("data").display()
        );
        std::fs::write(&config, text).unwrap();
        let started = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                assert_ne!(
                    std::env::var("CI").as_deref(),
                    Ok("true"),
                    "docker-registry is missing: {error}"
                );
                eprintln!("left out: docker-registry is missing");
                return None;
            }
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let told = line.split("listening on ").nth(1)?;
            Some(told.split(['"', ' ', ',']).next()?.to_owned())
        });
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Some(Self {
            child,
            address: address.expect("the registry says where it listens"),
            _folder: folder,
        })
    }

    fn name(&self, rest: &str) -> String {
        format!("oci://{}/{rest}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn push(airlock: &Airlock, file: &str, target: &str) -> String {
    ok(airlock, &["plugins", "push", file, target])
        .stdout
        .trim()
        .to_owned()
}

#[test]
fn a_plugin_goes_through_a_registry_and_back() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let airlock = place();
    let tag = registry.name("team/tool:1");
    let pinned = push(&airlock, "noop.wasm", &tag);
    assert!(
        pinned.starts_with(&registry.name("team/tool@sha256:")),
        "{pinned}"
    );
    // The same component is the same artifact.
    assert_eq!(
        push(&airlock, "noop.wasm", &registry.name("team/tool:latest")),
        pinned
    );
    ok(&airlock, &["plugins", "add", &tag, "--as", "tool", "--yes"]);
    let text = lock(&airlock);
    assert!(text.contains(&format!("source = \"{tag}\"")), "{text}");
    assert!(text.contains(&format!("resolved = \"{pinned}\"")), "{text}");
    let done = test_task(&airlock, "tool", &json!({}));
    assert_eq!(done.code, 0, "{}", done.stderr);
    // The tag moves: what was agreed to stays, and another machine still gets it.
    push(&airlock, "old.wasm", &tag);
    std::fs::remove_dir_all(airlock.data().join("components")).unwrap();
    ok(&airlock, &["plugins", "install"]);
    assert_eq!(test_task(&airlock, "tool", &json!({})).code, 0);
    refused(&airlock, &["plugins", "update"], 5, "asks for more");
    ok(&airlock, &["plugins", "update", "--yes"]);
    let done = test_task(&airlock, "tool.work", &all_grants());
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    ok(
        &airlock,
        &["plugins", "add", &pinned, "--as", "pinned", "--yes"],
    );
    // What has no name of its own in the registry.
    refused(
        &airlock,
        &["plugins", "add", &registry.name("team/tool:2"), "--yes"],
        3,
        "there is nothing at",
    );
    refused(
        &airlock,
        &["plugins", "add", &registry.name("team/nothing:1"), "--yes"],
        3,
        "there is nothing at",
    );
    let wrong = registry.name(&format!("team/tool@sha256:{}", "0".repeat(64)));
    refused(
        &airlock,
        &["plugins", "add", &wrong, "--yes"],
        3,
        "there is nothing at",
    );
}

#[test]
fn a_signature_travels_with_its_component() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let airlock = place();
    let key = ok(&airlock, &["plugins", "keygen", "me"]).stdout;
    let target = registry.name("noop:1");
    ok(
        &airlock,
        &["plugins", "sign", "noop.wasm", "--key", "me.key"],
    );
    push(&airlock, "noop.wasm", &target);
    push(&airlock, "old.wasm", &registry.name("old:1"));
    let rules = format!(
        "[plugin_policy]\nrequire_signature = true\ntrusted_keys = {{me = {:?}}}\n",
        key.trim()
    );
    airlock.file("airlock.toml", &rules);
    refused(
        &airlock,
        &["plugins", "add", &registry.name("old:1"), "--yes"],
        5,
        "no signature",
    );
    ok(&airlock, &["plugins", "add", &target, "--yes"]);
    assert_eq!(
        ok(&airlock, &["plugins", "verify"]).stdout,
        "noop: good, signed by me\n"
    );
}

#[test]
fn a_registry_that_is_not_there_or_holds_no_plugin_is_told() {
    let airlock = place();
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    refused(
        &airlock,
        &["plugins", "add", &format!("oci://{address}/x:1"), "--yes"],
        2,
        "did not answer as it should",
    );
    refused(
        &airlock,
        &["plugins", "add", "oci://noop:1", "--yes"],
        2,
        "name the registry too",
    );
    refused(
        &airlock,
        &["plugins", "add", "http://example.com/x.wasm", "--yes"],
        2,
        "use https://",
    );
    refused(
        &airlock,
        &["plugins", "push", "noop.wasm", "elsewhere"],
        2,
        "no place in an OCI registry",
    );
}

/// A registry that gives a manifest and a blob, whatever they are.
fn lying_registry(manifest: String, blob: Vec<u8>) -> String {
    serve(move |path| {
        if path.contains("/manifests/") {
            Some((
                "application/vnd.oci.image.manifest.v1+json",
                manifest.clone().into_bytes(),
            ))
        } else if path.contains("/blobs/") {
            Some(("application/octet-stream", blob.clone()))
        } else {
            Some(("application/json", b"{}".to_vec()))
        }
    })
}

/// A web server that answers each path; none is 404. Yields its address.
fn serve(answer: impl Fn(&str) -> Option<(&'static str, Vec<u8>)> + Send + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let Some(path) = request_path(&socket) else {
                continue;
            };
            let (status, kind, body) = match answer(&path) {
                Some((kind, body)) => ("200 OK", kind, body),
                None => ("404 Not Found", "text/plain", Vec::new()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = (&socket).write_all(&[head.as_bytes(), &body].concat());
        }
    });
    address
}

fn request_path(socket: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(socket);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut line = String::new();
    while reader.by_ref().read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    first.split(' ').nth(1).map(str::to_owned)
}

fn manifest(layer_type: &str, digest: &str) -> String {
    json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": digest, "size": 2},
        "layers": [{"mediaType": layer_type, "digest": digest, "size": 2}],
    })
    .to_string()
}

#[test]
fn a_registry_is_never_believed() {
    let airlock = place();
    let digest = format!("sha256:{}", "ab".repeat(32));
    let liar = lying_registry(manifest("application/wasm", &digest), GUESTS.noop.clone());
    let done = airlock.run(&["plugins", "add", &format!("oci://{liar}/x:1"), "--yes"]);
    assert!(done.code == 5 || done.code == 2, "{}", done.stderr);
    assert!(
        done.stderr.to_lowercase().contains("digest") || done.stderr.contains("changed or damaged"),
        "{}",
        done.stderr
    );
    let liar = lying_registry(manifest("application/wasm", &digest), GUESTS.noop.clone());
    let pinned = format!("oci://{liar}/x@sha256:{}", "cd".repeat(32));
    let done = airlock.run(&["plugins", "add", &pinned, "--yes"]);
    assert!(
        done.code != 0 && done.stderr.to_lowercase().contains("digest"),
        "{}",
        done.stderr
    );
    let image = lying_registry(
        manifest("application/vnd.oci.image.layer.v1.tar+gzip", &digest),
        Vec::new(),
    );
    refused(
        &airlock,
        &["plugins", "add", &format!("oci://{image}/x:1"), "--yes"],
        2,
        "no WebAssembly artifact",
    );
    let page = serve(|_| Some(("text/html", b"<html>not found</html>".to_vec())));
    refused(
        &airlock,
        &["plugins", "add", &format!("oci://{page}/x:1"), "--yes"],
        2,
        "did not answer as it should",
    );
    assert_eq!(lock(&airlock), "");
}

#[test]
fn a_web_server_gives_a_component_and_its_signature() {
    let airlock = place();
    let key = ok(&airlock, &["plugins", "keygen", "me"]).stdout;
    ok(
        &airlock,
        &["plugins", "sign", "noop.wasm", "--key", "me.key"],
    );
    let signature = std::fs::read(airlock.folder().join("noop.wasm.minisig")).unwrap();
    let address = serve(move |path| match path {
        "/noop.wasm" => Some(("application/wasm", GUESTS.noop.clone())),
        "/noop.wasm.minisig" => Some(("text/plain", signature.clone())),
        "/page.wasm" => Some(("text/html", b"<html>sorry</html>".to_vec())),
        _ => None,
    });
    airlock.file(
        "airlock.toml",
        &format!(
            "[plugin_policy]\nrequire_signature = true\ntrusted_keys = {{me = {:?}}}\n",
            key.trim()
        ),
    );
    ok(
        &airlock,
        &[
            "plugins",
            "add",
            &format!("http://{address}/noop.wasm"),
            "--yes",
        ],
    );
    refused(
        &airlock,
        &[
            "plugins",
            "add",
            &format!("http://{address}/nothing.wasm"),
            "--yes",
        ],
        3,
        "there is nothing at",
    );
    airlock.file("airlock.toml", "");
    refused(
        &airlock,
        &[
            "plugins",
            "add",
            &format!("http://{address}/page.wasm"),
            "--yes",
        ],
        2,
        "an HTML or XML page",
    );
}
