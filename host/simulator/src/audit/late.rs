//! Invariants about SLAs and deadlines: told once, not too early, and in time.

use super::book::Book;
use super::{Checked, Invariant, Scene};
use crate::shell::LiveRun;
use airlock_core::run::event::{Event, Input};
use airlock_core::run::step::Step;
use jiff::Timestamp;

const EARLY: Invariant<()> = Invariant {
    name: "what_is_late_is_told_once",
    sentence: "An SLA or deadline is told as missed once, after it has passed, while its task or run had not ended.",
    holds: (),
};
const IN_TIME: Invariant<()> = Invariant {
    name: "what_is_late_is_told",
    sentence: "A run that is woken, or in which an attempt ends, tells of every SLA and deadline that has passed.",
    holds: (),
};
const WOKEN: Invariant<()> = Invariant {
    name: "what_may_be_late_is_woken",
    sentence: "For whatever may be missed, the shell has been asked to wake the run by then.",
    holds: (),
};

/// The first SLA or deadline that is neither missed nor met.
fn first(book: &Book) -> Option<Timestamp> {
    let slas = book.slas.values();
    slas.chain(book.deadlines.values()).min().copied()
}

/// Asked before the books follow an event.
pub(super) fn check_before(scene: &Scene<'_>, event: &Event) -> Checked<()> {
    let passed = |at: Option<&Timestamp>| at.is_some_and(|at| *at <= scene.now);
    let is_right = match event {
        Event::SlaMissed { tasks, .. } => {
            tasks.iter().all(|task| passed(scene.book.slas.get(task)))
        }
        Event::DeadlineMissed { deadline, .. } => passed(scene.book.deadlines.get(deadline)),
        _ => true,
    };
    if is_right {
        return Ok(());
    }
    Err(EARLY.broken(format!("run {}: {event:?}", scene.key.0)))
}

/// Asked after the books have followed a step.
pub(super) fn check_after(scene: &Scene<'_>, input: &Input, step: &Step) -> Checked<()> {
    let looks = match input {
        Input::Wake => true,
        Input::Finish { ti, .. } => !step.stale && !scene.book.was_halting_now.contains(ti),
        _ => false,
    };
    let is_late = first(scene.book).is_some_and(|at| at <= scene.now);
    if !looks || !is_late || scene.book.finished.is_some() {
        return Ok(());
    }
    Err(IN_TIME.broken(format!("run {}: {input:?}", scene.key.0)))
}

/// Asked when every command of a step was carried out.
pub(super) fn check(scene: &Scene<'_>, run: &LiveRun) -> Checked<()> {
    let asked = run.asked.first();
    let is_asked = first(scene.book).is_none_or(|at| asked.is_some_and(|asked| *asked <= at));
    if is_asked || run.state.state().is_finished() {
        return Ok(());
    }
    Err(WOKEN.broken(format!("run {}", scene.key.0)))
}
