//! Ends as its config says, for tests and demos. It needs no grant and refuses configs that mean two things.

use airlock_sdk::prelude::*;
use airlock_sdk::progress;
use airlock_sdk::time::Span;

/// How the attempt ends; an empty config succeeds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Probe {
    /// Ends so; `fail` is retried like any transient error.
    result: Option<Ending>,
    /// Only these direct downstream tasks go on.
    branch: Option<Vec<String>>,
    /// The condition of a short circuit: `false` skips downstream.
    short_circuit: Option<bool>,
    /// With `short_circuit: false`: skips all transitive downstream, whatever its trigger rules.
    #[serde(default)]
    ignore_downstream_trigger_rules: bool,
    /// Sleeps before it ends.
    sleep: Option<Span>,
    /// The XCom `return_value` of a success.
    #[serde(default)]
    value: Value,
    /// Fails before this try.
    succeed_on_try: Option<u32>,
    /// Answers `not-yet` before this poke.
    not_yet_until_poke: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Ending {
    Success,
    Fail,
    Skip,
}

/// Ends as it is told.
#[operator(sensor)]
fn probe(config: Probe, task: &Task) -> Result<Outcome, TaskError> {
    one_ending(&config)?;
    if let Some(Span(length)) = config.sleep {
        progress::sleep(length)?;
    }
    if config
        .not_yet_until_poke
        .is_some_and(|poke| task.poke_number < poke)
    {
        return Ok(Outcome::NotYet);
    }
    if let Some(wanted) = config.succeed_on_try
        && task.try_number < wanted
    {
        return Err(TaskError::transient(format!(
            "told to fail before try {wanted}, this is try {}",
            task.try_number
        )));
    }
    if let Some(task_ids) = config.branch {
        return Ok(Outcome::Branch(task_ids));
    }
    match (config.short_circuit, config.result) {
        (Some(false), _) => Ok(Outcome::ShortCircuit {
            ignore_downstream_trigger_rules: config.ignore_downstream_trigger_rules,
        }),
        (Some(true), _) => Ok(Outcome::Success(json!(true))),
        (None, Some(Ending::Fail)) => Err(TaskError::transient("told to fail")),
        (None, Some(Ending::Skip)) => Ok(Outcome::Skip("told to skip".into())),
        (None, Some(Ending::Success) | None) => Ok(Outcome::Success(config.value)),
    }
}

fn one_ending(config: &Probe) -> Result<(), TaskError> {
    let endings = [
        config.result.is_some(),
        config.branch.is_some(),
        config.short_circuit.is_some(),
    ];
    if endings.iter().filter(|&&set| set).count() > 1 {
        return Err(TaskError::invalid(
            "config",
            "choose one of `result`, `branch` and `short_circuit`",
        ));
    }
    Ok(())
}

airlock_sdk::plugin!(operators: [probe]);

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_sdk::testing::Host;
    use std::time::Duration;

    #[test]
    fn endings() {
        let host = Host::new();
        let run = |config| host.run::<probe>(config);
        assert_eq!(run(json!({})), Ok(Outcome::Success(Value::Null)));
        assert_eq!(
            run(json!({"value": {"a": [1]}})),
            Ok(Outcome::Success(json!({"a": [1]})))
        );
        assert!(matches!(
            run(json!({"result": "fail"})),
            Err(TaskError::Transient(_))
        ));
        assert!(matches!(
            run(json!({"result": "skip"})),
            Ok(Outcome::Skip(_))
        ));
        assert_eq!(
            run(json!({"branch": ["a"]})),
            Ok(Outcome::Branch(vec!["a".into()]))
        );
    }

    #[test]
    fn a_false_condition_short_circuits_and_a_true_one_goes_on() {
        let host = Host::new();
        let run = |holds, ignore| {
            host.run::<probe>(
                json!({"short_circuit": holds, "ignore_downstream_trigger_rules": ignore}),
            )
        };
        for ignore in [false, true] {
            let expected = Outcome::ShortCircuit {
                ignore_downstream_trigger_rules: ignore,
            };
            assert_eq!(run(false, ignore), Ok(expected));
            assert_eq!(run(true, ignore), Ok(Outcome::Success(json!(true))));
        }
    }

    #[test]
    fn tries_and_pokes() {
        let mut host = Host::new();
        for (number, succeeds) in [(1, false), (2, false), (3, true), (4, true)] {
            host.task.try_number = number;
            let ended = host.run::<probe>(json!({"succeed_on_try": 3}));
            assert_eq!(ended.is_ok(), succeeds, "try {number}");
            host.task.poke_number = number;
            let poked = host.run::<probe>(json!({"not_yet_until_poke": 3}));
            assert_eq!(poked != Ok(Outcome::NotYet), succeeds, "poke {number}");
        }
    }

    #[test]
    fn sleep_ends_when_cancelled() {
        let host = Host::new();
        host.run::<probe>(json!({"sleep": "5s"})).unwrap();
        assert_eq!(host.slept(), Duration::from_secs(5));
        host.cancel();
        assert!(host.run::<probe>(json!({"sleep": "5s"})).is_err());
        assert_eq!(host.slept(), Duration::from_secs(5));
    }

    #[test]
    fn bad_configs_name_the_member() {
        let host = Host::new();
        let field = |config| match host.run::<probe>(config) {
            Err(TaskError::InvalidInput { field, .. }) => field,
            other => panic!("expected invalid input, got {other:?}"),
        };
        assert_eq!(field(json!({"result": "maybe"})), "result");
        assert_eq!(field(json!({"slep": "5s"})), "slep");
        assert_eq!(field(json!({"sleep": "soon"})), "sleep");
        assert_eq!(field(json!({"result": "skip", "branch": []})), "config");
    }
}
