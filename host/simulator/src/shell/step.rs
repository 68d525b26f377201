//! One step of a run: the core decides, the audit looks on, events go into the batch, commands are carried out.

use super::{Batch, Commit, Effect};
use crate::audit::Checked;
use crate::sim::Sim;
use crate::world::RunKey;
use airlock_core::dispatch::RunNumber;
use airlock_core::ids::{TaskIndex, TaskInstanceKey};
use airlock_core::run::event::{Command, Event, Input};
use airlock_core::run::state::RunState;
use airlock_core::run::{ExpandEvaluator, Instance};
use airlock_core::task_instance::state::TaskInstanceState;
use serde_json::Value;

/// A template is `xcom:N` or `{{ xcom_pull('tN') }}`, the `return_value` of task N (a list of all values where N is mapped),
/// or `error`.
struct Templates;

impl ExpandEvaluator for Templates {
    fn evaluate(&self, template: &str, state: &RunState) -> Result<Value, String> {
        let pulled = template.strip_prefix("{{ xcom_pull('t");
        let pulled = pulled.and_then(|rest| rest.strip_suffix("') }}"));
        let task = template.strip_prefix("xcom:").or(pulled);
        let task = task.and_then(|task| task.parse().ok());
        let Some(task) = task.map(TaskIndex) else {
            return Err("undefined value".to_owned());
        };
        let parse = |json: &str| serde_json::from_str(json).unwrap_or(Value::Null);
        let is_mapped = state
            .dag()
            .task(task)
            .is_some_and(|task| task.expand.is_some())
            || state.dag().mapped_group(task).is_some();
        if is_mapped {
            let values = state.xcoms(task, "return_value");
            return Ok(values.map(|(_, json)| parse(json)).collect());
        }
        let json = state.xcom(task, -1, "return_value");
        Ok(json.map_or(Value::Null, parse))
    }
}

impl Sim {
    /// Steps a run. An input that is stale or makes no sense changes nothing; the audit judges whether it was.
    /// Says whether the run took it.
    pub(super) fn step(
        &mut self,
        number: RunNumber,
        input: &Input,
        batch: &mut Batch,
    ) -> Checked<bool> {
        let Some(run) = self.shell.runs.get_mut(&number) else {
            return Ok(false);
        };
        let key = run.key;
        self.stats.steps += 1;
        self.trace.say(|| format!("run {} <- {input:?}", key.0));
        let result = run.state.step(self.now, input.clone(), &Templates);
        let Ok(step) = result else {
            self.audit.refused(key, input, &run.state, &result)?;
            return Ok(false);
        };
        self.stats.stale += u64::from(step.stale);
        for event in &step.events {
            self.trace.event(key, event);
        }
        for command in &step.commands {
            self.trace.say(|| format!("run {} -> {command:?}", key.0));
        }
        let (head, asked) = (run.head, self.now);
        self.audit.stepped(&self.world, run, asked, input, &step)?;
        self.record(number, head, &step.events, batch);
        self.carry_out(number, step.commands, batch)?;
        if !step.events.is_empty() && self.shell.runs.contains_key(&number) {
            self.check_past(number, batch)?;
            self.tell_followers(key, batch)?;
        }
        Ok(true)
    }

    /// Writes events that the state has applied into the batch.
    pub(super) fn record(
        &mut self,
        number: RunNumber,
        head: usize,
        events: &[Event],
        batch: &mut Batch,
    ) {
        let Some(run) = self.shell.runs.get_mut(&number) else {
            return;
        };
        if events.is_empty() {
            return;
        }
        let fresh = Commit {
            head,
            events: Vec::new(),
        };
        let commit = batch.commits.entry(run.key).or_insert(fresh);
        commit.events.extend_from_slice(events);
        run.head += events.len();
    }

