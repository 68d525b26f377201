//! Time: what goes on when the run is woken. Waking for something that is not due is harmless.

use super::apply::one;
use super::error::IllegalEvent;
use super::event::Reason;
use super::turn::Turn;
use crate::ids::{TaskIndex, TaskInstanceKey};
use crate::task_instance::state::TaskInstanceState;
use std::ops::Range;

impl Turn<'_> {
    /// Whatever is due now goes on.
    pub(super) fn wake(&mut self) -> Result<(), IllegalEvent> {
        self.asked = None;
        self.tell_missed()?;
        if self.run.timeout_at().is_some_and(|at| at <= self.now) {
            return self.stop(Reason::DagRunTimeout, "dagrun_timeout passed");
        }
        let mut due: Vec<TaskInstanceKey> = self
            .run
            .timers
            .iter()
            .take_while(|(at, _)| *at <= self.now)
            .map(|(_, ti)| *ti)
            .collect();
        due.sort_unstable();
        let (pokes, others): (Vec<_>, Vec<_>) = due.into_iter().partition(|ti| {
            self.run
                .instance(*ti)
                .is_some_and(|instance| instance.state == TaskInstanceState::Running)
        });
        for (task, range) in runs_of(&others) {
            self.set(
                task,
                range.clone(),
                TaskInstanceState::Scheduled,
                None,
                None,
            )?;
            self.want(task, range);
        }
        for ti in pokes {
            let owner = self.run.known(ti)?.owner;
            self.start_attempt(ti, owner)?;
        }
        Ok(())
    }
}

/// Sorted keys as ranges of map indexes.
fn runs_of(keys: &[TaskInstanceKey]) -> Vec<(TaskIndex, Range<i32>)> {
    let mut ranges: Vec<(TaskIndex, Range<i32>)> = Vec::new();
    for ti in keys {
        match ranges.last_mut() {
            Some((task, range)) if *task == ti.task && range.end == ti.map_index => range.end += 1,
            _ => ranges.push((ti.task, one(*ti))),
        }
    }
    ranges
}
