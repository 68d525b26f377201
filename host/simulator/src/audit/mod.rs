//! The auditor: its own books about every run, kept from events alone, and the invariants that each step must leave true.
//! It works everything out again the slow and obvious way, and refuses to ask the core for what it can count itself.

mod after_event;
mod before_event;
mod book;
mod decisions;
mod delays;
mod fold;
mod global;
mod human;
mod late;
mod ledger;
mod outcome;
mod past;
mod people;
mod promises;
mod settled;
mod stepped;
mod version;

use crate::shell::{LiveRun, Selection, Settings, Shell};
use crate::world::{DagModel, RunKey, World};
use airlock_core::ids::TaskIndex;
use airlock_core::run::IllegalEvent;
use airlock_core::run::event::{Event, Input};
use airlock_core::run::state::RunState;
use airlock_core::run::step::Step;
use book::Book;
pub(crate) use global::check_durable;
use jiff::Timestamp;
use ledger::Ledger;
use promises::Promises;
use std::collections::BTreeMap;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name.
    pub name: &'static str,
    /// What it says.
    pub sentence: &'static str,
    /// Where it broke.
    pub detail: String,
}

impl Violation {
    pub(crate) fn new(name: &'static str, sentence: &'static str) -> Self {
        Self {
            name,
            sentence,
            detail: String::new(),
        }
    }

    pub(crate) fn because(self, detail: String) -> Self {
        Self { detail, ..self }
    }
}

/// The result of whatever the auditor watches.
pub(crate) type Checked<T> = Result<T, Violation>;

/// A named rule about a view of the simulation.
struct Invariant<F> {
    name: &'static str,
    sentence: &'static str,
    holds: F,
}

impl<F> Invariant<F> {
    fn broken(&self, detail: String) -> Violation {
        Violation::new(self.name, self.sentence).because(detail)
    }
}

/// What an invariant about one run may look at.
#[derive(Clone, Copy)]
struct Scene<'a> {
    key: RunKey,
    model: &'a DagModel,
    book: &'a Book,
    ledger: &'a Ledger,
    /// Wall-clock time of the step.
    now: Timestamp,
    /// The attempt that the event speaks of had been told to stop before.
    was_halting: bool,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    books: BTreeMap<RunKey, Book>,
    pub(crate) ledger: Ledger,
    pub(crate) promises: Promises,
    /// The run before each run that was taken into memory.
    before: BTreeMap<RunKey, Option<RunKey>>,
}

impl Audit {
    /// A host starts with these pools, queues and pauses.
    pub(crate) fn begin(&mut self, settings: &Settings) {
        self.ledger.pools.clone_from(&settings.pools);
        self.ledger.queues.clone_from(&settings.queues);
        self.ledger.paused.clone_from(&settings.paused);
    }

    /// A run was created.
    pub(crate) fn queued(&mut self, world: &World, key: RunKey, event: &Event) -> Checked<()> {
        self.open_book(world, key)?;
        self.event(world, key, event, None)
    }

    fn open_book(&mut self, world: &World, key: RunKey) -> Checked<()> {
        let missing = || Violation::new("the_world_is_whole", "Every run has a DAG.");
        let model = world.version(key, false).ok_or_else(missing)?;
        self.books.insert(key, Book::new(model.dag.clone()));
        self.ledger.forget(key);
        Ok(())
    }

    /// One event: what must hold before it, the fold, what must hold after it.
    fn event(
        &mut self,
        world: &World,
        key: RunKey,
        event: &Event,
        now: Option<Timestamp>,
    ) -> Checked<()> {
        let Some(book) = self.books.get(&key) else {
            return Ok(());
        };
        let is_newer = book.is_newer || matches!(event, Event::VersionChanged { .. });
        let Some(model) = world.version(key, is_newer) else {
            return Ok(());
        };
        if let Some(now) = now {
            let scene = Scene {
                key,
                model,
                book,
                ledger: &self.ledger,
                now,
                was_halting: false,
            };
            before_event::check(&scene, event)?;
            self.check_met(world, key, event)?;
            late::check_before(&scene, event)?;
        }
        let Some(book) = self.books.get_mut(&key) else {
            return Ok(());
        };
        let was_halting = match event {
            Event::AttemptFinished { ti, .. } => book.past(*ti).halting,
            _ => false,
        };
        book.follow(model, event)?;
        decisions::vote(model, book, event);
        if let Some(now) = now {
            if let Some(book) = self.books.get(&key) {
                self.ledger.follow(key, book, event);
            }
            if let Some(book) = self.books.get(&key) {
                let scene = Scene {
                    key,
                    model,
                    book,
                    ledger: &self.ledger,
                    now,
                    was_halting,
                };
                after_event::check(&scene, event)?;
            }
        }
        Ok(())
    }

