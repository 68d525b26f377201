//! Goes on, or not, by a condition that a template decided.

use airlock_sdk::prelude::*;

/// What decides.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    /// Usually a whole-value template.
    condition: bool,
    /// Why the task is skipped, for people.
    skip_message: Option<String>,
}

/// Is skipped where the condition holds.
#[operator]
pub(crate) fn skip_if(config: Condition) -> Result<Outcome, TaskError> {
    Ok(unless(
        config.condition,
        config.skip_message,
        "the condition holds",
    ))
}

/// Is skipped where the condition does not hold.
#[operator]
pub(crate) fn run_if(config: Condition) -> Result<Outcome, TaskError> {
    Ok(unless(
        !config.condition,
        config.skip_message,
        "the condition does not hold",
    ))
}

fn unless(skip: bool, message: Option<String>, why: &str) -> Outcome {
    if skip {
        Outcome::Skip(message.unwrap_or_else(|| why.to_owned()))
    } else {
        Outcome::Success(Value::Null)
    }
}

/// What decides about everything downstream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShortCircuit {
    /// Usually a whole-value template.
    condition: bool,
    /// Whether all that is downstream is skipped, whatever its trigger rules; else only what is directly downstream.
    #[serde(default = "yes")]
    ignore_downstream_trigger_rules: bool,
}

fn yes() -> bool {
    true
}

/// Skips what is downstream where the condition does not hold.
#[operator]
pub(crate) fn short_circuit(config: ShortCircuit) -> Result<Outcome, TaskError> {
    Ok(if config.condition {
        Outcome::Success(json!(true))
    } else {
        Outcome::ShortCircuit {
            ignore_downstream_trigger_rules: config.ignore_downstream_trigger_rules,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_sdk::testing::Host;

    #[test]
    fn c6_skip_if_and_run_if_are_each_others_opposite() {
        let host = Host::new();
        let config = |condition: bool| json!({"condition": condition});
        let done = Ok(Outcome::Success(Value::Null));
        assert_eq!(host.run::<skip_if>(config(false)), done);
        assert_eq!(host.run::<run_if>(config(true)), done);
        let said = json!({"condition": true, "skip_message": "weekend"});
        assert_eq!(
            host.run::<skip_if>(said),
            Ok(Outcome::Skip("weekend".into()))
        );
        assert!(matches!(
            host.run::<run_if>(config(false)),
            Ok(Outcome::Skip(_))
        ));
    }

    #[test]
    fn a_short_circuit_skips_downstream() {
        let host = Host::new();
        let goes_on = host.run::<short_circuit>(json!({"condition": true}));
        assert_eq!(goes_on, Ok(Outcome::Success(json!(true))));
        let stopped = host.run::<short_circuit>(json!({"condition": false}));
        let expected = Outcome::ShortCircuit {
            ignore_downstream_trigger_rules: true,
        };
        assert_eq!(stopped, Ok(expected));
    }
}
