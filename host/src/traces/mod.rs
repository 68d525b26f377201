//! Traces of runs for OpenTelemetry collectors: a run is a trace, or a span of the trace of whoever asked for it, and each attempt in it
//! a span. Made of a run's durable events when it has ended, so that they are there after a crash as well; sent as OTLP over HTTP in JSON, which every collector reads. It refuses
//! to hold anything up: what a collector does not take is told and let go.

mod parent;
mod send;

pub(crate) use parent::RunTrace;
pub use parent::TraceParent;
pub(crate) use send::Exporter;
pub use send::{OtlpSettings, Unreadable};

use airlock_core::dag::spec::Dag;
use airlock_core::ids::TaskInstanceKey;
use airlock_core::run::event::{Event, Fence, Outcome};
use airlock_core::task_instance::state::DagRunState;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Attempts of a trace; a run with more has the first ones, and says so.
pub const SPANS_MAX: usize = 10_000;
/// The longest text of an attribute, characters.
const TEXT_CHARS_MAX: usize = 1_000;
/// OTLP's numbers.
const KIND_INTERNAL: u8 = 1;
const STATUS_OK: u8 = 1;
const STATUS_ERROR: u8 = 2;

/// What a trace is about.
pub(crate) struct Traced<'a> {
    pub(crate) dag_id: &'a str,
    pub(crate) run_id: &'a str,
    pub(crate) dag: &'a Dag,
    pub(crate) service: &'a str,
    /// The `traceparent` of whoever asked for the run; empty where nobody said one.
    pub(crate) parent: &'a str,
}

/// The last span of time in which a run ran: from its last start until its end.
#[derive(Default)]
struct Folded {
    queued: Option<Timestamp>,
    started: Option<Timestamp>,
    ended: Option<(DagRunState, Timestamp)>,
    attempts: Vec<Attempt>,
    live: BTreeMap<(TaskInstanceKey, Fence), usize>,
    left_out: usize,
}

struct Attempt {
    ti: TaskInstanceKey,
    try_number: u32,
    fence: Fence,
    from: Timestamp,
    to: Option<Timestamp>,
    /// Why it failed.
    error: Option<String>,
    word: &'static str,
}

impl Folded {
    fn follow(&mut self, event: &Event) {
        match event {
            Event::RunQueued { at, .. } => self.queued = Some(*at),
            Event::RunStarted { at } => {
                *self = Self {
                    queued: self.queued,
                    started: Some(*at),
                    ..Self::default()
                };
            }
            Event::RunFinished { state, at, .. } => self.ended = Some((*state, *at)),
            Event::AttemptStarted {
                ti,
                try_number,
                fence,
                at,
            } => self.begin(*ti, *try_number, *fence, *at),
            Event::AttemptFinished {
                ti,
                fence,
                outcome,
                at,
            } => {
                let error = match outcome {
                    Outcome::Error(error) => Some(error.message.clone()),
                    _ => None,
                };
                self.end((*ti, *fence), *at, word(outcome), error);
            }
            Event::AttemptLost { ti, fence, at } => {
                self.end(
                    (*ti, *fence),
                    *at,
                    "lost",
                    Some("its host went away".to_owned()),
                );
            }
            _ => {}
        }
    }

    fn begin(&mut self, ti: TaskInstanceKey, try_number: u32, fence: Fence, from: Timestamp) {
        if self.attempts.len() >= SPANS_MAX {
            self.left_out += 1;
            return;
        }
        self.live.insert((ti, fence), self.attempts.len());
        self.attempts.push(Attempt {
            ti,
            try_number,
            fence,
            from,
            to: None,
            error: None,
            word: "running",
        });
    }

    fn end(
        &mut self,
        key: (TaskInstanceKey, Fence),
        at: Timestamp,
        word: &'static str,
        error: Option<String>,
    ) {
        let place = self.live.remove(&key);
        if let Some(attempt) = place.and_then(|place| self.attempts.get_mut(place)) {
            attempt.to = Some(at);
            attempt.word = word;
            attempt.error = error;
        }
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Success(_) | Outcome::Branch(_) | Outcome::ShortCircuit { .. } => "success",
        Outcome::Skip(_) => "skipped",
        Outcome::NotYet => "not_yet",
        Outcome::Defer(_) => "deferred",
        Outcome::Error(_) => "failed",
    }
}

