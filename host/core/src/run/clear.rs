//! Clearing: task instances are undecided again, and the run goes on from there. Also what a clear would take
//! (a preview), what a branch that was not cleared had decided before, and elements that are looked at again.
//!
//! As in Airflow the instances of a mapped task stay when it is cleared with its list: when the list is there again,
//! those beyond its end are `removed` and missing ones are added.

use super::apply::instance_is;
use super::error::IllegalEvent;
use super::event::{Command, Event, Fence};
use super::expand::Elements;
use super::plan::ancestors;
use super::state::RunState;
use super::tasks::TaskState;
use super::turn::Turn;
use crate::ids::{GroupIndex, TaskIndex, TaskInstanceKey};
use crate::task_instance::state::{DagRunState, TaskInstanceState};
use std::collections::BTreeSet;
use std::ops::Range;

/// Which task instances a clear takes beside the tasks it names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own in Airflow, under the same name"
)]
pub struct ClearOptions {
    /// Everything above the named tasks too.
    pub upstream: bool,
    /// Everything below the named tasks too.
    pub downstream: bool,
    /// Only `failed` and `upstream_failed` ones; with `only_running`, those or running ones.
    pub only_failed: bool,
    /// Only running ones.
    pub only_running: bool,
    /// Only these map indexes of the named tasks; empty for all.
    pub map_indexes: BTreeSet<i32>,
}

impl RunState {
    /// What clearing `tasks` would take, as `Input::Clear` wants it: with it go the setups and teardowns of each task.
    /// Changes nothing.
    pub fn clear_set(
        &self,
        tasks: &[TaskIndex],
        options: &ClearOptions,
    ) -> Vec<(TaskIndex, i32, i32)> {
        let mut taken: BTreeSet<TaskIndex> = tasks.iter().copied().collect();
        for task in tasks {
            if options.upstream {
                taken.extend(ancestors(&self.dag, *task));
            }
            if options.downstream {
                taken.extend(self.plan.descendants(*task));
            }
        }
        for task in taken.clone() {
            taken.extend(self.scope_of(task));
        }
        let mut ranges = Vec::new();
        for task in taken {
            let named = tasks.contains(&task) && !options.map_indexes.is_empty();
            let Some(state) = self.tasks.get(task.get()) else {
                continue;
            };
            let wanted = state.ranges(|map_index, instance| {
                let by_state = match instance.state {
                    TaskInstanceState::Failed | TaskInstanceState::UpstreamFailed => {
                        options.only_failed || !options.only_running
                    }
                    TaskInstanceState::Running => options.only_running || !options.only_failed,
                    TaskInstanceState::Removed => false,
                    _ => !options.only_failed && !options.only_running,
                };
                by_state && (!named || options.map_indexes.contains(&map_index))
            });
            ranges.extend(
                wanted
                    .into_iter()
                    .map(|range| (task, range.start, range.end)),
            );
        }
        ranges
    }

    /// The setups whose scope a task is in and their teardowns; of a setup, its teardowns.
    fn scope_of(&self, task: TaskIndex) -> Vec<TaskIndex> {
        let is = |index: &TaskIndex, what: fn(&crate::dag::spec::Task) -> bool| {
            self.dag.task(*index).is_some_and(what)
        };
        let teardowns = |setup: TaskIndex| {
            let below = self.plan.downstream(setup).iter().copied();
            below.filter(|index| is(index, |task| task.is_teardown))
        };
        if is(&task, |task| task.is_setup) {
            return teardowns(task).collect();
        }
        let below = self.plan.descendants(task);
        let mut scope = Vec::new();
        for setup in ancestors(&self.dag, task) {
            let mut ends = teardowns(setup).peekable();
            let relevant = ends.peek().is_none() || ends.any(|end| below.contains(&end));
            if relevant && is(&setup, |task| task.is_setup) {
                scope.push(setup);
                scope.extend(teardowns(setup));
            }
        }
        scope
    }

    /// Whether a task instance's last attempt was told to stop and has not ended.
    pub(super) fn is_halting(&self, ti: TaskInstanceKey, fence: Fence) -> bool {
        self.halting.contains(&ti) && self.instance(ti).is_some_and(|one| one.fence() == fence)
    }

