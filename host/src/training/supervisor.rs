//! Workers and the runs on them: one long-lived worker for a device, several runs in it, and a worker of its own for a run that
//! lost one, so that a run that kills its worker takes no others with it. It owns when a worker is killed, replaced or let go; it
//! refuses to train.

use super::Options;
use super::devices::{DeviceName, Devices};
use super::fault::Fault;
use super::process::{Farewell, Launch, Worker};
use super::record::{Cause, Record};
use super::wire::{self, End, FromWorker, Job, RunId, ToWorker};
use super::worker::SLACK_BYTES;
use airlock_trainer::{Matrix, TrainError};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// How often the watch looks.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Rust's own words when an allocation fails, round the number of bytes.
const ALLOCATION_FAILED: (&str, &str) = ("memory allocation of ", " bytes failed");

/// All workers of one host.
pub(super) struct Supervisor {
    pub(super) options: Options,
    pub(super) devices: Box<dyn Devices>,
    launch: Box<dyn Launch>,
    /// Of the workers that will be started, in their order.
    faults: Mutex<VecDeque<Option<Fault>>>,
    workers: Mutex<BTreeMap<u64, Hired>>,
    /// One worker is looked for or started at a time, so that two runs do not start two.
    placing: Mutex<()>,
    numbers: AtomicU64,
    watched: AtomicBool,
    own: Weak<Supervisor>,
}

/// A live worker.
struct Hired {
    device: DeviceName,
    /// For one run alone.
    solitary: bool,
    process: Arc<dyn Worker>,
    socket: Arc<UnixStream>,
    outgoing: Sender<Outgoing>,
    runs: BTreeMap<RunId, Arc<Record>>,
    /// Runs that it was ever given.
    taken: u32,
    heard: Instant,
    idle_since: Instant,
    /// Why it is being killed, if it is.
    cause: Option<Cause>,
    /// It was told to go.
    leaving: bool,
}

/// What the thread that writes to a worker is handed: that one may wait, nobody else does.
enum Outgoing {
    Start {
        train: Arc<Matrix>,
        valid: Option<Arc<Matrix>>,
        message: ToWorker,
    },
    Cancel(RunId),
}

