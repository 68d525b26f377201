use super::*;
use crate::store::{MemoryStore, Store};
use crate::tracking::{Actor, ActorKind, Batch, Clock, MetricInput, NewRun, RunStatus, ViewType};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

fn user() -> Actor {
    Actor {
        kind: ActorKind::User,
        id: "ann".to_owned(),
    }
}

fn clock() -> Clock {
    let now = AtomicI64::new(0);
    Arc::new(move || now.fetch_add(1, Ordering::Relaxed))
}

/// A change of one of a few runs.
#[derive(Debug, Clone)]
enum Act {
    Create,
    Log(usize, String, f64),
    Tag(usize, String),
    Param(usize, String),
    Untag(usize),
    Delete(usize),
    Restore(usize),
    Status(usize, RunStatus),
    Search,
}

fn act() -> impl Strategy<Value = Act> {
    let run = 0..4_usize;
    let value = prop_oneof![(-3..3_i32).prop_map(f64::from), Just(f64::NAN)];
    prop_oneof![
        2 => Just(Act::Create),
        3 => (run.clone(), "[ab]", value).prop_map(|(run, key, value)| Act::Log(run, key, value)),
        2 => (run.clone(), "[ab]").prop_map(|(run, value)| Act::Tag(run, value)),
        1 => (run.clone(), "[ab]").prop_map(|(run, value)| Act::Param(run, value)),
        1 => run.clone().prop_map(Act::Untag),
        1 => run.clone().prop_map(Act::Delete),
        1 => run.clone().prop_map(Act::Restore),
        1 => (run, prop_oneof![Just(RunStatus::Finished), Just(RunStatus::Running)])
            .prop_map(|(run, status)| Act::Status(run, status)),
        3 => Just(Act::Search),
    ]
}

const SEARCHES: [(&str, &str, ViewType); 6] = [
    ("", "metrics.a DESC", ViewType::ActiveOnly),
    ("metrics.a > 0", "start_time", ViewType::All),
    (
        "metrics.b != 1 AND tags.t = 'a'",
        "tags.t",
        ViewType::ActiveOnly,
    ),
    ("params.p IN ('a')", "end_time DESC", ViewType::All),
    ("status = 'FINISHED'", "metrics.b", ViewType::DeletedOnly),
    ("run_name LIKE 'run%'", "run_id", ViewType::All),
];

/// Which runs fulfil a search, from the runs alone.
fn fulfils(run: &Run, filter: &str) -> bool {
    let metric = |key: &str| run.metrics.get(key).map(|point| point.value);
    match filter {
        "" => true,
        "metrics.a > 0" => metric("a").is_some_and(|value| value > 0.0),
        "metrics.b != 1 AND tags.t = 'a'" => {
            let other =
                metric("b").is_some_and(|value| (value - 1.0).abs() > 0.0 || value.is_nan());
            other && run.tags.get("t").is_some_and(|tag| tag == "a")
        }
        "params.p IN ('a')" => run.params.get("p").is_some_and(|param| param == "a"),
        "status = 'FINISHED'" => run.status == RunStatus::Finished,
        _ => run.name.starts_with("run"),
    }
}

