//! Which GPUs this machine has. The driver is asked in a child process with a time limit, once, and only when a pool of kind gpu or
//! a person wants to know: a driver that hangs or crashes takes nothing of the host with it. It refuses to open one here.

use crate::error::{ErrorKind, UserError};
use airlock_core::gpu::{Gpu, Gpus};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::time::Duration;

/// The command that the child carries out.
pub const PROBE_COMMAND: &str = "gpu-probe";
/// How long the driver may take. A cold one needs a few seconds on machines with many cards.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
/// The most that the child may say, bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// The machine's cards, found when they are first asked for.
#[derive(Debug)]
pub struct GpuSource {
    /// A JSON file that lists cards instead of the driver: to try out a DAG's wishes on a machine without them.
    listed: Option<PathBuf>,
    found: OnceLock<Vec<Gpu>>,
}

impl GpuSource {
    /// Nothing is asked yet.
    pub fn new(listed: Option<PathBuf>) -> Self {
        Self {
            listed,
            found: OnceLock::new(),
        }
    }

    /// Every card. A driver that gives no answer counts as none, with a warning.
    pub fn gpus(&self) -> Result<&[Gpu], UserError> {
        if let Some(found) = self.found.get() {
            return Ok(found);
        }
        let found = match &self.listed {
            Some(path) => read(path)?,
            None => ask_driver().unwrap_or_else(|why| {
                tracing::warn!(%why, "the GPUs of this machine are not known");
                Vec::new()
            }),
        };
        Ok(self.found.get_or_init(|| found))
    }

    /// The same, with nothing taken.
    pub fn free(&self) -> Result<Gpus, UserError> {
        Ok(Gpus::new(self.gpus()?.to_vec()))
    }
}

fn read(path: &PathBuf) -> Result<Vec<Gpu>, UserError> {
    let wrong = |why: String| {
        let message = format!("the list of GPUs {} {why}", path.display());
        UserError::new(ErrorKind::Usage, message).hint(
            r#"it holds for example [{"uuid": "GPU-0", "name": "NVIDIA H100", "memory": 85899345920, "compute": [9, 0]}]"#,
        )
    };
    let text =
        std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    serde_json::from_str(&text).map_err(|error| wrong(format!("is no such list: {error}")))
}

fn ask_driver() -> Result<Vec<Gpu>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut child = Command::new(program)
        .arg(PROBE_COMMAND)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let answer = child.stdout.take().ok_or("it has no output")?;
    let (said, heard) = channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = answer.take(ANSWER_BYTES_MAX).read_to_string(&mut text);
        // Nobody listens after the time limit.
        let _ = said.send(read.map(|_| text));
    });
    let text = heard.recv_timeout(PROBE_TIMEOUT);
    // One that hangs in the driver may not die at once; it is not waited for.
    let _ = child.kill();
    let text = text.map_err(|_| format!("the driver did not answer within {PROBE_TIMEOUT:?}"))?;
    let _ = child.wait();
    let text = text.map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| format!("the child did not list them: {error}"))
}

/// What the driver lists. Only for the child: a driver may hang. One that answers with an error has no cards for us.
pub fn probe() -> Vec<Gpu> {
    let cards = airlock_trainer::device::list().unwrap_or_default();
    let gpu = |card: airlock_trainer::device::Card| Gpu {
        uuid: card.uuid,
        name: card.name,
        memory: card.memory_total,
        compute: card.compute,
    };
    cards.into_iter().map(gpu).collect()
}
