//! From a WIT call to a typed function and back. It refuses configs that do not fit, naming the member.

use crate::bindings::airlock::operator::types as wit;
use crate::dag::DagRegistration;
use crate::{OperatorKind, Outcome, Task, TaskError};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

/// An operator as `#[operator]` makes it.
pub trait Operator {
    /// What its config deserialises into.
    type Config: DeserializeOwned + JsonSchema;
    /// Unique in the plugin.
    const NAME: &'static str;
    /// One line.
    const SUMMARY: &'static str;
    /// Whether it may answer `NotYet`.
    const KIND: OperatorKind;

    /// Runs one attempt.
    fn run(config: Self::Config, task: &Task) -> Result<Outcome, TaskError>;
}

/// An operator with its types erased, so that a plugin can list several.
#[derive(Clone, Copy)]
pub struct Registration {
    name: &'static str,
    info: fn() -> wit::OperatorInfo,
    run: fn(&str, &Task) -> Result<Outcome, TaskError>,
}

impl Registration {
    /// The registration of `O`.
    pub const fn of<O: Operator>() -> Self {
        Self {
            name: O::NAME,
            info: info::<O>,
            run: run_json::<O>,
        }
    }

    /// The operator's name.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }
}

fn info<O: Operator>() -> wit::OperatorInfo {
    wit::OperatorInfo {
        name: O::NAME.to_owned(),
        summary: O::SUMMARY.to_owned(),
        kind: O::KIND,
        config_schema: schemars::schema_for!(O::Config).as_value().to_string(),
    }
}

/// Runs `O` on a config in JSON text.
pub(crate) fn run_json<O: Operator>(config: &str, task: &Task) -> Result<Outcome, TaskError> {
    O::run(parse(config)?, task)
}

fn parse<T: DeserializeOwned>(config: &str) -> Result<T, TaskError> {
    let mut json = serde_json::Deserializer::from_str(config);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner().to_string();
        // The place in a text that the host made means nothing to the author of the DAG.
        let message = inner.split(" at line ").next().unwrap_or(&inner);
        let field = match path.as_str() {
            "." => "config",
            path => path,
        };
        TaskError::invalid(field, message)
    })
}

/// The operators of a plugin, and those that the tasks of its DAGs run, each once.
fn all(operators: &[Registration], dags: &[DagRegistration]) -> Vec<Registration> {
    let mut all = operators.to_vec();
    for operator in dags.iter().flat_map(|dag| dag.operators()) {
        if !all.iter().any(|known| known.name == operator.name) {
            all.push(operator);
        }
    }
    all
}

/// What the component exports as `describe`.
pub fn describe(
    name: &str,
    version: &str,
    operators: &[Registration],
    dags: &[DagRegistration],
) -> wit::PluginInfo {
    wit::PluginInfo {
        name: name.to_owned(),
        version: version.to_owned(),
        operators: all(operators, dags)
            .iter()
            .map(|operator| (operator.info)())
            .collect(),
        dags: dags
            .iter()
            .map(|dag| dag.document(name).to_string())
            .collect(),
    }
}

/// What the component exports as `run`.
pub fn run(
    context: wit::TaskContext,
    operators: &[Registration],
    dags: &[DagRegistration],
) -> Result<wit::Outcome, wit::TaskError> {
    let (name, config, task) = Task::from_context(context)?;
    let operators = all(operators, dags);
    let Some(operator) = operators.iter().find(|operator| operator.name == name) else {
        let known: Vec<&str> = operators.iter().map(|operator| operator.name).collect();
        return Err(TaskError::permanent(format!(
            "no operator `{name}` in this plugin; there are: {}",
            known.join(", ")
        ))
        .into());
    };
    Ok((operator.run)(&config, &task)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Config {
        #[expect(dead_code, reason = "only its parsing is tested")]
        checks: Vec<Check>,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Check {
        #[expect(dead_code, reason = "only its parsing is tested")]
        min_rows: u64,
    }

    #[test]
    fn a_config_error_names_the_member() {
        let error = parse::<Config>(r#"{"checks": [{"min_rows": "many"}]}"#).unwrap_err();
        let TaskError::InvalidInput { field, message } = error else {
            panic!("expected invalid input, got {error:?}");
        };
        assert_eq!(field, "checks[0].min_rows");
        assert_eq!(message, "invalid type: string \"many\", expected u64");
    }

    #[test]
    fn an_unknown_member_is_refused() {
        let error = parse::<Config>(r#"{"checks": [], "chekcs": 1}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `chekcs`"));
    }
}
