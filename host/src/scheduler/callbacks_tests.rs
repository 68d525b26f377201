//! Plays runs of written DAGs step by step and reads which callbacks follow.

use super::*;
use airlock_core::run::ExpandEvaluator;
use airlock_core::run::event::{AttemptError, AttemptErrorKind, Fence, Input, RunHeader, RunType};
use std::sync::Arc;

/// No DAG here expands over templates.
struct Never;

impl ExpandEvaluator for Never {
    fn evaluate(&self, template: &str, _: &RunState) -> Result<Value, String> {
        Err(template.to_owned())
    }
}

struct Player {
    state: RunState,
    row: RunRow,
    head: u64,
    now: Timestamp,
    calls: Vec<CallbackCall>,
}

const FIRST: TaskInstanceKey = TaskInstanceKey {
    task: TaskIndex(0),
    map_index: -1,
};

fn fence(attempt: u32) -> Fence {
    Fence { attempt, owner: 7 }
}

fn failed(kind: AttemptErrorKind) -> Outcome {
    let message = "no such file".to_owned();
    Outcome::Error(AttemptError { kind, message })
}

impl Player {
    /// A run of a DAG with these members, which is due at the epoch, started.
    fn new(members: &str) -> Self {
        let parsed = airlock_core::dag::parse(&format!("dag_id: d\n{members}"));
        let dag = parsed
            .dag
            .unwrap_or_else(|| panic!("{:?}", parsed.diagnostics));
        let now = Timestamp::UNIX_EPOCH;
        let run_id = RunId::parse("r").unwrap();
        let mut header = RunHeader::new(run_id, RunType::Manual, now);
        header.deadlines = dag.deadlines.iter().map(|_| Some(later(now, 60))).collect();
        let dag = Arc::new(dag);
        let row = RunRow::new(&dag, &header, [0; 32], now);
        let (state, _) = RunState::queue(dag, header, [0; 32], now);
        let mut player = Self {
            state,
            row,
            head: 1,
            now,
            calls: Vec::new(),
        };
        player.tell(Input::Start);
        player
    }

    /// As the engine does it.
    fn tell(&mut self, input: Input) {
        let before = match &input {
            Input::Finish { ti, .. } | Input::Lose { ti, .. } => self
                .state
                .instance(*ti)
                .map(airlock_core::run::Instance::state),
            _ => None,
        };
        let step = self.state.step(self.now, input, &Never).unwrap();
        let happened = Happened {
            events: &step.events,
            head: self.head,
            state: &self.state,
            row: &self.row,
            before,
        };
        self.calls.extend(happened.calls());
        self.head += step.events.len() as u64;
    }

    fn attempt(&mut self, number: u32, outcome: Outcome) {
        self.tell(Input::Admit {
            ti: FIRST,
            owner: 7,
        });
        self.end(number, outcome);
    }

    fn end(&mut self, number: u32, outcome: Outcome) {
        let (ti, fence) = (FIRST, fence(number));
        self.tell(Input::Finish { ti, fence, outcome });
    }

    fn wait(&mut self, seconds: i64) {
        self.now = later(self.now, seconds);
        self.tell(Input::Wake);
    }

    /// Kind, task, try, and the operator or the addresses of each.
    fn told(&self) -> Vec<String> {
        let line = |call: &CallbackCall| {
            let task = call
                .task_id
                .as_ref()
                .map_or("-", |task_id| task_id.as_str());
            let work = match &call.work {
                CallbackWork::Call(callback) => callback.operator.to_string(),
                CallbackWork::Email(to) => to.join("+"),
            };
            format!("{} {task} {} {work}", call.kind.as_str(), call.try_number)
        };
        self.calls.iter().map(line).collect()
    }
}

fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(jiff::SignedDuration::from_secs(seconds))
        .unwrap()
}

const ALL: &str = "
on_success_callback: {operator: dag_won}
on_failure_callback: {operator: dag_lost}
tasks:
  - task_id: t
    operator: probe
    retries: 1
    retry_delay: 10
    email: 'a@b; c@d'
    on_execute_callback: {operator: began}
    on_success_callback: [{operator: won}, {operator: won_too}]
    on_failure_callback: {operator: lost}
    on_retry_callback: {operator: again}
    on_skipped_callback: {operator: left_out}
";