fn check(tracking: &Tracking, store: &Arc<MemoryStore>) {
    let rows = Tracking::new(store.clone(), clock());
    let all = rows.runs("Default", None, 100).unwrap();
    for (filter, order, view) in SEARCHES {
        let search = |tracking: &Tracking| {
            let order = [order.to_owned()];
            let page = tracking.search_runs(&["0".to_owned()], view, filter, &order, 100, None);
            page.unwrap().items
        };
        let found = search(tracking);
        // Text, because NaN is not equal to itself.
        assert_eq!(
            format!("{found:?}"),
            format!("{:?}", search(&rows)),
            "{filter}"
        );
        let shown = |run: &&Run| view.shows(run.lifecycle) && fulfils(run, filter);
        let mut expected: Vec<String> = all
            .iter()
            .filter(shown)
            .map(|run| format!("{run:?}"))
            .collect();
        let mut found: Vec<String> = found.iter().map(|run| format!("{run:?}")).collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{filter}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_in_memory_is_what_the_rows_say(acts in proptest::collection::vec(act(), 1..40)) {
        let store = Arc::new(MemoryStore::default());
        let tracking = Tracking::new(store.clone(), clock());
        let mut runs: Vec<String> = Vec::new();
        for act in acts {
            // Whether a change is allowed is not what is tested: a refused one must leave no trace either.
            let id = |run: usize| runs.get(run).cloned().unwrap_or_default();
            match act {
                Act::Create => {
                    let name = Some(format!("run{}", runs.len()));
                    let new = NewRun { name, ..NewRun::default() };
                    runs.push(tracking.create_run(&user(), "0", &new).unwrap().run_id);
                }
                Act::Log(run, key, value) => {
                    let point = MetricPoint { value, step: 0, at_ms: 0 };
                    let metric = MetricInput { key, point, model_id: None, dataset: None };
                    let batch = Batch { metrics: vec![metric], ..Batch::default() };
                    let _ = tracking.log_batch(&user(), &id(run), &batch);
                }
                Act::Tag(run, value) => {
                    let _ = tracking.set_tags(&user(), &id(run), &[("t".to_owned(), value)]);
                }
                Act::Param(run, value) => {
                    let _ = tracking.log_params(&user(), &id(run), &[("p".to_owned(), value)]);
                }
                Act::Untag(run) => {
                    let _ = tracking.delete_tag(&user(), &id(run), "t");
                }
                Act::Delete(run) => {
                    let _ = tracking.delete_run(&user(), &id(run));
                }
                Act::Restore(run) => {
                    let _ = tracking.restore_run(&user(), &id(run));
                }
                Act::Status(run, status) => {
                    let _ = tracking.set_status(&user(), &id(run), status);
                }
                Act::Search => check(&tracking, &store),
            }
        }
        check(&tracking, &store);
    }
}

#[test]
fn writers_and_searches_at_once_never_see_less_than_was_answered() {
    let store = Arc::new(MemoryStore::default());
    let tracking = Tracking::new(store.clone(), clock());
    std::thread::scope(|scope| {
        for worker in 0..3 {
            let tracking = tracking.clone();
            scope.spawn(move || {
                for turn in 0..30 {
                    let name = Some(format!("w{worker}-{turn}"));
                    let new = NewRun {
                        name: name.clone(),
                        ..NewRun::default()
                    };
                    tracking.create_run(&user(), "0", &new).unwrap();
                    let filter = format!("run_name LIKE 'w{worker}-%'");
                    let page = tracking.search_runs(
                        &["0".to_owned()],
                        ViewType::All,
                        &filter,
                        &[],
                        100,
                        None,
                    );
                    assert_eq!(page.unwrap().items.len(), turn + 1);
                }
            });
        }
    });
    check(&tracking, &store);
}

#[test]
fn pages_stay_valid_while_runs_are_added() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let tracking = Tracking::new(store, clock());
    let create = |name: &str| {
        let new = NewRun {
            name: Some(name.to_owned()),
            ..NewRun::default()
        };
        tracking.create_run(&user(), "0", &new).unwrap();
    };
    for name in ["a", "b", "c", "d"] {
        create(name);
    }
    let page = |token: Option<&str>| {
        let order = ["run_name".to_owned()];
        let page = tracking.search_runs(&["0".to_owned()], ViewType::All, "", &order, 2, token);
        let page = page.unwrap();
        let names: String = page.items.into_iter().map(|run| run.name).collect();
        (names, page.next_page_token)
    };
    let (names, token) = page(None);
    assert_eq!(names, "ab");
    create("aa");
    create("cc");
    let (names, token) = page(token.as_deref());
    assert_eq!(names, "ccc");
    let (names, token) = page(token.as_deref());
    assert_eq!((names.as_str(), token), ("d", None));
}

#[test]
fn many_runs_are_read_in_one_pass_and_other_experiments_stay_out() {
    let store = Arc::new(MemoryStore::default());
    let tracking = Tracking::new(store.clone(), clock());
    let other = tracking.create_experiment(&user(), "other", &[]).unwrap();
    for index in 0..=ONE_BY_ONE_MAX {
        let new = NewRun {
            tags: vec![("index".to_owned(), index.to_string())],
            ..NewRun::default()
        };
        let id = if index % 100 == 0 {
            &other.experiment_id
        } else {
            "0"
        };
        tracking.create_run(&user(), id, &new).unwrap();
        tracking.create_run(&user(), "0", &new).unwrap();
    }
    let fresh = Tracking::new(store, clock());
    let page = fresh.search_runs(&["0".to_owned()], ViewType::All, "", &[], 1_000, None);
    let found = page.unwrap().items;
    assert_eq!(found.len(), 2 * (ONE_BY_ONE_MAX + 1) - 3);
    for run in found {
        assert_eq!(run, fresh.run(&run.run_id).unwrap());
    }
}
