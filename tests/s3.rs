//! Objects in a bucket through the whole program: DAG, grants, connection, sandbox, network. The server is a real one that checks
//! signatures; what a real one never does on demand, a misbehaving one does. One suite of behaviours is played on `file://` and on
//! `s3://`, and both must answer alike. Of `gs://` and `az://` there is no server here: their URIs, grants and settings are tested
//! beside their code, and here what a DAG is told.

#[path = "support/s3.rs"]
mod server;

use airlock_tests::{Airlock, Done, GUESTS};
use serde_json::{Value, json};
use server::{Fault, Faulty, S3, SECRET, answer, connection};

/// No run may take longer; the program is killed then and the test fails.
const RUN_SECONDS_MAX: u32 = 120;

/// A folder with the guest that plays scripts, and a connection.
fn house(conn_id: &str, connection: &str) -> Airlock {
    let airlock = Airlock::new();
    let plugins = airlock.folder().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    std::fs::write(plugins.join("zoo.wasm"), &GUESTS.zoo).unwrap();
    airlock.ok(&["connections", "set", conn_id, "--conn-uri", connection]);
    airlock
}

fn at(server: &S3) -> Airlock {
    house("aws_default", &server.connection(SECRET))
}

/// Plays a DAG on the data folder.
fn play(airlock: &Airlock, dag: &Value) -> Done {
    let path = airlock.file("dag.yaml", &dag.to_string());
    let (data, plugins) = (airlock.data(), airlock.folder().join("plugins"));
    let mut arguments = vec!["dags", "test", path.to_str().unwrap(), "--json"];
    arguments.extend(["--plugins", plugins.to_str().unwrap()]);
    arguments.extend(["--data", data.to_str().unwrap()]);
    let done = airlock.run_within(RUN_SECONDS_MAX, &arguments);
    assert!(!done.stdout.contains(SECRET) && !done.stderr.contains(SECRET));
    done
}

fn error(done: &Done, task_id: &str) -> String {
    let answer = done.json();
    let rows = answer["task_instances"].as_array();
    let rows = rows.unwrap_or_else(|| panic!("{}", done.stderr));
    let row = rows.iter().find(|row| row["task_id"] == task_id).unwrap();
    row["error"].as_str().unwrap_or_default().to_owned()
}

