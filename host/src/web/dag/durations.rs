//! How long runs and tasks took, as plots.

use super::{Looked, how_many};
use crate::app::RunRow;
use crate::web::answer::{Answer, Refusal};
use crate::web::chart::{Bar, bars};
use crate::web::visit::Visit;
use crate::web::{layout, link, show};
use maud::{Markup, html};
use std::sync::Arc;

const RUNS: usize = 50;
/// Tasks that have a plot of their own, the first ones.
const TASKS_MAX: usize = 24;

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let looked = Looked::at(visit)?;
    let count = visit.number("runs", RUNS)?.clamp(1, 200);
    let mut runs = visit.app.recent_runs(&looked.dag_id, count)?;
    runs.retain(|run| run.end_date.is_some());
    runs.reverse();
    let task = visit.option("task");
    let tasks = looked
        .registered
        .dag
        .tasks
        .iter()
        .map(|one| one.task_id.as_str());
    let tasks: Vec<&str> = tasks
        .filter(|one| task.is_empty() || *one == task)
        .take(TASKS_MAX)
        .collect();
    let body = html! {
        div.bar {
            (how_many(visit, count, &[25, 50, 100, 200]))
            @if !task.is_empty() { a href=(visit.with("task", "")) { "every task" } }
        }
        @if runs.is_empty() {
            (layout::empty("No run has ended yet.", "Durations are plotted when runs have ended."))
        } @else {
            section.card { h2 { "Runs" } (bars("Durations of runs", &of_runs(&runs), &say)) }
            (of_tasks(visit, &looked, &runs, &tasks)?)
        }
    };
    Ok(looked.page(visit, "Durations", &body).into())
}

fn say(ms: f64) -> String {
    show::duration(whole(ms))
}

fn of_runs(runs: &[Arc<RunRow>]) -> Vec<Bar> {
    let bar = |run: &Arc<RunRow>| {
        let ms = run.end_date?.as_millisecond() - run.start_date?.as_millisecond();
        Some(Bar {
            value: real(ms.max(0)),
            class: format!("p-{}", run.state),
            label: format!("run {}: {}, {}", run.run_id, run.state, show::duration(ms)),
            link: link::run(&run.dag_id, &run.run_id),
        })
    };
    runs.iter().filter_map(bar).collect()
}

fn of_tasks(
    visit: &Visit,
    looked: &Looked,
    runs: &[Arc<RunRow>],
    tasks: &[&str],
) -> Result<Markup, Refusal> {
    let mut cells = Vec::with_capacity(runs.len());
    for run in runs {
        cells.push(visit.app.run_cells(run)?);
    }
    let bars_of = |task: &str| {
        let bar = |(run, cells): (
            &Arc<RunRow>,
            &Arc<std::collections::BTreeMap<String, crate::app::Cell>>,
        )| {
            let cell = cells.get(task)?;
            let ms = cell.duration_ms?;
            Some(Bar {
                value: real(ms),
                class: format!("p-{}", cell.state),
                label: format!(
                    "{task}: {}, {}, run {}",
                    cell.state,
                    show::duration(ms),
                    run.run_id
                ),
                link: link::task_instance(&looked.dag_id, &run.run_id, task, -1),
            })
        };
        runs.iter().zip(&cells).filter_map(bar).collect::<Vec<_>>()
    };
    Ok(html! {
        div.plots {
            @for task in tasks {
                @let all = bars_of(task);
                @if !all.is_empty() {
                    section.card { h2.id { a href=(visit.with("task", task)) { (task) } } (bars(&format!("Durations of {task}"), &all, &say)) }
                }
            }
        }
    })
}

#[expect(clippy::cast_precision_loss, reason = "a plot needs no more")]
fn real(ms: i64) -> f64 {
    ms as f64
}

#[expect(clippy::cast_possible_truncation, reason = "a cast saturates")]
fn whole(ms: f64) -> i64 {
    ms as i64
}
