//! Against the fake host.

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

#[test]
fn m10_a_version_goes_to_staging_and_then_to_production() {
    let host = host(&[Stage::Production, Stage::Staging, Stage::None]);
    let staged = [Stage::Production, Stage::Staging, Stage::Staging];
    for _retry in 0..2 {
        let ended = host.run::<promote>(json!({"model_name": "churn", "stage": "Staging"}));
        assert!(matches!(ended, Ok(Outcome::Success(value)) if value["version"] == 3));
        assert_eq!(stages(&host), staged);
    }
    host.run::<promote>(json!({"model_name": "churn", "version": 3}))
        .unwrap();
    let promoted = [Stage::Archived, Stage::Staging, Stage::Production];
    assert_eq!(stages(&host), promoted);
    // A workflow that is run again takes nothing out of use.
    let again = json!({"model_name": "churn", "version": 3, "stage": "staging"});
    host.run::<promote>(again).unwrap();
    assert_eq!(stages(&host), promoted);
    let nowhere = host.run::<promote>(json!({"model_name": "churn", "stage": "None"}));
    assert!(matches!(nowhere, Err(TaskError::InvalidInput { field, .. }) if field == "stage"));
}

#[test]
fn a_model_is_registered_once_and_stays_where_it_is_by_then() {
    let host = Host::new();
    let run_id = host.put_run("weekly", "churn_2026-01-05", "val_auc", 0.8);
    let config = json!({
        "model_name": "churn", "run_id": run_id, "artifact": "a".repeat(64), "tags": {"pipeline": "mine"},
    });
    let first = host.run::<register>(config.clone()).unwrap();
    assert!(matches!(&first, Outcome::Success(value) if value["stage"] == "Staging"));
    let mut tags = host.versions("churn")[0].tags.clone();
    tags.sort();
    let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        tags,
        [tag("pipeline", "mine"), tag("train_date", "2026-01-05")]
    );
    host.run::<promote>(json!({"model_name": "churn"})).unwrap();
    host.run::<register>(config.clone()).unwrap();
    assert_eq!(stages(&host), [Stage::Production]);
    let mut wrong = config;
    wrong["stage"] = json!("Production");
    let ended = host.run::<register>(wrong);
    assert!(matches!(ended, Err(TaskError::InvalidInput { field, .. }) if field == "stage"));
}

#[test]
fn m22_the_model_in_production_goes_to_its_place() {
    let host = host(&[Stage::Archived, Stage::Production, Stage::Staging]);
    let uri = "file://./models/production/model.airlock";
    host.put_object(uri, b"the model before");
    let run = |version: Value| {
        host.run::<to_file>(json!({"model_name": "churn", "uri": uri, "version": version}))
    };
    let ended = run(Value::Null).unwrap();
    assert!(matches!(&ended, Outcome::Success(value) if value["version"] == 2));
    assert_eq!(host.object(uri).unwrap(), b"artifact of run-1");
    run(json!(3)).unwrap();
    assert_eq!(host.object(uri).unwrap(), b"artifact of run-2");
    assert!(matches!(run(json!(9)), Err(TaskError::InvalidInput { .. })));
}

#[test]
fn without_a_model_in_production_nothing_is_written() {
    let host = host(&[Stage::Staging]);
    let config = json!({"model_name": "churn", "uri": "file://./models/model"});
    let ended = host.run::<to_file>(config);
    assert!(matches!(ended, Err(TaskError::Permanent(_))));
    assert!(host.object("file://./models/model").is_none());
}
