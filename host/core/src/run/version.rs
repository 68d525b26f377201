//! A run goes on with another version of its DAG: task instances are found again by `task_id`, new tasks are undecided,
//! those of missing tasks are `removed` and kept beside the run, so that a later version may have them back.
//! It refuses while anything is scheduled or live, because the shell holds the places of the old version then.

use super::error::IllegalEvent;
use super::event::Event;
use super::expand::ExpandEvaluator;
use super::plan::{Plan, indexes};
use super::state::RunState;
use super::step::Step;
use super::tasks::{Instance, Skips, StateCounts, TaskState};
use super::turn::Turn;
use crate::dag::spec::{Dag, Expand};
use crate::ids::{GroupIndex, TaskId, TaskIndex, TaskInstanceKey};
use crate::task_instance::state::{DagRunState, TaskInstanceState};
use crate::task_instance::trigger_rule::UpstreamStates;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

impl RunState {
    /// Goes on with `dag`, the version that `dag_version` names. On an error the state is unchanged.
    pub fn change_version(
        &mut self,
        now: Timestamp,
        dag: Arc<Dag>,
        dag_version: [u8; 32],
        evaluator: &dyn ExpandEvaluator,
    ) -> Result<Step, IllegalEvent> {
        let event = Event::VersionChanged {
            dag_version,
            at: now,
        };
        self.apply_version(dag, &event)?;
        let running = self.state == DagRunState::Running;
        let mut turn = Turn::new(self, now, evaluator);
        turn.asked = None;
        turn.step.events.push(event);
        if running {
            turn.consider_all();
        }
        turn.end()
    }

    /// `apply` for `Event::VersionChanged`, with the version that it names. On an error the state is unchanged.
    pub fn apply_version(&mut self, dag: Arc<Dag>, event: &Event) -> Result<(), IllegalEvent> {
        let Event::VersionChanged { dag_version, .. } = event else {
            return self.apply(event);
        };
        if self.header.is_none() {
            return Err(self.run_is("VersionChanged before RunQueued", "created by RunQueued"));
        }
        let wants = indexes(&self.dag).any(|task| !self.wanting(task).is_empty());
        if wants || self.active() > 0 {
            let needs = "without scheduled or live task instances; wait for them, or stop them";
            return Err(self.run_is("VersionChanged", needs));
        }
        let old = std::mem::replace(&mut self.dag, dag);
        self.plan = Arc::new(Plan::new(&self.dag));
        self.dag_version = *dag_version;
        self.move_tasks(&old);
        self.recount();
        Ok(())
    }

    fn move_tasks(&mut self, old: &Dag) {
        let new = self.dag.clone();
        let mut before: BTreeMap<&TaskId, (Option<TaskIndex>, TaskState)> = BTreeMap::new();
        let states = std::mem::take(&mut self.tasks);
        for ((place, task), state) in indexes(old).zip(&old.tasks).zip(states) {
            before.insert(&task.task_id, (Some(place), state));
        }
        for (place, task) in indexes(&new).zip(&new.tasks) {
            let found = before.remove(&task.task_id);
            let (was, mut state) = found.unwrap_or_else(|| {
                let state = self.gone.remove(&task.task_id);
                (None, state.unwrap_or_else(TaskState::new))
            });
            let now = mapping(&new, place);
            let same = was.is_some_and(|was| mapping(old, was) == now);
            adapt(now.is_some(), same, &mut state);
            if let Some(skips) = &state.skips {
                state.skips = Some(moved(skips, old, &new));
            }
            self.tasks.push(state);
        }
        for (task_id, (_, mut state)) in before {
            state.remove_all();
            self.gone.insert(task_id.clone(), state);
        }
        self.move_groups(old, &new);
    }

    /// Groups keep their elements where they are expanded over the same.
    fn move_groups(&mut self, old: &Dag, new: &Dag) {
        for (group, elements) in std::mem::take(&mut self.groups) {
            let Some(was) = old.group(group) else {
                continue;
            };
            let mut now = (0..).map(GroupIndex).zip(&new.task_groups);
            let same =
                now.find(|(_, now)| now.group_id == was.group_id && now.expand == was.expand);
            if let Some((place, _)) = same {
                self.groups.insert(place, elements);
            }
        }
    }

