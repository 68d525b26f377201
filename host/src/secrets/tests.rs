use super::*;
use crate::store::{Commit, MemoryStore, RowWrite};
use proptest::prelude::*;
use serde_json::json;
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;

struct World {
    store: Arc<MemoryStore>,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self {
            store: Arc::new(MemoryStore::default()),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn secrets(&self, backend: Option<&str>, environment: &[(&str, &str)]) -> Secrets {
        let pairs = environment.iter();
        let fixed: HashMap<String, String> = pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Secrets::with_environment(
            self.store.clone(),
            self.folder.path(),
            backend.map(|name| self.folder.path().join(name)),
            Environment::Fixed(fixed),
        )
    }

    fn raw(&self, table: Table, key: &str) -> Vec<u8> {
        self.store
            .get(table, key.as_bytes())
            .unwrap()
            .unwrap()
            .value
    }

    fn put_raw(&self, table: Table, key: &str, value: Vec<u8>) {
        let write = RowWrite {
            key: key.as_bytes().to_vec(),
            expect: None,
            value: Some(value),
        };
        let commit = Commit {
            rows: vec![(table, write)],
            ..Commit::default()
        };
        self.store.commit(commit).unwrap();
    }
}

fn variable(value: &str) -> Variable {
    Variable::plain(value.to_owned())
}

fn value_of(secrets: &Secrets, key: &str) -> Option<(String, &'static str)> {
    let found = secrets.variable(key).unwrap()?;
    Some((found.value.value, found.source))
}

#[test]
fn i15_the_secrets_backend_wins_over_the_environment_and_the_environment_over_the_store() {
    let world = World::new();
    world
        .secrets(None, &[])
        .set_variable("bucket", &variable("stored"))
        .unwrap();
    let environment = [
        ("AIRLOCK_VAR_BUCKET", "environment"),
        ("AIRLOCK_CONN_DB", "postgres://env"),
    ];
    std::fs::create_dir_all(world.folder.path().join("mounted/variables")).unwrap();
    let file = world.folder.path().join("mounted/variables/bucket");
    std::fs::write(&file, "mounted\n").unwrap();
    let all = world.secrets(Some("mounted"), &environment);
    assert_eq!(
        value_of(&all, "bucket"),
        Some(("mounted".into(), "secrets"))
    );
    assert_eq!(all.connection("db").unwrap().unwrap().source, "environment");
    std::fs::remove_file(file).unwrap();
    assert_eq!(
        value_of(&all, "bucket"),
        Some(("environment".into(), "environment")),
        "the backend is read at every look-up"
    );
    let stored = world.secrets(None, &[]);
    assert_eq!(
        value_of(&stored, "bucket"),
        Some(("stored".into(), "store"))
    );
    assert_eq!(value_of(&stored, "other"), None);
}

#[test]
fn i15_one_file_may_hold_all_secrets_as_toml_or_as_json() {
    let world = World::new();
    let toml = "[variables]\nbucket = \"data\"\n[connections]\nslack = \"http://:t0ken@hooks.slack.com\"\n[connections.db]\nconn_type = \"postgres\"\nport = 5432\n";
    std::fs::write(world.folder.path().join("all.toml"), toml).unwrap();
    let json = json!({"variables": {"bucket": "data", "limits": {"rows": 7}}, "connections": {"db": {"conn_type": "postgres", "port": "5432"}}});
    std::fs::write(world.folder.path().join("all.json"), json.to_string()).unwrap();
    for file in ["all.toml", "all.json"] {
        let secrets = world.secrets(Some(file), &[]);
        assert_eq!(value_of(&secrets, "bucket").unwrap().0, "data");
        let db = secrets.connection("db").unwrap().unwrap().value;
        assert_eq!((db.conn_type.as_str(), db.port), ("postgres", Some(5432)));
    }
    let limits = value_of(&world.secrets(Some("all.json"), &[]), "limits");
    assert_eq!(limits.unwrap().0, r#"{"rows":7}"#);
    std::fs::write(
        world.folder.path().join("bad.toml"),
        "[variables]\nkey = hunter2hunter2\n",
    )
    .unwrap();
    let error = world.secrets(Some("bad.toml"), &[]).variable("key");
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("line 2") && !text.contains("hunter2"),
        "{text}"
    );
    let absent = world.secrets(Some("nowhere"), &[]).variable("key");
    assert!(absent.is_err(), "a backend that is named must be there");
}

#[test]
fn i14_values_are_sealed_in_the_store_and_bound_to_their_rows() {
    let world = World::new();
    let secrets = world.secrets(None, &[]);
    secrets
        .set_variable("one", &variable("hunter2hunter2"))
        .unwrap();
    secrets
        .set_variable("two", &variable("other-value"))
        .unwrap();
    let sealed = world.raw(Table::Variable, "one");
    assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
    world.put_raw(Table::Variable, "two", sealed.clone());
    let swapped = secrets.variable("two").unwrap_err().to_string();
    assert!(
        swapped.contains("variable \"two\" cannot be opened"),
        "{swapped}"
    );
    world.put_raw(Table::Connection, "one", sealed.clone());
    assert!(secrets.connection("one").is_err(), "nor into another table");
    for place in [0, 3, 10, 40, sealed.len() - 1] {
        let mut changed = sealed.clone();
        changed[place] ^= 1;
        world.put_raw(Table::Variable, "one", changed);
        assert!(secrets.variable("one").is_err(), "byte {place} was changed");
    }
}

#[test]
fn i14_the_key_is_made_on_first_use_for_its_owner_alone() {
    let world = World::new();
    let file = world.folder.path().join("secret.key");
    let secrets = world.secrets(None, &[]);
    assert_eq!(value_of(&secrets, "one"), None);
    assert!(!file.exists(), "a look-up makes no key");
    secrets.set_variable("one", &variable("v")).unwrap();
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        value_of(&world.secrets(None, &[]), "one").unwrap().0,
        "v",
        "the next start reads it"
    );
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = world.secrets(None, &[]).variable("one").unwrap_err();
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
    std::fs::remove_file(&file).unwrap();
    let lost = world.secrets(None, &[]).variable("one").unwrap_err();
    assert!(lost.to_string().contains("another key"), "{lost}");
}

