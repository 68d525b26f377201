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

fn dispatch_ti(task: u32, map_index: i32) -> TaskInstanceKey {
    TaskInstanceKey {
        task: TaskIndex(task),
        map_index,
    }
}

fn shared_limits(dag: &str, limit: u32) -> RunLimits {
    RunLimits {
        dag_id: Some(DagId::parse(dag).unwrap()),
        max_active_tasks: 100,
        per_dag: BTreeMap::from([(
            TaskIndex(0),
            (crate::ids::TaskId::parse("a").unwrap(), limit),
        )]),
        ..RunLimits::default()
    }
}

#[test]
fn b12_an_effective_priority_orders_runs_only_when_slots_are_scarce() {
    let mut dispatcher = dispatcher(100, Slots::Limited(1));
    dispatcher.add_run(1, limits(100));
    dispatcher.add_run(2, limits(100));
    let name = pool("default_pool");
    dispatcher.want(&name, Want::new(1, 10, i32::MIN, TaskIndex(0), (-1, 0), 1));
    assert_eq!(drain(&mut dispatcher), [(1, 0, -1)]);
    dispatcher.want(&name, Want::new(1, 10, 1, TaskIndex(1), (-1, 0), 1));
    dispatcher.want(&name, Want::new(2, 20, i32::MAX, TaskIndex(0), (-1, 0), 1));
    dispatcher.release(1, dispatch_ti(0, -1));
    assert_eq!(drain(&mut dispatcher), [(2, 0, -1)]);
}

#[test]
fn b13_deferred_ones_keep_their_slots_only_where_the_pool_includes_them() {
    for include_deferred in [false, true] {
        let mut dispatcher = dispatcher(1, Slots::Limited(2));
        let name = pool("default_pool");
        dispatcher.set_include_deferred(&name, include_deferred);
        dispatcher.add_run(1, limits(100));
        dispatcher.want(&name, Want::new(1, 0, 1, TaskIndex(0), (-1, 0), 2));
        assert_eq!(drain(&mut dispatcher).len(), 1);
        dispatcher.defer(1, dispatch_ti(0, -1));
        dispatcher.want(&name, Want::new(1, 0, 1, TaskIndex(1), (-1, 0), 1));
        assert_eq!(drain(&mut dispatcher).is_empty(), include_deferred);
        // It wants to go on: what it held while deferred is free for whoever is first.
        dispatcher.release(1, dispatch_ti(1, -1));
        dispatcher.want(&name, Want::new(1, 0, 1, TaskIndex(0), (-1, 0), 2));
        assert_eq!(drain(&mut dispatcher).len(), 1);
        dispatcher.remove_run(1);
        assert_eq!(dispatcher.pools().next().unwrap().2, 0);
    }
}

#[test]
fn b13_a_missing_pool_and_one_that_is_too_small_are_told() {
    let mut dispatcher = dispatcher(100, Slots::Limited(2));
    dispatcher.add_run(1, limits(100));
    dispatcher.want(
        &pool("default_pool"),
        Want::new(1, 0, 1, TaskIndex(0), (-1, 0), 3),
    );
    dispatcher.want(&pool("gpu"), Want::new(1, 0, 1, TaskIndex(1), (-1, 0), 1));
    assert_eq!(drain(&mut dispatcher), []);
    let small = Blocked::PoolTooSmall {
        pool: pool("default_pool"),
        pool_slots: 3,
        slots: 2,
    };
    assert_eq!(dispatcher.why_not(1, dispatch_ti(0, -1)), [small]);
    let missing = Blocked::PoolMissing { pool: pool("gpu") };
    assert_eq!(dispatcher.why_not(1, dispatch_ti(1, -1)), [missing]);
    dispatcher.set_pool(pool("gpu"), Slots::Unlimited);
    assert_eq!(drain(&mut dispatcher), [(1, 1, -1)]);
}

fn machine(cards: u8) -> Gpus {
    let card = |n: u8| crate::gpu::Gpu {
        uuid: format!("GPU-{n}"),
        name: "NVIDIA H100 80GB HBM3".to_owned(),
        memory: 80 << 30,
        compute: (9, 0),
    };
    Gpus::new((0..cards).map(card).collect())
}

fn with_gpus(cards: u8) -> Dispatcher {
    let mut dispatcher = dispatcher(100, Slots::Unlimited);
    dispatcher.set_gpus(machine(cards));
    dispatcher.set_pool(pool("gpu"), Slots::Unlimited);
    dispatcher.set_gpu_filter(&pool("gpu"), Some(GpuFilter::default()));
    dispatcher.add_run(1, limits(100));
    dispatcher
}

