use super::*;
use crate::store::MemoryStore;
use crate::tracking::{ActorKind, NewModelVersion, Stage, Tracking};
use std::sync::atomic::{AtomicI64, Ordering};

struct House {
    store: Arc<MemoryStore>,
    registry: Registry,
    run_id: String,
}

fn user() -> Actor {
    Actor {
        kind: ActorKind::User,
        id: "ann".to_owned(),
    }
}

fn house() -> House {
    let store = Arc::new(MemoryStore::default());
    let now = AtomicI64::new(100);
    let clock: Clock = Arc::new(move || now.fetch_add(1, Ordering::Relaxed));
    let tracking = Tracking::new(store.clone(), clock.clone());
    let run_id = tracking
        .start_run(&user(), "churn", "r", &[])
        .unwrap()
        .run_id;
    House {
        registry: Registry::new(store.clone(), clock),
        store,
        run_id,
    }
}

impl House {
    fn register(&self, content: &str) -> ModelVersion {
        let artifact = self.store.put_blob(content.as_bytes()).unwrap();
        self.registry
            .register(
                &user(),
                "churn",
                &self.run_id,
                &artifact.to_string(),
                &[],
                &[],
            )
            .unwrap()
    }

    fn promote(&self, version: u32) -> ModelVersion {
        self.registry
            .transition_stage(&user(), "churn", version, Stage::Production, true)
            .unwrap()
    }

    fn stages(&self) -> Vec<Stage> {
        let versions = self.registry.versions("churn").unwrap();
        versions.iter().map(|record| record.stage).collect()
    }
}

#[test]
fn versions_are_dense_and_registering_is_idempotent() {
    let house = house();
    assert_eq!(house.register("a").version, 1);
    assert_eq!(house.register("b").version, 2);
    assert_eq!(house.register("a").version, 1);
    assert_eq!(house.register("c").version, 3);
    let error = house.registry.register(
        &user(),
        "churn",
        "nobody",
        &house.register("a").artifact,
        &[],
        &[],
    );
    assert!(matches!(error, Err(TrackingError::NotFound(_))));
}

#[test]
fn promotion_archives_the_old_champion_in_the_same_commit() {
    let house = house();
    house.register("a");
    house.register("b");
    house.promote(1);
    let before = house
        .store
        .read(&crate::store::StreamId("audit".into()), 0, 99);
    assert_eq!(house.promote(2).stage, Stage::Production);
    assert_eq!(house.stages(), [Stage::Archived, Stage::Production]);
    let after = house
        .store
        .read(&crate::store::StreamId("audit".into()), 0, 99);
    assert_eq!(after.unwrap().len(), before.unwrap().len() + 1);
    let latest = house
        .registry
        .latest_versions("churn", &[Stage::Production, Stage::Staging])
        .unwrap();
    assert_eq!(latest.len(), 1);
    assert_eq!(latest[0].version, 2);
}

#[test]
fn a_repeated_rollback_from_a_version_goes_back_one_step() {
    let house = house();
    for content in ["a", "b", "c"] {
        let version = house.register(content).version;
        house.promote(version);
    }
    for _retry in 0..2 {
        let back = house.registry.rollback_from(&user(), "churn", 3).unwrap();
        assert_eq!((back.version, back.stage), (2, Stage::Production));
        let archived = Stage::Archived;
        assert_eq!(house.stages(), [archived, Stage::Production, archived]);
    }
    house
        .registry
        .transition_stage(&user(), "churn", 2, Stage::Archived, false)
        .unwrap();
    let nothing = house.registry.rollback_from(&user(), "churn", 3);
    assert!(matches!(nothing, Err(TrackingError::NotFound(_))));
    assert_eq!(house.stages(), [Stage::Archived; 3]);
}

#[test]
fn the_bytes_of_a_version_are_read() {
    let house = house();
    house.register("model of a");
    assert_eq!(house.registry.artifact("churn", 1).unwrap(), b"model of a");
    let missing = house.registry.artifact("churn", 2);
    assert!(matches!(missing, Err(TrackingError::NotFound(_))));
}

