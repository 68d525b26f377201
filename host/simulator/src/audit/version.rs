//! Invariants about a run that goes on with another version of its DAG.

use super::{Audit, Checked, Invariant};
use crate::shell::LiveRun;
use crate::world::{RunKey, World};
use airlock_core::run::state::RunState;
use airlock_core::run::step::Step;
use airlock_core::task_instance::state::TaskInstanceState as State;
use jiff::Timestamp;

const AT_REST: Invariant<()> = Invariant {
    name: "a_version_changes_at_rest",
    sentence: "A run takes another version of its DAG exactly while nothing in it wants slots or is live, and a refusal changes nothing.",
    holds: (),
};
const KEPT: Invariant<()> = Invariant {
    name: "a_version_keeps_what_was",
    sentence: "Task instances of tasks that both versions have keep their state, and what is counted is what the states give.",
    holds: (),
};

impl Audit {
    /// Whether nothing in a run wants slots or is live.
    fn is_at_rest(&self, key: RunKey) -> bool {
        let moves = |state: State| {
            matches!(
                state,
                State::Scheduled | State::Restarting | State::Queued | State::Running
            )
        };
        self.books.get(&key).is_some_and(|book| {
            let mut instances = book.shadow.all_instances();
            book.live().next().is_none() && !instances.any(|(_, one)| moves(one.state()))
        })
    }

    /// A run refused the newer version.
    pub(crate) fn version_refused(&self, key: RunKey, state: &RunState) -> Checked<()> {
        let changed = self
            .books
            .get(&key)
            .is_some_and(|book| book.shadow != *state);
        if changed || self.is_at_rest(key) {
            return Err(AT_REST.broken(format!("run {} refused", key.0)));
        }
        Ok(())
    }

    /// A run took the newer version, which the world knows already.
    pub(crate) fn version_changed(
        &mut self,
        world: &World,
        run: &LiveRun,
        now: Timestamp,
        step: &Step,
    ) -> Checked<()> {
        let key = run.key;
        if !self.is_at_rest(key) {
            return Err(AT_REST.broken(format!("run {} took it", key.0)));
        }
        let Some((change, rest)) = step.events.split_first() else {
            return Err(AT_REST.broken(format!("run {} recorded nothing", key.0)));
        };
        let states = |audit: &Self| -> Vec<_> {
            let book = audit.books.get(&key).into_iter();
            let all = book.flat_map(|book| book.shadow.all_instances());
            all.map(|(ti, one)| (ti, one.state(), one.try_number()))
                .collect()
        };
        let before = states(self);
        self.event(world, key, change, Some(now))?;
        let after = states(self);
        let is_kept = before.iter().all(|one| after.contains(one));
        let added = after.iter().filter(|one| !before.contains(one));
        let is_new = added
            .map(|(_, state, _)| *state)
            .all(|state| state == State::None);
        for event in rest {
            self.event(world, key, event, Some(now))?;
        }
        let live = self
            .books
            .get(&key)
            .is_some_and(|book| book.shadow == run.state);
        if is_kept && is_new && live {
            return Ok(());
        }
        Err(KEPT.broken(format!("run {}", key.0)))
    }
}
