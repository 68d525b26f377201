//! What a model was trained on and how, as far as it decides the model. A checkpoint is resumed by a run of the same origin only.

use crate::config::Config;
use crate::data::Matrix;
use crate::error::TrainError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Settings that say how long to train, in which a resumed run may differ.
const LENGTHS: [&str; 4] = ["rounds", "trees", "epochs", "max_iterations"];

/// The name of the algorithm among the settings.
const ALGORITHM: &str = "algorithm";

/// Data and settings of a training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// [`Matrix::digest`] of the training matrix, in hex.
    data: String,
    /// Each setting as JSON text: numbers are compared as they were written.
    settings: BTreeMap<String, String>,
}

impl Origin {
    pub(crate) fn of(config: &Config, data: &Matrix) -> Self {
        let mut settings = BTreeMap::from([("seed".to_owned(), config.seed.to_string())]);
        // Settings always serialise, as an object with the algorithm as its one key.
        let algorithm = serde_json::to_value(&config.algorithm).unwrap_or_default();
        for (name, members) in algorithm.as_object().into_iter().flatten() {
            settings.insert(ALGORITHM.to_owned(), name.clone());
            let members = members.as_object().into_iter().flatten();
            let lasting = members.filter(|(name, _)| !LENGTHS.contains(&name.as_str()));
            settings.extend(
                lasting.map(|(name, value): (_, &Value)| (name.clone(), value.to_string())),
            );
        }
        let hex = |byte: &u8| format!("{byte:02x}");
        Self {
            data: data.digest().iter().map(hex).collect(),
            settings,
        }
    }

    /// Whether a checkpoint of `self` may be resumed by a run of `other`.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] that says what differs.
    pub(crate) fn resumes_as(&self, other: &Self) -> Result<(), TrainError> {
        let none = "none".to_owned();
        let all = self.settings.keys().chain(other.settings.keys());
        // Another algorithm has other settings anyway.
        let algorithm = |origin: &Self| origin.settings.get(ALGORITHM).cloned();
        let same = algorithm(self) == algorithm(other);
        let names = all.filter(|name| same || name.as_str() == ALGORITHM);
        let mut differences: Vec<String> = Vec::new();
        for name in names {
            let of = |origin: &Self| origin.settings.get(name).unwrap_or(&none).clone();
            let (was, is) = (of(self), of(other));
            let difference = format!("{name} was {was} and is {is}");
            if was != is && !differences.contains(&difference) {
                differences.push(difference);
            }
        }
        if self.data != other.data {
            differences.push(format!(
                "the training matrix was {} and is {}: its rows, labels, weights or bins are others",
                self.data, other.data
            ));
        }
        if differences.is_empty() {
            return Ok(());
        }
        Err(TrainError::Invalid(format!(
            "the checkpoint in resume_from is of another training: {}; resume with the same data and settings, or leave it out",
            differences.join("; ")
        )))
    }
}
