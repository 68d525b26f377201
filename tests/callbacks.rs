//! Callbacks through the whole program: operators that post to a server of the test's own when something happened.

use airlock_tests::{Airlock, Done};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// No run may take longer.
const RUN_SECONDS_MAX: u32 = 60;

/// What was posted so far: paths and bodies, in order.
type Posts = Vec<(String, Value)>;

/// Takes posts; a path that `holds` says is answered only when it says so.
struct Server {
    address: SocketAddr,
    posts: Arc<(Mutex<Posts>, Condvar)>,
}

impl Server {
    fn new() -> Self {
        Self::holding(|_, _| false)
    }

    /// `holds(path, posts)` says whether a post to `path` still waits for its answer.
    fn holding(holds: fn(&str, &Posts) -> bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let posts: Arc<(Mutex<Posts>, Condvar)> = Arc::default();
        let shared = posts.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = shared.clone();
                std::thread::spawn(move || answer(&mut stream.unwrap(), &shared, holds));
            }
        });
        Self { address, posts }
    }

    fn posts(&self) -> Posts {
        self.posts.0.lock().unwrap().clone()
    }

    fn paths(&self) -> Vec<String> {
        self.posts().into_iter().map(|(path, _)| path).collect()
    }

    /// Waits until so many posts came.
    fn wait_for(&self, count: usize) {
        let (posts, changed) = &*self.posts;
        let _guard = changed
            .wait_while(posts.lock().unwrap(), |posts| posts.len() < count)
            .unwrap();
    }

    /// An operator that posts `payload` to `path`.
    fn post(&self, path: &str, payload: &Value) -> Value {
        let url = format!("http://{}/{path}", self.address);
        json!({"operator": "notify.webhook", "config": {"url": url, "payload": payload}})
    }

    fn task(&self, task_id: &str, more: &Value) -> Value {
        let mut task = self.post("task", &json!({}));
        task["task_id"] = json!(task_id);
        merge(&mut task, more);
        task
    }

    fn dag(&self, tasks: &Value, more: &Value) -> Value {
        let grants = json!({"http": [self.address.to_string()]});
        let mut dag = json!({"dag_id": "tells", "grants": grants, "tasks": tasks});
        merge(&mut dag, more);
        dag
    }
}

fn merge(into: &mut Value, more: &Value) {
    for (key, value) in more.as_object().unwrap() {
        into[key] = value.clone();
    }
}

fn answer(
    stream: &mut TcpStream,
    shared: &(Mutex<Posts>, Condvar),
    holds: fn(&str, &Posts) -> bool,
) {
    let Some((path, body)) = read_request(stream) else {
        return;
    };
    let (posts, changed) = shared;
    posts.lock().unwrap().push((path.clone(), body));
    changed.notify_all();
    let guard = changed.wait_while(posts.lock().unwrap(), |posts| holds(&path, posts));
    drop(guard.unwrap());
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    // The program may have been killed meanwhile.
    let _ = stream.write_all(ok.as_bytes());
}

fn read_request(stream: &mut TcpStream) -> Option<(String, Value)> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).ok()?;
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            let path = head.split(['/', ' ']).nth(2)?;
            return Some((path.to_owned(), body));
        }
        if count == 0 {
            return None;
        }
    }
}

/// Runs the DAG in the data folder; the run is `run_1`.
fn trigger(airlock: &Airlock, dag: &Value) -> Done {
    airlock.file("tells.yaml", &dag.to_string());
    let arguments = ["dags", "trigger", "tells.yaml", "--run-id", "run_1"];
    let more = ["--data", "data", "--json"];
    airlock.run_within(RUN_SECONDS_MAX, &[&arguments[..], &more].concat())
}

#[test]
fn b8_a_retry_and_the_final_failure_are_told_with_their_errors() {
    let server = Server::new();
    let told = json!({"ti": "{{ ti.task_id }} {{ ti.try_number }}", "why": "{{ exception }}"});
    let task = json!({
        "task_id": "fails", "operator": "probe", "config": {"result": "fail"}, "retries": 1, "retry_delay": 1,
        "on_retry_callback": server.post("retry", &told),
        "on_failure_callback": [server.post("failure", &told), server.post("failure_too", &told)],
        "on_success_callback": server.post("success", &told),
    });
    let reason = json!({"dag": "{{ dag.dag_id }}", "why": "{{ reason }}", "run": "{{ run_id }}"});
    let more = json!({"on_failure_callback": server.post("dag", &reason)});
    let airlock = Airlock::new();
    let done = trigger(&airlock, &server.dag(&json!([task]), &more));
    assert_eq!(done.code, 10, "{}", done.stderr);
    let mut posts = server.posts();
    posts.sort_by(|one, other| one.0.cmp(&other.0));
    let failed = |number| json!({"ti": format!("fails {number}"), "why": "told to fail"});
    let expected = [
        (
            "dag",
            json!({"dag": "tells", "why": "task_failure", "run": "run_1"}),
        ),
        ("failure", failed(2)),
        ("failure_too", failed(2)),
        ("retry", failed(1)),
    ];
    assert_eq!(posts, expected.map(|(path, body)| (path.to_owned(), body)));
}

