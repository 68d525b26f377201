//! Asking for a GPU where there is none: a typed error that says what there is and what was asked, never a panic.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use airlock_trainer::device::{self, Probe};
use airlock_trainer::{
    Algorithm, Config, Device, Gbdt, GpuWish, Linear, Matrix, MatrixInput, TrainError, start,
};
use std::sync::Arc;

fn data() -> Arc<Matrix> {
    let x: Vec<f32> = (0..200_i16).map(f32::from).collect();
    let input = MatrixInput {
        label: Some(x.iter().map(|x| f32::from(u8::from(*x > 80.0))).collect()),
        columns: vec![("x".to_owned(), x)],
        weight: None,
        max_bins: 64,
    };
    Arc::new(Matrix::build(input).unwrap())
}

fn on(device: Device) -> Config {
    Config {
        device,
        ..Config::gbdt(Gbdt {
            rounds: 3,
            ..Gbdt::default()
        })
    }
}

fn wish() -> GpuWish {
    GpuWish {
        name: Some("H200".to_owned()),
        min_memory: Some(100 << 30),
        min_compute: Some((9, 0)),
        count: 2,
        share: 1.0,
    }
}

#[test]
fn a_machine_without_a_driver_has_no_cards() {
    if device::probe() == Probe::NoDriver {
        assert_eq!(device::list(), Ok(Vec::new()));
    }
}

#[test]
fn a_gpu_that_is_not_there_is_refused_with_what_there_is_and_what_was_asked() {
    let refused = start(data(), None, on(Device::Gpu(wish())), 1).unwrap_err();
    assert!(matches!(refused, TrainError::NoDevice(_)), "{refused}");
    let asked = "2 GPUs named \"H200\" with at least 100.0 GiB of memory of compute capability 9.0";
    assert!(refused.to_string().contains(asked), "{refused}");
    if device::probe() == Probe::NoDriver {
        assert!(
            refused.to_string().contains("no NVIDIA driver"),
            "{refused}"
        );
    }
}

#[test]
fn what_trains_on_no_gpu_says_so_and_trains_elsewhere_for_best() {
    let logistic = Algorithm::Logistic(Linear {
        l2: 1.0,
        max_iterations: 5,
        tolerance: 1e-3,
        standardize: true,
    });
    let config = Config {
        algorithm: logistic,
        ..on(Device::Gpu(GpuWish {
            name: None,
            min_memory: None,
            min_compute: None,
            count: 1,
            share: 1.0,
        }))
    };
    let refused = start(data(), None, config, 1).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("only gbdt and random-forest train on a GPU"),
        "{refused}"
    );
    if device::probe() == Probe::NoDriver {
        let run = start(data(), None, on(Device::Best), 1).unwrap();
        assert!(run.wait().is_ok());
    }
}
