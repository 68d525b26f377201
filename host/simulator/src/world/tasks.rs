//! Random tasks: rules, retries, pools, sensors, mapped lists. A new switch of a task gets its line here.

use super::{Habit, QUEUES, pool_name};
use crate::draw::Draw;
use crate::workers::{KINDS, MESSAGES};
use airlock_core::dag::spec::{
    DEFAULT_QUEUE, Expand, ExpandSource, RetryAction, RetryRule, SensorMode, Task, TriggerRule,
    WeightRule,
};
use airlock_core::ids::{TaskId, TaskIndex};
use jiff::SignedDuration;
use serde_json::Value;

const RULES: [TriggerRule; 13] = [
    TriggerRule::AllSuccess,
    TriggerRule::AllFailed,
    TriggerRule::AllDone,
    TriggerRule::AllDoneMinOneSuccess,
    TriggerRule::AllDoneSetupSuccess,
    TriggerRule::OneSuccess,
    TriggerRule::OneFailed,
    TriggerRule::OneDone,
    TriggerRule::NoneFailed,
    TriggerRule::NoneFailedMinOneSuccess,
    TriggerRule::NoneSkipped,
    TriggerRule::AllSkipped,
    TriggerRule::Always,
];
const SECONDS: [i64; 5] = [0, 1, 7, 60, 300];

/// A task and what it tends to do.
pub(super) fn generate(
    draw: &mut Draw,
    template: &Task,
    upstream: &[TaskIndex],
    index: usize,
    habits: &[Habit],
) -> Result<(Task, Habit), String> {
    let habit = habit(draw);
    let mut task = template.clone();
    task.task_id = TaskId::parse(&format!("t{index}")).map_err(|error| error.to_string())?;
    task.depends_on = upstream.to_vec();
    if draw.chance(45) {
        task.trigger_rule = draw.one_of(&RULES, TriggerRule::AllSuccess);
    }
    task.expand = expand(draw, upstream, habits);
    scarcity(draw, &mut task)?;
    retries(draw, &mut task);
    sensor(draw, &mut task);
    match draw.below(20) {
        0 => task.is_setup = true,
        1 => {
            task.is_teardown = true;
            task.trigger_rule = TriggerRule::AllDoneSetupSuccess;
            task.on_failure_fail_dagrun = draw.chance(30);
        }
        _ => {}
    }
    task.sla = draw
        .chance(8)
        .then(|| SignedDuration::from_secs(draw.one_of(&[0, 20, 300, 3_600], 300)));
    task.multiple_outputs = draw.chance(8);
    task.do_xcom_push = draw.chance(92);
    Ok((task, habit))
}

fn habit(draw: &mut Draw) -> Habit {
    match draw.below(20) {
        0 | 1 => Habit::Branch,
        2 => Habit::ShortCircuit,
        3..=5 => Habit::Sensor,
        6 => Habit::Deferring,
        7 => Habit::Asking,
        8..=10 => Habit::List,
        _ => Habit::Plain,
    }
}

fn expand(draw: &mut Draw, upstream: &[TaskIndex], habits: &[Habit]) -> Option<Expand> {
    let gives_list = |task: &&TaskIndex| habits.get(task.get()) == Some(&Habit::List);
    let lists: Vec<TaskIndex> = upstream.iter().filter(gives_list).copied().collect();
    let source = |draw: &mut Draw| match draw.pick(&lists) {
        Some(list) if draw.chance(70) => ExpandSource::Template(format!("xcom:{}", list.0)),
        _ if draw.chance(4) => ExpandSource::Template("error".to_owned()),
        _ => ExpandSource::Literal((0..draw.below(5)).map(Value::from).collect()),
    };
    let percent = if lists.is_empty() { 8 } else { 50 };
    if !draw.chance(percent) {
        return None;
    }
    let mut keys = vec![("x".to_owned(), source(draw))];
    if draw.chance(20) {
        keys.push(("y".to_owned(), source(draw)));
    }
    Some(Expand::Product(keys))
}

fn scarcity(draw: &mut Draw, task: &mut Task) -> Result<(), String> {
    if draw.chance(25) {
        task.pool = pool_name(draw.one_of(&["gpu", "free"], "gpu"))?;
    }
    draw.one_of(&QUEUES, DEFAULT_QUEUE)
        .clone_into(&mut task.queue);
    task.pool_slots = draw.one_of(&[1, 1, 1, 2, 3], 1);
    task.priority_weight = draw.one_of(&[1, 1, 5, 100, -3], 1);
    let rules = [
        WeightRule::Downstream,
        WeightRule::Upstream,
        WeightRule::Absolute,
    ];
    task.weight_rule = draw.one_of(&rules, WeightRule::Downstream);
    if draw.chance(15) {
        task.max_active_tis_per_dagrun = Some(draw.count(1, 2));
    }
    if draw.chance(15) {
        task.max_active_tis_per_dag = Some(draw.count(1, 3));
    }
    Ok(())
}

fn retries(draw: &mut Draw, task: &mut Task) {
    task.retries = draw.one_of(&[0, 0, 1, 2, 5], 0);
    task.retry_delay = SignedDuration::from_secs(draw.one_of(&SECONDS, 60));
    task.retry_exponential_backoff = draw.one_of(&[0.0, 0.0, 1.0, 2.0, 3.5], 0.0);
    if draw.chance(20) {
        task.max_retry_delay = Some(SignedDuration::from_secs(draw.between(1, 400)));
    }
    if draw.chance(12) {
        task.retry_policy = (0..=draw.below(2)).map(|_| retry_rule(draw)).collect();
    }
}

fn retry_rule(draw: &mut Draw) -> RetryRule {
    let kinds = KINDS.into_iter().filter(|_| draw.chance(30)).collect();
    let action = match draw.below(3) {
        0 => RetryAction::Fail,
        1 => RetryAction::Retry(None),
        _ => RetryAction::Retry(Some(SignedDuration::from_secs(draw.one_of(&SECONDS, 60)))),
    };
    let message = draw.one_of(&["", MESSAGES[0], MESSAGES[1]], "");
    RetryRule {
        kinds,
        message_contains: message.to_owned(),
        action,
    }
}

/// What the run before has to have left.
pub(super) fn past(draw: &mut Draw, task: &mut Task) {
    task.wait_for_downstream = draw.chance(15);
    task.depends_on_past = task.wait_for_downstream || draw.chance(35);
    task.wait_for_past_depends_before_skipping = draw.chance(30);
    task.ignore_first_depends_on_past = draw.chance(30);
}

fn sensor(draw: &mut Draw, task: &mut Task) {
    let sensor = &mut task.sensor;
    if draw.chance(50) {
        sensor.mode = SensorMode::Reschedule;
    }
    sensor.poke_interval = SignedDuration::from_secs(draw.one_of(&SECONDS, 60).max(1));
    sensor.timeout = SignedDuration::from_secs(draw.one_of(&[5, 120, 3_600], 3_600));
    match draw.below(12) {
        0 | 1 => sensor.soft_fail = true,
        2 => sensor.never_fail = true,
        3 => sensor.silent_fail = true,
        _ => {}
    }
    sensor.exponential_backoff = draw.chance(20);
    if draw.chance(20) {
        sensor.max_wait = Some(SignedDuration::from_secs(draw.between(1, 90)));
    }
}
