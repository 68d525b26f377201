//! The attempts of a run in time: one row a task instance, one bar an attempt (a Gantt chart).

use super::Looked;
use crate::app::AttemptRow;
use crate::web::answer::{Answer, Refusal};
use crate::web::visit::Visit;
use crate::web::{ansi, layout, link, show};
use jiff::Timestamp;
use maud::{Markup, html};
use std::collections::BTreeMap;

const WIDTH: i64 = 760;
const ROW: i64 = 22;
const LABEL: i64 = 230;
/// Rows of the picture; further attempts are in the list.
const ROWS_MAX: usize = 150;

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let looked = Looked::at(visit)?;
    let attempts = visit.app.attempts(&looked.dag_id, &looked.run_id, None)?;
    let body = html! {
        @if attempts.rows.is_empty() {
            (layout::empty("Nothing has started yet.", "What waits, and why, is among the task instances."))
        } @else {
            @if attempts.is_cut { p.count { "the first " (crate::app::ATTEMPTS_MAX) " attempts" } }
            (picture(&looked, &attempts.rows))
            (table(&looked, &attempts.rows))
        }
    };
    Ok(looked.page(visit, "Timeline", &body).into())
}

/// The class of a bar: how its attempt ended.
fn word(attempt: &AttemptRow) -> &'static str {
    match attempt.outcome.as_str() {
        "" => "running",
        "failed" => "failed",
        "skipped" => "skipped",
        "not yet" => "up_for_reschedule",
        "deferred" => "deferred",
        "lost with its host" => "restarting",
        _ => "success",
    }
}

fn picture(looked: &Looked, attempts: &[AttemptRow]) -> Markup {
    let now = Timestamp::now();
    let begin = attempts
        .iter()
        .map(|attempt| attempt.start)
        .min()
        .unwrap_or(now);
    let end = attempts
        .iter()
        .map(|attempt| attempt.end.unwrap_or(now))
        .max()
        .unwrap_or(now);
    let span = (end.as_millisecond() - begin.as_millisecond()).max(1);
    let x = |at: Timestamp| LABEL + (at.as_millisecond() - begin.as_millisecond()) * WIDTH / span;
    let mut rows: BTreeMap<(Timestamp, &str, i32), Vec<&AttemptRow>> = BTreeMap::new();
    let mut first: BTreeMap<(&str, i32), Timestamp> = BTreeMap::new();
    for attempt in attempts {
        let name = (attempt.task_id.as_str(), attempt.map_index);
        let at = *first.entry(name).or_insert(attempt.start);
        rows.entry((at, name.0, name.1)).or_default().push(attempt);
    }
    let shown = rows.len().min(ROWS_MAX);
    let height = i64::try_from(shown).unwrap_or(0) * ROW + 24;
    html! {
        div.scroll tabindex="0" role="group" aria-label="Timeline of attempts" {
            svg.timeline width=(LABEL + WIDTH + 20) height=(height) {
                text.tick x=(LABEL) y="12" { "0" }
                text.tick x=(LABEL + WIDTH) y="12" text-anchor="end" { (show::duration(span)) }
                @for (row, ((_, task_id, map_index), attempts)) in (0_i64..).zip(rows.iter().take(ROWS_MAX)) {
                    @let y = 20 + row * ROW;
                    line.rule x1="0" x2=(LABEL + WIDTH) y1=(y + ROW - 2) y2=(y + ROW - 2) {}
                    a href=(link::task_instance(&looked.dag_id, &looked.run_id, task_id, *map_index)) {
                        text.label x="0" y=(y + 14) { (label(&show::instance_name(task_id, *map_index))) title { (show::instance_name(task_id, *map_index)) } }
                    }
                    @for attempt in attempts {
                        @let left = x(attempt.start);
                        rect class={"p-" (word(attempt))} x=(left) y=(y + 3) width=((x(attempt.end.unwrap_or(now)) - left).max(2)) height="13" rx="2" {
                            title { "try " (attempt.try_number) ": " (if attempt.outcome.is_empty() { "running" } else { &attempt.outcome }) }
                        }
                    }
                }
            }
        }
    }
}

fn label(name: &str) -> String {
    const CHARS: usize = 32;
    if name.chars().count() <= CHARS {
        return name.to_owned();
    }
    let end: String = name
        .chars()
        .skip(name.chars().count() - (CHARS - 1))
        .collect();
    format!("…{end}")
}

fn table(looked: &Looked, attempts: &[AttemptRow]) -> Markup {
    let now = Timestamp::now();
    html! {
        details {
            summary { "As a list" }
            div.scroll tabindex="0" role="group" aria-label="Attempts" { table.list.wide {
                thead { tr { th { "Task instance" } th.num { "Try" } th.num { "Attempt" } th { "Started" } th { "Took" } th { "Ended as" } } }
                tbody {
                    @for attempt in attempts {
                        tr {
                            td { a.id href=(link::task_instance(&looked.dag_id, &looked.run_id, &attempt.task_id, attempt.map_index)) { (show::instance_name(&attempt.task_id, attempt.map_index)) } }
                            td.num { (attempt.try_number) }
                            td.num { (attempt.attempt) }
                            td { (show::time(attempt.start)) }
                            td { (show::took(Some(attempt.start), attempt.end, now)) }
                            td { (ended(attempt)) }
                        }
                    }
                }
            } }
        }
    }
}

/// How an attempt ended, in words.
pub(super) fn ended(attempt: &AttemptRow) -> Markup {
    html! {
        @if attempt.outcome.is_empty() { (show::state("running")) }
        @else {
            (attempt.outcome)
            @if let Some(error) = &attempt.error { span.faint { " " (show::short(&ansi::plain(error))) } }
        }
    }
}
