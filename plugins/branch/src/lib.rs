//! Chooses which direct downstream tasks go on, or whether any does. Whether the ids exist is the host's to check.

mod calendar;
mod condition;

use airlock_sdk::prelude::*;
use calendar::{branch_datetime, branch_day_of_week, latest_only};
use condition::{run_if, short_circuit, skip_if};

/// Either `condition` with `if_true` and `if_false`, or `choose`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Branch {
    /// Decides; usually a whole-value template.
    condition: Option<bool>,
    /// Task ids that go on where it holds.
    #[serde(default)]
    if_true: Vec<String>,
    /// Task ids that go on where it does not.
    #[serde(default)]
    if_false: Vec<String>,
    /// The task ids themselves; none skips all direct downstream tasks.
    choose: Option<Choice>,
}

/// One task id or several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Choice {
    One(String),
    Many(Vec<String>),
}

impl Choice {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::One(task_id) => vec![task_id],
            Self::Many(task_ids) => task_ids,
        }
    }
}

/// Lets only the chosen downstream tasks go on.
#[operator]
fn branch(config: Branch) -> Result<Outcome, TaskError> {
    let sides = !config.if_true.is_empty() || !config.if_false.is_empty();
    let chosen = match (config.condition, config.choose) {
        (Some(_), Some(_)) => {
            return Err(TaskError::invalid(
                "choose",
                "choose either by `condition` or by `choose`",
            ));
        }
        (Some(true), None) => config.if_true,
        (Some(false), None) => config.if_false,
        (None, _) if sides => {
            return Err(TaskError::invalid("condition", "must be true or false"));
        }
        (None, Some(choice)) => choice.into_list(),
        (None, None) => Vec::new(),
    };
    info!("Going on with: [{}]", chosen.join(", "));
    Ok(Outcome::Branch(chosen))
}

airlock_sdk::plugin!(operators: [
    branch, latest_only, branch_day_of_week, branch_datetime, skip_if, run_if, short_circuit,
]);

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_sdk::testing::Host;

    fn chosen(config: Value) -> Vec<String> {
        match Host::new().run::<branch>(config) {
            Ok(Outcome::Branch(chosen)) => chosen,
            other => panic!("expected a branch, got {other:?}"),
        }
    }

    #[test]
    fn by_condition() {
        let config =
            |holds: bool| json!({"condition": holds, "if_true": ["a", "b"], "if_false": ["c"]});
        assert_eq!(chosen(config(true)), ["a", "b"]);
        assert_eq!(chosen(config(false)), ["c"]);
    }

    #[test]
    fn by_choice() {
        assert_eq!(chosen(json!({"choose": "a"})), ["a"]);
        assert_eq!(chosen(json!({"choose": ["a", "b"]})), ["a", "b"]);
        assert!(chosen(json!({"choose": null})).is_empty());
    }

    #[test]
    fn a_missing_or_doubled_condition_is_refused() {
        for config in [
            json!({"if_true": ["a"], "condition": null}),
            json!({"condition": true, "choose": "a"}),
            json!({"condition": "yes", "if_true": ["a"]}),
        ] {
            let ended = Host::new().run::<branch>(config.clone());
            assert!(
                matches!(ended, Err(TaskError::InvalidInput { .. })),
                "{config}: {ended:?}"
            );
        }
    }
}