impl Supervisor {
    pub(super) fn new(
        options: Options,
        devices: Box<dyn Devices>,
        launch: Box<dyn Launch>,
        faults: Vec<Option<Fault>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            options,
            devices,
            launch,
            faults: Mutex::new(faults.into()),
            workers: Mutex::default(),
            placing: Mutex::default(),
            numbers: AtomicU64::new(1),
            watched: AtomicBool::new(false),
            own: own.clone(),
        })
    }

    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Gives runs over the same matrices to a worker of `device`.
    pub(super) fn place(
        &self,
        records: &[Arc<Record>],
        device: &DeviceName,
        threads: u32,
        parallel: u32,
        solitary: bool,
    ) -> Result<(), TrainError> {
        let Some(first) = records.first() else {
            return Ok(());
        };
        let job = |record: &Arc<Record>| Job {
            run: record.id,
            config: record.config(),
        };
        let start = Outgoing::Start {
            train: first.spec.train.clone(),
            valid: first.spec.valid.clone(),
            message: ToWorker::Start {
                jobs: records.iter().map(job).collect(),
                threads,
                parallel,
                memory: first.spec.memory,
            },
        };
        let one_at_a_time = lock(&self.placing);
        let runs_max = self.options.runs_per_worker;
        let free = |_: u64, hired: &Hired| !solitary && hired.takes(device, runs_max);
        let Some(start) = self.assign(free, records, start) else {
            return Ok(());
        };
        let hired = self.hire(device, solitary).map_err(|error| {
            TrainError::WorkerLost(format!("no training worker can be started: {error}"))
        })?;
        let left = self.assign(|number, _| number == hired, records, start);
        drop(one_at_a_time);
        if left.is_some() {
            let cause = Cause::Lost("its worker ended as soon as it was started".to_owned());
            records
                .iter()
                .for_each(|record| self.move_on(record, &cause));
        }
        Ok(())
    }

    /// Gives runs to the first worker that `fits`; gives `start` back where there is none.
    fn assign(
        &self,
        fits: impl Fn(u64, &Hired) -> bool,
        records: &[Arc<Record>],
        start: Outgoing,
    ) -> Option<Outgoing> {
        let mut workers = lock(&self.workers);
        let mut all = workers.iter_mut();
        let Some((_, hired)) = all.find(|(number, hired)| fits(**number, hired)) else {
            return Some(start);
        };
        for record in records {
            hired.runs.insert(record.id, record.clone());
            hired.taken += 1;
        }
        // A worker that is gone closes the channel; its burial finds the runs.
        let _ = hired.outgoing.send(start);
        for record in records.iter().filter(|record| record.is_cancelled()) {
            let _ = hired.outgoing.send(Outgoing::Cancel(record.id));
        }
        None
    }

    /// Starts a worker, in a thread that lives as long as it.
    fn hire(&self, device: &DeviceName, solitary: bool) -> io::Result<u64> {
        let number = self.number();
        let (report, reported) = channel();
        let (own, device) = (self.own.clone(), device.clone());
        thread::Builder::new()
            .name(format!("trainer-{number}"))
            .spawn(move || employ(&own, number, &device, solitary, &report))?;
        self.watch()?;
        let never = |_| Err(io::Error::other("the worker's thread ended"));
        reported.recv().unwrap_or_else(never).map(|()| number)
    }

    /// Looks at all workers from time to time, from the first one on.
    fn watch(&self) -> io::Result<()> {
        if self.watched.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let own = self.own.clone();
        let watch = move || {
            loop {
                thread::sleep(WATCH_EVERY);
                let Some(supervisor) = own.upgrade() else {
                    return;
                };
                supervisor.check(Instant::now());
            }
        };
        let spawned = thread::Builder::new()
            .name("trainer-watch".to_owned())
            .spawn(watch);
        spawned.map(drop)
    }

    /// Kills what has been silent for too long at `now`, and lets go what has been idle for too long.
    pub(super) fn check(&self, now: Instant) {
        let Options {
            silence_max,
            tree_max,
            idle_max,
            ..
        } = self.options;
        for hired in lock(&self.workers).values_mut() {
            if hired.cause.is_some() || hired.leaving {
                continue;
            }
            if hired.runs.is_empty() {
                if now.saturating_duration_since(hired.idle_since) > idle_max {
                    hired.let_go();
                }
            } else if now.saturating_duration_since(hired.heard) > silence_max {
                let text = format!("it was not heard for {silence_max:?}");
                hired.kill(Cause::Lost(text));
            } else if hired.runs.values().any(|run| run.silence(now) > tree_max) {
                let text = format!("one tree took longer than {tree_max:?}");
                hired.kill(Cause::Lost(text));
            }
        }
    }

    pub(super) fn cancel(&self, run: RunId) {
        for hired in lock(&self.workers).values() {
            if hired.runs.contains_key(&run) {
                let _ = hired.outgoing.send(Outgoing::Cancel(run));
            }
        }
    }

    /// A worker said something.
    fn hear(&self, number: u64, message: FromWorker) {
        let mut workers = lock(&self.workers);
        let Some(hired) = workers.get_mut(&number) else {
            return;
        };
        hired.heard = Instant::now();
        match message {
            FromWorker::Beat => {}
            FromWorker::Event { run, event } => {
                let record = hired.runs.get(&run).cloned();
                drop(workers);
                if let Some(record) = record {
                    record.hear(event);
                }
            }
            FromWorker::Ended { run, end } => self.ended(workers, number, run, end),
        }
    }

    fn ended(
        &self,
        mut workers: MutexGuard<'_, BTreeMap<u64, Hired>>,
        number: u64,
        run: RunId,
        end: Result<End, TrainError>,
    ) {
        let Some(hired) = workers.get_mut(&number) else {
            return;
        };
        if let Err(TrainError::DeviceFault(text)) = &end {
            // Nothing on a device is good after its first error: all runs of the worker move.
            hired.kill(Cause::Fault(text.clone()));
            return;
        }
        let Some(record) = hired.runs.remove(&run) else {
            return;
        };
        if hired.runs.is_empty() {
            hired.idle_since = Instant::now();
            if hired.solitary || hired.taken >= self.options.runs_per_worker {
                hired.let_go();
            }
        }
        drop(workers);
        match end {
            Err(TrainError::OutOfMemory { needed, available }) if record.can_move() => {
                self.move_on(&record, &Cause::OutOfMemory { needed, available });
            }
            end => record.end(end),
        }
    }

    /// A worker is gone: what ran on it goes on elsewhere.
    fn bury(&self, number: u64, farewell: &Farewell) {
        let Some(hired) = lock(&self.workers).remove(&number) else {
            return;
        };
        let granted = hired.runs.values().map(|record| record.spec.memory);
        let allowed = granted.fold(SLACK_BYTES, u64::saturating_add);
        let cause = hired.cause.unwrap_or_else(|| cause_of(farewell, allowed));
        for record in hired.runs.values() {
            self.move_on(record, &cause);
        }
    }

    fn move_on(&self, record: &Arc<Record>, cause: &Cause) {
        let Some(device) = record.died(cause) else {
            return;
        };
        let threads = record.spec.threads;
        if let Err(error) = self.place(std::slice::from_ref(record), &device, threads, 1, true) {
            record.end(Err(error));
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        for hired in lock(&self.workers).values_mut() {
            hired.kill(Cause::Lost("the host ends".to_owned()));
        }
    }
}

