//! Invariants about one step as a whole: its input, its events, its commands.

use super::book::Book;
use super::{Checked, Invariant, Scene, Violation, outcome};
use crate::shell::LiveRun;
use crate::world::World;
use airlock_core::ids::TaskInstanceKey;
use airlock_core::run::IllegalEvent;
use airlock_core::run::event::{Command, Event, Fence, Input, Outcome, Reason};
use airlock_core::run::state::RunState;
use airlock_core::run::step::Step;
use airlock_core::task_instance::state::TaskInstanceState as State;

pub(super) type Before = Invariant<fn(&Scene<'_>, &Input, &Step) -> bool>;
pub(super) type After = Invariant<fn(&Scene<'_>, &LiveRun, &Input, &Step) -> bool>;

pub(super) const BEFORE: &[Before] = &[
    Before {
        name: "stale_fences_are_dropped",
        sentence: "What an attempt says that is over is dropped, and nothing else is.",
        holds: stale_fences_are_dropped,
    },
    Before {
        name: "a_dropped_input_does_nothing",
        sentence: "A stale input leads to no event and no command.",
        holds: a_dropped_input_does_nothing,
    },
    Before {
        name: "answers_are_recorded_as_given",
        sentence: "An answer is recorded as given, or as the error or skip that its task's rules make of it.",
        holds: answers_are_recorded_as_given,
    },
    Before {
        name: "commands_follow_events",
        sentence: "No attempt is started and no run declared finished without the event beside it that says so.",
        holds: commands_follow_events,
    },
    Before {
        name: "a_stop_reaches_every_attempt",
        sentence: "When a run is being stopped, every live attempt that must end is told so.",
        holds: a_stop_reaches_every_attempt,
    },
];

pub(super) const AFTER: &[After] = &[
    After {
        name: "replay_is_live",
        sentence: "The events of a run, applied one by one, give its live state.",
        holds: replay_is_live,
    },
    After {
        name: "a_failure_fails_fast",
        sentence: "The first final failure in a DAG with fail_fast stops the run.",
        holds: a_failure_fails_fast,
    },
    After {
        name: "a_timeout_stops_the_run",
        sentence: "A run that is woken past its dagrun_timeout is stopped.",
        holds: a_timeout_stops_the_run,
    },
];

/// Asked before the books follow the step.
pub(super) fn check_before(
    rules: &[Before],
    scene: &Scene<'_>,
    input: &Input,
    step: &Step,
) -> Checked<()> {
    match rules.iter().find(|rule| !(rule.holds)(scene, input, step)) {
        Some(rule) => Err(rule.broken(format!("run {}: {input:?} led to {step:?}", scene.key.0))),
        None => Ok(()),
    }
}

/// Asked after the books have followed the step.
pub(super) fn check_after(
    rules: &[After],
    scene: &Scene<'_>,
    run: &LiveRun,
    input: &Input,
    step: &Step,
) -> Checked<()> {
    match rules
        .iter()
        .find(|rule| !(rule.holds)(scene, run, input, step))
    {
        Some(rule) => Err(rule.broken(format!("run {}: {input:?} led to {step:?}", scene.key.0))),
        None => Ok(()),
    }
}

/// An input is refused only when it speaks of what is not there, and then nothing changes.
pub(super) fn check_refused(
    book: &Book,
    input: &Input,
    state: &RunState,
    result: &Result<Step, IllegalEvent>,
) -> Checked<()> {
    let sentence = "An input is refused only if it speaks of something that is not there, and then changes nothing.";
    let broken = Violation::new("only_nonsense_is_refused", sentence);
    let is_there = match input {
        Input::Finish { ti, .. }
        | Input::PushXCom { ti, .. }
        | Input::RequestInput { ti, .. }
        | Input::Lose { ti, .. } => book.state(*ti).is_some(),
        // Only an open question can be answered.
        Input::Answer { ti, .. } => {
            let question = book.questions.get(ti);
            let is_open = question.is_some_and(|question| question.answer.is_none());
            is_open && book.state(*ti).is_some_and(|state| !state.is_finished())
        }
        Input::EditXCom { ti, key, value, .. } => {
            let xcoms = book.past_of(*ti).map(|past| &past.xcoms);
            let has = xcoms.is_some_and(|xcoms| xcoms.contains_key(key));
            book.state(*ti).is_some() && (value.is_some() || has)
        }
        // A run that is being stopped has to end first.
        Input::Clear { .. } => book.stopping.is_none() || book.finished.is_some(),
        _ => true,
    };
    if is_there || *state != book.shadow {
        return Err(broken.because(format!("{input:?}: {result:?}")));
    }
    Ok(())
}

/// Everything that was recorded of a run, folded from nothing.
pub(super) fn check_replay(world: &World, book: &Book, run: &LiveRun) -> Checked<()> {
    let Some(model) = world.version(run.key, false) else {
        return Ok(());
    };
    let broken = Violation::new(
        "replay_from_the_start_is_live",
        "All events of a run, folded from nothing, give its live state.",
    );
    let mut replayed = RunState::new(model.dag.clone());
    for event in &book.events {
        if let Err(error) = world.apply(run.key, &mut replayed, event) {
            return Err(broken.because(format!("run {}: {error}", run.key.0)));
        }
    }
    if replayed == run.state {
        Ok(())
    } else {
        Err(broken.because(format!("run {}", run.key.0)))
    }
}

/// Who speaks in an input of an attempt.
fn speaker(input: &Input) -> Option<(TaskInstanceKey, Fence)> {
    match input {
        Input::Finish { ti, fence, .. }
        | Input::PushXCom { ti, fence, .. }
        | Input::RequestInput { ti, fence, .. }
        | Input::Lose { ti, fence } => Some((*ti, *fence)),
        _ => None,
    }
}

fn stale_fences_are_dropped(scene: &Scene<'_>, input: &Input, step: &Step) -> bool {
    let Some((ti, fence)) = speaker(input) else {
        return !step.stale;
    };
    let is_running = scene.book.state(ti) == Some(State::Running);
    let is_last = scene
        .book
        .shadow
        .instance(ti)
        .is_some_and(|instance| instance.fence() == fence);
    let speaks = match input {
        // A sensor between two pokes has no live attempt, but its host can be lost.
        Input::Lose { .. } => (is_running && is_last) || scene.book.past(ti).live == Some(fence),
        Input::PushXCom { .. } | Input::RequestInput { .. } if scene.book.past(ti).halting => false,
        _ => scene.book.past(ti).live == Some(fence),
    };
    step.stale != speaks
}

fn a_dropped_input_does_nothing(_: &Scene<'_>, _: &Input, step: &Step) -> bool {
    !step.stale || (step.events.is_empty() && step.commands.is_empty())
}

fn answers_are_recorded_as_given(scene: &Scene<'_>, input: &Input, step: &Step) -> bool {
    let Input::Finish {
        ti, outcome: said, ..
    } = input
    else {
        return true;
    };
    let recorded = |event: &Event| match event {
        Event::AttemptFinished {
            ti: of, outcome, ..
        } if of == ti => Some(outcome.clone()),
        _ => None,
    };
    let past = scene.book.past(*ti);
    match step.events.iter().find_map(recorded) {
        Some(recorded) if past.halting => recorded == *said,
        Some(recorded) => {
            outcome::is_right(scene.model, ti.task, &past, scene.now, said, &recorded)
        }
        None => step.stale,
    }
}

fn commands_follow_events(_: &Scene<'_>, _: &Input, step: &Step) -> bool {
    let has = |is: &dyn Fn(&Event) -> bool| step.events.iter().any(is);
    step.commands.iter().all(|command| match command {
        Command::StartAttempt {
            ti,
            try_number,
            fence,
        } => has(&|event| {
            matches!(event, Event::AttemptStarted { ti: of, try_number: number, fence: with, .. }
                if of == ti && number == try_number && with == fence)
        }),
        Command::RunFinished { state } => {
            has(&|event| matches!(event, Event::RunFinished { state: with, .. } if with == state))
        }
        _ => true,
    })
}

fn a_stop_reaches_every_attempt(scene: &Scene<'_>, input: &Input, step: &Step) -> bool {
    let why = step.events.iter().find_map(|event| match event {
        Event::RunStopping { why, .. } => Some(*why),
        _ => None,
    });
    let Some(why) = why else {
        return true;
    };
    // Whoever spoke in this step has ended in it, and who was told before need not be told again.
    let ended = speaker(input);
    let is_told_now =
        |live: &(TaskInstanceKey, Fence)| Some(*live) != ended && !scene.book.past(live.0).halting;
    scene.book.live().filter(is_told_now).all(|(ti, fence)| {
        let is_teardown = scene.model.dag.task(ti.task).is_some_and(|task| task.is_teardown);
        let is_told = step.commands.iter().any(|command| {
            matches!(command, Command::StopAttempt { ti: of, fence: with, .. } if *of == ti && *with == fence)
        });
        is_told || (why == Reason::FailFast && is_teardown)
    })
}

fn replay_is_live(scene: &Scene<'_>, run: &LiveRun, _: &Input, _: &Step) -> bool {
    run.state == scene.book.shadow
}

fn a_failure_fails_fast(scene: &Scene<'_>, _: &LiveRun, _: &Input, step: &Step) -> bool {
    if !scene.model.dag.fail_fast || scene.book.stopping.is_some() {
        return true;
    }
    let failed = |event: &Event| match event {
        Event::AttemptFinished {
            ti,
            outcome: Outcome::Error(_),
            ..
        } => {
            let is_teardown = scene
                .model
                .dag
                .task(ti.task)
                .is_some_and(|task| task.is_teardown);
            let ended_it = scene.book.past(*ti).said.is_some();
            !is_teardown && ended_it && scene.book.state(*ti) == Some(State::Failed)
        }
        _ => false,
    };
    !step.events.iter().any(failed)
}

fn a_timeout_stops_the_run(scene: &Scene<'_>, _: &LiveRun, input: &Input, _: &Step) -> bool {
    let (Input::Wake, Some(timeout), Some(start)) =
        (input, scene.model.dag.dagrun_timeout, scene.book.started_at)
    else {
        return true;
    };
    scene.now.duration_since(start) < timeout
        || scene.book.finished.is_some()
        || scene
            .book
            .stopping
            .is_some_and(|why| why != Reason::FailFast)
}