#[test]
fn a_pool_of_kind_gpu_gives_each_task_instance_cards_of_its_own_and_the_rest_waits() {
    let mut dispatcher = with_gpus(2);
    dispatcher.want(&pool("gpu"), Want::new(1, 0, 1, TaskIndex(0), (0, 3), 1));
    assert_eq!(drain(&mut dispatcher), [(1, 0, 0), (1, 0, 1)]);
    assert_eq!(dispatcher.gpus_of(1, dispatch_ti(0, 1)), ["GPU-1"]);
    let [Blocked::GpusTaken { holders, .. }] = &dispatcher.why_not(1, dispatch_ti(0, 2))[..] else {
        panic!("{:?}", dispatcher.why_not(1, dispatch_ti(0, 2)));
    };
    assert_eq!(holders.len(), 2);
    assert_eq!(dispatcher.gpu_holders("GPU-1"), [(1, dispatch_ti(0, 1))]);
    dispatcher.release(1, dispatch_ti(0, 1));
    assert_eq!(drain(&mut dispatcher), [(1, 0, 2)]);
    dispatcher.remove_run(1);
    assert!(dispatcher.gpus().cards().all(|(_, taken)| taken == 0));
}

#[test]
fn a_wish_that_no_card_can_ever_meet_is_told_and_lets_others_go_first() {
    let mut dispatcher = with_gpus(1);
    let wish = crate::gpu::GpuWish {
        name: Some("H200".to_owned()),
        ..crate::gpu::GpuWish::default()
    };
    let never = Want::new(1, 0, 9, TaskIndex(0), (-1, 0), 1).with_gpu(Some(wish.clone()));
    dispatcher.want(&pool("gpu"), never);
    dispatcher.want(&pool("gpu"), Want::new(1, 0, 1, TaskIndex(1), (-1, 0), 1));
    let elsewhere = Want::new(1, 0, 1, TaskIndex(2), (-1, 0), 1).with_gpu(Some(wish.clone()));
    dispatcher.want(&pool("default_pool"), elsewhere);
    assert_eq!(drain(&mut dispatcher), [(1, 1, -1)]);
    let there = "NVIDIA H100 80GB HBM3 (80 GiB, compute capability 9.0)".to_owned();
    let none = Blocked::NoSuchGpu {
        pool: pool("gpu"),
        wish: wish.clone(),
        there,
    };
    assert_eq!(dispatcher.why_not(1, dispatch_ti(0, -1)), [none]);
    let wrong = Blocked::PoolWithoutGpus {
        pool: pool("default_pool"),
        wish,
    };
    assert_eq!(dispatcher.why_not(1, dispatch_ti(2, -1)), [wrong]);
}

#[test]
fn a_deferred_task_instance_gives_its_card_back() {
    let mut dispatcher = with_gpus(1);
    dispatcher.set_include_deferred(&pool("gpu"), true);
    dispatcher.want(&pool("gpu"), Want::new(1, 0, 1, TaskIndex(0), (0, 2), 1));
    assert_eq!(drain(&mut dispatcher), [(1, 0, 0)]);
    dispatcher.defer(1, dispatch_ti(0, 0));
    assert_eq!(drain(&mut dispatcher), [(1, 0, 1)]);
}

#[test]
fn b14_a_queue_that_is_not_served_waits_until_it_is() {
    let mut dispatcher = dispatcher(100, Slots::Unlimited);
    dispatcher.serve(BTreeSet::from(["default".to_owned()]));
    dispatcher.add_run(1, limits(100));
    let name = pool("default_pool");
    let want = |task| Want::new(1, 0, 1, TaskIndex(task), (-1, 0), 1);
    dispatcher.want(&name, want(0).in_queue("gpu"));
    dispatcher.want(&name, want(1).in_queue("default"));
    assert_eq!(drain(&mut dispatcher), [(1, 1, -1)]);
    let queue = "gpu".to_owned();
    assert_eq!(
        dispatcher.why_not(1, dispatch_ti(0, -1)),
        [Blocked::QueueNotServed { queue }]
    );
    dispatcher.serve(BTreeSet::from(["gpu".to_owned()]));
    assert_eq!(drain(&mut dispatcher), [(1, 0, -1)]);
}

