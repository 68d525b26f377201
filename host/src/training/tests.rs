//! What becomes of runs when workers break, with workers as threads and faults as planned.

use super::devices::MadeUp;
use super::threads::Threads;
use super::*;
use airlock_trainer::{Device, Gbdt, MatrixInput, Metric, StopReason};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const ROUNDS: u32 = 40;
/// Longer than any test: waiting ends with what is waited for.
const LONG: Duration = Duration::from_mins(10);

impl Trainers {
    /// Trains in threads of this process. Each worker takes the next planned fault; `device` is made up and stands before the
    /// processor.
    pub(crate) fn in_threads(device: Option<&str>, faults: &[Option<&str>]) -> Self {
        Self::counted(device, faults).0
    }

    fn counted(device: Option<&str>, faults: &[Option<&str>]) -> (Self, Arc<AtomicU32>) {
        let threads = Threads::default();
        let started = threads.started.clone();
        let devices: Box<dyn Devices> = match device {
            Some(name) => Box::new(MadeUp(name.to_owned())),
            None => Box::new(MadeUp("cpu".to_owned())),
        };
        let faults = faults
            .iter()
            .map(|fault| fault.map(|text| text.parse().unwrap()))
            .collect();
        let options = Options::default();
        let supervisor = Supervisor::new(options, devices, Box::new(threads), faults);
        (Self(supervisor), started)
    }
}

fn matrix(rows: usize) -> Arc<Matrix> {
    let hash = |row: usize, k: usize| (row * 2_654_435_761 + k * 40_503) % 1_009;
    let noise = |row, k| u16::try_from(hash(row, k)).map_or(0.0, f32::from);
    let label = |row: usize| f32::from(u8::from(noise(row, 0) + noise(row, 1) / 3.0 > 700.0));
    let input = MatrixInput {
        columns: (0..5)
            .map(|k| {
                (
                    format!("f{k}"),
                    (0..rows).map(|row| noise(row, k)).collect(),
                )
            })
            .collect(),
        label: Some((0..rows).map(label).collect()),
        weight: None,
        max_bins: 32,
    };
    Arc::new(Matrix::build(input).unwrap().into_shared().unwrap())
}

fn request() -> Request {
    Request {
        name: "dag/run/task/-1/1".to_owned(),
        train: matrix(600),
        valid: Some(matrix(200)),
        threads: 2,
        memory: 1 << 20,
        cards: Vec::new(),
    }
}

/// A checkpoint after every tree, a measurement after every tree, and sampling that depends on the tree's number.
fn config(device: Device) -> Config {
    Config {
        device,
        seed: 7,
        metrics: vec![Metric::Auc],
        metric_every: 1,
        checkpoint_every_ms: Some(0),
        ..Config::gbdt(Gbdt {
            rounds: ROUNDS,
            subsample: 0.7,
            column_sample: 0.6,
            ..Gbdt::default()
        })
    }
}

fn bytes_of(run: &Run) -> Vec<u8> {
    run.model().unwrap().to_bytes()
}

fn undisturbed(device: Device) -> Vec<u8> {
    let run = Trainers::in_threads(None, &[])
        .start(&request(), config(device))
        .unwrap();
    let outcome = run.wait().unwrap();
    assert_eq!((outcome.usage.rounds, outcome.usage.restarts), (ROUNDS, 0));
    bytes_of(&run)
}

fn events(run: &Run) -> Vec<Event> {
    std::iter::from_fn(|| run.next(LONG)).collect()
}

fn rounds_told(events: &[Event]) -> Vec<u32> {
    let round = |event: &Event| match event {
        Event::Progress(point) => Some(point.round),
        _ => None,
    };
    events.iter().filter_map(round).collect()
}