impl Hired {
    fn takes(&self, device: &DeviceName, runs_max: u32) -> bool {
        self.device == *device
            && !self.solitary
            && !self.leaving
            && self.cause.is_none()
            && self.taken < runs_max
    }

    /// It ends by itself when its socket does.
    fn let_go(&mut self) {
        self.leaving = true;
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    fn kill(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
        self.process.kill();
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Starts a worker, hears it to its end and buries it.
fn employ(
    supervisor: &Weak<Supervisor>,
    number: u64,
    device: &DeviceName,
    solitary: bool,
    report: &Sender<io::Result<()>>,
) {
    let hired = supervisor
        .upgrade()
        .ok_or_else(|| io::Error::other("the host ends"))
        .and_then(|supervisor| hire(&supervisor, number, device, solitary));
    let (socket, process) = match hired {
        Ok(hired) => hired,
        Err(error) => return drop(report.send(Err(error))),
    };
    // Who asked may have given up.
    let _ = report.send(Ok(()));
    // A frame that cannot be read ends the worker as its end does.
    while let Ok(Some((message, _))) = wire::receive::<FromWorker>(&socket) {
        let Some(supervisor) = supervisor.upgrade() else {
            break;
        };
        supervisor.hear(number, message);
    }
    let _ = socket.shutdown(Shutdown::Both);
    let farewell = process.farewell();
    if let Some(supervisor) = supervisor.upgrade() {
        supervisor.bury(number, &farewell);
    }
}

fn hire(
    supervisor: &Arc<Supervisor>,
    number: u64,
    device: &DeviceName,
    solitary: bool,
) -> io::Result<(Arc<UnixStream>, Arc<dyn Worker>)> {
    let fault = lock(&supervisor.faults).pop_front().flatten();
    let (socket, process) = supervisor.launch.launch(device, fault)?;
    let (socket, process) = (Arc::new(socket), Arc::<dyn Worker>::from(process));
    let (outgoing, handed) = channel();
    let writing = socket.clone();
    let spawned = thread::Builder::new()
        .name(format!("trainer-{number}-out"))
        .spawn(move || write(&writing, &handed));
    if let Err(error) = spawned {
        process.kill();
        return Err(error);
    }
    let now = Instant::now();
    let hired = Hired {
        device: device.clone(),
        solitary,
        process: process.clone(),
        socket: socket.clone(),
        outgoing,
        runs: BTreeMap::new(),
        taken: 0,
        heard: now,
        idle_since: now,
        cause: None,
        leaving: false,
    };
    lock(&supervisor.workers).insert(number, hired);
    Ok((socket, process))
}

/// Writes to a worker until it, or the supervisor's interest in it, is gone.
fn write(socket: &UnixStream, handed: &Receiver<Outgoing>) {
    for outgoing in handed {
        let written = match outgoing {
            Outgoing::Cancel(run) => wire::send(socket, &ToWorker::Cancel { run }, None),
            Outgoing::Start {
                train,
                valid,
                message,
            } => write_start(socket, &train, valid.as_deref(), &message),
        };
        if written.is_err() {
            // Also when a frame is too long: the stream is of no use any more, and the burial tells.
            let _ = socket.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn write_start(
    socket: &UnixStream,
    train: &Matrix,
    valid: Option<&Matrix>,
    message: &ToWorker,
) -> io::Result<()> {
    for matrix in std::iter::once(train).chain(valid) {
        let file = matrix
            .shared_file()
            .ok_or_else(|| io::Error::other("the matrix is not in shared memory"))?;
        wire::send(socket, &ToWorker::Matrix, Some(file))?;
    }
    wire::send(socket, message, None)
}

/// Why a worker ended that nobody killed. `allowed` is what it might hold, bytes: a failed allocation came on top of some of it.
fn cause_of(farewell: &Farewell, allowed: u64) -> Cause {
    let Farewell { status, last_words } = farewell;
    let (before, after) = ALLOCATION_FAILED;
    let bytes: Option<u64> = last_words
        .split_once(before)
        .and_then(|(_, rest)| rest.split_once(after)?.0.parse().ok());
    match bytes {
        Some(bytes) => Cause::OutOfMemory {
            needed: allowed.saturating_add(bytes),
            available: allowed,
        },
        None if last_words.is_empty() => Cause::Lost(format!("it ended: {status}")),
        None => Cause::Lost(format!("it ended: {status}, after saying: {last_words}")),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
