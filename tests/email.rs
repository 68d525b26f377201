//! Mails through the whole program, to an SMTP server of the test's own.

use airlock_tests::{Airlock, Done};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A mail as it came over the wire.
#[derive(Debug, Clone, Default)]
struct Received {
    /// Every command before the text.
    commands: Vec<String>,
    /// The text, with its headers.
    data: String,
}

struct Server {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    /// Takes every mail, after it refused `refusals` of them for now.
    fn new(refusals: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let shared = received.clone();
        std::thread::spawn(move || {
            let mut refusals = refusals;
            for stream in listener.incoming() {
                let is_refused = refusals > 0;
                refusals = refusals.saturating_sub(1);
                let shared = shared.clone();
                std::thread::spawn(move || talk(&stream.unwrap(), is_refused, &shared));
            }
        });
        Self { address, received }
    }

    fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

/// One talk as the protocol has it. A mail is kept before the client hears that it was taken.
fn talk(stream: &TcpStream, is_refused: bool, received: &Mutex<Vec<Received>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut out = stream;
    // A client that is gone is no business of a server's.
    let mut say = |text: &str| drop(out.write_all(format!("{text}\r\n").as_bytes()));
    let mut mail = Received::default();
    say("220 test ESMTP");
    while let Some(Ok(line)) = lines.next() {
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        mail.commands.push(line);
        match verb.as_str() {
            "EHLO" => say("250-test\r\n250-AUTH PLAIN\r\n250 8BITMIME"),
            "MAIL" if is_refused => say("451 later"),
            "AUTH" => say("235 fine"),
            "DATA" => {
                say("354 go on");
                let text = lines.by_ref().map_while(Result::ok);
                let text: Vec<String> = text.take_while(|line| line != ".").collect();
                mail.data = text.join("\n");
                received.lock().unwrap().push(std::mem::take(&mut mail));
                say("250 taken");
            }
            "QUIT" => return say("221 bye"),
            _ => say("250 fine"),
        }
    }
}

fn trigger(airlock: &Airlock, dag: &Value, variables: &[(&str, &str)]) -> Done {
    airlock.file("mails.yaml", &dag.to_string());
    let arguments = [
        "dags",
        "trigger",
        "mails.yaml",
        "--run-id",
        "run_1",
        "--json",
    ];
    let mut command = airlock.command(&arguments);
    for (name, value) in variables {
        command.env(name, value);
    }
    command.output().unwrap().into()
}

fn failing(more: &Value) -> Value {
    let mut task = json!({"task_id": "fails", "operator": "probe", "config": {"result": "fail"}});
    for (key, value) in more.as_object().unwrap() {
        task[key] = value.clone();
    }
    json!({"dag_id": "mails", "tasks": [task]})
}

#[test]
fn b7_a_retry_and_the_final_failure_are_mailed_to_every_address() {
    let server = Server::new(0);
    let airlock = Airlock::new();
    let dag = failing(
        &json!({"email": "ana@example.com; ben@example.com", "retries": 1, "retry_delay": 1}),
    );
    let url = format!("smtp://robot:t0p@{}", server.address);
    let from = ("AIRLOCK_SMTP_FROM", "Airlock <airlock@example.com>");
    let done = trigger(&airlock, &dag, &[("AIRLOCK_SMTP_URL", &url), from]);
    assert_eq!(done.code, 10, "{}", done.stderr);
    let mut received = server.received();
    received.sort_by_key(|mail| mail.data.contains("mails.fails failed"));
    assert_eq!(received.len(), 2, "{received:?} {}", done.stderr);
    let commands = &received[0].commands;
    for wanted in [
        "MAIL FROM:<airlock@example.com>",
        "RCPT TO:<ana@example.com>",
        "RCPT TO:<ben@example.com>",
        // `\0robot\0t0p`
        "AUTH PLAIN AHJvYm90AHQwcA==",
    ] {
        assert!(
            commands.iter().any(|line| line.starts_with(wanted)),
            "{wanted} in {commands:?}"
        );
    }
    let retry = &received[0].data;
    assert!(
        retry.contains("Subject: Airlock: mails.fails will be tried again"),
        "{retry}"
    );
    let failure = &received[1].data;
    for wanted in [
        "Task fails of DAG mails failed.",
        "Try:  2",
        "told to fail",
        "airlock runs logs mails 'run_1' fails",
    ] {
        assert!(failure.contains(wanted), "{wanted} in {failure}");
    }
    assert!(!done.stderr.contains("t0p"), "{}", done.stderr);
}

#[test]
fn b7_a_server_that_stumbles_is_asked_again() {
    let server = Server::new(1);
    let airlock = Airlock::new();
    let dag = failing(&json!({"email": ["ana@example.com"]}));
    let url = format!("smtp://{}", server.address);
    // The settings file says it too.
    airlock.file(
        "airlock.toml",
        &format!("smtp_url = {url:?}\nsmtp_from = \"a@example.com\"\n"),
    );
    let done = trigger(&airlock, &dag, &[]);
    assert_eq!(done.code, 10, "{}", done.stderr);
    assert_eq!(server.received().len(), 1, "{}", done.stderr);
}

#[test]
fn b7_without_a_server_the_run_ends_as_ever_and_that_is_said_once() {
    let airlock = Airlock::new();
    let dag = failing(&json!({"email": ["ana@example.com"], "retries": 1, "retry_delay": 1}));
    let done = trigger(&airlock, &dag, &[]);
    assert_eq!(done.code, 10, "{}", done.stderr);
    let told = done.stderr.matches("AIRLOCK_SMTP_URL").count();
    assert_eq!(told, 1, "{}", done.stderr);
    let wrong = trigger(&airlock, &dag, &[("AIRLOCK_SMTP_URL", "http://u:hush@h")]);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    assert!(
        wrong.stderr.contains("smtps://") && !wrong.stderr.contains("hush"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn b7_nothing_in_a_text_becomes_a_header_or_an_end() {
    let server = Server::new(0);
    let airlock = Airlock::new();
    let message = "Bcc: eve@example.com\r\n\r\n.\r\nQUIT";
    let mut dag = failing(&json!({"email": ["ana@example.com"], "operator": "notify.webhook"}));
    dag["tasks"][0]["config"] = json!({"url": message, "payload": {}});
    let url = format!("smtp://{}", server.address);
    let done = trigger(&airlock, &dag, &[("AIRLOCK_SMTP_URL", &url)]);
    assert_eq!(done.code, 10, "{}", done.stderr);
    let received = server.received();
    assert_eq!(received.len(), 1, "{received:?} {}", done.stderr);
    let recipients = received[0]
        .commands
        .iter()
        .filter(|line| line.starts_with("RCPT"));
    assert_eq!(recipients.count(), 1);
    let head = received[0].data.split("\n\n").next().unwrap();
    assert!(!head.contains("eve@"), "{head}");
    assert!(
        received[0].data.contains("airlock runs logs"),
        "the text came whole"
    );
}

fn mailing(grants: &Value) -> Value {
    let config = json!({"to": ["ana@example.com", "ben@example.com"], "subject": "weekly\r\nBcc: eve@example.com", "body": "all well\n.\nand more"});
    let task = json!({"task_id": "tell", "operator": "notify.email", "config": config});
    json!({"dag_id": "mails", "grants": grants, "tasks": [task]})
}

#[test]
fn m18_an_operator_mails_a_summary_to_granted_addresses() {
    let server = Server::new(0);
    let airlock = Airlock::new();
    let url = format!("smtp://{}", server.address);
    let dag = mailing(&json!({"email": ["*@example.com"]}));
    let done = trigger(&airlock, &dag, &[("AIRLOCK_SMTP_URL", &url)]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let received = server.received();
    assert_eq!(received.len(), 1, "{received:?}");
    let mail = &received[0];
    let to: Vec<&String> = mail
        .commands
        .iter()
        .filter(|line| line.starts_with("RCPT"))
        .collect();
    assert_eq!(
        to,
        ["RCPT TO:<ana@example.com>", "RCPT TO:<ben@example.com>"]
    );
    let (head, body) = mail.data.split_once("\n\n").unwrap();
    assert!(
        head.contains("Subject: weekly  Bcc: eve@example.com"),
        "{head}"
    );
    assert!(
        body.contains("all well") && body.contains("and more"),
        "{body}"
    );
}

#[test]
fn m18_a_mail_to_an_address_that_is_not_granted_is_denied_with_the_grant_to_add() {
    let server = Server::new(0);
    let airlock = Airlock::new();
    let url = format!("smtp://{}", server.address);
    for grants in [json!({"email": ["ana@example.com"]}), json!({})] {
        let dag = mailing(&grants);
        airlock.file("mails.yaml", &dag.to_string());
        let mut command = airlock.command(&["dags", "test", "mails.yaml", "--json"]);
        let done: Done = command
            .env("AIRLOCK_SMTP_URL", &url)
            .output()
            .unwrap()
            .into();
        assert_eq!(done.code, 10, "{}", done.stderr);
        let told = format!("{} {}", done.stdout, done.stderr);
        assert!(told.contains("email"), "{told}");
    }
    assert!(server.received().is_empty());
}
