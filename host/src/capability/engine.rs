//! The guest's words for training in the trainer's types and back. It refuses to decide anything.

use crate::sandbox::bindings::airlock::operator::training as wit;
use airlock_trainer as trainer;

/// `checkpoint` is what the config's `resume_from` names.
pub(super) fn config(config: wit::Config, checkpoint: Option<Vec<u8>>) -> trainer::Config {
    trainer::Config {
        algorithm: algorithm(config.algorithm),
        seed: config.seed,
        device: device(config.device),
        determinism: match config.determinism {
            wit::Determinism::Exact => trainer::Determinism::Exact,
            wit::Determinism::Fast => trainer::Determinism::Fast,
        },
        metrics: config.metrics.into_iter().map(metric).collect(),
        metric_every: config.metric_every,
        early_stop: config.early_stop.map(|stop| trainer::EarlyStop {
            metric: metric(stop.metric),
            rounds: stop.rounds,
            min_delta: stop.min_delta,
        }),
        checkpoint_every_ms: config.checkpoint_every_ms,
        time_limit_ms: config.time_limit_ms,
        resume_from: checkpoint,
    }
}

fn algorithm(algorithm: wit::Algorithm) -> trainer::Algorithm {
    match algorithm {
        wit::Algorithm::Gbdt(gbdt) => trainer::Algorithm::Gbdt(trainer::Gbdt {
            objective: objective(gbdt.objective),
            classes: gbdt.classes,
            class_weights: gbdt.class_weights,
            rounds: gbdt.rounds,
            learning_rate: gbdt.learning_rate,
            max_depth: gbdt.max_depth,
            max_leaves: gbdt.max_leaves,
            min_child_weight: gbdt.min_child_weight,
            l2: gbdt.l2,
            min_gain: gbdt.min_gain,
            subsample: gbdt.subsample,
            column_sample: gbdt.column_sample,
            scale_pos_weight: gbdt.scale_pos_weight,
            growth: match gbdt.growth {
                wit::Growth::Depthwise => trainer::Growth::Depthwise,
                wit::Growth::Lossguide => trainer::Growth::Lossguide,
            },
            base_score: gbdt.base_score,
        }),
        wit::Algorithm::RandomForest(forest) => trainer::Algorithm::RandomForest(trainer::Forest {
            trees: forest.trees,
            max_depth: forest.max_depth,
            max_features: forest.max_features,
            min_leaf: forest.min_leaf,
            bootstrap: forest.bootstrap,
            classes: forest.classes,
            class_weights: forest.class_weights,
        }),
        wit::Algorithm::Logistic(linear) => trainer::Algorithm::Logistic(trainer::Linear {
            l2: linear.l2,
            max_iterations: linear.max_iterations,
            tolerance: linear.tolerance,
            standardize: linear.standardize,
        }),
        wit::Algorithm::Mlp(mlp) => trainer::Algorithm::Mlp(trainer::Mlp {
            objective: objective(mlp.objective),
            classes: mlp.classes,
            hidden: mlp.hidden,
            epochs: mlp.epochs,
            batch: mlp.batch,
            learning_rate: mlp.learning_rate,
            weight_decay: mlp.weight_decay,
        }),
    }
}

fn objective(objective: wit::Objective) -> trainer::Objective {
    match objective {
        wit::Objective::BinaryLogistic => trainer::Objective::BinaryLogistic,
        wit::Objective::SquaredError => trainer::Objective::SquaredError,
        wit::Objective::Softmax => trainer::Objective::Softmax,
    }
}

fn device(device: wit::Device) -> trainer::Device {
    match device {
        wit::Device::Cpu => trainer::Device::Cpu,
        wit::Device::Best => trainer::Device::Best,
        wit::Device::Gpu(wish) => trainer::Device::Gpu(trainer::GpuWish {
            name: wish.name,
            min_memory: wish.min_memory,
            min_compute: wish.min_compute,
            count: wish.count,
            share: wish.share,
        }),
    }
}

pub(super) fn metric(metric: wit::Metric) -> trainer::Metric {
    match metric {
        wit::Metric::Auc => trainer::Metric::Auc,
        wit::Metric::LogLoss => trainer::Metric::LogLoss,
        wit::Metric::Accuracy => trainer::Metric::Accuracy,
        wit::Metric::AveragePrecision => trainer::Metric::AveragePrecision,
        wit::Metric::Rmse => trainer::Metric::Rmse,
    }
}

