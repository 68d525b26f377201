//! Invariants about what the run before a run left: who waits for it, and who is told that it may go on.

use super::book::Book;
use super::decisions::{self, Verdict};
use super::{Audit, Checked, Invariant};
use crate::shell::Shell;
use crate::world::family::indexes;
use crate::world::{DagModel, RunKey, World};
use airlock_core::dag::spec::Task;
use airlock_core::ids::{TaskIndex, TaskInstanceKey};
use airlock_core::run::event::{Event, Reason, RunType};
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState as State};

const ASKED: Invariant<()> = Invariant {
    name: "the_past_is_asked",
    sentence: "A task is told that its past allows it only when all its instances in the run before, and with wait_for_downstream all directly below, ended well.",
    holds: (),
};
const TOLD: Invariant<()> = Invariant {
    name: "who_waits_for_the_past_is_told",
    sentence: "After a turn no task waits for a run before that allows it.",
    holds: (),
};

/// Whether what the run before left still has to be asked before the task goes on.
pub(super) fn lacks(model: &DagModel, book: &Book, task: TaskIndex) -> bool {
    let header = book.shadow.header();
    let ignored = header.is_some_and(|header| header.ignore_depends_on_past);
    let asks = |task: &Task| task.depends_on_past || task.wait_for_downstream;
    !ignored && model.dag.task(task).is_some_and(asks) && !book.past_met.contains(&task)
}

/// The same for a skip by the trigger rule.
pub(super) fn lacks_for_skip(model: &DagModel, book: &Book, task: TaskIndex) -> bool {
    let waits = |task: &Task| task.wait_for_past_depends_before_skipping;
    model.dag.task(task).is_some_and(waits) && lacks(model, book, task)
}

/// Whether nothing but the run before holds an undecided task instance back.
pub(super) fn holds_back(model: &DagModel, book: &Book, ti: TaskInstanceKey) -> bool {
    if !lacks(model, book, ti.task) {
        return false;
    }
    let group = model.family.group_of(ti.task);
    let has_no_list = group.is_some() && ti.map_index < 0;
    let looks_again = group.is_some_and(|group| book.revising.contains(&group));
    match decisions::verdict(model, book, ti) {
        // A group gets its list whatever its past; without elements it may be skipped.
        Verdict::Run if has_no_list => lacks_for_skip(model, book, ti.task),
        Verdict::Run => true,
        Verdict::Skip => lacks_for_skip(model, book, ti.task),
        Verdict::UpstreamFailed | Verdict::Remove if looks_again => {
            lacks_for_skip(model, book, ti.task)
        }
        Verdict::Wait | Verdict::UpstreamFailed | Verdict::Remove => false,
    }
}

fn undecided(book: &Book, task: TaskIndex) -> impl Iterator<Item = TaskInstanceKey> {
    let instances = book.shadow.instances(task);
    instances
        .filter(|(_, instance)| instance.state() == State::None)
        .map(move |(map_index, _)| TaskInstanceKey { task, map_index })
}

fn holds_back_task(model: &DagModel, book: &Book, task: TaskIndex) -> bool {
    lacks(model, book, task) && undecided(book, task).any(|ti| holds_back(model, book, ti))
}

/// A teardown still runs in a run that is failing fast.
fn may_go_on(book: &Book) -> bool {
    book.shadow.state() == DagRunState::Running
        && matches!(book.stopping, None | Some(Reason::FailFast))
}

/// Whether a run waits for the run before it.
pub(super) fn holds_back_any(model: &DagModel, book: &Book) -> bool {
    may_go_on(book) && indexes(&model.dag).any(|task| holds_back_task(model, book, task))
}

impl Audit {
    /// A run was taken into memory: which one is before it is settled then.
    pub(crate) fn adopted(&mut self, world: &World, key: RunKey) {
        let (Some(of), Some(model)) = (world.arrival(key), world.model(key)) else {
            return;
        };
        let mut before: Option<RunKey> = None;
        for other in self.books.keys() {
            let Some(arrival) = world.arrival(*other) else {
                continue;
            };
            let counts = !model.dag.catchup || arrival.header.run_type == RunType::Scheduled;
            let is_earlier = arrival.header.logical_date < of.header.logical_date;
            let date = |key: RunKey| {
                world
                    .arrival(key)
                    .and_then(|arrival| arrival.header.logical_date)
            };
            let is_later_than_best = before.is_none_or(|best| date(best) < date(*other));
            if arrival.dag == of.dag && counts && is_earlier && is_later_than_best {
                before = Some(*other);
            }
        }
        self.before.insert(key, before);
    }

    /// Whether the run before `key` lets a task of it go on.
    fn past_allows(&self, world: &World, key: RunKey, task: TaskIndex) -> bool {
        let Some(before) = self.before.get(&key).copied().flatten() else {
            return true;
        };
        let (Some(model), Some(book)) = (world.model(before), self.books.get(&before)) else {
            return false;
        };
        let spec = world.model(key).and_then(|model| model.dag.task(task));
        let Some(spec) = spec else {
            return false;
        };
        let mut there = indexes(&model.dag).filter(|index| {
            model
                .dag
                .task(*index)
                .is_some_and(|task| task.task_id == spec.task_id)
        });
        let Some(there) = there.next() else {
            return spec.ignore_first_depends_on_past;
        };
        let ended_well = |task: TaskIndex| {
            book.shadow
                .instances(task)
                .all(|(_, instance)| matches!(instance.state(), State::Success | State::Skipped))
        };
        let below = model.family.children(there);
        ended_well(there)
            && (!spec.wait_for_downstream || below.iter().all(|below| ended_well(*below)))
    }

    /// A run is told that its past allows tasks.
    pub(super) fn check_met(&self, world: &World, key: RunKey, event: &Event) -> Checked<()> {
        let Event::PastDependsMet { tasks } = event else {
            return Ok(());
        };
        match tasks
            .iter()
            .find(|task| !self.past_allows(world, key, **task))
        {
            Some(task) => Err(ASKED.broken(format!("run {} task {}", key.0, task.0))),
            None => Ok(()),
        }
    }

    /// A turn is over: nobody waits for what is there.
    pub(super) fn check_told(&self, world: &World, shell: &Shell) -> Checked<()> {
        for number in shell.previous.keys() {
            let Some(key) = shell.runs.get(number).map(|run| run.key) else {
                continue;
            };
            let before = self.before.get(&key).copied().flatten();
            // What is on its way to the store is looked at when it is there.
            if before.is_some_and(|before| shell.closing.contains(&before)) {
                continue;
            }
            let (Some(model), Some(book)) = (world.model(key), self.books.get(&key)) else {
                continue;
            };
            if !may_go_on(book) {
                continue;
            }
            let waits = indexes(&model.dag).filter(|task| holds_back_task(model, book, *task));
            for task in waits {
                if self.past_allows(world, key, task) {
                    return Err(TOLD.broken(format!("run {} task {}", key.0, task.0)));
                }
            }
        }
        Ok(())
    }

    /// A run that waits for what an ended run left, or for one that cannot start because this one runs, and that run:
    /// somebody has to do something.
    pub(crate) fn waits_in_vain(&self, world: &World) -> Option<(RunKey, RunKey)> {
        self.books.iter().find_map(|(key, book)| {
            let before = self.before.get(key).copied().flatten()?;
            let is_still = self.books.get(&before)?.shadow.state() != DagRunState::Running;
            let waits = is_still && holds_back_any(world.model(*key)?, book);
            waits.then_some((*key, before))
        })
    }
}
