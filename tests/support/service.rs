//! A service on a test's data folder, and looking at it until it is so: nothing waits for a fixed time.

use crate::Airlock;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Nothing that a test waits for takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(25);

/// `airlock serve`; killed when it is dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    told: Arc<Mutex<String>>,
}

impl Service {
    /// Asks it to stop, and waits until it has.
    ///
    /// # Panics
    /// If it cannot be asked.
    pub fn stop(mut self) -> ExitStatus {
        let asked = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(asked.expect("`kill` starts").success());
        self.child.wait().expect("the service ends")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(mut self) {
        self.child.kill().expect("the service is there");
        self.child.wait().expect("the service ends");
    }

    /// What it said on standard error so far.
    ///
    /// # Panics
    /// If its reader panicked.
    pub fn told(&self) -> String {
        self.told.lock().expect("a reader that lives").clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Airlock {
    /// Writes a DAG into the folder that `serve` follows, as editors do: another file first, then renamed.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn dag_file(&self, dag: &Value) {
        let folder = self.folder().join("dags");
        std::fs::create_dir_all(&folder).expect("a folder for DAGs");
        let name = dag["dag_id"].as_str().expect("a dag_id");
        let draft = folder.join(format!(".{name}"));
        std::fs::write(&draft, dag.to_string()).expect("a DAG file");
        std::fs::rename(draft, folder.join(format!("{name}.yaml"))).expect("a DAG file");
    }

    /// Starts a service and waits until it is ready.
    ///
    /// # Panics
    /// If it ends before.
    pub fn serve(&self) -> Service {
        self.serve_with(&[])
    }

    /// The same, with further arguments.
    ///
    /// # Panics
    /// If it ends before it is ready.
    pub fn serve_with(&self, more: &[&str]) -> Service {
        self.serve_in(&[], more)
    }

    /// The same, with further arguments, and more in its environment.
    ///
    /// # Panics
    /// If it ends before it is ready.
    pub fn serve_in(&self, environment: &[(&str, &str)], more: &[&str]) -> Service {
        let dags = self.folder().join("dags");
        std::fs::create_dir_all(&dags).expect("a folder for DAGs");
        let mut child = self
            .command(&["serve", "--quiet", "--dags", &dags.display().to_string()])
            .envs(environment.iter().copied())
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the airlock program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut begun = String::new();
        for line in lines.by_ref().map_while(Result::ok) {
            begun.push_str(&line);
            begun.push('\n');
            if line.contains("ready in") {
                break;
            }
        }
        assert!(begun.contains("ready in"), "it never was ready: {begun}");
        let told = Arc::new(Mutex::new(begun));
        let more = told.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Ok(mut told) = more.lock() {
                    told.push_str(&line);
                    told.push('\n');
                }
            }
        });
        Service { child, told }
    }

    /// Runs a command that must end well.
    ///
    /// # Panics
    /// If it does not.
    pub fn ok(&self, arguments: &[&str]) -> crate::Done {
        let done = self.run(arguments);
        assert_eq!(
            done.code, 0,
            "{arguments:?}: {}{}",
            done.stdout, done.stderr
        );
        done
    }

    /// Asks until the text of the answer is as wanted, and yields it.
    ///
    /// # Panics
    /// If it is not within `PATIENCE`.
    pub fn until_text(&self, arguments: &[&str], wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let done = self.run(arguments);
            if done.code == 0 && wanted(&done.stdout) {
                return done.stdout;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{arguments:?} never was as wanted; last: {} {}",
                done.stdout,
                done.stderr
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// Asks with `--json` until the answer is as wanted, and yields it.
    ///
    /// # Panics
    /// If it is not within `PATIENCE`.
    pub fn until(&self, arguments: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        let arguments = [arguments, &["--json"]].concat();
        loop {
            let done = self.run(&arguments);
            let answer = done.json();
            if done.code == 0 && wanted(&answer) {
                return answer;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{arguments:?} never was as wanted; last: {} {}",
                done.stdout,
                done.stderr
            );
            std::thread::sleep(PAUSE);
        }
    }
}
