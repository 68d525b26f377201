//! The worker's side of the socket: holds the matrices it was sent, trains, tells what happens. It decides nothing about a run but
//! when it is over, and ends with its socket. It refuses to know who asked.

use super::devices::DeviceName;
use super::fault::{Fault, FaultKind};
use super::wire::{self, End, FromWorker, Job, RunId, ToWorker};
use airlock_trainer::{self as trainer, Config, Event, Granted, Matrix, Model, TrainError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A worker is heard at least so often.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// Longer than any run: waiting ends with an event or the run.
const FOREVER: Duration = Duration::from_hours(100 * 365 * 24);

/// Private memory that a worker may hold beside what its runs were granted, bytes: stacks, the allocator's own, small data.
pub(super) const SLACK_BYTES: u64 = 256 << 20;

/// Of a thread that only starts or follows runs, bytes; the trainer's own have more.
const STACK_BYTES: usize = 512 << 10;

type Held = Result<Arc<Matrix>, TrainError>;
type Data = (Arc<Matrix>, Option<Arc<Matrix>>);

/// What one worker is.
pub(super) struct Station {
    /// Where it trains.
    pub(super) device: DeviceName,
    /// What a test planned for it.
    pub(super) fault: Option<Fault>,
    /// Whether it is a process of its own, whose limits it may set and which may end. Tests also run it as threads.
    pub(super) own_process: bool,
}

/// Shared by the loop and the threads of the runs.
struct Desk {
    station: Station,
    planned: Mutex<Option<Fault>>,
    /// None when a planned fault made it silent.
    writer: Mutex<Option<UnixStream>>,
    live: Mutex<HashMap<RunId, Live>>,
    allowed: Mutex<Allowed>,
}

/// A run between its `Start` and its end.
#[derive(Default)]
struct Live {
    run: Option<Arc<trainer::Run>>,
    cancelled: bool,
}

/// Works until the host closes the socket.
pub(super) fn serve(socket: &UnixStream, station: Station) -> io::Result<()> {
    let desk = Arc::new(Desk {
        planned: Mutex::new(station.fault),
        station,
        writer: Mutex::new(Some(socket.try_clone()?)),
        live: Mutex::default(),
        allowed: Mutex::default(),
    });
    let ended = listen(socket, &desk);
    // Dropped runs end after their current tree; in a process of its own nobody waits for that.
    for live in lock(&desk.live).values_mut() {
        live.cancel();
    }
    ended
}

fn listen(socket: &UnixStream, desk: &Arc<Desk>) -> io::Result<()> {
    let mut sent: Vec<Held> = Vec::new();
    let mut said = Instant::now();
    desk.say(&FromWorker::Beat);
    loop {
        let heard = readable(socket, BEAT)?;
        if said.elapsed() >= BEAT || !heard {
            desk.say(&FromWorker::Beat);
            said = Instant::now();
        }
        if !heard {
            continue;
        }
        let Some((message, file)) = wire::receive::<ToWorker>(socket)? else {
            return Ok(());
        };
        match message {
            ToWorker::Matrix => {
                let without = || TrainError::Data("a matrix came without its file".to_owned());
                let matrix = file.ok_or_else(without).and_then(Matrix::from_shared);
                sent.push(matrix.map(Arc::new));
            }
            ToWorker::Start {
                jobs,
                threads,
                parallel,
                memory,
            } => {
                let mut live = lock(&desk.live);
                live.extend(jobs.iter().map(|job| (job.run, Live::default())));
                drop(live);
                let batch = Batch {
                    jobs,
                    data: data(std::mem::take(&mut sent)),
                    threads: threads as usize,
                    parallel: parallel as usize,
                    memory: Allowance::new(desk, memory),
                };
                begin(desk, batch);
            }
            ToWorker::Cancel { run } => {
                if let Some(live) = lock(&desk.live).get_mut(&run) {
                    live.cancel();
                }
            }
        }
    }
}

/// The training matrix and the validation matrix, in the order in which they came.
fn data(sent: Vec<Held>) -> Result<Data, TrainError> {
    let mut sent = sent.into_iter();
    let without = || Err(TrainError::Data("a run came without its matrix".to_owned()));
    let train = sent.next().unwrap_or_else(without)?;
    Ok((train, sent.next().transpose()?))
}

/// The runs of one `Start`.
struct Batch {
    jobs: Vec<Job>,
    data: Result<Data, TrainError>,
    threads: usize,
    parallel: usize,
    memory: Allowance,
}

/// Starts the runs of a batch, on a thread: checking settings and measuring a checkpoint may take a while.
fn begin(desk: &Arc<Desk>, batch: Batch) {
    let ids: Vec<RunId> = batch.jobs.iter().map(|job| job.run).collect();
    let desk_of = desk.clone();
    if let Err(error) = spawn("batch", move || desk_of.start(batch)) {
        for run in ids {
            desk.end(run, Err(no_thread(&error)));
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.stack_size(STACK_BYTES).spawn(work).map(drop)
}

fn no_thread(error: &io::Error) -> TrainError {
    TrainError::WorkerLost(format!("the system gives no thread: {error}"))
}

/// Memory that a batch may hold.
struct Allowance {
    desk: Arc<Desk>,
    bytes: u64,
}

impl Allowance {
    fn new(desk: &Arc<Desk>, bytes: u64) -> Self {
        desk.allow(bytes);
        let desk = desk.clone();
        Self { desk, bytes }
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        let mut allowed = lock(&self.desk.allowed);
        allowed.now = allowed.now.saturating_sub(self.bytes);
    }
}

/// Private memory of the runs, bytes.
#[derive(Default)]
struct Allowed {
    now: u64,
    most: u64,
}

impl Desk {
    fn start(self: Arc<Self>, batch: Batch) {
        let memory = Arc::new(batch.memory);
        let ids: Vec<RunId> = batch.jobs.iter().map(|job| job.run).collect();
        let inside = |mut config: Config| {
            config.device = self.station.device.inside(&config.device);
            config
        };
        let jobs = batch.jobs.into_iter();
        let mut configs: Vec<Config> = jobs.map(|job| inside(job.config)).collect();
        // The first run of the first batch is the one that breaks.
        let mut planned = lock(&self.planned).take();
        if let (Some(fault), Some(config)) = (planned, configs.first_mut()) {
            fault.cut(config);
        }
        let started = batch.data.and_then(|(train, valid)| {
            trainer::start_search(
                &train,
                valid.as_ref(),
                configs,
                batch.threads,
                batch.parallel,
            )
        });
        let runs = match started {
            Ok(runs) => runs,
            Err(error) => {
                for run in ids {
                    self.end(run, Err(error.clone()));
                }
                return;
            }
        };
        for (id, run) in ids.into_iter().zip(runs) {
            let (desk, memory) = (self.clone(), memory.clone());
            let fault = planned.take();
            let follow = move || {
                match run {
                    Ok(run) => desk.follow(id, run, fault),
                    Err(error) => desk.end(id, Err(error)),
                }
                drop(memory);
            };
            if let Err(error) = spawn("follow", follow) {
                self.end(id, Err(no_thread(&error)));
            }
        }
    }

    /// Tells what a run says, to its end.
    fn follow(&self, id: RunId, run: trainer::Run, fault: Option<Fault>) {
        let run = Arc::new(run);
        if let Some(live) = lock(&self.live).get_mut(&id) {
            live.run = Some(run.clone());
            if live.cancelled {
                run.cancel();
            }
        }
        while let Some(event) = run.next(FOREVER) {
            let event = self.named(event);
            self.say(&FromWorker::Event { run: id, event });
        }
        if let (Some(fault), Some(model)) = (fault, run.model()) {
            let event = Event::Checkpointed(model.to_bytes());
            self.say(&FromWorker::Event { run: id, event });
            lock(&self.live).remove(&id);
            return self.break_down(id, fault);
        }
        let end = run.wait().map(|outcome| End {
            outcome,
            model: run
                .model()
                .as_deref()
                .map(Model::to_bytes)
                .unwrap_or_default(),
        });
        self.end(id, end);
    }

    /// The trainer knows the kind of a device, the station its name.
    fn named(&self, event: Event) -> Event {
        match (event, &self.station.device) {
            (Event::Started(granted), DeviceName::Fake(name)) => Event::Started(Granted {
                device: name.clone(),
                ..granted
            }),
            (event, _) => event,
        }
    }

    fn end(&self, run: RunId, end: Result<End, TrainError>) {
        lock(&self.live).remove(&run);
        let said = self.try_say(&FromWorker::Ended { run, end });
        if let Err(error) = said {
            // What does not fit is told instead of sent; where the host is gone, nobody hears either.
            let end = Err(TrainError::WorkerLost(format!(
                "the model cannot be handed over: {error}"
            )));
            self.say(&FromWorker::Ended { run, end });
        }
    }

    fn say(&self, message: &FromWorker) {
        // A host that is gone closes the socket, which ends the loop.
        let _ = self.try_say(message);
    }

    fn try_say(&self, message: &FromWorker) -> io::Result<()> {
        match &*lock(&self.writer) {
            Some(writer) => wire::send(writer, message, None),
            None => Ok(()),
        }
    }

    /// Raises what the process may hold. It is never lowered: the allocator keeps what a run gave back, and a limit below that would
    /// fail the next run for nothing. A GPU's driver maps far more than it uses, so there the limit is the device's.
    fn allow(&self, bytes: u64) {
        let mut allowed = lock(&self.allowed);
        allowed.now = allowed.now.saturating_add(bytes);
        allowed.most = allowed.most.max(allowed.now);
        if self.station.own_process && !matches!(self.station.device, DeviceName::Gpu(_)) {
            let bytes = allowed.most.saturating_add(SLACK_BYTES);
            let Rlimit { maximum, .. } = getrlimit(Resource::Data);
            let current = Some(maximum.map_or(bytes, |maximum| bytes.min(maximum)));
            // Without the limit training still works; the host counts what matrices need before a start.
            let _ = setrlimit(Resource::Data, Rlimit { current, maximum });
        }
    }

    fn break_down(&self, run: RunId, fault: Fault) {
        match fault.kind {
            FaultKind::Fault => {
                let end = Err(TrainError::DeviceFault("a planned fault".to_owned()));
                self.end(run, end);
            }
            FaultKind::Oom if self.station.own_process => exhaust(),
            FaultKind::Oom => {
                let end = Err(TrainError::OutOfMemory {
                    needed: 2,
                    available: 1,
                });
                self.end(run, end);
            }
            FaultKind::Hang => drop(lock(&self.writer).take()),
            FaultKind::Exit if self.station.own_process => std::process::exit(3),
            FaultKind::Kill if self.station.own_process => {
                let _ = rustix::process::kill_process(
                    rustix::process::getpid(),
                    rustix::process::Signal::KILL,
                );
            }
            FaultKind::Exit | FaultKind::Kill => {
                if let Some(writer) = lock(&self.writer).take() {
                    let _ = writer.shutdown(Shutdown::Both);
                }
            }
        }
    }
}

/// Asks for all the memory that the process may have, which is more than is left.
fn exhaust() {
    let limit = getrlimit(Resource::Data).current;
    let bytes = limit
        .and_then(|limit| isize::try_from(limit).ok())
        .unwrap_or(isize::MAX);
    let hoard: Vec<u8> = Vec::with_capacity(bytes.unsigned_abs());
    drop(std::hint::black_box(hoard));
    // The limit did not hold: another end than the one a test looks for.
    std::process::exit(4);
}

impl Live {
    fn cancel(&mut self) {
        self.cancelled = true;
        if let Some(run) = &self.run {
            run.cancel();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether something can be read, after at most so long.
fn readable(socket: &UnixStream, timeout: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    match poll(&mut polled, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
