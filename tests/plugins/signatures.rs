use super::{component, lock, ok, place, refused, test_task};
use airlock_tests::{Airlock, GUESTS};
use serde_json::json;

/// Makes a key and yields its public half.
fn key(airlock: &Airlock, name: &str) -> String {
    ok(airlock, &["plugins", "keygen", name])
        .stdout
        .trim()
        .to_owned()
}

fn require(airlock: &Airlock, keys: &[(&str, &str)]) {
    let keys: Vec<String> = keys
        .iter()
        .map(|(name, key)| format!("{name} = \"{key}\"\n"))
        .collect();
    let text = format!(
        "[plugin_policy]\nrequire_signature = true\n[plugin_policy.trusted_keys]\n{}",
        keys.concat()
    );
    airlock.file("airlock.toml", &text);
}

#[test]
fn a_plugin_that_nobody_trusted_signed_is_refused() {
    let airlock = place();
    let (mine, yours) = (key(&airlock, "me"), key(&airlock, "you"));
    require(&airlock, &[("me", &mine)]);
    refused(
        &airlock,
        &["plugins", "add", "noop.wasm", "--yes"],
        5,
        "it has no signature",
    );
    ok(
        &airlock,
        &["plugins", "sign", "noop.wasm", "--key", "you.key"],
    );
    refused(
        &airlock,
        &["plugins", "add", "noop.wasm", "--yes"],
        5,
        "none of the trusted keys (me)",
    );
    assert_eq!(lock(&airlock), "");
    ok(
        &airlock,
        &["plugins", "sign", "noop.wasm", "--key", "me.key"],
    );
    let added = ok(&airlock, &["plugins", "add", "noop.wasm", "--yes"]);
    assert!(added.stderr.contains("signed by me"), "{}", added.stderr);
    assert!(lock(&airlock).contains(&mine), "{}", lock(&airlock));
    let verified = ok(&airlock, &["plugins", "verify"]);
    assert_eq!(verified.stdout, "noop: good, signed by me\n");
    assert_eq!(test_task(&airlock, "noop", &json!({})).code, 0);
    // A key that is trusted no more takes its plugins with it.
    require(&airlock, &[("you", &yours)]);
    let done = test_task(&airlock, "noop", &json!({}));
    assert_eq!(done.code, 5, "{}", done.stderr);
    assert!(done.stderr.contains("trusted_keys"), "{}", done.stderr);
    // Bundled plugins are part of the program.
    assert_eq!(test_task(&airlock, "probe", &json!({})).code, 0);
}

#[test]
fn a_signature_of_other_bytes_is_noticed_when_it_is_used() {
    let airlock = place();
    let mine = key(&airlock, "me");
    require(&airlock, &[("me", &mine)]);
    ok(
        &airlock,
        &["plugins", "sign", "noop.wasm", "--key", "me.key"],
    );
    component(&airlock, "evil.wasm", &GUESTS.since_0_1_0);
    std::fs::copy(
        airlock.folder().join("noop.wasm.minisig"),
        airlock.folder().join("evil.wasm.minisig"),
    )
    .unwrap();
    refused(
        &airlock,
        &["plugins", "add", "evil.wasm", "--yes"],
        5,
        "not of these bytes",
    );
    ok(&airlock, &["plugins", "add", "noop.wasm", "--yes"]);
    let folder = airlock.data().join("components");
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let kept = entries.filter(|path| path.extension().is_some_and(|end| end == "minisig"));
    for path in kept {
        ok(
            &airlock,
            &["plugins", "sign", "old.wasm", "--key", "me.key"],
        );
        std::fs::copy(airlock.folder().join("old.wasm.minisig"), path).unwrap();
    }
    let done = test_task(&airlock, "noop", &json!({}));
    assert_eq!(done.code, 5, "{}", done.stderr);
    refused(&airlock, &["plugins", "verify"], 5, "not of these bytes");
}

#[test]
fn mistakes_with_keys_are_told() {
    let airlock = place();
    key(&airlock, "me");
    refused(&airlock, &["plugins", "keygen", "me"], 7, "me.key");
    refused(
        &airlock,
        &["plugins", "sign", "noop.wasm", "--key", "me.pub"],
        2,
        "no secret key",
    );
    refused(
        &airlock,
        &["plugins", "sign", "nowhere.wasm", "--key", "me.key"],
        2,
        "nowhere.wasm",
    );
    std::fs::write(airlock.folder().join("noop.wasm.minisig"), "hello").unwrap();
    refused(
        &airlock,
        &["plugins", "add", "noop.wasm", "--yes"],
        2,
        "the signature is not one",
    );
    airlock.file(
        "airlock.toml",
        "[plugin_policy.trusted_keys]\nme = \"hello\"\n",
    );
    refused(&airlock, &["plugins", "list"], 2, "no public key");
}
