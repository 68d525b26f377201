//! Shared helpers of the tests that run the `airlock` program as a person would.

mod guests;
mod mount;
mod service;

pub use guests::{GUESTS, Guests};
pub use mount::{Mount, fill};
pub use service::Service;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One data folder and the program.
#[derive(Debug)]
pub struct Airlock {
    folder: tempfile::TempDir,
}

/// What a command left behind.
#[derive(Debug)]
pub struct Done {
    /// Exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Done {
    /// Standard output as JSON; null where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or(serde_json::Value::Null)
    }

    /// Everything a person sees, for snapshots; `folder` is replaced.
    pub fn transcript(&self, folder: &Path) -> String {
        let text = format!(
            "exit {}\n--- stdout\n{}--- stderr\n{}",
            self.code, self.stdout, self.stderr
        );
        text.replace(&folder.display().to_string(), "[folder]")
    }
}

impl Airlock {
    /// An empty data folder in a temporary place.
    ///
    /// # Panics
    /// If the temporary place cannot be made: no test makes sense then.
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// The temporary place; the data folder is `data` in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// Writes a file into the temporary place.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::write(&path, text).expect("a file in the temporary folder");
        path
    }

    /// A command on the data folder, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.arg("--data").arg(self.data());
        command
    }

    /// A command without `--data`, in the temporary place.
    pub fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .current_dir(self.folder())
            .args(arguments)
            .stdin(Stdio::null());
        for name in [
            "AIRLOCK_DATA",
            "AIRLOCK_DAGS",
            "AIRLOCK_PLUGINS",
            "AIRLOCK_QUEUES",
            "AIRLOCK_STORAGE_ROOT",
            "AIRLOCK_LOG",
            "AIRLOCK_SECRETS",
            "AIRLOCK_SECRET_KEY",
            "AIRLOCK_SMTP_URL",
            "AIRLOCK_SMTP_FROM",
            "AIRLOCK_LISTEN_NAMES",
            "AIRLOCK_TLS_CERT",
            "AIRLOCK_TLS_KEY",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OPENLINEAGE_URL",
        ] {
            command.env_remove(name);
        }
        // Compiled components are shared by all tests; help is as wide for everybody.
        command
            .env("XDG_CACHE_HOME", root().join("target/test-cache"))
            .env("COLUMNS", "100")
            .env("NO_COLOR", "1")
            // Services of many tests run at once, and the default port is one.
            .env("AIRLOCK_LISTEN", "off")
            .env("USER", "tester");
        command
    }

    /// Runs a command on the data folder.
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Done {
        self.command(arguments)
            .output()
            .expect("the airlock program starts")
            .into()
    }

    /// Runs a command without `--data`.
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn run_bare(&self, arguments: &[&str]) -> Done {
        self.bare(arguments)
            .output()
            .expect("the airlock program starts")
            .into()
    }
}

impl Airlock {
    /// Runs a command without `--data`, and kills it when it takes longer: no run may hang a test. Code -1 then.
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn run_within(&self, seconds: u32, arguments: &[&str]) -> Done {
        let bare = self.bare(arguments);
        let mut bounded = Command::new("timeout");
        bounded
            .args(["--signal=KILL", &seconds.to_string()])
            .arg(bare.get_program())
            .args(bare.get_args())
            .current_dir(self.folder())
            .stdin(Stdio::null());
        for (name, value) in bare.get_envs() {
            match value {
                Some(value) => bounded.env(name, value),
                None => bounded.env_remove(name),
            };
        }
        bounded
            .output()
            .expect("`timeout` of coreutils starts")
            .into()
    }
}

impl Default for Airlock {
    fn default() -> Self {
        Self::new()
    }
}

/// The program under test: beside the test's own folder, built by the same cargo with the same profile.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    let folder = test.ancestors().nth(2).unwrap_or(Path::new("."));
    folder.join("airlock")
}
