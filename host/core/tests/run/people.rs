//! Questions to people, SLAs, deadlines, what errors of sensors mean, and rules about retries.

use crate::support::*;
use airlock_core::dag::spec::{RetryAction, RetryRule, Task};
use airlock_core::ids::TaskIndex;
use airlock_core::run::IllegalEvent;
use airlock_core::run::event::{AttemptErrorKind, Command, Event, Input, Outcome, RunHeader};
use airlock_core::task_instance::state::DagRunState;
use airlock_core::task_instance::state::TaskInstanceState::*;

fn asked(retries: u32) -> Play {
    let mut play = Play::started(dag_of(vec![Task {
        retries,
        ..task("ask", &[])
    }]));
    play.admit(ti(0, -1));
    ask(&mut play);
    play
}

fn ask(play: &mut Play) -> usize {
    let fence = play.live[&ti(0, -1)].1;
    let request = r#"{"subject":"deploy?"}"#.to_owned();
    let step = play.send(Input::RequestInput {
        ti: ti(0, -1),
        fence,
        request,
    });
    step.events.len()
}

fn answer() -> Input {
    Input::Answer {
        ti: ti(0, -1),
        answer: "true".to_owned(),
        by: "ana".to_owned(),
    }
}

#[test]
fn h8_a_question_waits_without_a_slot_until_it_is_answered() {
    let mut play = asked(0);
    assert_eq!(ask(&mut play), 0, "the same question again changes nothing");
    play.finish(ti(0, -1), Outcome::Defer(second(900)));
    assert_eq!((play.of(ti(0, -1)), play.slots.len()), (AwaitingInput, 0));
    assert_eq!(play.state.pending_inputs().count(), 1);
    let step = play.send(answer());
    assert!(matches!(step.commands[..], [Command::Want { .. }]));
    assert_eq!(play.state.pending_inputs().count(), 0);
    let again = play.state.step(play.now, answer(), &Templates);
    assert!(matches!(again, Err(IllegalEvent::NoRequest { .. })));
    assert_eq!(play.admit(ti(0, -1)).0, 1);
    assert_eq!(ask(&mut play), 0);
    assert_eq!(play.state.input_of(ti(0, -1)).unwrap().1, Some("true"));
    play.finish(ti(0, -1), ok());
    play.check_replay();
}

#[test]
fn h8_an_answer_that_comes_before_the_deferral_is_not_lost() {
    let mut play = asked(0);
    play.send(answer());
    play.finish(ti(0, -1), Outcome::Defer(second(900)));
    assert_eq!(play.of(ti(0, -1)), Scheduled);
    play.admit(ti(0, -1));
    play.finish(ti(0, -1), Outcome::Defer(second(900)));
    assert_eq!(play.of(ti(0, -1)), Deferred);
    play.check_replay();
}

#[test]
fn h8_a_question_ends_with_the_deferrals_time_and_a_new_try_forgets_it() {
    let mut play = asked(1);
    play.finish(ti(0, -1), Outcome::Defer(second(900)));
    play.wake();
    assert_eq!((play.now, play.of(ti(0, -1))), (second(900), Scheduled));
    play.admit(ti(0, -1));
    play.finish(ti(0, -1), error(AttemptErrorKind::Transient));
    play.wake();
    play.admit(ti(0, -1));
    assert_eq!(play.state.input_of(ti(0, -1)), Option::None);
    play.check_replay();
}

#[test]
fn a24_a_run_that_waits_for_a_person_or_a_time_is_not_dead() {
    let mut play = Play::started(dag_of(vec![task("ask", &[]), task("after", &[0])]));
    play.admit(ti(0, -1));
    play.finish(ti(0, -1), Outcome::Defer(second(5)));
    assert_eq!(play.finished, Option::None);
    play.wake();
    play.admit(ti(0, -1));
    ask(&mut play);
    play.finish(ti(0, -1), Outcome::Defer(second(90)));
    assert_eq!(
        (play.of(ti(0, -1)), play.finished),
        (AwaitingInput, Option::None)
    );
}

