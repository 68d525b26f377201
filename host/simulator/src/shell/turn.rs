//! A turn of the shell's loop: messages, what is due, slots, one batch; and the two things that follow a batch later: it becomes
//! durable or is refused, and its effects happen.

use super::{Batch, Effect, LiveRun, Message, Promise};
use crate::audit::{Checked, Violation, check_durable};
use crate::sim::Sim;
use crate::world::RunKey;
use airlock_core::dispatch::{RunLimits, RunNumber};
use airlock_core::run::event::Input;
use airlock_core::run::priority::effective_weights;
use airlock_core::run::state::RunState;
use airlock_core::task_instance::state::DagRunState;
use std::collections::BTreeSet;

/// More wake-ups than this in one turn are a loop.
const WAKES_MAX: usize = 10_000;

impl Sim {
    /// One turn that takes at most `messages` out of the inbox.
    pub(crate) fn turn(&mut self, messages: usize) -> Checked<()> {
        let mut batch = Batch::default();
        for _ in 0..messages {
            let Some(message) = self.shell.inbox.pop_front() else {
                break;
            };
            self.handle(message, &mut batch)?;
        }
        self.end_turn(batch)
    }

    pub(super) fn end_turn(&mut self, mut batch: Batch) -> Checked<()> {
        self.wake_due(&mut batch)?;
        self.give_out_slots(&mut batch)?;
        if !batch.is_empty() {
            self.shell.in_flight.push_back(batch);
        }
        Ok(())
    }

    fn handle(&mut self, message: Message, batch: &mut Batch) -> Checked<()> {
        match message {
            Message::Trigger(run) => self.trigger(run, batch),
            Message::Cancel(run) => {
                let reason = "somebody cancelled it".to_owned();
                if self.input(run, &Input::Cancel { reason }, batch)? {
                    self.promise(run, true, batch);
                }
                Ok(())
            }
            Message::Change { run, change } => self.change(run, change, batch),
            Message::Closed(run) => {
                self.shell.closing.remove(&run);
                self.tell_followers(run, batch)
            }
            Message::SetPool(name, size) => {
                self.audit.ledger.pools.insert(name.clone(), size);
                let dispatcher = &mut self.shell.dispatcher;
                dispatcher.set_include_deferred(&name, size.include_deferred);
                dispatcher.set_pool(name, size.slots);
                Ok(())
            }
            Message::Serve(queues) => {
                self.audit.ledger.queues.clone_from(&queues);
                self.shell.dispatcher.serve(queues);
                Ok(())
            }
            Message::Pause(place, is_paused) => {
                self.pause(place, is_paused);
                Ok(())
            }
            Message::Failed => {
                self.shell.failed = true;
                Ok(())
            }
            of_attempt => self.handle_attempt(of_attempt, batch),
        }
    }

