//! Command-line programs in the sandbox: what they are given, what they are not, and how they end. Most of it is asked of a
//! component and of a WASI 0.1 module alike.

use crate::support::*;
use airlock::sandbox::{
    AttemptLimits, AttemptReport, CancelSignal, Command, CommandRequest, InterfaceSet, Sandbox,
    Scratch,
};
use airlock_core::run::event::{AttemptErrorKind, Outcome};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

struct Run {
    request: CommandRequest,
    seen: Arc<Seen>,
}

fn request(command: &Arc<Command>, arguments: &[&str]) -> Run {
    let seen = Arc::new(Seen::default());
    let (send, _lines) = mpsc::unbounded_channel();
    let arguments = std::iter::once("tool").chain(arguments.iter().copied());
    Run {
        request: CommandRequest {
            command: Arc::clone(command),
            arguments: arguments.map(str::to_owned).collect(),
            environment: Vec::new(),
            stdin: Vec::new(),
            scratch: None,
            limits: AttemptLimits::default(),
            ports: Arc::new(ports(&seen, send)),
            granted: InterfaceSet::NONE,
            cancel: CancelSignal::new(),
        },
        seen,
    }
}

/// The report, and the lines of the log.
fn run(sandbox: &Sandbox, run: Run) -> (AttemptReport, Vec<String>) {
    let report = block_on(sandbox.run_command(run.request));
    (report, run.seen.texts())
}

fn both(sandbox: &Sandbox) -> [Arc<Command>; 2] {
    [&GUESTS.tool, &GUESTS.tool_module].map(|bytes| sandbox.load_command(bytes).unwrap())
}

