//! The live picture of a run: a line a task on a terminal, a line a change elsewhere. It goes to stderr.

use super::args::Global;
use super::output::say;
use super::session;
use crate::app::App;
use crate::error::UserError;
use crate::scheduler::{Notice, TaskInstanceRow};
use airlock_core::ids::{DagId, RunId};
use airlock_core::task_instance::state::TaskInstanceState;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::time::Duration;

/// Tasks that the picture shows; a larger DAG gets one line for all.
const LINES_MAX: usize = 40;

/// Follows a run to its end.
pub(super) async fn follow(
    global: &Global,
    app: &App,
    dag_id: &DagId,
    run_id: &RunId,
) -> Result<(), UserError> {
    let (_, mut notices) = app.watch(dag_id, run_id).await?;
    if global.json || global.quiet {
        while notices.recv().await.is_some() {}
        return Ok(());
    }
    if !session::can_draw() {
        while let Some(notice) = notices.recv().await {
            if let Some(line) = line(&notice) {
                say(&line);
            }
        }
        return Ok(());
    }
    let rows = app.run_detail(dag_id, run_id)?.task_instances;
    let mut picture = Picture::new(&rows);
    while let Some(notice) = notices.recv().await {
        picture.take(notice);
    }
    picture.end();
    Ok(())
}

fn line(notice: &Notice) -> Option<String> {
    match notice {
        Notice::TaskInstances {
            state: TaskInstanceState::None | TaskInstanceState::Scheduled,
            ..
        } => None,
        Notice::TaskInstances {
            task_id,
            from,
            to,
            state,
            try_number,
            at,
            error,
        } => {
            let name = name(task_id, *from, *to);
            let tries = if *try_number > 1 {
                format!(" (try {try_number})")
            } else {
                String::new()
            };
            let error = error
                .as_deref()
                .map(|error| format!(": {error}"))
                .unwrap_or_default();
            Some(format!(
                "{}  {name}  {state}{tries}{error}",
                at.strftime("%H:%M:%S")
            ))
        }
        Notice::Run { state, at, .. } => Some(format!("{}  run {state}", at.strftime("%H:%M:%S"))),
        // Where nothing is drawn, the log's own lines tell it.
        Notice::Progress { .. } => None,
    }
}

fn name(task_id: &str, from: i32, to: i32) -> String {
    match (from, to - from) {
        (..0, _) => task_id.to_owned(),
        (from, 1) => format!("{task_id}[{from}]"),
        (from, _) => format!("{task_id}[{from}..{to}]"),
    }
}

/// Icon and colour of a state; never colour alone.
const fn face(state: TaskInstanceState) -> (&'static str, &'static str) {
    use TaskInstanceState as S;
    match state {
        S::Success => ("✔", "green"),
        S::Failed => ("✘", "red"),
        S::Skipped => ("↷", "magenta"),
        S::UpstreamFailed => ("⊘", "yellow"),
        S::Running => ("▶", "cyan"),
        S::UpForRetry | S::Restarting => ("↻", "yellow"),
        S::UpForReschedule | S::Deferred => ("⏳", "blue"),
        S::AwaitingInput => ("?", "blue"),
        S::None | S::Scheduled | S::Queued | S::Removed => ("·", "dim"),
    }
}

/// One task's line.
struct Line {
    bar: ProgressBar,
    counts: BTreeMap<TaskInstanceState, i32>,
    instances: BTreeMap<i32, TaskInstanceState>,
}

struct Picture {
    _bars: MultiProgress,
    lines: BTreeMap<String, Line>,
}