    /// An attempt is live: not between two pokes, not told to stop.
    pub(super) fn check_live(
        &self,
        what: &'static str,
        ti: TaskInstanceKey,
    ) -> Result<(), IllegalEvent> {
        let instance = self.known(ti)?;
        if self
            .task_state(ti.task)?
            .is_live(ti.map_index, instance.fence())
        {
            return Ok(());
        }
        Err(instance_is(what, ti, instance, "running"))
    }

    /// Fences the live attempts of a range and forgets what its instances wait for. The caller changes their states.
    pub(super) fn halt(&mut self, task: TaskIndex, range: Range<i32>) {
        let Some(state) = self.tasks.get(task.get()) else {
            return;
        };
        if state.counts.get(TaskInstanceState::Running) > 0 {
            for map_index in range.clone() {
                let running = state
                    .instance(map_index)
                    .is_some_and(|one| one.state == TaskInstanceState::Running);
                if running && !state.is_between_pokes(map_index) {
                    self.halting.insert(TaskInstanceKey { task, map_index });
                }
            }
        }
        self.end_waits(task, range, true);
    }

    /// The attempt has ended as it was told: a cleared task instance is undecided from now on.
    pub(super) fn apply_halted(&mut self, ti: TaskInstanceKey) {
        self.halting.remove(&ti);
        let restarts = self
            .instance(ti)
            .is_some_and(|one| one.state == TaskInstanceState::Restarting);
        if restarts {
            let range = super::apply::one(ti);
            self.change_states(ti.task, range, TaskInstanceState::None);
        }
    }

    pub(super) fn apply_cleared(
        &mut self,
        task: TaskIndex,
        range: Range<i32>,
    ) -> Result<(), IllegalEvent> {
        self.check_range(task, &range)?;
        if self.stopping.is_some() && !self.state.is_finished() {
            return Err(self.run_is(
                "Cleared while it is being stopped",
                "at its end, or not stopped",
            ));
        }
        self.halt(task, range.clone());
        self.with_task(task, |state| {
            state.revise = state.is_expanded();
            // The previous run is asked again.
            state.past_met = false;
            for map_index in range.clone() {
                state.inputs.remove(&map_index);
                if let Some(skips) = &mut state.skips {
                    skips.forget(map_index);
                }
                if let Some(instance) = state.instance_mut(map_index) {
                    instance.renew();
                }
            }
        });
        let halting: Vec<_> = self
            .halting_of(task)
            .filter(|ti| range.contains(&ti.map_index))
            .collect();
        self.change_states(task, range, TaskInstanceState::None);
        for ti in halting {
            let range = super::apply::one(ti);
            self.change_states(task, range, TaskInstanceState::Restarting);
        }
        if self.state.is_finished() {
            self.state = DagRunState::Queued;
            self.started_at = None;
            self.stopping = None;
            self.end_reason = None;
        }
        Ok(())
    }

    /// Whether a branch or short circuit directly above, which has ended and was not cleared, had skipped the task
    /// (Airflow's `NotPreviouslySkippedDep`).
    pub(super) fn was_skipped_before(&self, task: TaskIndex) -> bool {
        let above = self.dag.task(task).map_or(&[][..], |task| &task.depends_on);
        above.iter().any(|index| {
            let Some(state) = self.tasks.get(index.get()) else {
                return false;
            };
            let Some(skips) = state.skips.as_ref() else {
                return false;
            };
            state.counts.unfinished() == 0
                && skips
                    .wanted
                    .get(&task)
                    .is_some_and(|wanted| *wanted == state.counts.get(TaskInstanceState::Success))
        })
    }

    /// The same for one instance in a mapped group: tasks beside it decide for its map index alone.
    pub(super) fn instance_was_skipped_before(&self, ti: TaskInstanceKey) -> bool {
        let above = self.dag.task(ti.task).map_or(&[][..], |t| &t.depends_on);
        let by_one = above.iter().any(|index| {
            let skips = self
                .tasks
                .get(index.get())
                .and_then(|state| state.skips.as_ref());
            let beside = skips.and_then(|skips| skips.beside.get(&ti.map_index));
            let decided = TaskInstanceKey { task: *index, ..ti };
            beside.is_some_and(|tasks| tasks.contains(&ti.task))
                && self
                    .instance(decided)
                    .is_some_and(|one| one.state == TaskInstanceState::Success)
        });
        by_one || self.was_skipped_before(ti.task)
    }