/// The answers to a script, one a line of it.
fn answers(airlock: &Airlock, grants: &Value, script: &[&str]) -> Vec<String> {
    let dag = json!({
        "dag_id": "objects", "grants": grants,
        "tasks": [{"task_id": "play", "operator": "zoo.objects", "config": {"script": script.join(";")}}],
    });
    let done = play(airlock, &dag);
    assert_eq!(done.code, 0, "{} {}", error(&done, "play"), done.stderr);
    let run_id = done.json()["run_id"].as_str().unwrap().to_owned();
    let shown = airlock.ok(&["runs", "show", "objects", &run_id, "--json"]);
    let shown = shown.json();
    let xcoms = shown["xcoms"].as_array().unwrap();
    let found = xcoms.iter().find(|xcom| xcom["task_id"] == "play").unwrap();
    let texts = found["value"].as_array().unwrap().iter();
    let texts: Vec<String> = texts
        .map(|text| text.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(texts.len(), script.len(), "{texts:?}");
    texts
}

fn all(root: &str) -> Value {
    json!({"storage": [root]})
}

/// Every behaviour that does not depend on where objects are. `ROOT` is the granted prefix.
const BEHAVIOURS: [&str; 33] = [
    "get ROOT/a",
    "head ROOT/a",
    "list ROOT/",
    "put ROOT/a one",
    "get ROOT/a",
    "head ROOT/a",
    "put ROOT/a two!",
    "get ROOT/a",
    "put ROOT/part-1.csv x",
    "put ROOT/part-2.csv xx",
    "put ROOT/part/3 xxx",
    "put ROOT/q=ä+b xxxx",
    "list ROOT/",
    "list ROOT/part",
    "list ROOT/part/",
    "list ROOT/ ROOT/part-1.csv",
    "list ROOT/ ROOT/zzz",
    "list ROOT/none/",
    "delete ROOT/a",
    "delete ROOT/a",
    "head ROOT/a",
    "fill ROOT/large 20",
    "sum ROOT/large",
    "head ROOT/large",
    "drop ROOT/half 20",
    "head ROOT/half",
    "fill ROOT/empty 0",
    "sum ROOT/empty",
    "save ROOT/t.parquet 100000",
    "table ROOT/t.parquet",
    "table ROOT/none",
    "get ROOT/x/../y",
    "put ROOT/x/ y",
];

#[test]
fn buckets_behave_as_folders_do() {
    let server = S3::start(&["data"]);
    let airlock = at(&server);
    let played = |root: &str| {
        let script = BEHAVIOURS.map(|line| line.replace("ROOT", root));
        let script: Vec<&str> = script.iter().map(String::as_str).collect();
        let told = answers(&airlock, &all(&format!("{root}/")), &script);
        let told = told.into_iter().map(|text| text.replace(root, "ROOT"));
        told.collect::<Vec<_>>()
    };
    let (local, remote) = (played("file://./objects"), played("s3://data"));
    for ((line, local), remote) in BEHAVIOURS.iter().zip(&local).zip(&remote) {
        assert_eq!(local, remote, "{line}");
    }
    // Both could be wrong alike.
    let of = |line: &str| {
        let found = BEHAVIOURS.iter().rposition(|known| *known == line);
        remote[found.unwrap()].as_str()
    };
    assert_eq!(of("get ROOT/a"), "two!");
    assert_eq!(of("head ROOT/a"), "none");
    assert_eq!(of("list ROOT/part/"), "ROOT/part/3=3");
    assert_eq!(
        of("list ROOT/ ROOT/part-1.csv"),
        "ROOT/part-2.csv=2 ROOT/part/3=3 ROOT/q=ä+b=4"
    );
    assert_eq!(of("head ROOT/large"), (20 << 20).to_string());
    assert!(of("sum ROOT/large").starts_with(&(20 << 20).to_string()));
    assert_eq!(of("head ROOT/half"), "none");
    assert!(of("table ROOT/t.parquet").starts_with("100000 id+name "));
    let digest = of("save ROOT/t.parquet 100000");
    assert!(of("table ROOT/t.parquet").ends_with(digest));
    assert!(of("table ROOT/none").starts_with("not-found"));
    assert!(of("get ROOT/x/../y").starts_with("invalid"));
    // What was given up is taken back from the server, and a table leaves nothing on the disk.
    assert_eq!(server.unfinished(), Vec::<String>::new());
    let spool = airlock.data().join("spool");
    assert_eq!(std::fs::read_dir(spool).unwrap().count(), 0);
    // And it is where it is said to be.
    assert_eq!(
        std::fs::read(server.path("data", "part/3")).unwrap(),
        b"xxx"
    );
}

#[test]
fn a_list_has_a_thousand_at_most() {
    let server = S3::start(&["data"]);
    for number in 0..1_005 {
        std::fs::write(server.path("data", &format!("{number:04}")), "x").unwrap();
    }
    let airlock = at(&server);
    let script = [
        "count s3://data/",
        "list s3://data/ s3://data/0999",
        "count s3://data/00",
    ];
    let told = answers(&airlock, &all("s3://data/"), &script);
    assert_eq!(told[0], "1000");
    assert!(
        told[1].starts_with("s3://data/1000=1 s3://data/1001=1 "),
        "{}",
        told[1]
    );
    assert_eq!(told[1].split(' ').count(), 5);
    assert_eq!(told[2], "100");
}

#[test]
fn an_object_that_changes_while_it_is_read_is_a_conflict() {
    let server = S3::start(&["data"]);
    let airlock = at(&server);
    let told = answers(&airlock, &all("s3://data/"), &["race s3://data/x 12"]);
    assert!(
        told[0].starts_with("conflict: s3://data/x changed"),
        "{told:?}"
    );
}

#[test]
fn a_wrong_secret_or_none_is_a_denial_that_says_what_to_do() {
    let server = S3::start(&["data"]);
    let script = [
        "head s3://data/x",
        "put s3://data/x y",
        "save s3://data/x 10",
        "list s3://data/",
    ];
    let airlock = house("aws_default", &server.connection("another"));
    for told in answers(&airlock, &all("s3://data/"), &script) {
        assert!(told.starts_with("denied: "), "{told}");
        assert!(
            told.contains("connection \"aws_default\"") && told.contains("403"),
            "{told}"
        );
    }
    let airlock = house("other", &server.connection(SECRET));
    for told in answers(&airlock, &all("s3://data/"), &script) {
        assert!(told.contains("no connection \"aws_default\""), "{told}");
    }
    let grants = json!({"storage": ["gs://data/", "az://data/"]});
    let told = answers(&airlock, &grants, &["head gs://data/x", "list az://data/"]);
    assert!(told[0].contains("\"google_cloud_default\""), "{told:?}");
    assert!(told[1].contains("\"wasb_default\""), "{told:?}");
}

#[test]
fn what_no_grant_covers_is_denied_and_never_asked_for() {
    let asked = Faulty::start(|_, _| Fault::Stall);
    let airlock = house("aws_default", &connection(asked.address, SECRET));
    let grants = json!({"storage": ["s3://data/a/"], "storage_read": ["s3://read/"]});
    let script = [
        "get s3://data/x",
        "get s3://data/ab/x",
        "get s3://data2/a/x",
        "get gs://data/a/x",
        "put s3://read/x y",
        "delete s3://read/x",
        "list s3://data/",
        "list s3://data/a",
        "table s3://data/b.parquet",
        "get s3://data/a/../x",
        "get s3://data/a//x",
        "get s3://data/a/%2e%2e/x",
        "get s3://data/a/x?versionId=1",
        "list s3://data/a/../",
        "get S3://data/a/x",
        "get s3://data@evil/a/x",
        "get http://127.0.0.1/x",
    ];
    for (line, told) in script.iter().zip(answers(&airlock, &grants, &script)) {
        let refused = told.starts_with("denied: no grant covers") || told.starts_with("invalid: ");
        assert!(refused, "{line}: {told}");
    }
    assert_eq!(asked.seen(), Vec::<String>::new());
}

#[test]
fn settings_say_which_connection_reaches_which_prefix() {
    let (lake, own) = (S3::start(&["data"]), S3::start(&["data"]));
    std::fs::write(lake.path("data", "x"), "lake").unwrap();
    std::fs::create_dir(own.path("data", "own")).unwrap();
    std::fs::write(own.path("data", "own/x"), "own").unwrap();
    let airlock = house("aws_own", &own.connection(SECRET));
    airlock.ok(&[
        "connections",
        "set",
        "aws_lake",
        "--conn-uri",
        &lake.connection(SECRET),
    ]);
    let settings = "[storage.\"s3://data/\"]\nconnection = \"aws_lake\"\n[storage.\"s3://data/own/\"]\nconnection = \"aws_own\"\n";
    airlock.file("airlock.toml", settings);
    let told = answers(
        &airlock,
        &all("s3://data/"),
        &["get s3://data/x", "get s3://data/own/x"],
    );
    assert_eq!(told, ["lake", "own"]);
    for (wrong, part) in [
        (
            "[storage.\"s3://data\"]\nconnection = \"a\"",
            "after the bucket",
        ),
        (
            "[storage.\"s3://data/\"]\nconnexion = \"a\"",
            "connection = ",
        ),
        (
            "[storage.\"s3://data/\"]\nconnection = \"a\"\nenvironment = true",
            "one key",
        ),
        ("storage = 1", "must be a table"),
    ] {
        airlock.file("airlock.toml", wrong);
        let done = airlock.run(&["dags", "list"]);
        assert_eq!(done.code, 2, "{wrong}");
        assert!(done.stderr.contains(part), "{wrong}: {}", done.stderr);
    }
}

#[test]
fn credentials_of_the_environment_are_used_where_a_setting_says_so() {
    let server = S3::start(&["data"]);
    std::fs::write(server.path("data", "x"), "found").unwrap();
    let airlock = house("other", &server.connection("another"));
    let endpoint = server.connection(SECRET);
    let endpoint = endpoint.split_once("http%3A%2F%2F").unwrap().1;
    let dag = json!({
        "dag_id": "objects", "grants": all("s3://data/"),
        "tasks": [{"task_id": "wait", "operator": "sensors.object_key", "config": {"key": "s3://data/x"}}],
    });
    let path = airlock.file("dag.yaml", &dag.to_string());
    let tested = || -> Done {
        let mut command = airlock.bare(&["dags", "test", path.to_str().unwrap(), "--json"]);
        command
            .env("AWS_ACCESS_KEY_ID", server::KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_ENDPOINT_URL", format!("http://{endpoint}"))
            .env("AWS_ALLOW_HTTP", "true");
        command.output().unwrap().into()
    };
    let without = tested();
    assert!(
        error(&without, "wait").contains("no connection"),
        "{}",
        without.stdout
    );
    airlock.file(
        "airlock.toml",
        "[storage.\"s3://data/\"]\nenvironment = true\n",
    );
    let with = tested();
    assert_eq!(with.code, 0, "{} {}", with.stdout, with.stderr);
}

const SLOW_DOWN: &[u8] = b"<Error><Code>SlowDown</Code><Message>hush</Message></Error>";
const STATE: &str = "etag: \"1\"\r\nlast-modified: Mon, 05 Jan 2026 02:00:00 GMT\r\n";

fn slow_down() -> Fault {
    answer("503 Slow Down", "", SLOW_DOWN.len(), SLOW_DOWN)
}

/// What a server that is well says of an object of three bytes.
fn well(line: &str, cut: bool) -> Fault {
    if line.starts_with("HEAD") {
        return answer("200 OK", STATE, 3, b"");
    }
    let body: &[u8] = if cut { b"o" } else { b"one" };
    let headers = format!("{STATE}content-range: bytes 0-2/3\r\n");
    answer("206 Partial Content", &headers, 3, body)
}

fn faulty(
    script: &str,
    answer: impl Fn(usize, &str) -> Fault + Send + 'static,
) -> (String, Faulty) {
    let server = Faulty::start(answer);
    let airlock = house("aws_default", &connection(server.address, SECRET));
    let told = answers(&airlock, &all("s3://data/"), &[script]).remove(0);
    assert!(!told.contains("hush"), "{told}");
    (told, server)
}

#[test]
fn a_server_that_is_overloaded_for_a_moment_is_asked_again() {
    let (told, server) = faulty("get s3://data/x", |number, line| {
        if [0, 2].contains(&number) {
            slow_down()
        } else {
            well(line, false)
        }
    });
    assert_eq!(told, "one");
    assert_eq!(server.seen().len(), 4);
}

#[test]
fn a_server_that_stays_overloaded_is_unavailable_after_some_tries() {
    let (told, server) = faulty("get s3://data/x", |_, _| slow_down());
    assert!(
        told.starts_with("unavailable: ") && told.contains("503"),
        "{told}"
    );
    assert_eq!(server.seen().len(), 7);
    let (told, _) = faulty("put s3://data/x y", |_, _| slow_down());
    assert!(told.contains("503 SlowDown"), "{told}");
}

#[test]
fn an_answer_that_is_cut_short_is_asked_for_again_and_never_taken() {
    let (told, _) = faulty("get s3://data/x", |number, line| well(line, number == 1));
    assert_eq!(told, "one");
    let (told, _) = faulty("get s3://data/x", |_, line| well(line, true));
    assert!(told.starts_with("unavailable: "), "{told}");
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Faulty::start(|_, _| Fault::Stall);
    let location = format!("location: http://{}/data/x\r\n", elsewhere.address);
    for status in ["301 Moved Permanently", "307 Temporary Redirect"] {
        let headers = location.clone();
        let (told, _) = faulty("get s3://data/x", move |_, _| {
            answer(status, &headers, 0, b"")
        });
        assert!(
            told.starts_with("denied: ") && told.contains("region_name"),
            "{told}"
        );
    }
    assert_eq!(elsewhere.seen(), Vec::<String>::new());
}

#[test]
fn a_server_that_stalls_does_not_keep_an_attempt_from_its_end() {
    let server = Faulty::start(|number, line| match number {
        0 => well(line, false),
        _ => Fault::Stall,
    });
    let airlock = house("aws_default", &connection(server.address, SECRET));
    let dag = json!({
        "dag_id": "objects", "grants": all("s3://data/"),
        "tasks": [{
            "task_id": "play", "operator": "zoo.objects", "execution_timeout": "1s",
            "config": {"script": "get s3://data/x"},
        }],
    });
    let done = play(&airlock, &dag);
    assert_eq!(done.code, 10, "{}", done.stderr);
    assert!(
        error(&done, "play").contains("execution_timeout"),
        "{}",
        done.stdout
    );
}

#[test]
fn d7_a_sensor_waits_for_keys_in_a_bucket() {
    let server = S3::start(&["lake"]);
    let airlock = at(&server);
    for name in ["a", "day=1", "day=2"] {
        std::fs::write(server.path("lake", name), "12345").unwrap();
    }
    let sensor = |task_id: &str, config: Value| json!({"task_id": task_id, "operator": "sensors.object_key", "poke_interval": "100ms", "config": config});
    let dag = json!({
        "dag_id": "sensors", "grants": {"storage": ["s3://lake/"]},
        "tasks": [
            sensor("one", json!({"key": "s3://lake/a"})),
            sensor("airflow", json!({"bucket_key": "s3://lake/a"})),
            sensor("apart", json!({"bucket_name": "lake", "bucket_key": ["a", "day=1"]})),
            sensor("many", json!({"key": ["s3://lake/a", "s3://lake/day=*"], "wildcard_match": true, "check": {"min_size": 5}})),
            sensor("late", json!({"bucket_name": "lake", "bucket_key": "late/*.csv", "wildcard_match": true})),
            {"task_id": "write", "operator": "zoo.objects", "config": {"script": "put s3://lake/late/x.csv 1"}},
        ],
    });
    let done = play(&airlock, &dag);
    assert_eq!(done.code, 0, "{} {}", done.stdout, done.stderr);
    let wrong = json!({
        "dag_id": "wrong", "grants": {"storage": ["s3://lake/"]},
        "tasks": [sensor("both", json!({"bucket_name": "lake", "bucket_key": "s3://lake/a"}))],
    });
    let done = play(&airlock, &wrong);
    assert!(
        error(&done, "both").contains("bucket_name"),
        "{}",
        done.stdout
    );
}