impl Picture {
    fn new(rows: &[TaskInstanceRow]) -> Self {
        let bars = MultiProgress::new();
        let mut picture = Self {
            _bars: bars.clone(),
            lines: BTreeMap::new(),
        };
        let mut widest = 0;
        for row in rows {
            widest = widest.max(row.task_id.len());
        }
        for row in rows {
            if !picture.lines.contains_key(&row.task_id) && picture.lines.len() < LINES_MAX {
                let bar = bars.add(ProgressBar::new_spinner());
                bar.set_prefix(format!("{:widest$}", row.task_id));
                picture.lines.insert(
                    row.task_id.clone(),
                    Line {
                        bar,
                        counts: BTreeMap::new(),
                        instances: BTreeMap::new(),
                    },
                );
            }
            picture.set(&row.task_id, row.map_index, row.state);
        }
        for task_id in picture.lines.keys().cloned().collect::<Vec<_>>() {
            picture.draw(&task_id, None);
        }
        picture
    }

    fn set(&mut self, task_id: &str, map_index: i32, state: TaskInstanceState) {
        let Some(line) = self.lines.get_mut(task_id) else {
            return;
        };
        if map_index >= 0 {
            // An expanded task's placeholder is gone.
            if let Some(old) = line.instances.remove(&-1) {
                *line.counts.entry(old).or_default() -= 1;
            }
        }
        if let Some(old) = line.instances.insert(map_index, state) {
            *line.counts.entry(old).or_default() -= 1;
        }
        *line.counts.entry(state).or_default() += 1;
    }

    fn take(&mut self, notice: Notice) {
        if let Notice::Progress {
            task_id,
            map_index,
            message,
        } = &notice
        {
            let detail = match map_index {
                ..0 => message.clone(),
                index => format!("[{index}] {message}"),
            };
            self.draw(task_id, Some(detail));
            return;
        }
        let Notice::TaskInstances {
            task_id,
            from,
            to,
            state,
            try_number,
            error,
            ..
        } = notice
        else {
            return;
        };
        for map_index in from..to {
            self.set(&task_id, map_index, state);
        }
        let detail = match (error, try_number) {
            (Some(error), _) => Some(error.lines().next().unwrap_or_default().to_owned()),
            (None, tries @ 2..) => Some(format!("try {tries}")),
            _ => None,
        };
        self.draw(&task_id, detail);
    }

    fn draw(&self, task_id: &str, detail: Option<String>) {
        let Some(line) = self.lines.get(task_id) else {
            return;
        };
        let total: i32 = line.counts.values().sum();
        let busiest = line
            .counts
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(state, _)| *state);
        let state = busiest
            .min_by_key(|state| urgency(*state))
            .unwrap_or(TaskInstanceState::None);
        let (icon, color) = face(state);
        let style = ProgressStyle::with_template(&format!(
            "  {{prefix}}  {{spinner:.{color}}} {{msg:.{color}}}"
        ));
        if let Ok(style) = style {
            line.bar.set_style(style.tick_strings(&[icon, icon]));
        }
        let text = if total > 1 {
            let parts = line
                .counts
                .iter()
                .filter(|(_, count)| **count > 0)
                .map(|(state, count)| format!("{count} {state}"));
            parts.collect::<Vec<_>>().join(", ")
        } else {
            state.to_string()
        };
        line.bar
            .set_message(detail.map_or_else(|| text.clone(), |detail| format!("{text}  {detail}")));
        if state == TaskInstanceState::Running {
            line.bar.enable_steady_tick(Duration::from_millis(200));
        } else {
            line.bar.disable_steady_tick();
        }
    }

    fn end(self) {
        for line in self.lines.into_values() {
            line.bar.abandon();
        }
    }
}

/// Which state a mapped task's line shows: what moves first, then what is wrong, then the rest.
const fn urgency(state: TaskInstanceState) -> u8 {
    use TaskInstanceState as S;
    match state {
        S::Running => 0,
        S::UpForRetry | S::Restarting => 1,
        S::Failed => 2,
        S::UpForReschedule | S::Deferred | S::AwaitingInput => 3,
        S::Queued | S::Scheduled => 4,
        S::None => 5,
        S::UpstreamFailed => 6,
        S::Success => 7,
        S::Skipped => 8,
        S::Removed => 9,
    }
}