#[test]
fn rollback_goes_back_step_by_step_and_then_refuses() {
    let house = house();
    for content in ["a", "b", "c"] {
        let version = house.register(content).version;
        house.promote(version);
    }
    assert_eq!(
        house
            .registry
            .rollback(&user(), "churn", None)
            .unwrap()
            .version,
        2
    );
    assert_eq!(
        house.stages(),
        [Stage::Archived, Stage::Production, Stage::Archived]
    );
    assert_eq!(
        house
            .registry
            .rollback(&user(), "churn", None)
            .unwrap()
            .version,
        1
    );
    let error = house.registry.rollback(&user(), "churn", None).unwrap_err();
    assert!(matches!(error, TrackingError::NotFound(_)), "{error}");
    assert_eq!(house.stages()[0], Stage::Production);
}

#[test]
fn aliases_point_and_are_read_with_the_version() {
    let house = house();
    house.register("a");
    house.register("b");
    let registry = &house.registry;
    registry.set_alias(&user(), "churn", "champion", 1).unwrap();
    registry.set_alias(&user(), "churn", "champion", 2).unwrap();
    let champion = registry.version_by_alias("churn", "champion").unwrap();
    assert_eq!(champion.unwrap().aliases, ["champion"]);
    let first = registry.version("churn", 1).unwrap().unwrap();
    assert!(first.aliases.is_empty());
    let error = registry.set_alias(&user(), "churn", "champion", 9);
    assert!(matches!(error, Err(TrackingError::NotFound(_))));
    registry.delete_alias(&user(), "churn", "champion").unwrap();
    assert_eq!(
        registry.version_by_alias("churn", "champion").unwrap(),
        None
    );
}

#[test]
fn what_was_in_production_then() {
    let house = house();
    house.register("a");
    house.register("b");
    let first = house.promote(1).stage_ms;
    let second = house.promote(2).stage_ms;
    let back = house
        .registry
        .rollback(&user(), "churn", None)
        .unwrap()
        .stage_ms;
    let at = |ms| house.registry.production_at("churn", ms).unwrap();
    assert!(at(first - 1).is_empty());
    assert_eq!(at(first), [1]);
    assert_eq!(at(second), [2]);
    assert_eq!(at(back), [1]);
}

#[test]
fn unknown_models_and_senseless_moves_are_refused() {
    let house = house();
    let error = house
        .registry
        .transition_stage(&user(), "nobody", 1, Stage::Staging, false);
    assert!(matches!(error, Err(TrackingError::NotFound(_))));
    house.register("a");
    let error = house
        .registry
        .transition_stage(&user(), "churn", 1, Stage::Archived, true);
    assert!(matches!(error, Err(TrackingError::Invalid(_))));
}