#[test]
fn b20_an_sla_is_missed_once_from_when_the_run_was_due_even_if_nobody_woke_it() {
    let late = |id: &str| Task {
        sla: Some(seconds(60)),
        ..task(id, &[])
    };
    let mut play = Play::started(dag_of(vec![late("a"), late("b"), late("c")]));
    assert_eq!(play.wake, Some(second(60)));
    play.run(ti(0, -1), ok());
    play.admit(ti(1, -1));
    play.now = second(61);
    let step = play.finish(ti(1, -1), ok());
    let tasks = vec![TaskIndex(1), TaskIndex(2)];
    assert_eq!(
        step.events[0],
        Event::SlaMissed {
            tasks,
            at: second(61)
        }
    );
    assert!(play.send(Input::Wake).events.is_empty());
    assert_eq!(play.state.next_timer(), Option::None);
    assert_eq!(play.of(ti(2, -1)), Scheduled);
    play.check_replay();
}

#[test]
fn a17_a_queued_run_misses_its_slas_too() {
    let late = Task {
        sla: Some(seconds(60)),
        ..literal("a", &[], 3)
    };
    let mut play = Play::queued(dag_of(vec![late]));
    assert!(matches!(play.state.resume()[..], [Command::WakeAt { at }] if at == second(60)));
    play.now = second(60);
    assert_eq!(play.send(Input::Wake).events.len(), 1);
    play.check_replay();
}

#[test]
fn a18_a_deadline_is_missed_once_and_changes_nothing_else() {
    let header = RunHeader {
        deadlines: vec![Option::None, Some(second(30))],
        ..header()
    };
    let mut play = Play::queued_with(dag_of(vec![task("a", &[])]), header);
    play.send(Input::Start);
    let step = play.wake();
    assert_eq!(
        step.events,
        [Event::DeadlineMissed {
            deadline: 1,
            at: second(30)
        }]
    );
    assert!(play.send(Input::Wake).events.is_empty());
    assert_eq!(
        (play.of(ti(0, -1)), play.state.state()),
        (Scheduled, DagRunState::Running)
    );
    play.check_replay();
}

fn sensor(
    of: impl Fn(&mut Task),
    outcome: Outcome,
) -> airlock_core::task_instance::state::TaskInstanceState {
    let mut task = Task {
        retries: 1,
        ..task("wait", &[])
    };
    of(&mut task);
    let mut play = Play::started(dag_of(vec![task]));
    play.run(ti(0, -1), outcome);
    play.check_replay();
    play.of(ti(0, -1))
}

#[test]
fn d5_soft_never_and_silent_fail_forgive_different_errors() {
    use AttemptErrorKind::{Permanent, Transient, Unrunnable};
    let soft = |task: &mut Task| task.sensor.soft_fail = true;
    let never = |task: &mut Task| task.sensor.never_fail = true;
    let silent = |task: &mut Task| task.sensor.silent_fail = true;
    assert_eq!(sensor(soft, error(Permanent)), Skipped);
    assert_eq!(sensor(soft, error(Transient)), UpForRetry);
    assert_eq!(sensor(never, error(Permanent)), Skipped);
    assert_eq!(sensor(never, error(Transient)), Skipped);
    assert_eq!(sensor(never, error(Unrunnable)), Failed);
    assert_eq!(sensor(silent, error(Permanent)), Failed);
    assert_eq!(sensor(silent, error(Transient)), Running);
}

#[test]
fn d5_a_silent_error_still_runs_into_the_timeout() {
    let mut task = task("wait", &[]);
    task.sensor.silent_fail = true;
    task.sensor.timeout = seconds(10);
    let mut play = Play::started(dag_of(vec![task]));
    play.admit(ti(0, -1));
    play.now = second(11);
    play.finish(ti(0, -1), error(AttemptErrorKind::Transient));
    assert_eq!(play.of(ti(0, -1)), Failed);
}

#[test]
fn d6_a_sensors_value_becomes_its_xcom() {
    let mut play = Play::started(dag_of(vec![task("wait", &[])]));
    play.run(ti(0, -1), Outcome::NotYet);
    play.wake();
    play.finish(ti(0, -1), value("[3]"));
    assert_eq!(
        play.state.xcom(TaskIndex(0), -1, "return_value"),
        Some("[3]")
    );
}

