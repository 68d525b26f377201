//! The fold of the auditor's books: what each event does to what is known of a run. It refuses to judge.

use super::book::{Book, Past, Question, Wait};
use super::delays;
use super::{Checked, Violation};
use crate::world::family::indexes;
use crate::world::{DagModel, after};
use airlock_core::dag::spec::{Dag, SensorMode, Task};
use airlock_core::ids::{TaskIndex, TaskInstanceKey};
use airlock_core::run::event::{Event, Fence, Outcome, Reason, RunHeader};
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;

impl Book {
    /// Takes an event into the books.
    pub(super) fn follow(&mut self, model: &DagModel, event: &Event) -> Checked<()> {
        let dag = &model.dag;
        let expanded: Vec<TaskIndex> = match event {
            Event::TaskExpanded { task, .. } => vec![*task],
            Event::GroupExpanded { group, .. } => model.family.members(*group).collect(),
            _ => Vec::new(),
        };
        let removed = self.removed(&expanded);
        if let Err(error) = self.shadow.apply(event) {
            let sentence = "An event that a run recorded can be applied where it was recorded.";
            let illegal = Violation::new("recorded_events_are_legal", sentence);
            return Err(illegal.because(format!("{error}: {event:?}")));
        }
        self.events.push(event.clone());
        self.follow_run(dag, event);
        self.follow_person(model, event);
        self.follow_instance(dag, event);
        for task in expanded {
            self.dirty.insert(task);
            self.expanded(task, &removed);
        }
        self.meet_slas();
        Ok(())
    }

    fn follow_run(&mut self, dag: &Dag, event: &Event) {
        match event {
            Event::RunQueued { header, .. } => self.queued(dag, header),
            Event::RunStarted { at } => {
                self.started_at = Some(*at);
                self.dirty.extend(indexes(dag));
            }
            Event::RunStopping { why, .. } => self.stopping = Some(*why),
            Event::RunFinished { state, .. } => self.finished = Some(*state),
            Event::RunMarked { state, .. } => {
                self.stopping = Some(Reason::Marked);
                self.marked = Some(*state);
            }
            Event::SlaMissed { tasks, .. } => self.slas.retain(|task, _| !tasks.contains(task)),
            Event::DeadlineMissed { deadline, .. } => {
                self.deadlines.remove(deadline);
            }
            Event::PastDependsMet { tasks } => {
                self.dirty.extend(tasks);
                self.past_met.extend(tasks);
            }
            Event::GroupExpanded { group, .. } => {
                self.revising.remove(group);
            }
            _ => {}
        }
    }

    fn follow_person(&mut self, model: &DagModel, event: &Event) {
        match event {
            Event::InputRequested { ti, request, .. } => {
                let question = Question {
                    request: request.clone(),
                    answer: None,
                    raced: false,
                };
                self.questions.insert(*ti, question);
            }
            Event::InputAnswered { ti, answer, .. } => self.answer(*ti, answer),
            Event::XComEdited { ti, key, value, .. } => {
                let xcoms = &mut self.pasts.entry(*ti).or_default().xcoms;
                match value {
                    Some(value) => xcoms.insert(key.clone(), value.clone()),
                    None => xcoms.remove(key),
                };
            }
            Event::Cleared { task, from, to, .. } => {
                let group = model.family.group_of(*task);
                self.revising.extend(group.filter(|_| *from >= 0));
                self.clear(*task, *from..*to);
            }
            Event::Marked {
                task,
                from,
                to,
                state,
                ..
            } => {
                self.dirty.insert(*task);
                self.mark(*task, *from..*to, *state);
            }
            _ => {}
        }
    }