    pub(super) fn carry_out(
        &mut self,
        number: RunNumber,
        commands: Vec<Command>,
        batch: &mut Batch,
    ) -> Checked<()> {
        let Some(key) = self.shell.runs.get(&number).map(|run| run.key) else {
            return Ok(());
        };
        for command in commands {
            self.audit.commanded(key, &command)?;
            match command {
                Command::Want { task, from, to } => self.want(number, task, (from, to)),
                Command::StartAttempt { ti, fence, .. } => {
                    batch.effects.push(Effect::Start {
                        run: key,
                        ti,
                        fence,
                    });
                }
                Command::Release { ti } => self.release(number, ti),
                Command::StopAttempt { ti, fence, .. } => {
                    batch.effects.push(Effect::Stop {
                        run: key,
                        ti,
                        fence,
                    });
                }
                Command::WakeAt { at } => {
                    if let Some(run) = self.shell.runs.get_mut(&number) {
                        run.asked.insert(at);
                    }
                }
                Command::RunFinished { .. } => self.finished(number, batch)?,
                Command::RunReopened => self.reopened(number, batch)?,
                Command::Unwant { task, from, to } => {
                    self.shell.dispatcher.unwant(number, task, (from, to));
                }
            }
        }
        match self.shell.runs.get(&number) {
            Some(run) => self.audit.settled(&self.world, run),
            None => Ok(()),
        }
    }

    /// What a deferred task instance had stays its own where its pool says so.
    fn release(&mut self, number: RunNumber, ti: TaskInstanceKey) {
        let run = self.shell.runs.get(&number);
        let state = run
            .and_then(|run| run.state.instance(ti))
            .map(Instance::state);
        match state {
            Some(TaskInstanceState::Deferred | TaskInstanceState::AwaitingInput) => {
                self.shell.dispatcher.defer(number, ti);
            }
            _ => self.shell.dispatcher.release(number, ti),
        }
    }

    fn finished(&mut self, number: RunNumber, batch: &mut Batch) -> Checked<()> {
        let Some(key) = self.shell.runs.get(&number).map(|run| run.key) else {
            return Ok(());
        };
        self.tell_followers(key, batch)?;
        let Some(run) = self.shell.runs.remove(&number) else {
            return Ok(());
        };
        self.let_go(number, run.key, batch);
        let dag = self.world.arrival(run.key).map(|arrival| arrival.dag);
        let Some(dag) = dag.filter(|_| run.is_counted) else {
            return Ok(());
        };
        if let Some(active) = self.shell.active.get_mut(&dag) {
            // A run that was cancelled while queued never counted as running.
            let before = active.queued.len();
            active.queued.retain(|queued| *queued != number);
            if before == active.queued.len() {
                active.running = active.running.saturating_sub(1);
            }
        }
        self.start_runs(dag, batch)
    }

    /// Forgets a run that has ended; until its last commit is durable nobody reads it back.
    pub(super) fn let_go(&mut self, number: RunNumber, key: RunKey, batch: &mut Batch) {
        self.shell.dispatcher.remove_run(number);
        self.shell.numbers.remove(&key);
        self.shell.previous.remove(&number);
        self.shell.closing.insert(key);
        batch.effects.push(Effect::Close(key));
    }

    /// A run had ended and is queued again.
    fn reopened(&mut self, number: RunNumber, batch: &mut Batch) -> Checked<()> {
        let Some(run) = self.shell.runs.get_mut(&number) else {
            return Ok(());
        };
        run.is_counted = true;
        let key = run.key;
        let Some(dag) = self.world.arrival(key).map(|arrival| arrival.dag) else {
            return Ok(());
        };
        let active = self.shell.active.entry(dag).or_default();
        active.queued.push_back(number);
        self.start_runs(dag, batch)
    }

    /// Starts queued runs of a DAG while `max_active_runs` allows.
    pub(super) fn start_runs(&mut self, dag: usize, batch: &mut Batch) -> Checked<()> {
        let limit = self
            .world
            .dags
            .get(dag)
            .map_or(0, |model| model.dag.max_active_runs);
        loop {
            let Some(active) = self.shell.active.get_mut(&dag) else {
                return Ok(());
            };
            if active.running >= limit {
                return Ok(());
            }
            let Some(number) = active.queued.pop_front() else {
                return Ok(());
            };
            active.running += 1;
            self.step(number, &Input::Start, batch)?;
        }
    }
}
