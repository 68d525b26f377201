use super::*;
use crate::store::MemoryStore;
use crate::tracking::{ActorKind, Stage, Tracking};
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