fn nanos(at: Timestamp) -> String {
    at.as_nanosecond().max(0).to_string()
}

fn attribute(key: &str, value: &str) -> Value {
    let text: String = value.chars().take(TEXT_CHARS_MAX).collect();
    json!({"key": key, "value": {"stringValue": text}})
}

fn number(key: &str, value: i64) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}

/// The body of a request to a collector; none for a run that has not ended, or whose asker records nothing.
pub(crate) fn trace(run: &Traced<'_>, events: impl Iterator<Item = Event>) -> Option<Value> {
    let mut folded = Folded::default();
    for event in events {
        folded.follow(&event);
    }
    let (state, ended) = folded.ended?;
    let begun = folded.started.or(folded.queued)?;
    let ids = RunTrace::new(run.dag_id, run.run_id, begun, run.parent);
    if ids.parent().is_some_and(|parent| !parent.is_sampled()) {
        return None;
    }
    let (trace_id, root) = (ids.trace_id(), ids.root());
    let status = match state {
        DagRunState::Success => json!({"code": STATUS_OK}),
        _ => json!({"code": STATUS_ERROR, "message": "the run failed"}),
    };
    let mut of_run = json!({
        "traceId": trace_id, "spanId": root, "name": format!("dag_run {}", run.dag_id), "kind": KIND_INTERNAL,
        "startTimeUnixNano": nanos(begun), "endTimeUnixNano": nanos(ended), "status": status,
        "attributes": [
            attribute("airlock.dag_id", run.dag_id), attribute("airlock.run_id", run.run_id),
            attribute("airlock.state", state.as_str()), number("airlock.attempts_left_out", folded.left_out.try_into().ok()?),
        ],
    });
    if let (Some(parent), Some(span)) = (ids.parent(), of_run.as_object_mut()) {
        span.insert("parentSpanId".to_owned(), json!(parent.span_id()));
    }
    let mut spans = vec![of_run];
    for attempt in &folded.attempts {
        spans.push(span(run, &ids, attempt, ended));
    }
    let service = [
        attribute("service.name", run.service),
        attribute("service.version", env!("CARGO_PKG_VERSION")),
    ];
    Some(json!({
        "resourceSpans": [{
            "resource": {"attributes": service},
            "scopeSpans": [{"scope": {"name": "airlock", "version": env!("CARGO_PKG_VERSION")}, "spans": spans}],
        }],
    }))
}

fn span(run: &Traced<'_>, ids: &RunTrace, attempt: &Attempt, run_ended: Timestamp) -> Value {
    let task = run.dag.task(attempt.ti.task);
    let task_id = task.map_or("", |task| task.task_id.as_str());
    let operator = task.map_or(String::new(), |task| task.operator.to_string());
    let index = attempt.ti.map_index;
    let own = ids.span(task_id, index, attempt.fence);
    let status = match &attempt.error {
        Some(error) => {
            let text: String = error.chars().take(TEXT_CHARS_MAX).collect();
            json!({"code": STATUS_ERROR, "message": text})
        }
        None => json!({"code": STATUS_OK}),
    };
    json!({
        "traceId": ids.trace_id(), "spanId": own, "parentSpanId": ids.root(), "name": format!("task_instance {task_id}"),
        "kind": KIND_INTERNAL, "startTimeUnixNano": nanos(attempt.from),
        "endTimeUnixNano": nanos(attempt.to.unwrap_or(run_ended)), "status": status,
        "attributes": [
            attribute("airlock.task_id", task_id), number("airlock.map_index", i64::from(index)),
            number("airlock.try_number", i64::from(attempt.try_number)), number("airlock.attempt", i64::from(attempt.fence.attempt)),
            attribute("airlock.operator", &operator), attribute("airlock.outcome", attempt.word),
        ],
    })
}