#[test]
fn a_rotation_seals_everything_anew_and_old_keys_open_nothing_then() {
    let world = World::new();
    let secrets = world.secrets(None, &[]);
    for number in 0..300 {
        let key = format!("key_{number}");
        secrets.set_variable(&key, &variable(&key)).unwrap();
    }
    let before = world.raw(Table::Variable, "key_7");
    assert_eq!(secrets.rotate_key().unwrap(), 300);
    let after = world.secrets(None, &[]);
    assert_eq!(value_of(&after, "key_7").unwrap().0, "key_7");
    world.put_raw(Table::Variable, "key_7", before);
    assert!(after.variable("key_7").is_err());
}

#[test]
fn a_rotation_that_was_cut_is_finished_by_the_next_one() {
    let world = World::new();
    let secrets = world.secrets(None, &[]);
    secrets.set_variable("one", &variable("v")).unwrap();
    // What a rotation leaves that died after writing the file and before the rows.
    let both = [
        vec![secrets.keys.fresh().unwrap()],
        secrets.keys.known().unwrap(),
    ]
    .concat();
    secrets.keys.replace(both).unwrap();
    let next = world.secrets(None, &[]);
    assert_eq!(value_of(&next, "one").unwrap().0, "v");
    next.rotate_key().unwrap();
    assert_eq!(next.keys.known().unwrap().len(), 1);
    assert_eq!(value_of(&world.secrets(None, &[]), "one").unwrap().0, "v");
}

#[test]
fn keys_of_the_environment_leave_no_file_and_rotate_to_the_first() {
    let world = World::new();
    let (old, new) = ("11".repeat(32), "22".repeat(32));
    let one = world.secrets(None, &[("AIRLOCK_SECRET_KEY", &old)]);
    one.set_variable("one", &variable("v")).unwrap();
    assert!(!world.folder.path().join("secret.key").exists());
    let both = format!("{new},{old}");
    let two = world.secrets(None, &[("AIRLOCK_SECRET_KEY", &both)]);
    assert_eq!(two.rotate_key().unwrap(), 1);
    let three = world.secrets(None, &[("AIRLOCK_SECRET_KEY", &new)]);
    assert_eq!(value_of(&three, "one").unwrap().0, "v");
    assert!(one.variable("one").is_err());
    let short = world.secrets(None, &[("AIRLOCK_SECRET_KEY", "abc")]);
    assert!(
        short
            .variable("one")
            .unwrap_err()
            .to_string()
            .contains("64 hex digits")
    );
}

