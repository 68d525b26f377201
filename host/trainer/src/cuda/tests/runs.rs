//! Runs: resumed, stopped, measured, and on the cards that their wishes get.

use super::*;
use crate::cuda::emulator;
use crate::run::start_search;
use std::time::Duration;

#[test]
fn a_resumed_model_is_that_of_an_uninterrupted_run() {
    let Some(gpus) = cards(&[0]) else {
        return;
    };
    let data = matrix(1_000, &ALL, 2, 91);
    let gbdt = |rounds| Gbdt {
        rounds,
        subsample: 0.8,
        column_sample: 0.7,
        ..settings()
    };
    let half = on_cards(gpus, &data, None, &[config(gbdt(3))])
        .pop()
        .unwrap()
        .unwrap();
    let rest = Config {
        resume_from: Some(half.model.to_bytes()),
        ..config(gbdt(6))
    };
    // Resumed on the device as on the processor, from a checkpoint of either.
    for orders in [&[0][..], &[0, 0]] {
        assert_same(orders, &data, None, std::slice::from_ref(&rest));
    }
    let gpus = cards(&[0]).unwrap();
    let resumed = on_cards(gpus, &data, None, &[rest]).pop().unwrap().unwrap();
    let whole = on_processor(&data, None, config(gbdt(6)));
    assert!(resumed.model.to_bytes() == whole.to_bytes());
}

#[test]
fn early_stops_and_measurements_are_those_of_the_processor() {
    let train = matrix(400, &ALL, 2, 101);
    let own_cuts = matrix(500, &ALL, 2, 102);
    let same_cuts =
        Arc::new(Matrix::build_with_cuts_of(&train, input(500, &ALL, 2, 102, false)).unwrap());
    for valid in [own_cuts, same_cuts] {
        let stop = EarlyStop {
            metric: Metric::LogLoss,
            rounds: 2,
            min_delta: 0.0,
        };
        let gbdt = Gbdt {
            rounds: 30,
            learning_rate: 0.9,
            ..settings()
        };
        let config = Config {
            metrics: vec![Metric::Auc, Metric::LogLoss],
            metric_every: 2,
            early_stop: Some(stop),
            ..config(gbdt)
        };
        let other = Config {
            early_stop: None,
            ..self::config(settings())
        };
        assert_same(&[0], &train, Some(&valid), &[config.clone(), other]);
        let Some(gpus) = cards(&[0]) else {
            return;
        };
        let trained = on_cards(gpus, &train, Some(&valid), std::slice::from_ref(&config))
            .pop()
            .unwrap()
            .unwrap();
        let run = start(train.clone(), Some(valid.clone()), config, 1).unwrap();
        let outcome = run.wait().unwrap();
        assert_eq!(trained.reason, outcome.reason);
        assert_eq!(trained.reason, StopReason::EarlyStopped);
        assert_eq!(trained.points, outcome.metrics);
    }
}

fn wish(count: u8) -> Device {
    Device::Gpu(GpuWish {
        name: Some("Emulated".to_owned()),
        min_memory: None,
        min_compute: None,
        count,
        share: 1.0,
    })
}

#[test]
fn runs_and_searches_train_on_the_cards_that_their_wishes_get() {
    if emulator::library().is_none() {
        return;
    }
    let data = matrix(400, &ALL, 2, 141);
    let configs: Vec<Config> = variants(5)
        .into_iter()
        .enumerate()
        .map(|(n, config)| Config {
            device: match n {
                0..3 => wish(1),
                3 => wish(2),
                _ => Device::Cpu,
            },
            ..config
        })
        .collect();
    let expected: Vec<_> = configs
        .iter()
        .map(|config| {
            on_processor(
                &data,
                None,
                Config {
                    device: Device::Cpu,
                    ..config.clone()
                },
            )
            .to_bytes()
        })
        .collect();
    let runs = start_search(&data, None, configs.clone(), 2, 2).unwrap();
    for (number, run) in runs.into_iter().enumerate() {
        let run = run.unwrap();
        run.wait().unwrap();
        assert!(
            run.model().unwrap().to_bytes() == expected[number],
            "variant {number}"
        );
        let Some(Event::Started(granted)) = run.next(Duration::ZERO) else {
            panic!("it did not say where");
        };
        let names = ["emulated card 0", "emulated card 0, emulated card 1", "cpu"];
        assert_eq!(granted.device, names[number.saturating_sub(2)]);
    }
    let missing = start(
        data.clone(),
        None,
        Config {
            device: wish(3),
            ..config(settings())
        },
        1,
    );
    assert!(missing.unwrap_err().to_string().contains("too few fit"));
}

#[test]
fn a_batch_that_does_not_fit_at_once_trains_in_parts() {
    if emulator::library().is_none() {
        return;
    }
    // Deep trees over many features: hundreds of megabytes of histograms each.
    let columns: Vec<Column> = ALL.iter().cycle().take(64).copied().collect();
    let data = matrix(2_100, &columns, 2, 151);
    let config = Config {
        device: wish(1),
        ..config(Gbdt {
            rounds: 1,
            max_depth: 12,
            max_leaves: 1_500,
            min_child_weight: 500.0,
            ..settings()
        })
    };
    let expected = on_processor(
        &data,
        None,
        Config {
            device: Device::Cpu,
            ..config.clone()
        },
    );
    let runs = start_search(&data, None, vec![config; 3], 1, 1).unwrap();
    for run in runs {
        let run = run.unwrap();
        run.wait().unwrap();
        assert!(run.model().unwrap().to_bytes() == expected.to_bytes());
    }
}

/// Stops after some rounds.
struct Stops {
    after: usize,
    asked: Mutex<usize>,
}

impl Control for Stops {
    fn stop(&self) -> Option<StopReason> {
        let mut asked = self.asked.lock().unwrap();
        *asked += 1;
        (*asked > self.after).then_some(StopReason::Cancelled)
    }

    fn measured(&self, _: &Point) {}

    fn wants_checkpoint(&self) -> bool {
        false
    }

    fn checkpointed(&self, _: Vec<u8>) {}
}

#[test]
fn a_run_that_is_stopped_has_the_margins_of_its_model() {
    let train = matrix(300, &ALL, 2, 161);
    let valid =
        Arc::new(Matrix::build_with_cuts_of(&train, input(200, &ALL, 2, 162, false)).unwrap());
    let Some(gpus) = cards(&[0]) else {
        return;
    };
    let config = Config {
        metrics: vec![Metric::LogLoss],
        ..config(Gbdt {
            rounds: 20,
            ..settings()
        })
    };
    let plan = plan(&train, Some(&valid), config.clone());
    let backend = Cuda::new(gpus, &[&plan]).unwrap();
    let stops = Stops {
        after: 5,
        asked: Mutex::new(0),
    };
    let stopped = drive(Box::new(backend), vec![plan.variant(&stops)])
        .pop()
        .unwrap()
        .unwrap();
    assert_eq!(stopped.reason, StopReason::Cancelled);
    let short = Config {
        algorithm: Algorithm::Gbdt(Gbdt {
            rounds: 5,
            ..settings()
        }),
        ..config
    };
    let run = start(train.clone(), Some(valid), short, 1).unwrap();
    assert_eq!(run.wait().unwrap().metrics, stopped.points);
    assert_eq!(run.model().unwrap().body, stopped.model.body);
}