#[test]
fn b15_max_active_tis_per_dag_counts_over_all_runs_of_the_dag() {
    let mut dispatcher = dispatcher(100, Slots::Unlimited);
    for (run, dag) in [(1, "x"), (2, "x"), (3, "y")] {
        dispatcher.add_run(run, shared_limits(dag, 1));
        let want = Want::new(run, 0, 1, TaskIndex(0), (-1, 0), 1);
        dispatcher.want(&pool("default_pool"), want);
    }
    assert_eq!(drain(&mut dispatcher), [(1, 0, -1), (3, 0, -1)]);
    let limit = Blocked::MaxActiveTisPerDag { limit: 1 };
    assert_eq!(dispatcher.why_not(2, dispatch_ti(0, -1)), [limit]);
    dispatcher.release(1, dispatch_ti(0, -1));
    assert_eq!(drain(&mut dispatcher), [(2, 0, -1)]);
}

#[test]
fn a12_max_active_tasks_counts_in_one_run() {
    let mut dispatcher = dispatcher(100, Slots::Unlimited);
    for run in [1, 2] {
        dispatcher.add_run(run, limits(1));
        let want = Want::new(run, 0, 1, TaskIndex(0), (0, 2), 1);
        dispatcher.want(&pool("default_pool"), want);
    }
    assert_eq!(drain(&mut dispatcher), [(1, 0, 0), (2, 0, 0)]);
    assert_eq!(
        dispatcher.why_not(1, dispatch_ti(0, 1)),
        [Blocked::MaxActiveTasks { limit: 1 }]
    );
}

#[test]
fn a14_nothing_of_a_paused_dag_gets_slots_until_it_is_unpaused() {
    let mut dispatcher = dispatcher(100, Slots::Unlimited);
    let dag = DagId::parse("x").unwrap();
    dispatcher.add_run(1, shared_limits("x", 9));
    dispatcher.set_paused(&dag, true);
    dispatcher.want(
        &pool("default_pool"),
        Want::new(1, 0, 1, TaskIndex(0), (-1, 0), 1),
    );
    assert_eq!(drain(&mut dispatcher), []);
    dispatcher.set_paused(&dag, false);
    assert_eq!(drain(&mut dispatcher), [(1, 0, -1)]);
}

#[test]
fn a_hundred_thousand_wants_of_one_full_run_cost_what_they_should() {
    let mut dispatcher = dispatcher(1_000, Slots::Limited(1_000));
    dispatcher.add_run(1, limits(4));
    let name = pool("default_pool");
    let (tasks, each) = (1_000, 100);
    for task in 0..tasks {
        for index in 0..each {
            dispatcher.want(
                &name,
                Want::new(1, 0, 1, TaskIndex(task), (index, index + 1), 1),
            );
        }
    }
    let mut live: Vec<Admission> = Vec::new();
    let mut admitted = 0;
    loop {
        live.extend(std::iter::from_fn(|| dispatcher.admit_next()));
        let Some(first) = live.pop() else { break };
        admitted += 1;
        dispatcher.release(first.run, first.ti);
    }
    assert_eq!(admitted, tasks * each.unsigned_abs());
}

