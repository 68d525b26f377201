//! Invariants over all runs: slots, their order, durability, what was acknowledged.

use super::book::Book;
use super::ledger::Ledger;
use super::{Audit, Checked, Invariant, Violation};
use crate::shell::Shell;
use crate::shell::journal::Journal;
use crate::world::{RunKey, World};
use airlock_core::dispatch::Slots;
use airlock_core::ids::{PoolName, TaskInstanceKey};
use airlock_core::run::event::{Command, Fence, Input};
use jiff::Timestamp;

/// A task instance that wants slots.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    world: &'a World,
    ledger: &'a Ledger,
    run: RunKey,
    ti: TaskInstanceKey,
}

type Rule = Invariant<fn(&Candidate<'_>) -> bool>;

const LIMITS: &[Rule] = &[
    Rule {
        name: "pools_are_never_exceeded",
        sentence: "The slots that task instances hold of a pool are never more than it has when one is admitted.",
        holds: fits_pool,
    },
    Rule {
        name: "only_served_queues_run",
        sentence: "A task instance gets slots only of a host that serves its queue.",
        holds: fits_queue,
    },
    Rule {
        name: "nothing_of_a_paused_dag_runs",
        sentence: "No task instance of a paused DAG gets slots.",
        holds: is_not_paused,
    },
    Rule {
        name: "parallelism_is_never_exceeded",
        sentence: "No more than parallelism task instances hold slots.",
        holds: fits_parallelism,
    },
    Rule {
        name: "max_active_tasks_is_never_exceeded",
        sentence: "No more than max_active_tasks task instances of a run hold slots.",
        holds: fits_run,
    },
    Rule {
        name: "max_active_tis_per_dagrun_is_never_exceeded",
        sentence: "No more than max_active_tis_per_dagrun instances of a task hold slots in a run.",
        holds: fits_task,
    },
    Rule {
        name: "max_active_tis_per_dag_is_never_exceeded",
        sentence: "No more than max_active_tis_per_dag instances of a task hold slots over all runs of its DAG.",
        holds: fits_dag,
    },
];

const ORDER: Invariant<()> = Invariant {
    name: "the_highest_priority_goes_first",
    sentence: "Among the task instances that fit, one of the highest priority is admitted, and of those one of the earliest run.",
    holds: (),
};
const IDLE: Invariant<()> = Invariant {
    name: "no_slot_is_idle",
    sentence: "After slots were given out, no task instance waits that fits everywhere.",
    holds: (),
};
const ACCOUNTS: Invariant<()> = Invariant {
    name: "pools_are_counted_right",
    sentence: "The dispatcher's count of a pool's slots in use is the sum of what running task instances hold.",
    holds: (),
};
const RUNS: Invariant<()> = Invariant {
    name: "max_active_runs_is_never_exceeded",
    sentence: "A run is started only while fewer than max_active_runs runs of its DAG are running.",
    holds: (),
};
const COMMANDS: Invariant<()> = Invariant {
    name: "commands_make_sense",
    sentence: "Nothing is wanted twice, unwanted without being wanted, or released without being held.",
    holds: (),
};
const RELEASED: Invariant<()> = Invariant {
    name: "a_finished_run_holds_nothing",
    sentence: "A finished run holds no slots and wants none.",
    holds: (),
};
const DURABLE: Invariant<()> = Invariant {
    name: "durable_before_done",
    sentence: "No attempt is started before the event that says so is durable.",
    holds: (),
};
impl Candidate<'_> {
    fn task(&self) -> Option<&airlock_core::dag::spec::Task> {
        self.world.model(self.run)?.dag.task(self.ti.task)
    }

    fn fits(&self) -> bool {
        LIMITS.iter().all(|limit| (limit.holds)(self))
    }

    /// Who comes first is smaller.
    fn order(&self) -> Option<(i64, Timestamp)> {
        let priority = self.world.model(self.run)?.family.priority(self.ti.task);
        Some((-priority, self.world.arrival(self.run)?.header.run_after))
    }
}

fn fits_pool(candidate: &Candidate<'_>) -> bool {
    let Some(task) = candidate.task() else {
        return false;
    };
    match candidate
        .ledger
        .pools
        .get(&task.pool)
        .map(|pool| pool.slots)
    {
        None => false,
        Some(Slots::Unlimited) => true,
        Some(Slots::Limited(limit)) => {
            candidate.ledger.used(&task.pool) + u64::from(task.pool_slots) <= u64::from(limit)
        }
    }
}

fn fits_queue(candidate: &Candidate<'_>) -> bool {
    let queues = &candidate.ledger.queues;
    candidate
        .task()
        .is_some_and(|task| queues.contains(&task.queue))
}

fn is_not_paused(candidate: &Candidate<'_>) -> bool {
    let dag = candidate
        .world
        .arrival(candidate.run)
        .map(|arrival| arrival.dag);
    dag.is_some_and(|dag| !candidate.ledger.paused.contains(&dag))
}

fn fits_parallelism(candidate: &Candidate<'_>) -> bool {
    candidate.ledger.holders().count() < candidate.world.parallelism as usize
}

fn fits_run(candidate: &Candidate<'_>) -> bool {
    let limit = candidate
        .world
        .model(candidate.run)
        .map_or(0, |model| model.dag.max_active_tasks);
    candidate.ledger.active(candidate.run, candidate.ti.task).0 < limit
}