#[test]
fn a_name_is_never_a_path() {
    let world = World::new();
    let secrets = world.secrets(Some("."), &[]);
    for name in [
        "",
        ".",
        "..",
        "../secret.key",
        "a/b",
        "a b",
        "a\0b",
        &"x".repeat(251),
    ] {
        assert!(secrets.variable(name).is_err(), "{name:?}");
        assert!(
            secrets
                .set_connection(name, &Connection::default())
                .is_err()
        );
    }
}

#[test]
fn i14_a_connection_is_read_from_airflows_uris() {
    let parse = |text: &str| Connection::parse(text).unwrap();
    let full = parse("postgresql://us%40er:p%2Fw%3A@db.internal:5432/churn?sslmode=require");
    assert_eq!(full.conn_type, "postgres");
    assert_eq!(full.login.as_deref(), Some("us@er"));
    assert_eq!(full.password.as_deref(), Some("p/w:"));
    assert_eq!(full.host.as_deref(), Some("db.internal"));
    assert_eq!(
        (full.port, full.schema.as_deref()),
        (Some(5432), Some("churn"))
    );
    assert_eq!(full.extra, json!({"sslmode": "require"}));
    let slack = parse("http://:t0ken@hooks.slack.com");
    assert_eq!(
        (slack.login, slack.password.as_deref()),
        (None, Some("t0ken"))
    );
    let aws = parse("aws://AKIA:s3cr%3Dt@/?region_name=eu-west-1");
    assert_eq!((aws.host, aws.password.as_deref()), (None, Some("s3cr=t")));
    assert_eq!(
        parse("http://https://example.com/x").host.as_deref(),
        Some("https://example.com")
    );
    assert_eq!(
        parse("google-cloud-platform://?__extra__=%7B%22a%22%3A1%7D").extra,
        json!({"a": 1})
    );
    assert_eq!(parse("http://[::1]:80").port, Some(80));
    let object = parse(r#"{"conn_type": "http", "host": "h", "extra": "{\"api_key\": \"k\"}"}"#);
    assert_eq!(object.extra, json!({"api_key": "k"}));
}

#[test]
fn a_wrong_connection_says_why_without_its_password() {
    for text in [
        "hunter2",
        "http://user:hunter2:8x@host:port",
        r#"{"conn_type": 7, "password": "hunter2"}"#,
        r#"{"conn_type": "http", "passwort": "hunter2"}"#,
        r#"{"password": "hunter2"}"#,
        r#"{"password": "hunter2""#,
        r#"{"conn_type": "http", "extra": "hunter2"}"#,
    ] {
        let error = Connection::parse(text).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn i14_names_that_look_secret_are_airflows() {
    for name in [
        "password",
        "SLACK_TOKEN",
        "my-api-key",
        "db_passwd",
        "aws_secret_access_key",
    ] {
        assert!(is_sensitive(name), "{name}");
    }
    for name in ["bucket", "host", "retries", "pass_rate"] {
        assert!(!is_sensitive(name), "{name}");
    }
    let extra = json!({"region": "eu", "token": "t", "nested": [{"private_key": {"a": 1}}], "secret": null});
    assert_eq!(
        hide_extra(&extra),
        json!({"region": "eu", "token": "***", "nested": [{"private_key": "***"}], "secret": null})
    );
}

proptest! {
    #[test]
    fn what_was_set_is_read_back(value in ".{0,200}", password in proptest::option::of(".{1,40}")) {
        let world = World::new();
        let secrets = world.secrets(None, &[]);
        secrets.set_variable("v", &variable(&value)).unwrap();
        let connection = Connection { conn_type: "http".into(), password, ..Connection::default() };
        secrets.set_connection("c", &connection).unwrap();
        let again = world.secrets(None, &[]);
        prop_assert_eq!(value_of(&again, "v").unwrap().0, value);
        prop_assert_eq!(again.connection("c").unwrap().unwrap().value, connection);
    }

    #[test]
    fn no_text_makes_the_connection_parser_panic(text in "[a-z:/@%?&=\\[\\]0-9ä{}\"]{0,40}") {
        let _ = Connection::parse(&text);
    }
}