    fn follow_instance(&mut self, dag: &Dag, event: &Event) {
        match event {
            Event::StateSet { task, from, to, .. } => {
                self.dirty.insert(*task);
                for map_index in *from..*to {
                    let ti = TaskInstanceKey {
                        task: *task,
                        map_index,
                    };
                    self.pasts.entry(ti).or_default().waits = None;
                }
            }
            Event::AttemptStarted {
                ti,
                try_number,
                fence,
                at,
            } => self.begin(*ti, *try_number, *fence, *at),
            Event::AttemptFinished {
                ti, outcome, at, ..
            } => {
                self.dirty.insert(ti.task);
                if let Some(task) = dag.task(ti.task) {
                    self.end(task, *ti, outcome, *at);
                }
            }
            Event::AttemptLost { ti, .. } => {
                self.dirty.insert(ti.task);
                let past = self.pasts.entry(*ti).or_default();
                (past.live, past.halting, past.goes_on) = (None, false, false);
                past.waits = None;
            }
            Event::XComPushed { ti, key, value, .. } => {
                let past = self.pasts.entry(*ti).or_default();
                past.xcoms.insert(key.clone(), value.clone());
            }
            _ => {}
        }
    }

    /// A task whose instances have all ended has met its SLA for good, a run that succeeded its deadlines.
    fn meet_slas(&mut self) {
        let shadow = &self.shadow;
        self.slas.retain(|task, _| {
            let mut instances = shadow.instances(*task);
            !instances.all(|(_, instance)| instance.state().is_finished())
        });
        if self.finished == Some(DagRunState::Success) {
            self.deadlines.clear();
        }
    }

    fn queued(&mut self, dag: &Dag, header: &RunHeader) {
        let tasks = (0..).map(TaskIndex).zip(&dag.tasks);
        let slas = tasks.filter_map(|(index, task)| Some((index, task.sla?)));
        self.slas = slas
            .map(|(index, sla)| (index, after(header.run_after, sla)))
            .collect();
        let deadlines = (0..).zip(&header.deadlines);
        self.deadlines = deadlines.filter_map(|(n, at)| Some((n, (*at)?))).collect();
    }

    fn answer(&mut self, ti: TaskInstanceKey, answer: &str) {
        let is_running = self.state(ti) == Some(TaskInstanceState::Running);
        if let Some(question) = self.questions.get_mut(&ti) {
            question.answer = Some(answer.to_owned());
            question.raced = is_running;
        }
    }

    /// The removed instances of tasks that are expanded anew.
    fn removed(&self, tasks: &[TaskIndex]) -> Vec<TaskInstanceKey> {
        let of_task = |task: &TaskIndex| {
            let task = *task;
            self.shadow
                .instances(task)
                .filter(|(_, instance)| instance.state() == TaskInstanceState::Removed)
                .map(move |(map_index, _)| TaskInstanceKey { task, map_index })
        };
        tasks.iter().flat_map(of_task).collect()
    }

    /// Instances beyond the end of the list have gone, those that were there before and are again begin anew.
    fn expanded(&mut self, task: TaskIndex, removed: &[TaskInstanceKey]) {
        let instances: Vec<_> = self
            .shadow
            .instances(task)
            .map(|(map_index, instance)| (TaskInstanceKey { task, map_index }, instance.state()))
            .collect();
        for (ti, state) in instances {
            if state == TaskInstanceState::Removed {
                self.halt(ti);
            } else if removed.contains(&ti) {
                self.pasts.entry(ti).or_default().begin_anew();
            }
        }
    }

    fn clear(&mut self, task: TaskIndex, range: Range<i32>) {
        let cleared = range.clone();
        self.dirty.insert(task);
        for map_index in range {
            let ti = TaskInstanceKey { task, map_index };
            self.halt(ti);
            self.pasts.entry(ti).or_default().begin_anew();
            self.questions.remove(&ti);
        }
        self.past_met.remove(&task);
        self.votes.remove(&task);
        for votes in self.votes.values_mut() {
            votes.remove(&task);
        }
        for (decider, votes) in &mut self.votes_beside {
            if cleared.contains(&decider.map_index) {
                votes.remove(&task);
            }
        }
        if self.finished.take().is_some() {
            (self.started_at, self.stopping, self.marked) = (None, None, None);
        }
    }