fn fits_task(candidate: &Candidate<'_>) -> bool {
    let limit = candidate
        .task()
        .and_then(|task| task.max_active_tis_per_dagrun);
    limit.is_none_or(|limit| candidate.ledger.active(candidate.run, candidate.ti.task).1 < limit)
}

fn fits_dag(candidate: &Candidate<'_>) -> bool {
    let dag = |run: RunKey| candidate.world.arrival(run).map(|arrival| arrival.dag);
    let own = dag(candidate.run);
    let holders = candidate.ledger.holders();
    let active = holders
        .filter(|(run, ti, _)| ti.task == candidate.ti.task && dag(*run) == own)
        .count();
    let limit = candidate
        .task()
        .and_then(|task| task.max_active_tis_per_dag);
    limit.is_none_or(|limit| active < limit as usize)
}

/// Every task instance that wants slots.
fn candidates<'a>(audit: &'a Audit, world: &'a World) -> impl Iterator<Item = Candidate<'a>> {
    let all = audit.ledger.wants.iter();
    all.flat_map(move |(run, wants)| {
        wants.iter().map(move |ti| Candidate {
            world,
            ledger: &audit.ledger,
            run: *run,
            ti: *ti,
        })
    })
}

/// An input that admits a task instance: does it fit everywhere, and does nobody go before it?
pub(super) fn check_admission(
    audit: &Audit,
    world: &World,
    run: RunKey,
    input: &Input,
) -> Checked<()> {
    let Input::Admit { ti, .. } = input else {
        return Ok(());
    };
    let admitted = Candidate {
        world,
        ledger: &audit.ledger,
        run,
        ti: *ti,
    };
    let place = || format!("run {} {ti:?}", run.0);
    if let Some(limit) = LIMITS.iter().find(|limit| !(limit.holds)(&admitted)) {
        return Err(limit.broken(place()));
    }
    let order = admitted.order();
    let mut others = candidates(audit, world);
    match others.find(|other| other.order() < order && other.fits()) {
        Some(other) => Err(ORDER.broken(format!(
            "{} before run {} {:?}",
            place(),
            other.run.0,
            other.ti
        ))),
        None => Ok(()),
    }
}

/// An input that starts a run: are fewer running than may?
pub(super) fn check_start(audit: &Audit, world: &World, run: RunKey, input: &Input) -> Checked<()> {
    let (Input::Start, Some(model)) = (input, world.model(run)) else {
        return Ok(());
    };
    let dag = |run: RunKey| world.arrival(run).map(|arrival| arrival.dag);
    let is_running = |(key, book): &(&RunKey, &Book)| {
        dag(**key) == dag(run) && book.started_at.is_some() && book.finished.is_none()
    };
    let running = audit.books.iter().filter(is_running).count();
    if running < model.dag.max_active_runs as usize {
        return Ok(());
    }
    Err(RUNS.broken(format!("run {} would be the {}th", run.0, running + 1)))
}

/// An attempt is started: its event must be durable.
pub(crate) fn check_durable(
    journal: &Journal,
    run: RunKey,
    ti: TaskInstanceKey,
    fence: Fence,
) -> Checked<()> {
    if journal.has_start(run, ti, fence) {
        return Ok(());
    }
    Err(DURABLE.broken(format!("run {} {ti:?} {fence:?}", run.0)))
}

impl Audit {
    /// Slots were given out: nothing that fits is left, and the counts agree.
    pub(crate) fn given_out(&self, world: &World, shell: &Shell) -> Checked<()> {
        if let Some(left) = candidates(self, world).find(Candidate::fits) {
            return Err(IDLE.broken(format!("run {} {:?}", left.run.0, left.ti)));
        }
        self.check_told(world, shell)?;
        for (pool, _, used, _) in shell.dispatcher.pools() {
            self.check_pool(pool, used)?;
        }
        Ok(())
    }

    fn check_pool(&self, pool: &PoolName, used: u64) -> Checked<()> {
        let held = self.ledger.used(pool);
        if used == held {
            return Ok(());
        }
        Err(ACCOUNTS.broken(format!("pool {pool}: {used} in use, {held} held")))
    }

    /// A command is about to be carried out.
    pub(crate) fn commanded(&mut self, key: RunKey, command: &Command) -> Checked<()> {
        if !self.ledger.obey(key, command) {
            return Err(COMMANDS.broken(format!("run {}: {command:?}", key.0)));
        }
        if !matches!(command, Command::RunFinished { .. }) {
            return Ok(());
        }
        let wants = self
            .ledger
            .wants
            .get(&key)
            .is_some_and(|wants| !wants.is_empty());
        let holds = self
            .ledger
            .held
            .get(&key)
            .is_some_and(|held| !held.is_empty());
        if wants || holds {
            return Err(RELEASED.broken(format!("run {}", key.0)));
        }
        Ok(())
    }

    /// Every run has ended.
    pub(crate) fn check_ended(&self) -> Checked<()> {
        let sentence = "When faults stop, every run ends within a bounded number of actions.";
        let broken = Violation::new("every_run_ends", sentence);
        match self.books.iter().find(|(_, book)| book.finished.is_none()) {
            Some((run, book)) => {
                let open = book.shadow.all_instances();
                let open: Vec<String> = open
                    .filter(|(_, instance)| !instance.state().is_finished())
                    .map(|(ti, instance)| {
                        format!("t{}[{}] {}", ti.task.0, ti.map_index, instance.state())
                    })
                    .collect();
                let state = book.shadow.state();
                Err(broken.because(format!("run {} is {state}: {}", run.0, open.join(", "))))
            }
            None => Ok(()),
        }
    }
}