    /// Counts and timers from nothing but the instances.
    fn recount(&mut self) {
        self.totals = StateCounts::default();
        self.timers.clear();
        self.slas.clear();
        let (dag, header) = (self.dag.clone(), self.header.clone());
        let mut upstream = vec![UpstreamStates::default(); self.tasks.len()];
        for (task, state) in (0..).map(TaskIndex).zip(&mut self.tasks) {
            let is_setup = dag.task(task).is_some_and(|task| task.is_setup);
            for (map_index, instance) in state.iter() {
                self.totals.add(instance.state, 1);
                for below in self.plan.outside(task) {
                    if let Some(counts) = upstream.get_mut(below.get()) {
                        counts.add(instance.state, is_setup);
                    }
                }
                let waiting = state.waiting.get(&map_index);
                if let Some(due) = waiting.and_then(|waiting| waiting.due) {
                    self.timers
                        .insert((due, TaskInstanceKey { task, map_index }));
                }
            }
            let sla = dag.task(task).and_then(|task| task.sla);
            state.sla_open &= sla.is_some();
            if let (true, Some(sla), Some(header)) = (state.sla_open, sla, &header) {
                let at = header.run_after.checked_add(sla);
                self.slas.insert((at.unwrap_or(Timestamp::MAX), task));
            }
        }
        for (state, counts) in self.tasks.iter_mut().zip(upstream) {
            state.upstream = counts;
        }
    }

    /// The `removed` instances of tasks that only earlier versions of the DAG had.
    pub fn gone_instances(&self) -> impl Iterator<Item = (&TaskId, i32, &Instance)> {
        self.gone.iter().flat_map(|(task_id, state)| {
            state
                .iter()
                .map(move |(map_index, one)| (task_id, map_index, one))
        })
    }
}

/// What a task is expanded over, by itself or with its group; `None` for an unmapped task.
fn mapping(dag: &Dag, task: TaskIndex) -> Option<(Option<&TaskId>, &Expand)> {
    let group = dag.mapped_group(task).and_then(|group| dag.group(group));
    let expand = match group {
        Some(group) => group.expand.as_ref(),
        None => dag.task(task)?.expand.as_ref(),
    };
    expand.map(|expand| (group.map(|group| &group.group_id), expand))
}

/// Makes the state of a task fit its new definition. What was mapped and is not any more, or the other way round while it
/// was unfinished, begins anew; what is expanded over something else is looked at again before it goes on.
fn adapt(mapped: bool, same: bool, state: &mut TaskState) {
    let unfinished = state.counts.unfinished() > 0;
    let anew = if mapped {
        !state.is_expanded() && unfinished
    } else {
        state.is_expanded()
    };
    if anew {
        let sla_open = state.sla_open;
        *state = TaskState::new();
        state.sla_open = sla_open;
    }
    if state.is_expanded() && !same {
        state.elements = None;
        state.revise = true;
        state.undecide();
    }
}

fn moved(skips: &Skips, old: &Dag, new: &Dag) -> Skips {
    skips.moved(|task| {
        let task = old.task(task)?;
        new.find(task.task_id.as_str())
    })
}

impl TaskState {
    fn remove_all(&mut self) {
        self.waiting.clear();
        self.inputs.clear();
        self.sla_open = false;
        self.skips = None;
        self.set_all(|_| Some(TaskInstanceState::Removed));
    }

    /// Waiting and `removed` instances are undecided again; finished ones stay.
    fn undecide(&mut self) {
        self.waiting.clear();
        self.inputs.clear();
        self.set_all(|state| {
            let stays = state.is_finished() && state != TaskInstanceState::Removed;
            (!stays).then_some(TaskInstanceState::None)
        });
    }

    fn set_all(&mut self, to: impl Fn(TaskInstanceState) -> Option<TaskInstanceState>) {
        for map_index in self.range() {
            let Some(instance) = self.instance_mut(map_index) else {
                continue;
            };
            let from = instance.state;
            if let Some(to) = to(from) {
                instance.state = to;
                instance.renew();
                self.counts.shift(from, to, 1);
            }
        }
    }
}
