use super::*;
use crate::store::MemoryStore;
use crate::tracking::{ActorKind, Audit};
use std::sync::atomic::{AtomicI64, Ordering};

fn service() -> (Arc<MemoryStore>, Tracking) {
    let store = Arc::new(MemoryStore::default());
    let now = AtomicI64::new(0);
    let clock: Clock = Arc::new(move || now.fetch_add(1, Ordering::Relaxed));
    (store.clone(), Tracking::new(store, clock))
}

fn actor() -> Actor {
    Actor {
        kind: ActorKind::TaskInstance,
        id: "churn/r1/train/-1/1".to_owned(),
    }
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn a_retry_finds_the_run_it_began() {
    let (_, tracking) = service();
    let first = tracking
        .start_run(&actor(), "churn", "2026-01-05", &[])
        .unwrap();
    tracking
        .set_status(&actor(), &first.run_id, RunStatus::Failed)
        .unwrap();
    let again = tracking
        .start_run(&actor(), "churn", "2026-01-05", &[])
        .unwrap();
    assert_eq!(again.run_id, first.run_id);
    assert_eq!((again.status, again.ended_ms), (RunStatus::Running, None));
    let other = tracking
        .start_run(&actor(), "churn", "2026-01-12", &[])
        .unwrap();
    assert_ne!(other.run_id, first.run_id);
    let runs = tracking.runs("churn", None, 10).unwrap();
    assert_eq!(
        runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>(),
        ["2026-01-05", "2026-01-12"]
    );
    assert_eq!(tracking.runs("churn", runs.first(), 10).unwrap().len(), 1);
    assert_eq!(tracking.experiments(None, 10).unwrap().len(), 1);
}

#[test]
fn params_are_set_once_and_all_or_none() {
    let (_, tracking) = service();
    let id = tracking.start_run(&actor(), "e", "r", &[]).unwrap().run_id;
    tracking
        .log_params(&actor(), &id, &[pair("depth", "6")])
        .unwrap();
    tracking
        .log_params(&actor(), &id, &[pair("depth", "6")])
        .unwrap();
    let error = tracking
        .log_params(&actor(), &id, &[pair("eta", "0.1"), pair("depth", "7")])
        .unwrap_err();
    assert!(matches!(error, TrackingError::Conflict(_)), "{error}");
    let params = tracking.run(&id).unwrap().params;
    assert_eq!(params, [pair("depth", "6")].into());
}

#[test]
fn metrics_have_history_and_the_last_step_wins() {
    let (_, tracking) = service();
    let id = tracking.start_run(&actor(), "e", "r", &[]).unwrap().run_id;
    let points = [(2, 0.8), (1, 0.7), (-1, f64::NAN)];
    for (step, value) in points {
        tracking
            .log_metrics(&actor(), &id, &[("auc".to_owned(), value, step)])
            .unwrap();
    }
    tracking
        .log_metrics(&actor(), &id, &[("auc".to_owned(), 0.75, 1)])
        .unwrap();
    let history = tracking
        .metric_history(&id, "auc", None, 10)
        .unwrap()
        .points;
    assert_eq!(
        history.iter().map(|point| point.step).collect::<Vec<_>>(),
        [-1, 1, 2]
    );
    assert_eq!(history[1].value.to_bits(), 0.75_f64.to_bits());
    assert!(history[0].value.is_nan());
    let run = tracking.run(&id).unwrap();
    assert_eq!(run.metrics["auc"].step, 2);
    let later = tracking.metric_history(&id, "auc", None, 2).unwrap();
    let token = later.next_page_token.unwrap();
    let later = tracking
        .metric_history(&id, "auc", Some(&token), 10)
        .unwrap();
    assert_eq!(later.points.len(), 1);
    assert_eq!(later.next_page_token, None);
}

#[test]
fn artifacts_must_be_in_the_store_and_are_never_overwritten() {
    let (store, tracking) = service();
    let id = tracking.start_run(&actor(), "e", "r", &[]).unwrap().run_id;
    let missing = "0".repeat(64);
    let error = tracking.log_artifact(&actor(), &id, "m", &missing);
    assert!(matches!(error, Err(TrackingError::NotFound(_))));
    let error = tracking.log_artifact(&actor(), &id, "m", "../../etc/passwd");
    assert!(matches!(error, Err(TrackingError::Invalid(_))));
    let one = store.put_blob(b"one").unwrap().to_string();
    let two = store.put_blob(b"two").unwrap().to_string();
    tracking.log_artifact(&actor(), &id, "m", &one).unwrap();
    tracking.log_artifact(&actor(), &id, "m", &one).unwrap();
    let error = tracking.log_artifact(&actor(), &id, "m", &two);
    assert!(matches!(error, Err(TrackingError::Conflict(_))));
}

#[test]
fn every_change_leaves_one_line_and_no_change_leaves_none() {
    let (store, tracking) = service();
    let id = tracking.start_run(&actor(), "e", "r", &[]).unwrap().run_id;
    tracking
        .set_tags(&actor(), &id, &[pair("stage", "a")])
        .unwrap();
    tracking
        .set_tags(&actor(), &id, &[pair("stage", "a")])
        .unwrap();
    tracking
        .set_tags(&actor(), &id, &[pair("stage", "b")])
        .unwrap();
    tracking
        .set_status(&actor(), &id, RunStatus::Finished)
        .unwrap();
    let trail = Audit::new(store).read(0, 100).unwrap();
    let actions: Vec<_> = trail.iter().map(|(_, event)| &*event.action).collect();
    assert_eq!(
        actions,
        ["run.create", "run.set_tags", "run.set_tags", "run.update"]
    );
    let (_, change) = &trail[2];
    assert_eq!(change.from, json!({"stage": "a"}));
    assert_eq!(change.to, json!({"stage": "b"}));
    assert_eq!(change.actor, actor());
}

#[test]
fn bad_names_and_sizes_are_refused() {
    let (_, tracking) = service();
    for name in ["", "a\0b", "line\nbreak"] {
        let error = tracking.start_run(&actor(), name, "r", &[]);
        assert!(matches!(error, Err(TrackingError::Invalid(_))), "{name:?}");
    }
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    let error = tracking.start_run(&actor(), &long, "r", &[]);
    assert!(matches!(error, Err(TrackingError::TooLarge { .. })));
    let error = tracking.run("no-such-run");
    assert!(matches!(error, Err(TrackingError::NotFound(_))));
}

#[test]
fn writers_at_once_lose_nothing() {
    let (store, tracking) = service();
    let id = tracking.start_run(&actor(), "e", "r", &[]).unwrap().run_id;
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (tracking, id) = (&tracking, &id);
            scope.spawn(move || {
                for step in 0..20 {
                    let key = format!("m{worker}");
                    tracking
                        .log_metrics(&actor(), id, &[(key, 1.0, step)])
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(tracking.run(&id).unwrap().metrics.len(), 4);
    assert_eq!(Audit::new(store).read(0, 1_000).unwrap().len(), 81);
}