mod laws {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Act {
        Want {
            run: u64,
            task: u32,
            from: i32,
            length: i32,
        },
        Release(usize),
        Defer(usize),
        Resize {
            pool: usize,
            slots: u32,
        },
        Include {
            pool: usize,
            include: bool,
        },
        Pause(bool),
        Serve(bool),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (1_u64..4, 0_u32..6, 0_i32..10, 1_i32..6)
                .prop_map(|(run, task, from, length)| Act::Want { run, task, from, length }),
            4 => (0_usize..40).prop_map(Act::Release),
            1 => (0_usize..40).prop_map(Act::Defer),
            1 => (0_usize..3, 0_u32..6).prop_map(|(pool, slots)| Act::Resize { pool, slots }),
            1 => (0_usize..3, any::<bool>()).prop_map(|(pool, include)| Act::Include { pool, include }),
            1 => any::<bool>().prop_map(Act::Pause),
            1 => any::<bool>().prop_map(Act::Serve),
        ]
    }

    const POOLS: [&str; 3] = ["p", "q", "created_late"];

    /// What task `n` asks for: pool, slots, queue.
    fn asks(task: u32) -> (PoolName, u32, &'static str) {
        let name = POOLS[task as usize % 3];
        (
            pool(name),
            1 + task % 2,
            if task == 5 { "gpu" } else { "default" },
        )
    }

    fn limits_of(run: u64) -> RunLimits {
        RunLimits {
            max_active_tasks: 4,
            per_task: BTreeMap::from([(TaskIndex(1), 1)]),
            ..shared_limits(if run == 3 { "y" } else { "x" }, 2)
        }
    }

    struct Model {
        dispatcher: Dispatcher,
        wanted: BTreeSet<(u64, TaskInstanceKey)>,
        live: Vec<Admission>,
    }

    impl Model {
        fn do_one(&mut self, act: &Act) {
            match act {
                Act::Want {
                    run,
                    task,
                    from,
                    length,
                } => {
                    let (name, slots, queue) = asks(*task);
                    for map_index in *from..from + length {
                        let key = (*run, dispatch_ti(*task, map_index));
                        if !self.live.iter().any(|one| (one.run, one.ti) == key) {
                            self.wanted.insert(key);
                        }
                    }
                    let range = (*from, from + length);
                    let want =
                        Want::new(*run, run.cast_signed(), 1, TaskIndex(*task), range, slots);
                    self.dispatcher.want(&name, want.in_queue(queue));
                }
                Act::Release(place) | Act::Defer(place) if !self.live.is_empty() => {
                    let one = self.live.remove(place % self.live.len());
                    // Its want may have been said again before it began.
                    match act {
                        Act::Defer(_) => self.dispatcher.defer(one.run, one.ti),
                        _ => self.dispatcher.release(one.run, one.ti),
                    }
                    self.dispatcher.unwant(
                        one.run,
                        one.ti.task,
                        (one.ti.map_index, one.ti.map_index + 1),
                    );
                }
                Act::Release(_) | Act::Defer(_) => {}
                Act::Resize { pool: place, slots } => self
                    .dispatcher
                    .set_pool(pool(POOLS[*place]), Slots::Limited(*slots)),
                Act::Include {
                    pool: place,
                    include,
                } => self
                    .dispatcher
                    .set_include_deferred(&pool(POOLS[*place]), *include),
                Act::Pause(paused) => self
                    .dispatcher
                    .set_paused(&DagId::parse("x").unwrap(), *paused),
                Act::Serve(gpu) => {
                    let queues = if *gpu {
                        vec!["default", "gpu"]
                    } else {
                        vec!["default"]
                    };
                    self.dispatcher
                        .serve(queues.into_iter().map(str::to_owned).collect());
                }
            }
        }

        fn admit(&mut self) -> Result<(), TestCaseError> {
            while let Some(one) = self.dispatcher.admit_next() {
                prop_assert!(
                    self.wanted.remove(&(one.run, one.ti)),
                    "{one:?} was not wanted"
                );
                let (name, _, _) = asks(one.ti.task.0);
                let (_, size, taken, _) = self
                    .dispatcher
                    .pools()
                    .find(|pool| *pool.0 == name)
                    .unwrap();
                if let Slots::Limited(size) = size {
                    prop_assert!(taken <= u64::from(size), "{name} holds {taken} of {size}");
                }
                self.live.push(one);
            }
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn pools_and_limits_are_never_exceeded_and_no_want_is_lost(acts in prop::collection::vec(act(), 1..80)) {
            let mut dispatcher = Dispatcher::new(8);
            dispatcher.set_pool(pool("p"), Slots::Limited(3));
            dispatcher.set_pool(pool("q"), Slots::Limited(4));
            for run in 1..4 {
                dispatcher.add_run(run, limits_of(run));
            }
            let mut model = Model { dispatcher, wanted: BTreeSet::new(), live: Vec::new() };
            for act in &acts {
                model.do_one(act);
                model.admit()?;
                prop_assert!(model.live.len() <= 8);
                for run in 1..4 {
                    let of_run = model.live.iter().filter(|one| one.run == run);
                    prop_assert!(of_run.clone().count() <= 4);
                    prop_assert!(of_run.filter(|one| one.ti.task.0 == 1).count() <= 1);
                }
                let shared = model.live.iter().filter(|one| one.run < 3 && one.ti.task.0 == 0);
                prop_assert!(shared.count() <= 2);
            }
            // With room everywhere, everything that was wanted comes, once.
            for name in POOLS {
                model.dispatcher.set_pool(pool(name), Slots::Limited(4));
                model.dispatcher.set_include_deferred(&pool(name), false);
            }
            model.do_one(&Act::Pause(false));
            model.do_one(&Act::Serve(true));
            for _ in 0..2_000 {
                model.admit()?;
                if model.live.is_empty() { break; }
                model.do_one(&Act::Release(0));
            }
            prop_assert!(model.wanted.is_empty(), "lost: {:?}", model.wanted);
        }
    }
}