    pub(super) fn undecided_ranges(
        &self,
        task: TaskIndex,
    ) -> Result<Vec<Range<i32>>, IllegalEvent> {
        let state = self.task_state(task)?;
        Ok(state.ranges(|_, instance| instance.state == TaskInstanceState::None))
    }

    /// Whether an expanded task has just these elements, one instance each.
    pub(super) fn has_elements(&self, task: TaskIndex, elements: &Elements) -> bool {
        let Some(state) = self.tasks.get(task.get()) else {
            return false;
        };
        let is_there = |(map_index, one): (i32, &super::tasks::Instance)| {
            let inside = usize::try_from(map_index).is_ok_and(|index| index < elements.length);
            inside == (one.state != TaskInstanceState::Removed)
        };
        state.elements.as_ref() == Some(elements) && state.iter().all(is_there)
    }

    /// New elements for an expanded task.
    pub(super) fn revise_task(&mut self, task: TaskIndex, elements: Elements) {
        self.resize(task, elements.length);
        self.with_task(task, |state| state.elements = Some(elements));
    }

    /// Another number of elements for an expanded task: instances beyond them are `removed`, missing ones are added.
    pub(super) fn resize(&mut self, task: TaskIndex, length: usize) {
        let Some(state) = self.tasks.get(task.get()) else {
            return;
        };
        let all = state.range();
        let end = i32::try_from(length).unwrap_or(i32::MAX);
        let back = state
            .ranges(|map_index, one| map_index < end && one.state == TaskInstanceState::Removed);
        if end < all.end {
            self.halt(task, end..all.end);
            self.change_states(task, end..all.end, TaskInstanceState::Removed);
        }
        for range in back {
            self.with_task(task, |state| {
                for map_index in range.clone() {
                    if let Some(instance) = state.instance_mut(map_index) {
                        instance.renew();
                    }
                }
            });
            self.change_states(task, range, TaskInstanceState::None);
        }
        let more = usize::try_from(end.saturating_sub(all.end)).unwrap_or(0);
        self.with_task(task, |state| {
            state.append(more);
            state.revise = false;
        });
        self.count_more(task, u32::try_from(more).unwrap_or(u32::MAX));
    }

    /// Whether a task of an expanded group was cleared since: the group's elements are looked at again.
    pub(super) fn group_revises(&self, group: GroupIndex) -> bool {
        let mut members = self.plan.groups.members(group).iter();
        members.any(|task| self.task_state(*task).is_ok_and(|state| state.revise))
    }
}

impl Turn<'_> {
    /// Clears what is there of these ranges.
    pub(super) fn clear(
        &mut self,
        instances: &[(TaskIndex, i32, i32)],
    ) -> Result<(), IllegalEvent> {
        let reopens = self.run.state.is_finished();
        let mut cleared = false;
        for (task, from, to) in instances {
            let Some(all) = self.run.tasks.get(task.get()).map(TaskState::range) else {
                continue;
            };
            let (task, range) = (*task, (*from).max(all.start)..(*to).min(all.end));
            if range.is_empty() {
                continue;
            }
            let shed = self.shed(task, &range, "cleared")?;
            self.emit(Event::Cleared {
                task,
                from: range.start,
                to: range.end,
                at: self.now,
            })?;
            self.step.commands.extend(shed);
            cleared = true;
        }
        if reopens && cleared {
            self.asked = None;
            self.step.commands.push(Command::RunReopened);
        }
        Ok(())
    }

    /// Takes back the slots and attempts of instances that have no element any more.
    pub(super) fn shed_beyond(
        &mut self,
        task: TaskIndex,
        length: usize,
    ) -> Result<(), IllegalEvent> {
        let state = self.run.task_state(task)?;
        if !state.is_expanded() {
            return Ok(());
        }
        let end = i32::try_from(length).unwrap_or(i32::MAX);
        let beyond = end..state.range().end;
        let shed = self.shed(task, &beyond, "its element is not there any more")?;
        self.step.commands.extend(shed);
        Ok(())
    }
}