#[test]
fn b8_a_retry_is_told_at_each_retry_and_a_failure_only_at_the_last() {
    let mut run = Player::new(ALL);
    run.attempt(1, failed(AttemptErrorKind::Transient));
    assert_eq!(
        run.told(),
        [
            "on_retry_callback t 1 again",
            "on_retry_callback t 1 a@b+c@d"
        ]
    );
    assert_eq!(run.calls[0].details["exception"], "no such file");
    run.wait(10);
    run.attempt(2, failed(AttemptErrorKind::Transient));
    assert_eq!(
        run.told()[2..],
        [
            "on_failure_callback t 2 lost",
            "on_failure_callback t 2 a@b+c@d",
            "on_failure_callback - 0 dag_lost",
        ]
    );
}

#[test]
fn b8_every_callback_of_a_success_is_called_in_order() {
    let mut run = Player::new(ALL);
    run.attempt(1, Outcome::Success(None));
    assert_eq!(
        run.told(),
        [
            "on_success_callback t 1 won",
            "on_success_callback t 1 won_too",
            "on_success_callback - 0 dag_won",
        ]
    );
    let ids: Vec<_> = run.calls.iter().map(super::CallbackCall::key).collect();
    assert!(ids.is_sorted(), "the outbox has them in order");
}

#[test]
fn b8_only_a_task_that_skips_itself_is_told_as_skipped() {
    let mut run = Player::new(ALL);
    run.attempt(1, Outcome::Skip("nothing to do".to_owned()));
    assert_eq!(run.told()[0], "on_skipped_callback t 1 left_out");
    assert_eq!(run.calls[0].details["exception"], "nothing to do");
    let mut branched = Player::new(
        "
tasks:
  - {task_id: pick, operator: probe}
  - {task_id: a, operator: probe, depends_on: [pick], on_skipped_callback: {operator: left_out}}
  - {task_id: b, operator: probe, depends_on: [pick]}
",
    );
    branched.attempt(1, Outcome::Branch(vec!["b".to_owned()]));
    assert_eq!(branched.told(), [""; 0]);
}

#[test]
fn b8_a_task_that_cannot_be_mapped_has_failed_and_is_told() {
    let mut run = Player::new(
        "
tasks:
  - {task_id: t, operator: probe}
  - task_id: each
    operator: probe
    depends_on: [t]
    expand: {value: '{{ nothing_like_it }}'}
    email: 'a@b'
    on_failure_callback: {operator: lost}
  - {task_id: below, operator: probe, depends_on: [each], on_failure_callback: {operator: below}}
",
    );
    run.attempt(1, Outcome::Success(None));
    assert_eq!(
        run.told(),
        [
            "on_failure_callback each 1 lost",
            "on_failure_callback each 1 a@b"
        ]
    );
    let exception = run.calls[0].details["exception"].as_str().unwrap();
    assert!(exception.contains("nothing_like_it"), "{exception}");
}

#[test]
fn b8_a_task_whose_host_died_too_often_has_failed_and_is_told() {
    let mut run = Player::new(
        "
tasks:
  - {task_id: t, operator: probe, on_failure_callback: {operator: lost}}
",
    );
    for number in 1..=u32::from(airlock_core::run::step::LOSSES_MAX) {
        assert_eq!(run.told(), [""; 0]);
        run.tell(Input::Admit {
            ti: FIRST,
            owner: 7,
        });
        let fence = fence(number);
        run.tell(Input::Lose { ti: FIRST, fence });
    }
    assert_eq!(run.told(), ["on_failure_callback t 1 lost"]);
}

#[test]
fn b8_pokes_of_a_sensor_are_no_news() {
    let mut run = Player::new(ALL);
    run.attempt(1, Outcome::NotYet);
    run.wait(60);
    run.end(2, Outcome::NotYet);
    assert_eq!(run.told(), [""; 0]);
}

#[test]
fn b8_what_a_stopped_attempt_of_a_cleared_task_says_is_no_news() {
    let mut run = Player::new(ALL);
    run.tell(Input::Admit {
        ti: FIRST,
        owner: 7,
    });
    run.tell(Input::Clear {
        instances: vec![(TaskIndex(0), -1, 0)],
    });
    run.end(1, failed(AttemptErrorKind::Cancelled));
    assert_eq!(run.told(), [""; 0]);
}