#[test]
fn b8_on_execute_comes_before_each_try_and_on_success_after_it() {
    let server = Server::new();
    let task = server.task(
        "works",
        &json!({
            "on_execute_callback": server.post("execute", &json!("{{ ti.try_number }}")),
            "on_success_callback": server.post("success", &json!("{{ xcom_pull('works').status }}")),
        }),
    );
    let more = json!({"on_success_callback": server.post("dag", &json!("{{ reason }}"))});
    let airlock = Airlock::new();
    let done = trigger(&airlock, &server.dag(&json!([task]), &more));
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(server.paths()[..2], ["execute", "task"]);
    let mut posts = server.posts();
    assert_eq!(posts[0].1, json!(1));
    posts.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(posts[0], ("dag".to_owned(), json!("success")));
    assert_eq!(posts[2], ("success".to_owned(), json!(200)));
    assert_eq!(posts.len(), 4);
}

#[test]
fn b8_pokes_of_a_sensor_are_one_execution() {
    let server = Server::new();
    let task = json!({
        "task_id": "waits", "operator": "probe", "config": {"not_yet_until_poke": 3}, "poke_interval": 1, "mode": "reschedule",
        "on_execute_callback": server.post("execute", &json!({})),
    });
    let airlock = Airlock::new();
    let done = trigger(&airlock, &server.dag(&json!([task]), &json!({})));
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(server.paths(), ["execute"]);
}

#[test]
fn a16_a_callback_that_fails_is_logged_and_changes_nothing() {
    let fails = json!({"operator": "probe", "config": {"result": "fail"}});
    let task = json!({"task_id": "works", "operator": "probe", "on_success_callback": fails});
    let dag = json!({
        "dag_id": "tells", "tasks": [task],
        "on_success_callback": {"operator": "notify.webhook", "config": {"url": "http://127.0.0.1:1/", "payload": {}}},
    });
    let airlock = Airlock::new();
    let done = trigger(&airlock, &dag);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(done.json()["task_instances"][0]["state"], "success");
    assert!(done.stderr.contains("told to fail"), "{}", done.stderr);
    let log = airlock
        .run(&["runs", "logs", "tells", "run_1", "works"])
        .stdout;
    assert!(
        log.contains("on_success_callback failed: told to fail"),
        "{log}"
    );
    // The run's own callback had no grant, and the log says which one it needs.
    let log = airlock.run(&["runs", "logs", "tells", "run_1"]).stdout;
    assert!(
        log.contains("on_success_callback failed") && log.contains("`http`"),
        "{log}"
    );
}

#[test]
fn a17_a18_what_is_late_is_told_while_it_still_runs() {
    // The task is answered only when both others came: without them the run would never end.
    let holds = |path: &str, posts: &Posts| {
        let came = |wanted: &str| posts.iter().any(|(path, _)| path == wanted);
        path == "task" && !(came("sla") && came("deadline"))
    };
    let server = Server::holding(holds);
    let told = json!({"slow": "{{ slow_tasks }}", "list": "{{ blocking_task_list }}", "first": "{{ slas[0].task_id }}"});
    let late = json!({"at": "{{ deadline.deadline_time }}", "dag": "{{ dag.dag_id }}"});
    let deadline = json!({"reference": "queued_at", "interval": 1, "callback": server.post("deadline", &late)});
    let more = json!({"on_sla_miss": server.post("sla", &told), "deadlines": [deadline]});
    let tasks = json!([server.task("slow", &json!({"sla": 1}))]);
    let airlock = Airlock::new();
    let done = trigger(&airlock, &server.dag(&tasks, &more));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let posts = server.posts();
    let body = |wanted: &str| &posts.iter().find(|(path, _)| path == wanted).unwrap().1;
    assert_eq!(
        (&body("sla")["slow"], &body("sla")["first"]),
        (&json!("slow"), &json!("slow"))
    );
    assert!(
        body("sla")["list"]
            .as_str()
            .unwrap()
            .starts_with("slow on 2")
    );
    assert_eq!(body("deadline")["dag"], "tells");
    assert_eq!(posts.len(), 3);
}

#[test]
fn i18_what_was_not_carried_out_before_a_crash_is_carried_out_after_it() {
    // The first post is never answered: the program is killed while the callback waits.
    let server = Server::holding(|_, posts| posts.len() == 1);
    let airlock = Airlock::new();
    let task = json!({
        "task_id": "fails", "operator": "probe", "config": {"result": "fail"},
        "on_failure_callback": server.post("failure", &json!("{{ exception }}")),
    });
    airlock.file(
        "tells.yaml",
        &server.dag(&json!([task]), &json!({})).to_string(),
    );
    let arguments = ["dags", "trigger", "tells.yaml", "--run-id", "run_1"];
    let mut program = airlock.command(&arguments).spawn().unwrap();
    server.wait_for(1);
    program.kill().unwrap();
    program.wait().unwrap();
    let resumed = airlock.run_within(RUN_SECONDS_MAX, &["runs", "resume", "--data", "data"]);
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    let posts = server.posts();
    assert_eq!(posts.len(), 2, "{posts:?}");
    assert_eq!(posts[1], ("failure".to_owned(), json!("told to fail")));
    // And then it is over.
    let again = airlock.run_within(RUN_SECONDS_MAX, &["runs", "resume", "--data", "data"]);
    assert_eq!(
        (again.code, server.posts().len()),
        (0, 2),
        "{}",
        again.stderr
    );
}