#[test]
fn promotions_at_once_leave_exactly_one_in_production_and_every_line() {
    let house = house();
    for content in ["a", "b"] {
        house.register(content);
    }
    let lines = |house: &House| {
        let trail = Audit::new(house.store.clone()).read(0, 10_000).unwrap();
        trail
            .iter()
            .filter(|(_, event)| event.action == "model_version.transition_stage")
            .count()
    };
    let rounds = 25;
    std::thread::scope(|scope| {
        for version in [1, 2] {
            let house = &house;
            scope.spawn(move || {
                for _ in 0..rounds {
                    house.promote(version);
                    house
                        .registry
                        .transition_stage(&user(), "churn", version, Stage::Staging, false)
                        .unwrap();
                    house.promote(version);
                }
            });
        }
    });
    let stages = house.stages();
    let production = stages.iter().filter(|stage| **stage == Stage::Production);
    assert_eq!(production.count(), 1, "{stages:?}");
    // The trail alone tells the same story as the rows.
    let from_trail = house.registry.production_at("churn", i64::MAX).unwrap();
    let position = stages.iter().position(|stage| *stage == Stage::Production);
    assert_eq!(from_trail, [u32::try_from(position.unwrap()).unwrap() + 1]);
    // Each thread's staging move always changes something: those lines must all be there.
    assert!(lines(&house) >= 2 * rounds, "{}", lines(&house));
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn new(source: &str, run_id: &str) -> NewModelVersion {
    NewModelVersion {
        source: source.to_owned(),
        run_id: Some(run_id.to_owned()).filter(|id| !id.is_empty()),
        ..NewModelVersion::default()
    }
}

#[test]
fn m7_a_model_lives_as_mlflows_client_expects() {
    let house = house();
    let registry = &house.registry;
    registry
        .create_model(&user(), "churn", "who leaves", &[pair("team", "a")])
        .unwrap();
    let again = registry.create_model(&user(), "churn", "", &[]);
    assert!(matches!(again, Err(TrackingError::AlreadyExists(_))));
    let missing = registry.create_version(&user(), "nobody", &new("s3://b/m", ""));
    assert!(matches!(missing, Err(TrackingError::NotFound(_))));
    // A client makes another version each time, an operator's retry does not.
    for number in 1..=3 {
        let made = registry
            .create_version(&user(), "churn", &new("s3://b/m", &house.run_id))
            .unwrap();
        assert_eq!(
            (made.version, made.stage, made.user_id.as_str()),
            (number, Stage::None, "ann")
        );
    }
    registry
        .transition_stage(&user(), "churn", 1, Stage::Production, true)
        .unwrap();
    registry
        .transition_stage(&user(), "churn", 2, Stage::Production, true)
        .unwrap();
    let latest = registry.latest_versions("churn", &[]).unwrap();
    let latest: Vec<_> = latest.iter().map(|one| (one.version, one.stage)).collect();
    let expected = [
        (3, Stage::None),
        (2, Stage::Production),
        (1, Stage::Archived),
    ];
    assert_eq!(latest, expected);
    registry
        .set_version_tags(&user(), "churn", 2, &[pair("checked", "yes")])
        .unwrap();
    let described = registry
        .update_version(&user(), "churn", 2, "the good one")
        .unwrap();
    assert_eq!(
        (
            described.description.as_str(),
            &described.tags["checked"][..]
        ),
        ("the good one", "yes")
    );
    assert!(described.last_updated_ms() > described.created_ms);
    registry
        .delete_version_tag(&user(), "churn", 2, "checked")
        .unwrap();
    registry.set_alias(&user(), "churn", "champion", 2).unwrap();
    registry.delete_version(&user(), "churn", 2).unwrap();
    assert_eq!(
        registry.version_by_alias("churn", "champion").unwrap(),
        None
    );
    assert_eq!(registry.version("churn", 2).unwrap(), None);
    let next = registry
        .create_version(&user(), "churn", &new("s3://b/m", ""))
        .unwrap();
    assert_eq!(next.version, 4);
}

#[test]
fn a_model_is_renamed_with_its_versions_its_past_and_its_retries() {
    let house = house();
    let artifact = house.register("a").artifact;
    house.promote(1);
    let registry = &house.registry;
    registry.create_model(&user(), "taken", "", &[]).unwrap();
    let refused = registry.rename_model(&user(), "churn", "taken");
    assert!(matches!(refused, Err(TrackingError::AlreadyExists(_))));
    registry.rename_model(&user(), "churn", "leavers").unwrap();
    assert_eq!(registry.model("churn").unwrap(), None);
    let version = registry.version("leavers", 1).unwrap().unwrap();
    assert_eq!(
        (version.name.as_str(), version.stage),
        ("leavers", Stage::Production)
    );
    let again = registry
        .register(&user(), "leavers", &house.run_id, &artifact, &[], &[])
        .unwrap();
    assert_eq!(again.version, 1);
    assert_eq!(registry.production_at("leavers", i64::MAX).unwrap(), [1]);
    let actions: Vec<_> = registry
        .history("leavers")
        .unwrap()
        .into_iter()
        .map(|life| life.action)
        .collect();
    let expected = [
        "model_version.register",
        "model_version.transition_stage",
        "registered_model.rename",
    ];
    assert_eq!(actions, expected);
    let old = registry.history("churn").unwrap();
    assert_eq!(old.last().unwrap().change, "churn -> leavers");
    assert!(
        registry
            .production_at("churn", i64::MAX)
            .unwrap()
            .is_empty()
    );
    let before = old.last().unwrap().at_ms - 1;
    assert_eq!(registry.production_at("churn", before).unwrap(), [1]);
    // The old name is free, and begins anew.
    registry.create_model(&user(), "churn", "", &[]).unwrap();
    assert_eq!(house.register("b").version, 1);
}

#[test]
fn models_and_versions_are_found_by_filters() {
    let house = house();
    let registry = &house.registry;
    let prompt = pair("mlflow.prompt.is_prompt", "true");
    for (name, tags) in [
        ("churn", vec![]),
        ("churn2", vec![pair("team", "a")]),
        ("ask", vec![prompt]),
    ] {
        registry.create_model(&user(), name, "", &tags).unwrap();
    }
    let models = |filter: &str| {
        let page = registry.search_models(filter, &[], 10, None).unwrap();
        page.items
            .into_iter()
            .map(|model| model.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(models(""), ["ask", "churn", "churn2"]);
    assert_eq!(models("name LIKE 'churn%'"), ["churn", "churn2"]);
    assert_eq!(
        models("tag.`mlflow.prompt.is_prompt` != 'true'"),
        ["churn", "churn2"]
    );
    assert_eq!(models("tags.team = 'a'"), ["churn2"]);
    let version = |model: &str, source: &str, run_id: &str| {
        registry
            .create_version(&user(), model, &new(source, run_id))
            .unwrap();
    };
    version("churn", "s3://b/1", &house.run_id);
    version("churn", "s3://b/2", "");
    version("churn2", "s3://b/1", &house.run_id);
    let versions = |filter: &str| {
        let order = ["name ASC".to_owned(), "version_number ASC".to_owned()];
        let page = registry.search_versions(filter, &order, 10, None).unwrap();
        let named = page.items.into_iter();
        named
            .map(|one| format!("{}/{}", one.name, one.version))
            .collect::<Vec<_>>()
    };
    assert_eq!(versions("name='churn'"), ["churn/1", "churn/2"]);
    assert_eq!(
        versions(&format!("run_id='{}'", house.run_id)),
        ["churn/1", "churn2/1"]
    );
    assert_eq!(versions("source_path = 's3://b/2'"), ["churn/2"]);
    let of_run = registry.versions_of_run(&house.run_id).unwrap();
    assert_eq!(of_run.len(), 2);
}

#[test]
fn m11_a_version_keeps_its_bytes_whatever_becomes_of_the_paths() {
    let house = house();
    let tracking = house.registry.tracking();
    let owner = crate::tracking::ArtifactOwner::Run(house.run_id.clone());
    let put = |path: &str, bytes: &[u8]| {
        tracking.put_artifact(&user(), &owner, path, bytes).unwrap();
    };
    put("model/MLmodel", b"flavors");
    put("model/model.xgb", b"good trees");
    house
        .registry
        .create_model(&user(), "churn", "", &[])
        .unwrap();
    let id = &house.run_id;
    let by_run = |source: String| {
        house
            .registry
            .create_version(&user(), "churn", &new(&source, id))
            .unwrap()
    };
    let first = by_run(format!("runs:/{id}/model"));
    let same = by_run(format!("mlflow-artifacts:/1/{id}/artifacts/model"));
    let server = by_run(format!(
        "mlflow-artifacts://host:8793/1/{id}/artifacts/model/"
    ));
    assert_eq!(
        (&same.artifact, &server.artifact),
        (&first.artifact, &first.artifact)
    );
    put("model/model.xgb", b"other trees");
    let second = by_run(format!("runs:/{id}/model"));
    assert_ne!(second.artifact, first.artifact);
    let blob = |hex: &str| {
        let digest = crate::tracking::parse_digest(hex).unwrap();
        house.store.get_blob(&digest).unwrap().unwrap()
    };
    let list = String::from_utf8(blob(&first.artifact)).unwrap();
    assert!(first.is_list);
    let (sha256, path) = list.lines().nth(1).unwrap().split_once("  ").unwrap();
    assert_eq!(
        (path, blob(sha256).as_slice()),
        ("model.xgb", b"good trees".as_slice())
    );
    let file = by_run(format!("runs:/{id}/model/MLmodel"));
    assert_eq!(
        (file.is_list, blob(&file.artifact).as_slice()),
        (false, b"flavors".as_slice())
    );
    let outside = by_run("s3://elsewhere/model".to_owned());
    assert_eq!(outside.artifact, "");
    // And one can always go back.
    house.promote(1);
    house.promote(4);
    let back = house
        .registry
        .rollback(&user(), "churn", Some("worse"))
        .unwrap();
    assert_eq!(back.artifact, first.artifact);
}

#[test]
fn m12_an_operators_repetition_finds_what_is_there() {
    let house = house();
    let tracking = house.registry.tracking();
    let first = house.register("model");
    house.promote(1);
    let before = Audit::new(house.store.clone()).read(0, 100).unwrap().len();
    let run = tracking.start_run(&user(), "churn", "r", &[]).unwrap();
    assert_eq!(run.run_id, house.run_id);
    let again = house.register("model");
    assert_eq!((again.version, again.created_ms), (1, first.created_ms));
    assert_eq!(again.stage, Stage::Production);
    let after = Audit::new(house.store.clone()).read(0, 100).unwrap().len();
    assert_eq!(after, before);
}

#[test]
fn m20_what_was_in_production_then_is_told_after_thousands_of_changes_and_a_deletion() {
    let house = house();
    let registry = &house.registry;
    let first = house.register("a").artifact;
    house.register("b");
    registry.set_alias(&user(), "churn", "champion", 1).unwrap();
    let then = registry
        .promote(&user(), "churn", 1, Stage::Production, true, Some("first"))
        .unwrap()
        .stage_ms;
    for turn in 0..1_000 {
        house.promote(2 - turn % 2);
        let value = turn.to_string();
        registry
            .set_model_tags(&user(), "churn", &[pair("turn", &value)])
            .unwrap();
    }
    registry.delete_model(&user(), "churn").unwrap();
    assert!(
        registry
            .production_at("churn", i64::MAX)
            .unwrap()
            .is_empty()
    );
    let at = registry.versions_at("churn", then).unwrap();
    let version = at
        .iter()
        .find(|one| one.stage == Stage::Production)
        .unwrap();
    assert_eq!((version.version, &version.artifact), (1, &first));
    assert_eq!(version.run_id, house.run_id);
    assert_eq!(version.staged.actor, user());
    assert_eq!(version.staged.reason.as_deref(), Some("first"));
    assert!(version.aliases.contains("champion"));
    let history = registry.history("churn").unwrap();
    assert_eq!(history.last().unwrap().action, "registered_model.delete");
    // Versions of a new model of this name are others.
    assert_eq!(house.register("c").version, 1);
    assert_eq!(registry.versions_at("churn", i64::MAX).unwrap().len(), 1);
}

#[test]
fn the_past_that_an_older_airlock_kept_in_the_trail_alone_is_not_lost() {
    let house = house();
    house.register("a");
    let at = house.promote(1).stage_ms;
    let commit = Commit {
        remove_streams: vec![crate::store::StreamId("audit/model/churn".to_owned())],
        ..Commit::default()
    };
    house.store.commit(commit).unwrap();
    assert_eq!(house.registry.production_at("churn", at).unwrap(), [1]);
    house.register("b");
    assert_eq!(house.registry.production_at("churn", at).unwrap(), [1]);
    assert_eq!(house.registry.history("churn").unwrap().len(), 3);
}

#[test]
fn stamps_of_the_host_are_in_the_version_and_nobody_sets_them() {
    let house = house();
    let artifact = house.store.put_blob(b"model").unwrap().to_string();
    let stamps = [pair("airlock.component", "abc")];
    let registry = &house.registry;
    let register = |tags: &[(String, String)]| {
        registry.register(&user(), "churn", &house.run_id, &artifact, tags, &stamps)
    };
    assert!(matches!(register(&stamps), Err(TrackingError::Invalid(_))));
    let version = register(&[pair("a", "b")]).unwrap();
    assert_eq!(version.tags, [pair("a", "b"), stamps[0].clone()].into());
    let refused = registry.set_version_tags(&user(), "churn", 1, &stamps);
    assert!(matches!(refused, Err(TrackingError::Invalid(_))));
    let refused = registry.delete_version_tag(&user(), "churn", 1, "airlock.component");
    assert!(matches!(refused, Err(TrackingError::Invalid(_))));
}
