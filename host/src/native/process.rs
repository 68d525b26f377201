//! One native program from its start to its end, with its whole process group. It refuses to leave anything of the group behind,
//! and to wait for what left the group by itself.

use super::launcher;
use super::policy::Program;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;
/// How long output is read on after the group is gone: a process that left the group may hold the pipe for ever.
const LAST_OUTPUT_MAX: Duration = Duration::from_secs(2);

/// What to start, and how.
pub struct Request<'a> {
    /// Which program.
    pub program: &'a Program,
    /// Without its own name.
    pub arguments: Vec<String>,
    /// All of it.
    pub environment: Vec<(String, String)>,
    /// What it reads from standard input.
    pub stdin: Vec<u8>,
    /// Its current folder.
    pub folder: PathBuf,
    /// After this it is stopped; none is without limit.
    pub timeout: Option<Duration>,
    /// Between SIGTERM and SIGKILL.
    pub grace: Duration,
}

/// Takes what the program says. Must not block.
pub trait Output: Send + Sync {
    /// Standard output.
    fn stdout(&self, bytes: &[u8]);
    /// Standard error.
    fn stderr(&self, bytes: &[u8]);
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// With an exit code.
    Exited(i32),
    /// By a signal that nobody here sent.
    Signalled(i32),
    /// It was stopped because of its timeout; whether it ended within its grace.
    TimedOut(bool),
    /// It was stopped for this reason; whether it ended within its grace.
    Cancelled(String, bool),
}

/// Starts the program, passes on what it says, and stops its group where it must. The thread that polls this first must live
/// as long as the program: the kernel ends a program whose starter is gone.
pub async fn run(
    request: Request<'_>,
    output: &dyn Output,
    cancelled: impl Future<Output = String>,
) -> io::Result<Ended> {
    let mut group = start(&request)?;
    let streams = (group.0.stdout.take(), group.0.stderr.take());
    let talk = async {
        let (Some(stdout), Some(stderr)) = streams else {
            return Ok(());
        };
        let (stdout, stderr) = (receiver(stdout.into())?, receiver(stderr.into())?);
        tokio::join!(
            drain(stdout, |bytes| output.stdout(bytes)),
            drain(stderr, |bytes| output.stderr(bytes)),
        );
        io::Result::Ok(())
    };
    let mut talk = std::pin::pin!(talk);
    let mut cancelled = std::pin::pin!(cancelled);
    let exit = exit_of(&group)?;
    let mut exit = std::pin::pin!(exit);
    let mut silent = false;
    let mut stopped: Option<Ended> = None;
    let never = Duration::from_hours(24 * 365);
    let mut deadline = Instant::now() + request.timeout.unwrap_or(never);
    let mut in_grace = true;
    loop {
        tokio::select! {
            biased;
            ended = &mut exit => { ended?; break; }
            said = &mut talk, if !silent => { said?; silent = true; }
            reason = &mut cancelled, if stopped.is_none() => {
                stopped = Some(Ended::Cancelled(reason, true));
                deadline = Instant::now() + request.grace;
                group.signal(Signal::TERM);
            }
            () = tokio::time::sleep_until(deadline) => {
                if stopped.is_none() {
                    stopped = Some(Ended::TimedOut(true));
                    deadline = Instant::now() + request.grace;
                    group.signal(Signal::TERM);
                } else {
                    in_grace = false;
                    deadline = Instant::now() + never;
                    group.signal(Signal::KILL);
                }
            }
        }
    }
    // Its leader is a zombie still, so the group's number cannot be another's.
    group.signal(Signal::KILL);
    if !silent {
        // What is lost then is the output of a process that left the group.
        let _ = tokio::time::timeout(LAST_OUTPUT_MAX, talk).await;
    }
    let status = group.0.wait()?;
    Ok(match stopped {
        Some(Ended::Cancelled(reason, _)) => Ended::Cancelled(reason, in_grace),
        Some(_) => Ended::TimedOut(in_grace),
        None => match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Exited(code),
            (None, signal) => Ended::Signalled(signal.unwrap_or_default()),
        },
    })
}

/// A program that leads its own process group. Dropped, it is ended with all of it.
struct Group(Child);

impl Group {
    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.0.id()).ok()?)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // A group without members needs no signal.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Once it was waited for its number may be another's; then nothing of it is left.
        if matches!(self.0.try_wait(), Ok(None)) {
            self.signal(Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

fn start(request: &Request<'_>) -> io::Result<Group> {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("airlock")
        .arg("native-launcher")
        .args(launcher::flags(&request.program.settings))
        .arg("--")
        .arg(&request.program.path)
        .args(&request.arguments)
        .env_clear()
        .envs(
            request
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        )
        .current_dir(&request.folder)
        .stdin(Stdio::from(input(&request.stdin)?))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command.spawn().map(Group)
}

/// Standard input as a file in memory, so that a program that does not read it holds nobody up.
fn input(bytes: &[u8]) -> io::Result<File> {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::memfd_create("airlock-stdin", flags)?);
    file.write_all(bytes)?;
    io::Seek::rewind(&mut file)?;
    Ok(file)
}

/// Ends when the program has ended, and leaves it to be waited for: until then its number, and its group's, is nobody else's.
fn exit_of(group: &Group) -> io::Result<impl Future<Output = io::Result<()>> + use<>> {
    let pid = group.pid().ok_or(io::ErrorKind::NotFound)?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    // A thread for each program that runs; it ends with the program, which its group's drop ends.
    let waiting = tokio::task::spawn_blocking(move || waitid(WaitId::Pid(pid), options));
    Ok(async move {
        waiting.await.map_err(io::Error::other)??;
        Ok(())
    })
}

fn receiver(pipe: OwnedFd) -> io::Result<Receiver> {
    Receiver::from_owned_fd(pipe)
}

async fn drain(mut from: Receiver, to: impl Fn(&[u8])) {
    let mut buffer = vec![0; READ_BYTES];
    // A pipe that cannot be read has no more to say.
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        to(buffer.get(..count).unwrap_or_default());
    }
}
