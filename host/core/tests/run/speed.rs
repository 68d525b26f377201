//! What one instance of a long mapped task costs. Not a test of time: it prints, and is run by hand with
//! `cargo test -p airlock-core --test run speed -- --ignored --nocapture`.

use crate::support::*;
use airlock_core::ids::TaskIndex;
use airlock_core::run::event::{Command, Input};
use airlock_core::run::state::RunState;
use std::sync::Arc;
use std::time::Instant;

#[test]
#[ignore = "measures; run by hand"]
fn nanoseconds_per_admit_and_finish() {
    for length in [10_000, 100_000] {
        let tasks = vec![literal("mapped", &[], length), task("reduce", &[0])];
        let (mut state, _) = RunState::queue(Arc::new(dag_of(tasks)), header(), [0; 32], second(0));
        let start = Instant::now();
        state.step(second(0), Input::Start, &Templates).unwrap();
        println!("{length} instances: scheduled in {:?}", start.elapsed());
        let start = Instant::now();
        for map_index in 0..i32::try_from(length).unwrap() {
            let ti = ti(0, map_index);
            let step = state
                .step(second(1), Input::Admit { ti, owner: OWNER }, &Templates)
                .unwrap();
            let Some(Command::StartAttempt { fence, .. }) = step.commands.first() else {
                panic!("not started: {step:?}");
            };
            let finish = Input::Finish {
                ti,
                fence: *fence,
                outcome: value("1"),
            };
            state.step(second(2), finish, &Templates).unwrap();
        }
        let each = start.elapsed().as_nanos() / length as u128;
        println!("{length} instances: {each} ns for each Admit and Finish");
        assert_eq!(state.xcoms(TaskIndex(0), "return_value").count(), length);
    }
}

/// Two tasks in a long mapped group, each beside the other, below a mapped task outside that is as long.
#[test]
#[ignore = "measures; run by hand"]
fn nanoseconds_per_element_of_a_group() {
    for length in [10_000, 100_000] {
        let tasks = vec![
            literal("outside", &[], length),
            task("a", &[]),
            task("b", &[0, 1]),
            task("reduce", &[2]),
        ];
        let mut play = Play::started(grouped(tasks, &[1, 2], over(length)));
        let start = Instant::now();
        for task in 0..3 {
            for map_index in 0..i32::try_from(length).unwrap() {
                play.run(ti(task, map_index), ok());
            }
        }
        play.run(ti(3, -1), ok());
        assert!(play.finished.is_some());
        let each = start.elapsed().as_nanos() / (3 * length as u128);
        println!("{length} elements: {each} ns for each Admit and Finish");
    }
}
