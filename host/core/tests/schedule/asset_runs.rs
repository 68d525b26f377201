//! Runs that assets make.

use crate::support::{Host, at, dag, hours};
use airlock_core::dag::spec::{AssetExpression, Dag, Schedule};
use airlock_core::run::event::{AssetEvent, RunType};
use airlock_core::schedule::ASSET_EVENTS_MAX;
use airlock_core::task_instance::state::DagRunState::Success;

fn asset(uri: &str) -> AssetExpression {
    AssetExpression::Asset(uri.to_owned())
}

fn by(expression: AssetExpression) -> Dag {
    Dag {
        schedule: Schedule::Assets(expression),
        ..dag("")
    }
}

fn event(uri: &str, minute: u32) -> AssetEvent {
    AssetEvent {
        uri: uri.to_owned(),
        at: at(&format!("2025-06-10T00:{minute:02}:00Z")),
        source: "p/r/t/-1".to_owned(),
        extra: "{}".to_owned(),
    }
}

fn tell(host: &mut Host, uri: &str, minute: u32) -> bool {
    let dag = host.dag.clone();
    host.schedule.asset_updated(&dag, event(uri, minute))
}

#[test]
fn i16_one_run_consumes_all_events_once_the_expression_holds() {
    let mut host = Host::new(by(AssetExpression::All(vec![asset("a"), asset("b")])));
    let now = at("2025-06-10T01:00:00Z");
    assert!(tell(&mut host, "a", 1) && tell(&mut host, "a", 3));
    assert!(!tell(&mut host, "elsewhere", 2));
    assert_eq!((host.turns(now), host.next_wake(now)), (Vec::new(), None));
    assert!(tell(&mut host, "b", 2));
    host.restart();
    assert_eq!(
        host.turns(now),
        ["asset_triggered__2025-06-10T00:03:00+00:00"]
    );
    let run = host.rows[0].run.clone();
    let consumed: Vec<&str> = run
        .asset_events
        .iter()
        .map(|event| event.uri.as_str())
        .collect();
    assert_eq!(
        (consumed, run.run_type, run.logical_date),
        (vec!["a", "b", "a"], RunType::AssetTriggered, None)
    );
    tell(&mut host, "b", 4);
    assert_eq!(host.turns(now), [""; 0]);
}

#[test]
fn i16_any_needs_one_asset_and_ids_never_repeat() {
    let mut host = Host::new(by(AssetExpression::Any(vec![asset("a"), asset("b")])));
    let now = at("2025-06-10T01:00:00Z");
    tell(&mut host, "a", 1);
    host.turns(now);
    tell(&mut host, "b", 1);
    assert_eq!(
        host.turns(now),
        ["asset_triggered__2025-06-10T00:01:00.000001+00:00"]
    );
}

#[test]
fn i16_a_paused_dag_keeps_no_events() {
    let mut host = Host::new(by(asset("a")));
    host.schedule.set_paused(true);
    assert!(!tell(&mut host, "a", 1));
    host.schedule.set_paused(false);
    assert_eq!(host.turns(at("2025-06-10T01:00:00Z")), [""; 0]);
}

#[test]
fn i16_asset_or_time_runs_by_both() {
    let time = dag("schedule: '0 2 * * *'").schedule;
    let schedule = Schedule::AssetsOrTime(asset("a"), Box::new(time));
    let mut host = Host::new(Dag {
        schedule,
        start_date: Some(at("2025-06-10T00:00:00Z")),
        ..dag("")
    });
    tell(&mut host, "a", 1);
    let made = host.turns(at("2025-06-10T02:30:00Z"));
    assert_eq!(
        made,
        [
            "asset_triggered__2025-06-10T00:01:00+00:00",
            "scheduled__2025-06-10T02:00:00+00:00"
        ]
    );
    assert_eq!(
        host.next_wake(at("2025-06-10T02:30:00Z")),
        Some(at("2025-06-11T02:00:00Z"))
    );
}

#[test]
fn a11_a_run_made_by_assets_is_made_whatever_is_active() {
    let mut host = Host::new(Dag {
        max_active_runs: 1,
        ..by(asset("a"))
    });
    let now = at("2025-06-10T01:00:00Z");
    for minute in 1..4 {
        tell(&mut host, "a", minute);
        assert_eq!(host.turns(now).len(), 1);
    }
    host.end_all(Success, now + hours(1));
}

#[test]
fn events_that_are_never_consumed_do_not_pile_up() {
    let mut host = Host::new(by(AssetExpression::All(vec![asset("a"), asset("b")])));
    for _ in 0..ASSET_EVENTS_MAX + 5 {
        tell(&mut host, "a", 1);
    }
    assert_eq!(host.schedule.asset_events().count(), ASSET_EVENTS_MAX);
    assert_eq!(host.schedule.asset_events_dropped(), 5);
}