#[test]
fn b7_mails_go_out_only_where_the_task_wants_them() {
    let mut run = Player::new(
        "
tasks:
  - {task_id: t, operator: probe, retries: 1, retry_delay: 1, email: [a@b], email_on_retry: false}
",
    );
    run.attempt(1, failed(AttemptErrorKind::Transient));
    assert_eq!(run.told(), [""; 0]);
    run.wait(1);
    run.attempt(2, failed(AttemptErrorKind::Transient));
    assert_eq!(run.told(), ["on_failure_callback t 2 a@b"]);
    assert!(run.calls[0].key().starts_with(EMAIL_PREFIX));
}

#[test]
fn a16_the_end_of_a_run_says_why() {
    let reasons = |members: &str, play: &dyn Fn(&mut Player)| {
        let mut run = Player::new(members);
        play(&mut run);
        let of_run = run.calls.iter().filter(|call| call.task_id.is_none());
        let reasons: Vec<_> = of_run
            .map(|call| {
                (
                    call.kind,
                    call.reason.clone(),
                    call.details["reason"].clone(),
                )
            })
            .collect();
        assert_eq!(reasons.len(), 1, "{reasons:?}");
        let (kind, reason, detail) = reasons.into_iter().next().unwrap();
        assert_eq!(detail, reason);
        (kind, reason)
    };
    let (won, lost) = (CallbackKind::OnSuccess, CallbackKind::OnFailure);
    let own = |kind, reason: &str| (kind, reason.to_owned());
    assert_eq!(
        reasons(ALL, &|run| run.attempt(1, Outcome::Success(None))),
        own(won, "success")
    );
    let fails = |run: &mut Player| run.attempt(1, failed(AttemptErrorKind::Permanent));
    assert_eq!(reasons(ALL, &fails), own(lost, "task_failure"));
    let timed = format!("dagrun_timeout: 60\n{ALL}");
    assert_eq!(reasons(&timed, &|run| run.wait(60)), own(lost, "timed_out"));
    let mark = |run: &mut Player| {
        run.tell(Input::MarkRun {
            state: DagRunState::Success,
            by: "ana".to_owned(),
        });
    };
    assert_eq!(reasons(ALL, &mark), own(won, "marked"));
    let cancel = |run: &mut Player| {
        run.tell(Input::Cancel {
            reason: String::new(),
        });
    };
    assert_eq!(reasons(ALL, &cancel), own(lost, "cancelled"));
}

const LATE: &str = "
on_sla_miss: {operator: late}
tasks:
  - {task_id: slow, operator: probe, sla: 30, email: [a@b]}
  - {task_id: after, operator: probe, depends_on: [slow], sla: 30, email: [a@b, c@d]}
";

#[test]
fn a17_one_sla_callback_tells_every_late_task_and_what_is_in_the_way() {
    let mut run = Player::new(LATE);
    run.wait(30);
    assert_eq!(
        run.told(),
        [
            "sla_miss_callback - 0 late",
            "sla_miss_callback - 0 a@b+c@d"
        ]
    );
    let details = &run.calls[0].details;
    assert_eq!(details["slow_tasks"], "slow, after");
    let list = "slow on 1970-01-01T00:00:00+00:00\nafter on 1970-01-01T00:00:00+00:00";
    assert_eq!(details["task_list"], list);
    assert_eq!(details["blocking_task_list"], list);
    assert_eq!(details["slas"][1]["task_id"], "after");
    assert_eq!(details["blocking_tis"][0]["state"], "scheduled");
}

#[test]
fn b20_a_task_that_ended_in_time_is_not_late() {
    let mut run = Player::new(LATE);
    run.attempt(1, Outcome::Success(None));
    run.wait(30);
    assert_eq!(run.calls[0].details["slow_tasks"], "after");
    run.wait(30);
    assert_eq!(run.calls.len(), 2, "each is told once");
}

#[test]
fn a18_each_deadline_calls_its_own_callbacks_once() {
    let mut run = Player::new(
        "
deadlines:
  - {reference: queued_at, interval: 60, callback: [{operator: late}, {operator: late_too}]}
tasks:
  - {task_id: t, operator: probe}
",
    );
    run.wait(59);
    assert_eq!(run.told(), [""; 0]);
    run.wait(1);
    run.wait(60);
    assert_eq!(
        run.told(),
        [
            "deadline_callback - 0 late",
            "deadline_callback - 0 late_too"
        ]
    );
    let deadline = &run.calls[0].details["deadline"];
    assert_eq!(deadline["deadline_time"], "1970-01-01T00:01:00+00:00");
    let ids: std::collections::BTreeSet<_> = run.calls.iter().map(|call| &call.id).collect();
    assert_eq!(ids.len(), run.calls.len());
}