fn point(point: &trainer::Point) -> wit::Point {
    wit::Point {
        round: point.round,
        metric: match point.metric {
            trainer::Metric::Auc => wit::Metric::Auc,
            trainer::Metric::LogLoss => wit::Metric::LogLoss,
            trainer::Metric::Accuracy => wit::Metric::Accuracy,
            trainer::Metric::AveragePrecision => wit::Metric::AveragePrecision,
            trainer::Metric::Rmse => wit::Metric::Rmse,
        },
        train: point.train,
        valid: point.valid,
    }
}

/// `save` stores a checkpoint and yields its SHA-256 in hex.
pub(super) fn event(
    event: trainer::Event,
    save: impl Fn(&[u8]) -> Result<String, wit::TrainError>,
) -> Result<wit::Event, wit::TrainError> {
    Ok(match event {
        trainer::Event::Started(granted) => wit::Event::Started(wit::Granted {
            device: granted.device,
            threads: granted.threads,
            memory_limit: granted.memory_limit,
        }),
        trainer::Event::Progress(measured) => wit::Event::Progress(point(&measured)),
        trainer::Event::Checkpointed(bytes) => wit::Event::Checkpointed(save(&bytes)?),
        trainer::Event::Moved(text) => wit::Event::Moved(text),
        trainer::Event::Warning(text) => wit::Event::Warning(text),
    })
}

pub(super) fn outcome(outcome: trainer::RunOutcome) -> wit::RunOutcome {
    let usage = outcome.usage;
    wit::RunOutcome {
        reason: match outcome.reason {
            trainer::StopReason::Completed => wit::StopReason::Completed,
            trainer::StopReason::EarlyStopped => wit::StopReason::EarlyStopped,
            trainer::StopReason::Cancelled => wit::StopReason::Cancelled,
            trainer::StopReason::Deadline => wit::StopReason::Deadline,
        },
        best_round: outcome.best_round,
        metrics: outcome.metrics.iter().map(point).collect(),
        usage: wit::Usage {
            wall_ms: usage.wall_ms,
            cpu_ms: usage.cpu_ms,
            device_ms: usage.device_ms,
            peak_host: usage.peak_host,
            peak_device: usage.peak_device,
            rounds: usage.rounds,
            restarts: usage.restarts,
        },
    }
}

pub(super) fn error(error: trainer::TrainError) -> wit::TrainError {
    match error {
        trainer::TrainError::Denied(text) => wit::TrainError::Denied(text),
        trainer::TrainError::Invalid(text) => wit::TrainError::Invalid(text),
        trainer::TrainError::NoDevice(text) => wit::TrainError::NoDevice(text),
        trainer::TrainError::OutOfMemory { needed, available } => {
            wit::TrainError::OutOfMemory(wit::Shortfall { needed, available })
        }
        trainer::TrainError::DeviceFault(text) => wit::TrainError::DeviceFault(text),
        trainer::TrainError::WorkerLost(text) => wit::TrainError::WorkerLost(text),
        trainer::TrainError::Data(text) => wit::TrainError::Data(text),
    }
}

/// One line about a guest's error, for a warning.
pub(super) fn describe(error: &wit::TrainError) -> String {
    match error {
        wit::TrainError::Denied(text)
        | wit::TrainError::Invalid(text)
        | wit::TrainError::NoDevice(text)
        | wit::TrainError::DeviceFault(text)
        | wit::TrainError::WorkerLost(text)
        | wit::TrainError::Data(text) => text.clone(),
        wit::TrainError::OutOfMemory(shortfall) => format!(
            "{} bytes are needed and {} available",
            shortfall.needed, shortfall.available
        ),
    }
}

fn format(format: wit::Format) -> trainer::Format {
    match format {
        wit::Format::Airlock => trainer::Format::Airlock,
        wit::Format::XgboostJson => trainer::Format::XgboostJson,
        wit::Format::Onnx => trainer::Format::Onnx,
        wit::Format::Lightgbm => trainer::Format::LightgbmText,
        wit::Format::Safetensors => trainer::Format::Safetensors,
    }
}

/// A model's bytes in a format.
pub(super) fn save(model: &trainer::Model, to: wit::Format) -> Result<Vec<u8>, wit::TrainError> {
    model.export(format(to)).map_err(error)
}

/// A model from bytes of a format.
pub(super) fn load(bytes: &[u8], from: wit::Format) -> Result<trainer::Model, wit::TrainError> {
    trainer::Model::import(format(from), bytes).map_err(error)
}

/// Scores of every row.
pub(super) fn score(
    model: &trainer::Model,
    data: &trainer::Matrix,
) -> Result<Vec<f32>, wit::TrainError> {
    model.score(data).map_err(error)
}

/// SHA-256 of a model in hex.
pub(super) fn digest(model: &trainer::Model) -> String {
    crate::store::hex(&model.digest())
}