#[test]
fn b5_the_first_rule_that_fits_ends_retrying_or_sets_the_delay_but_never_adds_tries() {
    use AttemptErrorKind::{Permanent, TimedOut, Transient};
    let rule = |kinds: &[AttemptErrorKind], text: &str, action| RetryRule {
        kinds: kinds.to_vec(),
        message_contains: text.to_owned(),
        action,
    };
    let task = Task {
        retries: 1,
        retry_policy: vec![
            rule(&[TimedOut], "", RetryAction::Fail),
            rule(&[], "it went", RetryAction::Retry(Some(seconds(7)))),
        ],
        ..task("a", &[])
    };
    let mut play = Play::started(dag_of(vec![task.clone()]));
    play.run(ti(0, -1), error(TimedOut));
    assert_eq!(play.of(ti(0, -1)), Failed);
    let mut play = Play::started(dag_of(vec![task.clone()]));
    play.run(ti(0, -1), error(Transient));
    assert_eq!(play.state.due(ti(0, -1)), Some(second(7)));
    play.wake();
    play.run(ti(0, -1), error(Transient));
    assert_eq!(play.of(ti(0, -1)), Failed);
    let mut play = Play::started(dag_of(vec![task]));
    play.run(ti(0, -1), error(Permanent));
    assert_eq!(play.of(ti(0, -1)), Failed);
}

#[test]
fn b4_b6_a_timed_out_attempt_is_retried_and_one_that_gave_up_is_not() {
    let plain = |_: &mut Task| {};
    assert_eq!(sensor(plain, error(AttemptErrorKind::TimedOut)), UpForRetry);
    assert_eq!(sensor(plain, error(AttemptErrorKind::Permanent)), Failed);
    assert_eq!(sensor(plain, Outcome::Skip("no".to_owned())), Skipped);
}

#[test]
fn g1_what_templates_came_to_is_told_only_by_a_live_attempt_and_kept_nowhere() {
    let mut play = Play::started(dag_of(vec![task("a", &[])]));
    let (_, fence) = play.admit(ti(0, -1));
    let before = play.state.clone();
    let render = || Input::Render {
        ti: ti(0, -1),
        fence,
        fields: "{}".to_owned(),
    };
    assert_eq!(play.send(render()).events.len(), 1);
    assert!(before == play.state);
    play.finish(ti(0, -1), ok());
    let event = Event::Rendered {
        ti: ti(0, -1),
        fields: "{}".to_owned(),
    };
    assert!(play.state.apply(&event).is_err());
    assert!(play.send(render()).stale);
}

#[test]
fn what_an_attempt_used_is_told_only_while_it_lives_and_changes_nothing() {
    let mut play = Play::started(dag_of(vec![task("a", &[])]));
    let (_, fence) = play.admit(ti(0, -1));
    let before = play.state.clone();
    let tell = || Input::Use {
        ti: ti(0, -1),
        fence,
        used: "{}".to_owned(),
    };
    assert_eq!(play.send(tell()).events.len(), 1);
    assert!(before == play.state);
    play.finish(ti(0, -1), ok());
    assert!(play.send(tell()).stale);
}

#[test]
fn a_deferred_task_instance_gives_its_slots_back_when_it_is_marked_cleared_or_its_run_stopped() {
    let deferred = || {
        let mut play = Play::started(dag_of(vec![task("a", &[])]));
        play.admit(ti(0, -1));
        play.finish(ti(0, -1), Outcome::Defer(second(900)));
        assert_eq!(play.of(ti(0, -1)), Deferred);
        play
    };
    let release = Command::Release { ti: ti(0, -1) };
    let marked = deferred().mark(ti(0, -1), Success);
    let cleared = deferred().clear(&[(0, -1, 0)]);
    let reason = String::new();
    let cancelled = deferred().send(Input::Cancel { reason });
    for step in [marked, cleared, cancelled] {
        assert!(step.commands.contains(&release), "{:?}", step.commands);
    }
}