    fn mark(&mut self, task: TaskIndex, range: Range<i32>, state: TaskInstanceState) {
        for map_index in range {
            let ti = TaskInstanceKey { task, map_index };
            self.halt(ti);
            let past = self.pasts.entry(ti).or_default();
            if state != TaskInstanceState::Success {
                past.said = None;
            }
        }
    }

    /// Whatever goes on for a task instance does not count from now on.
    fn halt(&mut self, ti: TaskInstanceKey) {
        let past = self.pasts.entry(ti).or_default();
        (past.waits, past.goes_on) = (None, false);
        (past.first_start, past.pokes) = (None, 0);
        if let Some(fence) = past.live.filter(|_| !past.halting) {
            past.halting = true;
            self.stopped_now.push((ti, fence));
        }
    }

    fn begin(&mut self, ti: TaskInstanceKey, try_number: u32, fence: Fence, at: Timestamp) {
        let past = self.pasts.entry(ti).or_default();
        if !past.goes_on {
            past.xcoms.clear();
        }
        if try_number > past.try_number {
            past.pokes = 0;
            self.questions.remove(&ti);
        } else if let Some(question) = self.questions.get_mut(&ti) {
            question.raced = false;
        }
        past.attempt = fence.attempt;
        past.try_number = try_number;
        past.live = Some(fence);
        past.first_start.get_or_insert(at);
        past.waits = None;
        past.goes_on = false;
    }

    fn end(&mut self, task: &Task, ti: TaskInstanceKey, outcome: &Outcome, at: Timestamp) {
        let state = self.state(ti).unwrap_or(TaskInstanceState::Removed);
        let past = self.pasts.entry(ti).or_default();
        past.live = None;
        if std::mem::take(&mut past.halting) {
            self.was_halting_now.push(ti);
            return;
        }
        match (state, outcome) {
            (state, outcome) if state.is_finished() => {
                if state == TaskInstanceState::Success {
                    keep_value(task, outcome, &mut past.xcoms);
                    if matches!(outcome, Outcome::Branch(_) | Outcome::ShortCircuit { .. }) {
                        self.deciders.insert(ti.task);
                    }
                }
                past.said = Some(outcome.clone());
            }
            (_, Outcome::Defer(until)) => {
                past.goes_on = true;
                past.waits = Some((Wait::Deferral, *until, *until));
            }
            (_, Outcome::NotYet) => {
                past.pokes += 1;
                past.goes_on = task.sensor.mode == SensorMode::Poke;
                let first = past.first_start.unwrap_or(at);
                let (least, most) = delays::poke(task, first, past.pokes, at);
                past.waits = Some((Wait::Poke, least, most));
            }
            (_, outcome) => {
                past.failures += 1;
                let (least, most) = delays::retry(task, outcome, past.try_number, at);
                past.waits = Some((Wait::Retry, least, most));
            }
        }
    }
}

impl Past {
    /// It is cleared: a new try, with as many retries as at first.
    fn begin_anew(&mut self) {
        self.failures = self.try_number;
        self.tries_before = self.try_number;
        self.goes_on = false;
        self.said = None;
    }
}

/// What a success leaves as XComs.
fn keep_value(task: &Task, outcome: &Outcome, xcoms: &mut BTreeMap<String, String>) {
    let value = match outcome {
        Outcome::Success(Some(json)) => json.clone(),
        Outcome::Branch(chosen) => Value::from(chosen.clone()).to_string(),
        Outcome::ShortCircuit { .. } => "false".to_owned(),
        _ => return,
    };
    if !task.do_xcom_push || value == "null" {
        return;
    }
    if task.multiple_outputs
        && let Ok(Value::Object(members)) = serde_json::from_str(&value)
    {
        for (key, member) in members {
            xcoms.insert(key, member.to_string());
        }
    }
    xcoms.insert("return_value".to_owned(), value);
}