#[test]
fn a_program_gets_its_arguments_environment_and_input_and_nothing_of_the_hosts() {
    let sandbox = sandbox();
    for command in both(&sandbox) {
        let said = |arguments: &[&str]| run(&sandbox, request(&command, arguments)).1;
        assert_eq!(said(&["echo", "a b", "ä"]), ["a b ä"]);
        assert_eq!(said(&["name"]), ["tool"]);
        assert!(std::env::vars().next().is_some());
        assert_eq!(said(&["env"]), [""], "no variable of the host");
        for closed in ["/", ".", "/etc", "/tmp", ".."] {
            let said = said(&["list", closed]);
            assert!(said[0].starts_with("refused"), "{closed}: {said:?}");
        }
        let mut with = request(&command, &["env"]);
        with.request.environment = vec![("B".into(), "2".into()), ("A".into(), "1".into())];
        assert_eq!(run(&sandbox, with).1, ["A=1,B=2"]);
        let mut with = request(&command, &["stdin"]);
        with.request.stdin = b"hello \n".repeat(30_000);
        let (report, lines) = run(&sandbox, with);
        assert_eq!(lines[0], "210000");
        assert_eq!(success(&report), Some(r#"{"read":209998}"#));
    }
}

#[test]
fn a_program_has_no_network() {
    let sandbox = sandbox();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    listener.set_nonblocking(true).unwrap();
    for command in both(&sandbox) {
        for granted in [InterfaceSet::NONE, InterfaceSet::all()] {
            let mut connect = request(&command, &["connect", &address]);
            connect.request.granted = granted;
            let (_, lines) = run(&sandbox, connect);
            assert!(lines[0].starts_with("refused"), "{lines:?}");
        }
    }
    assert!(listener.accept().is_err(), "nobody came");
}

#[test]
fn e7_the_exit_code_says_how_it_ended() {
    let sandbox = sandbox();
    let [component, module] = both(&sandbox);
    let ended = |command, code: &str| run(&sandbox, request(command, &["exit", code])).0;
    assert_eq!(success(&ended(&module, "0")), None);
    let skipped = ended(&module, "99").outcome;
    assert_eq!(
        skipped,
        Outcome::Skip("the program exited with code 99: it ends with 99".into())
    );
    for (code, told) in [("1", "code 1"), ("7", "code 7"), ("255", "code 255")] {
        let report = ended(&module, code);
        assert_eq!(kind(&report), AttemptErrorKind::Transient);
        let message = &error(&report).message;
        assert!(
            message.contains(told) && message.ends_with(&format!("it ends with {code}")),
            "{message}"
        );
    }
    // Rust's library for wasip2 can only say that it failed.
    assert_eq!(success(&ended(&component, "0")), None);
    assert!(error(&ended(&component, "99")).message.contains("code 1"));
    for command in [&component, &module] {
        let (report, _) = run(&sandbox, request(command, &["panic"]));
        assert!(error(&report).message.contains("it gives up"), "{report:?}");
    }
}

#[test]
fn every_limit_of_an_attempt_stops_a_program_too() {
    let sandbox = sandbox();
    for command in both(&sandbox) {
        let limited = |argument: &str| {
            let mut run = request(&command, &[argument]);
            run.request.limits = AttemptLimits {
                memory_bytes: 16 << 20,
                log_bytes: 5_000,
                cpu: Some(Duration::from_millis(100)),
                ..AttemptLimits::default()
            };
            run
        };
        for (argument, words) in [
            ("spin", "computed longer"),
            ("flood", "computed longer"),
            ("eat", "16777216"),
        ] {
            let (report, lines) = run(&sandbox, limited(argument));
            assert_eq!(kind(&report), AttemptErrorKind::LimitExceeded, "{argument}");
            assert!(
                error(&report).message.contains(words),
                "{argument}: {report:?}"
            );
            assert!(report.usage.log_bytes <= 5_000 && report.usage.memory_peak_bytes <= 16 << 20);
            assert!(lines.iter().map(String::len).sum::<usize>() < 6_000);
        }
        let mut timed = request(&command, &["spin"]);
        timed.request.limits.execution_timeout = Some(Duration::from_millis(50));
        let report = run(&sandbox, timed).0;
        assert_eq!(kind(&report), AttemptErrorKind::TimedOut);
        let stopped = request(&command, &["spin"]);
        stopped.request.cancel.cancel("enough");
        let report = run(&sandbox, stopped).0;
        assert_eq!(kind(&report), AttemptErrorKind::Cancelled);
    }
}

fn scratch(run: &mut Run, folder: &Path, quota_bytes: u64) {
    run.request.scratch = Some(Scratch {
        folder: folder.to_owned(),
        quota_bytes,
    });
}

#[test]
fn a_granted_folder_is_all_of_the_file_system_that_a_program_sees() {
    let sandbox = sandbox();
    let outer = tempfile::tempdir().unwrap();
    std::fs::write(outer.path().join("secret"), "top").unwrap();
    for (number, command) in both(&sandbox).iter().enumerate() {
        let folder = outer.path().join(number.to_string());
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("in"), "abc").unwrap();
        std::os::unix::fs::symlink("../secret", folder.join("planted")).unwrap();
        let said = |arguments: &[&str]| {
            let mut with = request(command, arguments);
            scratch(&mut with, &folder, 1 << 20);
            run(&sandbox, with).1.join(" ")
        };
        assert_eq!(said(&["copy", "in", "/out"]), "3 bytes");
        assert_eq!(std::fs::read(folder.join("out")).unwrap(), b"abc");
        assert_eq!(said(&["list", "/"]), "ok in,out,planted");
        for out in [
            "../secret",
            "/../secret",
            "planted",
            "/etc/passwd",
            "..",
            "./../../secret",
            "in/../../secret",
        ] {
            assert!(said(&["read", out]).starts_with("refused"), "{out}");
        }
        for target in ["/etc/passwd", "../secret", "/"] {
            let told = said(&["link", target, "made"]);
            // Where it may be made it must lead nowhere.
            assert!(
                told.starts_with("refused") || said(&["read", "made"]).starts_with("refused"),
                "{target}: {told}"
            );
            let _ = std::fs::remove_file(folder.join("made"));
        }
        assert!(
            said(&["copy", "in", "../new"]).contains("can be written"),
            "it panics"
        );
        assert!(!outer.path().join("new").exists());
    }
}

#[test]
fn a_file_return_json_is_the_result_before_any_line() {
    let sandbox = sandbox();
    for command in both(&sandbox) {
        let returned = |text: &str, prepare: &dyn Fn(&Path)| {
            let folder = tempfile::tempdir().unwrap();
            prepare(folder.path());
            let mut with = request(&command, &["return", text]);
            scratch(&mut with, folder.path(), 1 << 20);
            run(&sandbox, with).0
        };
        assert_eq!(success(&returned("[1, 2]", &|_| ())), Some("[1, 2]"));
        let report = returned("{not json", &|_| ());
        assert_eq!(kind(&report), AttemptErrorKind::Permanent);
        assert!(
            error(&report)
                .message
                .contains("return.json that is no JSON")
        );
        let folder = tempfile::tempdir().unwrap();
        let long = format!("\"{}\"", "x".repeat(200));
        let mut with = request(&command, &["return", &long]);
        scratch(&mut with, folder.path(), 1 << 20);
        with.request.limits.output_bytes = 100;
        assert_eq!(
            kind(&run(&sandbox, with).0),
            AttemptErrorKind::LimitExceeded
        );
    }
    // A link that somebody put there is not followed.
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("work");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(outer.path().join("secret.json"), "{\"a\":1}").unwrap();
    std::os::unix::fs::symlink("../secret.json", folder.join("return.json")).unwrap();
    let mut with = request(&both(&sandbox)[0], &["echo", "x"]);
    scratch(&mut with, &folder, 1 << 20);
    let report = run(&sandbox, with).0;
    assert!(
        error(&report).message.contains("cannot be read"),
        "{report:?}"
    );
}

#[test]
fn no_way_of_filling_the_folder_gets_past_its_quota() {
    const QUOTA: u64 = 1 << 20;
    let sandbox = sandbox();
    for command in both(&sandbox) {
        for way in [
            "write", "append", "hole", "names", "folders", "ghosts", "again",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let mut with = request(&command, &["quota", way]);
            scratch(&mut with, folder.path(), QUOTA);
            let (report, lines) = run(&sandbox, with);
            assert!(
                matches!(report.outcome, Outcome::Success(_)),
                "{way}: {report:?}"
            );
            let line = lines.first().unwrap();
            let number = line
                .split(' ')
                .nth(1)
                .and_then(|word| word.parse::<u64>().ok());
            match way {
                "write" | "append" | "ghosts" => {
                    let fits = (QUOTA / 2..=QUOTA).contains(&number.unwrap());
                    assert!(fits, "{line}");
                }
                "names" | "folders" => assert_eq!(number.unwrap(), QUOTA / 4096, "{line}"),
                "hole" => assert_eq!(line, "hole refused true, length refused true"),
                _ => assert_eq!(line, "wrote again and again"),
            }
        }
    }
}

#[test]
fn the_same_bytes_are_one_program_while_somebody_holds_it() {
    let sandbox = sandbox();
    let one = sandbox.load_command(&GUESTS.tool_module).unwrap();
    let two = sandbox.load_command(&GUESTS.tool_module).unwrap();
    assert!(Arc::ptr_eq(&one, &two));
    assert!(
        one.imports()
            .iter()
            .any(|import| import.starts_with("wasi:cli/exit@0.2"))
    );
}
