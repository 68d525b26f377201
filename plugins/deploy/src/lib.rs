//! Moves model versions into and out of Production. Every move is one commit of the registry and is safe to repeat.
//! It refuses to choose which model is better.

use airlock_sdk::models::{self, ModelVersion, Stage};
use airlock_sdk::prelude::*;

/// How many versions a rollback looks back.
const ROLLBACK_VERSIONS_MAX: u32 = 1000;

/// What to promote.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Promote {
    /// The registered model.
    model_name: String,
    /// The version; absent: the newest in Staging.
    version: Option<u32>,
    /// Points this alias at it as well.
    #[serde(default = "champion")]
    alias: Option<String>,
}

fn champion() -> Option<String> {
    Some("champion".into())
}

/// Moves a version to Production and archives the one that was there.
#[operator]
fn promote(config: Promote) -> Result<Value, TaskError> {
    let name = &config.model_name;
    let target = match config.version {
        Some(version) => existing(name, version)?,
        None => newest_candidate(name)?,
    };
    let target = to_production(target)?;
    if let Some(alias) = &config.alias {
        models::set_alias(name, alias, target.version)?;
    }
    info!("{name} v{} is in Production", target.version);
    Ok(described(&target))
}

fn existing(name: &str, version: u32) -> Result<ModelVersion, TaskError> {
    models::get_version(name, version)?
        .ok_or_else(|| TaskError::invalid("version", format!("{name} has no version {version}")))
}

/// The newest of Staging; or what is in Production, where that is newer: an earlier try has promoted it already.
fn newest_candidate(name: &str) -> Result<ModelVersion, TaskError> {
    let staging = models::latest(name, Stage::Staging)?;
    let production = models::latest(name, Stage::Production)?;
    staging
        .into_iter()
        .chain(production)
        .max_by_key(|version| version.version)
        .ok_or_else(|| TaskError::permanent(format!("{name} has no version in Staging")))
}

fn to_production(target: ModelVersion) -> Result<ModelVersion, TaskError> {
    if target.stage == Stage::Production {
        info!("{} v{} was there already", target.name, target.version);
        return Ok(target);
    }
    Ok(models::transition_stage(
        &target.name,
        target.version,
        Stage::Production,
        true,
    )?)
}

fn described(version: &ModelVersion) -> Value {
    json!({
        "model_name": version.name,
        "version": version.version,
        "run_id": version.run_id,
        "artifact": version.artifact,
    })
}

/// Where to go back to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rollback {
    /// The registered model.
    model_name: String,
    /// Goes back to this version.
    to_version: Option<u32>,
    /// Or: replaces this version by the newest archived one before it. One of the two is needed, so that a repeated
    /// rollback does not go back a second step.
    from_version: Option<u32>,
    /// Points this alias at it as well.
    #[serde(default = "champion")]
    alias: Option<String>,
}

/// Puts an earlier version back into Production.
#[operator]
fn rollback(config: Rollback) -> Result<Value, TaskError> {
    let name = &config.model_name;
    let target = match (config.to_version, config.from_version) {
        (Some(to), None) => existing(name, to)?,
        (None, Some(from)) => predecessor(name, from)?,
        _ => {
            return Err(TaskError::invalid(
                "to_version",
                "name either the version to go back to or, as `from_version`, the one to replace",
            ));
        }
    };
    let target = to_production(target)?;
    if let Some(alias) = &config.alias {
        models::set_alias(name, alias, target.version)?;
    }
    warn!("{name} was rolled back to v{}", target.version);
    Ok(described(&target))
}

fn predecessor(name: &str, from: u32) -> Result<ModelVersion, TaskError> {
    if let Some(production) = models::latest(name, Stage::Production)?
        && production.version != from
    {
        info!("v{from} is not in Production: nothing to replace");
        return Ok(production);
    }
    for version in (1..from).rev().take(ROLLBACK_VERSIONS_MAX as usize) {
        match models::get_version(name, version)? {
            Some(found) if found.stage == Stage::Archived => return Ok(found),
            _ => {}
        }
    }
    Err(TaskError::permanent(format!(
        "{name} has no archived version before v{from}"
    )))
}

airlock_sdk::plugin!(operators: [promote, rollback]);

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_sdk::testing::Host;

    fn host(stages: &[Stage]) -> Host {
        let host = Host::new();
        for (place, stage) in stages.iter().enumerate() {
            host.put_version("churn", *stage, &format!("run-{place}"));
        }
        host
    }

    fn stages(host: &Host) -> Vec<Stage> {
        let versions = host.versions("churn");
        versions.iter().map(|version| version.stage).collect()
    }

    #[test]
    fn the_newest_staged_version_is_promoted_once() {
        let host = host(&[Stage::Production, Stage::Staging, Stage::Staging]);
        let expected = [Stage::Archived, Stage::Staging, Stage::Production];
        for _retry in 0..2 {
            let ended = host.run::<promote>(json!({"model_name": "churn"})).unwrap();
            assert!(matches!(ended, Outcome::Success(value) if value["version"] == 3));
            assert_eq!(stages(&host), expected);
        }
        assert_eq!(host.versions("churn")[2].aliases, ["champion"]);
    }

    #[test]
    fn a_named_version_is_promoted() {
        let host = host(&[Stage::Staging, Stage::Staging]);
        let run = |version: u32| {
            host.run::<promote>(json!({"model_name": "churn", "version": version, "alias": null}))
        };
        run(1).unwrap();
        assert_eq!(stages(&host), [Stage::Production, Stage::Staging]);
        assert!(host.versions("churn")[0].aliases.is_empty());
        assert!(matches!(run(9), Err(TaskError::InvalidInput { field, .. }) if field == "version"));
    }

    #[test]
    fn nothing_to_promote_is_an_error() {
        let ended = host(&[Stage::Archived]).run::<promote>(json!({"model_name": "churn"}));
        assert!(matches!(ended, Err(TaskError::Permanent(_))));
    }

    #[test]
    fn a_rollback_goes_back_one_step_however_often() {
        let host = host(&[
            Stage::Archived,
            Stage::Archived,
            Stage::Staging,
            Stage::Production,
        ]);
        for _retry in 0..2 {
            host.run::<rollback>(json!({"model_name": "churn", "from_version": 4}))
                .unwrap();
            assert_eq!(
                stages(&host),
                [
                    Stage::Archived,
                    Stage::Production,
                    Stage::Staging,
                    Stage::Archived
                ]
            );
        }
    }

    #[test]
    fn a_rollback_needs_to_know_where() {
        let host = host(&[Stage::Production]);
        for config in [
            json!({"model_name": "churn"}),
            json!({"model_name": "churn", "to_version": 1, "from_version": 1}),
        ] {
            let ended = host.run::<rollback>(config);
            assert!(matches!(ended, Err(TaskError::InvalidInput { .. })));
        }
        let none = host.run::<rollback>(json!({"model_name": "churn", "from_version": 1}));
        assert!(matches!(none, Err(TaskError::Permanent(_))));
    }
}