    /// What attempts say and ask.
    fn handle_attempt(&mut self, message: Message, batch: &mut Batch) -> Checked<()> {
        match message {
            Message::PushXCom {
                run,
                ti,
                fence,
                key,
                value,
            } => {
                let input = Input::PushXCom {
                    ti,
                    fence,
                    key,
                    value,
                };
                self.input(run, &input, batch).map(drop)
            }
            Message::Finish {
                run,
                ti,
                fence,
                outcome,
            } => {
                let input = Input::Finish { ti, fence, outcome };
                self.input(run, &input, batch).map(drop)
            }
            Message::Ask {
                run,
                ti,
                fence,
                request,
            } => {
                let input = Input::RequestInput { ti, fence, request };
                self.input(run, &input, batch).map(drop)
            }
            Message::Lose { run, ti, fence } => {
                self.input(run, &Input::Lose { ti, fence }, batch).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn pause(&mut self, place: usize, is_paused: bool) {
        let Some(model) = self.world.dags.get(place) else {
            return;
        };
        self.shell
            .dispatcher
            .set_paused(&model.dag.dag_id, is_paused);
        if is_paused {
            self.audit.ledger.paused.insert(place);
        } else {
            self.audit.ledger.paused.remove(&place);
        }
    }

    /// Whoever asked for what is in the batch is told when it is durable. What changed nothing promises nothing.
    pub(super) fn promise(&mut self, run: RunKey, is_cancelled: bool, batch: &mut Batch) {
        if !batch.commits.contains_key(&run) {
            return;
        }
        let head = self.audit.head(run);
        batch.effects.push(Effect::Acknowledge(Promise {
            run,
            head,
            is_cancelled,
        }));
    }

    /// Steps a run that the shell knows; says whether it does and the run took the input.
    fn input(&mut self, run: RunKey, input: &Input, batch: &mut Batch) -> Checked<bool> {
        let Some(number) = self.shell.numbers.get(&run).copied() else {
            return Ok(false);
        };
        self.step(number, input, batch)
    }

    fn trigger(&mut self, run: RunKey, batch: &mut Batch) -> Checked<()> {
        let (Some(arrival), Some(model)) = (self.world.arrival(run), self.world.model(run)) else {
            return Ok(());
        };
        if self.shell.failed || self.shell.numbers.contains_key(&run) {
            return Ok(());
        }
        let (dag, header) = (model.dag.clone(), arrival.header.clone());
        let place = arrival.dag;
        let (state, event) = RunState::queue(dag, header, [0; 32], self.now);
        self.trace.event(run, &event);
        self.audit.queued(&self.world, run, &event)?;
        let number = self.adopt(run, state, 0);
        self.record(number, 0, &[event], batch);
        // Its SLAs and deadlines count while it is queued.
        if let Some(run) = self.shell.runs.get_mut(&number) {
            run.asked.extend(run.state.next_timer());
        }
        self.promise(run, false, batch);
        self.start_runs(place, batch)
    }

    /// Takes a run into memory; its state may be fresh or replayed.
    pub(super) fn adopt(&mut self, key: RunKey, state: RunState, head: usize) -> RunNumber {
        let number = self.shell.next_number;
        self.shell.next_number += 1;
        let limits = RunLimits::of(state.dag());
        self.shell.dispatcher.add_run(number, limits);
        self.shell.numbers.insert(key, number);
        let dag = self.world.arrival(key).map_or(0, |arrival| arrival.dag);
        let active = self.shell.active.entry(dag).or_default();
        match state.state() {
            DagRunState::Queued => active.queued.push_back(number),
            DagRunState::Running => active.running += 1,
            DagRunState::Success | DagRunState::Failed => {}
        }
        let run = LiveRun {
            is_counted: !state.state().is_finished(),
            key,
            priorities: effective_weights(state.dag()),
            state,
            head,
            asked: BTreeSet::new(),
        };
        self.shell.runs.insert(number, run);
        self.follow_past(number);
        self.audit.adopted(&self.world, key);
        number
    }

    fn wake_due(&mut self, batch: &mut Batch) -> Checked<()> {
        for _ in 0..WAKES_MAX {
            let due = self.shell.next_timer().filter(|(at, _)| *at <= self.now);
            let Some((at, number)) = due else {
                return Ok(());
            };
            if let Some(run) = self.shell.runs.get_mut(&number) {
                run.asked.remove(&at);
            }
            self.step(number, &Input::Wake, batch)?;
        }
        Err(Violation::new(
            "wakes_end",
            "A run that was woken does not ask for the same moment again and again.",
        ))
    }

    /// The oldest batch reaches the store. `refuse` says whether the store takes it.
    pub(crate) fn commit(&mut self, refuse: bool) {
        let Some(batch) = self.shell.in_flight.pop_front() else {
            return;
        };
        let mut taken = !refuse;
        // A store that refuses one commit of a group may take the others.
        for (run, commit) in batch.commits.iter().skip(usize::from(refuse)) {
            let is_durable = self.journal.commit(*run, commit);
            if is_durable {
                self.audit.promises.became_durable(*run, &commit.events);
            }
            taken &= is_durable;
        }
        if taken {
            self.shell.effects.extend(batch.effects);
        } else {
            self.trace.say(|| "the store refused a commit".to_owned());
            self.shell.inbox.push_back(Message::Failed);
        }
    }

    /// The oldest effect happens.
    pub(crate) fn act(&mut self) -> Checked<()> {
        let Some(effect) = self.shell.effects.pop_front() else {
            return Ok(());
        };
        match effect {
            Effect::Start { run, ti, fence } => {
                check_durable(&self.journal, run, ti, fence)?;
                self.workers.start(
                    &mut self.draw,
                    &self.world,
                    (run, ti, fence),
                    self.now,
                    self.calm,
                );
            }
            Effect::Stop { run, ti, fence } => {
                self.workers
                    .stop(&mut self.draw, (run, ti, fence), self.calm);
            }
            Effect::Acknowledge(promise) => self.audit.acknowledged(&promise),
            Effect::Close(run) => self.deliver(Message::Closed(run)),
        }
        Ok(())
    }
}