    /// A step was made: its events in order, then the step as a whole.
    pub(crate) fn stepped(
        &mut self,
        world: &World,
        run: &LiveRun,
        now: Timestamp,
        input: &Input,
        step: &Step,
    ) -> Checked<()> {
        let (Some(model), Some(book)) = (world.model(run.key), self.books.get(&run.key)) else {
            return Ok(());
        };
        let before = Scene {
            key: run.key,
            model,
            book,
            ledger: &self.ledger,
            now,
            was_halting: false,
        };
        stepped::check_before(stepped::BEFORE, &before, input, step)?;
        stepped::check_before(people::BEFORE, &before, input, step)?;
        global::check_admission(self, world, run.key, input)?;
        global::check_start(self, world, run.key, input)?;
        if let Some(book) = self.books.get_mut(&run.key) {
            book.stopped_now.clear();
            book.was_halting_now.clear();
        }
        for event in &step.events {
            self.event(world, run.key, event, Some(now))?;
        }
        let Some(book) = self.books.get(&run.key) else {
            return Ok(());
        };
        let after = Scene {
            key: run.key,
            model,
            book,
            ledger: &self.ledger,
            now,
            was_halting: false,
        };
        stepped::check_after(stepped::AFTER, &after, run, input, step)?;
        late::check_after(&after, input, step)?;
        stepped::check_after(people::AFTER, &after, run, input, step)
    }

    /// A step was refused: only an input about something that is not there may be, and it changes nothing.
    pub(crate) fn refused(
        &self,
        key: RunKey,
        input: &Input,
        state: &RunState,
        result: &Result<Step, IllegalEvent>,
    ) -> Checked<()> {
        match self.books.get(&key) {
            Some(book) => stepped::check_refused(book, input, state, result),
            None => Ok(()),
        }
    }

    /// Every command of a step was carried out.
    pub(crate) fn settled(&mut self, world: &World, run: &LiveRun) -> Checked<()> {
        let dirty = self.books.get_mut(&run.key).map(Book::take_dirty);
        let (Some(model), Some(book)) = (world.model(run.key), self.books.get(&run.key)) else {
            return Ok(());
        };
        let now = Timestamp::UNIX_EPOCH;
        let scene = Scene {
            key: run.key,
            model,
            book,
            ledger: &self.ledger,
            now,
            was_halting: false,
        };
        human::check(&scene, run)?;
        late::check(&scene, run)?;
        settled::check(&scene, run, &dirty.unwrap_or_default())
    }

    /// Everything that was recorded gives, folded from nothing, the live states again.
    pub(crate) fn check_replay(&self, world: &World, shell: &Shell) -> Checked<()> {
        for run in shell.runs.values() {
            if let Some(book) = self.books.get(&run.key) {
                stepped::check_replay(world, book, run)?;
            }
        }
        Ok(())
    }

    /// Memory is lost: what is not read again from the journal never was.
    pub(crate) fn forget_runs(&mut self) {
        self.books.clear();
        self.ledger.wants.clear();
        self.ledger.held.clear();
        self.ledger.deferred.clear();
    }

    /// A restart read these events of a run: the books begin again from them.
    pub(crate) fn replayed(&mut self, world: &World, key: RunKey, events: &[Event]) -> Checked<()> {
        self.open_book(world, key)?;
        for event in events {
            self.event(world, key, event, None)?;
        }
        if let Some(book) = self.books.get(&key) {
            self.ledger.inherit(key, book);
        }
        Ok(())
    }

    /// How many events a run has recorded.
    pub(crate) fn head(&self, key: RunKey) -> usize {
        self.books.get(&key).map_or(0, |book| book.events.len())
    }

    /// A person's choice of task instances came to these ranges.
    pub(crate) fn selected(
        &self,
        world: &World,
        key: RunKey,
        selection: &Selection,
        ranges: &[(TaskIndex, i32, i32)],
    ) -> Checked<()> {
        match (world.model(key), self.books.get(&key)) {
            (Some(model), Some(book)) => people::check_selection(model, book, selection, ranges),
            _ => Ok(()),
        }
    }

    /// An ended run was read back from the journal.
    pub(crate) fn read_back(&self, key: RunKey, state: &RunState) -> Checked<()> {
        match self.books.get(&key) {
            Some(book) if book.shadow != *state => Err(Violation::new(
                "what_is_read_back_is_what_ended",
                "A run that has ended and is read back is as it was at its end.",
            )
            .because(format!("run {}", key.0))),
            _ => Ok(()),
        }
    }

    /// Runs that have not ended, as the books say.
    pub(crate) fn unfinished(&self) -> usize {
        self.books
            .values()
            .filter(|book| book.finished.is_none())
            .count()
    }
}
