//! What the dispatcher promises, example by example and as laws.

use super::*;

fn pool(name: &str) -> PoolName {
    PoolName::parse(name).unwrap()
}

fn dispatcher(parallelism: u32, slots: Slots) -> Dispatcher {
    let mut dispatcher = Dispatcher::new(parallelism);
    dispatcher.set_pool(pool("default_pool"), slots);
    dispatcher
}

fn limits(max_active_tasks: u32) -> RunLimits {
    RunLimits {
        max_active_tasks,
        ..RunLimits::default()
    }
}

fn drain(dispatcher: &mut Dispatcher) -> Vec<(RunNumber, u32, i32)> {
    std::iter::from_fn(|| dispatcher.admit_next())
        .map(|a| (a.run, a.ti.task.0, a.ti.map_index))
        .collect()
}

#[test]
fn higher_priority_goes_first_then_the_earlier_run_then_the_lower_map_index() {
    let mut dispatcher = dispatcher(100, Slots::Unlimited);
    dispatcher.add_run(1, limits(100));
    dispatcher.add_run(2, limits(100));
    let name = pool("default_pool");
    assert!(dispatcher.want(&name, Want::new(2, 20, 1, TaskIndex(0), (0, 2), 1)));
    assert!(dispatcher.want(&name, Want::new(1, 10, 1, TaskIndex(0), (0, 2), 1)));
    assert!(dispatcher.want(&name, Want::new(2, 20, 5, TaskIndex(7), (-1, 0), 1)));
    assert_eq!(
        drain(&mut dispatcher),
        [(2, 7, -1), (1, 0, 0), (1, 0, 1), (2, 0, 0), (2, 0, 1)]
    );
}

#[test]
fn a_pool_is_never_over_full_and_smaller_tasks_pass_a_large_one() {
    let mut dispatcher = dispatcher(100, Slots::Limited(3));
    dispatcher.add_run(1, limits(100));
    let name = pool("default_pool");
    dispatcher.want(&name, Want::new(1, 0, 9, TaskIndex(0), (-1, 0), 2));
    dispatcher.want(&name, Want::new(1, 0, 8, TaskIndex(1), (-1, 0), 2));
    dispatcher.want(&name, Want::new(1, 0, 7, TaskIndex(2), (-1, 0), 1));
    assert_eq!(drain(&mut dispatcher), [(1, 0, -1), (1, 2, -1)]);
    dispatcher.release(
        1,
        TaskInstanceKey {
            task: TaskIndex(0),
            map_index: -1,
        },
    );
    assert_eq!(drain(&mut dispatcher), [(1, 1, -1)]);
}

#[test]
fn max_active_tasks_parks_the_rest_of_a_run_until_something_is_released() {
    let mut dispatcher = dispatcher(100, Slots::Unlimited);
    dispatcher.add_run(1, limits(2));
    dispatcher.add_run(2, limits(2));
    let name = pool("default_pool");
    dispatcher.want(&name, Want::new(1, 0, 1, TaskIndex(0), (0, 4), 1));
    dispatcher.want(&name, Want::new(2, 1, 1, TaskIndex(0), (-1, 0), 1));
    assert_eq!(drain(&mut dispatcher), [(1, 0, 0), (1, 0, 1), (2, 0, -1)]);
    dispatcher.release(
        1,
        TaskInstanceKey {
            task: TaskIndex(0),
            map_index: 1,
        },
    );
    assert_eq!(drain(&mut dispatcher), [(1, 0, 2)]);
}

#[test]
fn one_task_may_have_a_limit_of_its_own() {
    let mut dispatcher = dispatcher(100, Slots::Unlimited);
    let per_task = BTreeMap::from([(TaskIndex(0), 1)]);
    dispatcher.add_run(
        1,
        RunLimits {
            max_active_tasks: 10,
            per_task,
            ..RunLimits::default()
        },
    );
    let name = pool("default_pool");
    dispatcher.want(&name, Want::new(1, 0, 1, TaskIndex(0), (0, 3), 1));
    dispatcher.want(&name, Want::new(1, 0, 1, TaskIndex(1), (-1, 0), 1));
    assert_eq!(drain(&mut dispatcher), [(1, 0, 0), (1, 1, -1)]);
}

#[test]
fn a_run_that_ends_gives_back_what_it_holds_and_wants_nothing_more() {
    let mut dispatcher = dispatcher(2, Slots::Limited(2));
    dispatcher.add_run(1, limits(10));
    dispatcher.add_run(2, limits(10));
    let name = pool("default_pool");
    dispatcher.want(&name, Want::new(1, 0, 1, TaskIndex(0), (0, 5), 1));
    assert_eq!(drain(&mut dispatcher).len(), 2);
    dispatcher.remove_run(1);
    dispatcher.want(&name, Want::new(2, 0, 1, TaskIndex(0), (-1, 0), 1));
    assert_eq!(drain(&mut dispatcher), [(2, 0, -1)]);
}

#[test]
fn a_want_said_twice_gets_slots_once() {
    let mut dispatcher = dispatcher(100, Slots::Limited(4));
    dispatcher.add_run(1, limits(100));
    let name = pool("default_pool");
    dispatcher.want(&name, Want::new(1, 0, 1, TaskIndex(0), (0, 2), 1));
    dispatcher.want(&name, Want::new(1, 0, 1, TaskIndex(0), (0, 3), 1));
    assert_eq!(drain(&mut dispatcher), [(1, 0, 0), (1, 0, 1), (1, 0, 2)]);
    assert_eq!(dispatcher.pools().next().unwrap().2, 3);
}

#[test]
fn a_want_for_a_pool_that_does_not_exist_waits_until_it_is_created() {
    let mut dispatcher = dispatcher(2, Slots::Unlimited);
    dispatcher.add_run(1, limits(10));
    assert!(!dispatcher.want(&pool("gpu"), Want::new(1, 0, 1, TaskIndex(0), (-1, 0), 1)));
    assert_eq!(drain(&mut dispatcher), []);
    dispatcher.set_pool(pool("gpu"), Slots::Limited(1));
    assert_eq!(drain(&mut dispatcher), [(1, 0, -1)]);
}