fn moves(events: &[Event]) -> Vec<String> {
    let text = |event: &Event| match event {
        Event::Moved(text) => Some(text.clone()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

#[test]
fn a_run_whose_worker_ends_goes_on_elsewhere_with_the_same_bytes() {
    for fault in ["exit@11", "kill@11", "fault@11"] {
        let (trainers, started) = Trainers::counted(None, &[Some(fault)]);
        let run = trainers.start(&request(), config(Device::Cpu)).unwrap();
        let outcome = run.wait().unwrap();
        assert_eq!(outcome.reason, StopReason::Completed, "{fault}");
        assert_eq!(outcome.usage.restarts, 1, "{fault}");
        assert_eq!(
            outcome.usage.rounds, ROUNDS,
            "{fault}: trees of both workers"
        );
        assert_eq!(bytes_of(&run), undisturbed(Device::Cpu), "{fault}");
        assert_eq!(started.load(Ordering::Relaxed), 2, "{fault}");
        let events = events(&run);
        let moved = moves(&events);
        assert!(
            matches!(&moved[..], [text] if text.starts_with("cpu, from round")),
            "{moved:?}"
        );
        let rounds = rounds_told(&events);
        let ascending = rounds.windows(2).all(|pair| pair[0] <= pair[1]);
        assert!(ascending, "{fault}: no round is told again: {rounds:?}");
        let first = events
            .iter()
            .filter(|event| matches!(event, Event::Started(_)));
        assert_eq!(first.count(), 1, "{fault}");
    }
}

#[test]
fn a_worker_that_is_silent_is_given_up_at_its_limit_and_not_before() {
    let trainers = Trainers::in_threads(None, &[Some("hang@11")]);
    let run = trainers.start(&request(), config(Device::Cpu)).unwrap();
    // The worker says nothing after this checkpoint; nothing is known of that yet.
    let reached = |bytes: &[u8]| Model::from_bytes(bytes).unwrap().rounds() >= 11;
    while !matches!(run.next(LONG), Some(Event::Checkpointed(bytes)) if reached(&bytes)) {}
    let now = Instant::now();
    let silence = Options::default().silence_max;
    trainers.check(now + silence / 2);
    trainers.check(now + silence * 2);
    let outcome = run.wait().unwrap();
    assert_eq!(outcome.usage.restarts, 1);
    assert_eq!(bytes_of(&run), undisturbed(Device::Cpu));
    let moved = moves(&events(&run));
    assert!(
        matches!(&moved[..], [text] if text.contains("was not heard for 30s")),
        "{moved:?}"
    );
}

#[test]
fn a_run_of_any_wish_goes_on_on_the_processor_after_two_deaths_on_a_device() {
    let trainers = Trainers::in_threads(Some("H200"), &[Some("fault@5"), Some("exit@20")]);
    let run = trainers.start(&request(), config(Device::Best)).unwrap();
    assert_eq!(run.wait().unwrap().usage.restarts, 2);
    assert_eq!(bytes_of(&run), undisturbed(Device::Cpu));
    let moved = moves(&events(&run));
    let devices: Vec<&str> = moved
        .iter()
        .filter_map(|text| text.split(',').next())
        .collect();
    assert_eq!(devices, ["H200", "cpu"]);
}

#[test]
fn a_device_that_is_too_small_is_left_at_once() {
    let trainers = Trainers::in_threads(Some("H200"), &[Some("oom@5")]);
    let run = trainers.start(&request(), config(Device::Best)).unwrap();
    assert_eq!(run.wait().unwrap().usage.restarts, 1);
    assert_eq!(bytes_of(&run), undisturbed(Device::Cpu));
    let moved = moves(&events(&run));
    assert!(matches!(&moved[..], [text] if text.starts_with("cpu,") && text.contains("2 bytes")));
}

#[test]
fn two_deaths_on_the_last_device_are_an_error_that_says_what_to_do() {
    let wish = || {
        Device::Gpu(airlock_trainer::GpuWish {
            name: None,
            min_memory: None,
            min_compute: None,
            count: 1,
            share: 1.0,
        })
    };
    let trainers = Trainers::in_threads(Some("H200"), &[Some("fault@5"), Some("fault@9")]);
    let run = trainers.start(&request(), config(wish())).unwrap();
    let Err(TrainError::DeviceFault(text)) = run.wait() else {
        panic!("a fault of the device");
    };
    assert!(
        text.contains("dag/run/task/-1/1") && text.contains("2 times on H200"),
        "{text}"
    );
    assert!(text.contains("device `cpu`"), "{text}");
    assert!(run.model().is_none());

    let trainers = Trainers::in_threads(None, &[Some("exit@5"), Some("kill@9")]);
    let run = trainers.start(&request(), config(Device::Cpu)).unwrap();
    let lost = run.wait();
    assert!(
        matches!(&lost, Err(TrainError::WorkerLost(text)) if text.contains("2 times on cpu")),
        "{lost:?}"
    );
}

#[test]
fn neighbours_of_a_run_that_kills_its_worker_survive_its_second_death() {
    // The first worker and the next two, which are the runs' own: one of them breaks again.
    let trainers = Trainers::in_threads(None, &[Some("exit@5"), Some("exit@30"), None]);
    let runs = trainers
        .start_search(
            &request(),
            vec![config(Device::Cpu), config(Device::Cpu)],
            2,
        )
        .unwrap();
    let ends: Vec<bool> = runs.iter().map(|run| run.wait().is_ok()).collect();
    assert_eq!(ends.iter().filter(|end| **end).count(), 1, "{ends:?}");
}

#[test]
fn a_search_gives_each_run_the_bytes_it_would_give_alone() {
    let (trainers, started) = Trainers::counted(None, &[]);
    let variant = |depth| {
        let mut config = config(Device::Cpu);
        if let airlock_trainer::Algorithm::Gbdt(gbdt) = &mut config.algorithm {
            gbdt.max_depth = depth;
        }
        config
    };
    let depths = [2, 3, 4, 5];
    let configs = depths.map(variant).to_vec();
    let runs = trainers.start_search(&request(), configs, 2).unwrap();
    for (run, depth) in runs.iter().zip(depths) {
        run.wait().unwrap();
        let alone = trainers.start(&request(), variant(depth)).unwrap();
        alone.wait().unwrap();
        assert_eq!(bytes_of(run), bytes_of(&alone), "depth {depth}");
    }
    assert_eq!(started.load(Ordering::Relaxed), 1, "one long-lived worker");
}

#[test]
fn what_is_wrong_with_one_run_of_a_search_is_told_by_it_alone() {
    let trainers = Trainers::in_threads(None, &[]);
    let mut wrong = config(Device::Cpu);
    wrong.metrics = vec![Metric::Auc];
    if let airlock_trainer::Algorithm::Gbdt(gbdt) = &mut wrong.algorithm {
        gbdt.learning_rate = -1.0;
    }
    let configs = vec![config(Device::Cpu), wrong.clone()];
    let runs = trainers.start_search(&request(), configs, 2).unwrap();
    runs[0].wait().unwrap();
    let refused = runs[1].wait();
    assert!(
        matches!(&refused, Err(TrainError::Invalid(text)) if text.contains("learning_rate")),
        "{refused:?}"
    );
    let alone = trainers.start(&request(), wrong);
    assert!(
        matches!(alone, Err(TrainError::Invalid(_))),
        "a single run is refused at its start"
    );
}

#[test]
fn a_cancelled_run_yields_a_model_and_a_last_checkpoint_it_is_resumed_from() {
    let trainers = Trainers::in_threads(None, &[]);
    let long = |rounds| {
        let mut config = config(Device::Cpu);
        if let airlock_trainer::Algorithm::Gbdt(gbdt) = &mut config.algorithm {
            gbdt.rounds = rounds;
        }
        // Only the last one is told: the first is not due for an hour.
        config.checkpoint_every_ms = Some(3_600_000);
        config
    };
    let run = trainers.start(&request(), long(100_000)).unwrap();
    while !matches!(run.next(LONG), Some(Event::Progress(point)) if point.round >= 10) {}
    run.cancel();
    let outcome = run.wait().unwrap();
    assert_eq!(outcome.reason, StopReason::Cancelled);
    let checkpoints: Vec<Vec<u8>> = events(&run)
        .into_iter()
        .filter_map(|event| match event {
            Event::Checkpointed(bytes) => Some(bytes),
            _ => None,
        })
        .collect();
    assert_eq!(checkpoints.len(), 1);
    assert_eq!(checkpoints[0], bytes_of(&run));
    let rounds = outcome.usage.rounds + 15;
    let resumed = Config {
        resume_from: Some(checkpoints[0].clone()),
        ..long(rounds)
    };
    let resumed = trainers.start(&request(), resumed).unwrap();
    assert_eq!(resumed.wait().unwrap().usage.rounds, 15);
    let whole = trainers.start(&request(), long(rounds)).unwrap();
    whole.wait().unwrap();
    assert_eq!(bytes_of(&resumed), bytes_of(&whole));
}

#[test]
fn a_worker_is_replaced_after_its_runs_and_let_go_when_idle() {
    let (trainers, started) = Trainers::counted(None, &[]);
    let train = || {
        let run = trainers.start(&request(), config(Device::Cpu)).unwrap();
        run.wait().unwrap();
    };
    train();
    train();
    assert_eq!(started.load(Ordering::Relaxed), 1);
    trainers.check(Instant::now() + Options::default().idle_max * 2);
    train();
    assert_eq!(
        started.load(Ordering::Relaxed),
        2,
        "the idle one was let go"
    );
    let all = Options::default().runs_per_worker;
    (0..all).for_each(|_| train());
    assert_eq!(
        started.load(Ordering::Relaxed),
        3,
        "it had {all} runs behind it"
    );
}

#[test]
fn variants_that_wish_for_different_devices_are_refused_together() {
    let trainers = Trainers::in_threads(None, &[]);
    let configs = vec![config(Device::Cpu), config(Device::Best)];
    let refused = trainers.start_search(&request(), configs, 2);
    assert!(matches!(refused, Err(TrainError::Invalid(text)) if text.contains("same device")));
}
