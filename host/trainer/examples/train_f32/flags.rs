//! The command line as settings. Refuses a flag that nobody asked for.

use crate::Outcome;
use airlock_trainer::{Algorithm, Config, Forest, Gbdt, Linear, Mlp, Objective};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::collections::BTreeMap;
use std::str::FromStr;

/// `--name value` pairs, each taken once.
pub(crate) struct Flags(BTreeMap<String, String>);

impl Flags {
    pub(crate) fn read() -> Outcome<Self> {
        let mut flags = BTreeMap::new();
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let bare = name
                .strip_prefix("--")
                .ok_or_else(|| format!("{name} is not a flag"))?;
            let value = arguments
                .next()
                .ok_or_else(|| format!("{name} needs a value"))?;
            flags.insert(bare.to_owned(), value);
        }
        Ok(Self(flags))
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    pub(crate) fn number<T: FromStr>(&mut self, name: &str, default: T) -> Outcome<T> {
        let Some(text) = self.0.remove(name) else {
            return Ok(default);
        };
        text.parse()
            .map_err(|_| format!("--{name}: {text} is not a number that fits").into())
    }

    fn word<T: DeserializeOwned>(&mut self, name: &str, default: T) -> Outcome<T> {
        let Some(text) = self.0.remove(name) else {
            return Ok(default);
        };
        serde_json::from_value(json!(text)).map_err(|error| format!("--{name}: {error}").into())
    }

    /// Numbers parted by commas.
    fn list(&mut self, name: &str, default: Vec<u32>) -> Outcome<Vec<u32>> {
        let Some(text) = self.0.remove(name) else {
            return Ok(default);
        };
        let numbers: Result<_, _> = text.split(',').map(u32::from_str).collect();
        numbers.map_err(|_| format!("--{name}: {text} is not a list of numbers").into())
    }

    pub(crate) fn config(&mut self) -> Outcome<Config> {
        let algorithm = match self.text("algorithm").as_deref() {
            None | Some("gbdt") => Algorithm::Gbdt(self.gbdt()?),
            Some("random-forest") => Algorithm::RandomForest(self.forest()?),
            Some("logistic") => Algorithm::Logistic(self.linear()?),
            Some("mlp") => Algorithm::Mlp(self.mlp()?),
            Some(other) => return Err(format!("there is no algorithm {other}").into()),
        };
        Ok(Config {
            seed: self.number("seed", 0)?,
            ..Config::of(algorithm)
        })
    }

    fn gbdt(&mut self) -> Outcome<Gbdt> {
        let default = Gbdt::default();
        Ok(Gbdt {
            objective: self.word("objective", default.objective)?,
            classes: self.number("classes", default.classes)?,
            rounds: self.number("rounds", default.rounds)?,
            learning_rate: self.number("learning-rate", default.learning_rate)?,
            max_depth: self.number("max-depth", default.max_depth)?,
            max_leaves: self.number("max-leaves", default.max_leaves)?,
            min_child_weight: self.number("min-child-weight", default.min_child_weight)?,
            l2: self.number("l2", default.l2)?,
            subsample: self.number("subsample", default.subsample)?,
            growth: self.word("growth", default.growth)?,
            ..default
        })
    }

    fn forest(&mut self) -> Outcome<Forest> {
        let default = Forest::default();
        Ok(Forest {
            trees: self.number("trees", default.trees)?,
            max_depth: self.number("max-depth", default.max_depth)?,
            min_leaf: self.number("min-leaf", default.min_leaf)?,
            classes: self.number("classes", default.classes)?,
            ..default
        })
    }

    fn linear(&mut self) -> Outcome<Linear> {
        let default = Linear::default();
        Ok(Linear {
            l2: self.number("l2", default.l2)?,
            max_iterations: self.number("max-iterations", default.max_iterations)?,
            tolerance: self.number("tolerance", default.tolerance)?,
            standardize: self.number("standardize", default.standardize)?,
        })
    }

    fn mlp(&mut self) -> Outcome<Mlp> {
        let default = Mlp::default();
        Ok(Mlp {
            objective: self.word("objective", Objective::BinaryLogistic)?,
            classes: self.number("classes", default.classes)?,
            hidden: self.list("hidden", default.hidden)?,
            epochs: self.number("epochs", default.epochs)?,
            batch: self.number("batch", default.batch)?,
            learning_rate: self.number("learning-rate", default.learning_rate)?,
            weight_decay: self.number("weight-decay", default.weight_decay)?,
        })
    }

    pub(crate) fn done(self) -> Outcome<()> {
        match self.0.keys().next() {
            Some(name) => Err(format!("there is no flag --{name}").into()),
            None => Ok(()),
        }
    }
}
