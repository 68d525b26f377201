//! The grid: tasks by runs, one cell each. A small grid is a table of links; a large one is one picture a row, in which all cells of
//! a state are one path, so that 25,000 cells are a few hundred elements. It owns the drawing; what a cell says is the run's.

use super::link;
use super::show::{self, icon};
use crate::app::{Cell, RunRow};
use airlock_core::dag::spec::Dag;
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Cells up to which each is a link of its own.
const LINKED_CELLS_MAX: usize = 1_500;
/// The distance of cells in a picture.
const PITCH: usize = 16;
const SIDE: usize = 13;

/// A column: a run and its tasks.
pub(super) struct Column {
    pub(super) run: Arc<RunRow>,
    pub(super) cells: Arc<BTreeMap<String, Cell>>,
}

/// What a grid is drawn with. The newest run is on the right.
pub(super) struct Grid<'a> {
    pub(super) dag: &'a Dag,
    pub(super) columns: Vec<Column>,
    pub(super) folded: BTreeSet<&'a str>,
    pub(super) fold_link: &'a dyn Fn(&str) -> String,
}

/// A row: a task, or a group.
enum Row<'a> {
    Task {
        id: &'a str,
        depth: usize,
    },
    Group {
        id: &'a str,
        depth: usize,
        is_folded: bool,
    },
}

impl Row<'_> {
    fn id(&self) -> &str {
        match self {
            Row::Task { id, .. } | Row::Group { id, .. } => id,
        }
    }

    fn depth(&self) -> usize {
        match self {
            Row::Task { depth, .. } | Row::Group { depth, .. } => *depth,
        }
    }
}

impl Grid<'_> {
    pub(super) fn draw(&self) -> Markup {
        let rows = self.rows();
        let is_linked = rows.len() * self.columns.len() <= LINKED_CELLS_MAX;
        html! {
            div.gridwrap tabindex="0" role="group" aria-label="Grid of tasks and runs" {
                table.grid data-dag=(self.dag.dag_id) {
                    thead {
                        tr {
                            th scope="col" { span.sr { "Task" } }
                            @if is_linked {
                                @for column in &self.columns { th.run scope="col" { (self.head(column)) } }
                            } @else {
                                td.strip { (self.heads()) }
                            }
                        }
                    }
                    tbody {
                        @for row in &rows {
                            tr data-task=(row.id()) {
                                th scope="row" class={"depth-" (row.depth().min(5))} { (self.label(row)) }
                                @if is_linked {
                                    @for column in &self.columns { td { (self.cell(row, column)) } }
                                } @else {
                                    td.strip { (self.strip(row)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Groups stand before what is in them; what is in a folded one is left out.
    fn rows(&self) -> Vec<Row<'_>> {
        let mut rows = Vec::new();
        let mut told: BTreeSet<&str> = BTreeSet::new();
        for task in &self.dag.tasks {
            let mut path = Vec::new();
            let mut group = task.task_group;
            while let Some(index) = group {
                let Some(here) = self.dag.group(index) else {
                    break;
                };
                path.push(here.group_id.as_str());
                group = here.parent;
            }
            path.reverse();
            let mut is_hidden = false;
            for (depth, id) in path.iter().enumerate() {
                let is_folded = self.folded.contains(id);
                if !is_hidden && told.insert(id) {
                    rows.push(Row::Group {
                        id,
                        depth,
                        is_folded,
                    });
                }
                is_hidden |= is_folded;
            }
            if !is_hidden {
                rows.push(Row::Task {
                    id: task.task_id.as_str(),
                    depth: path.len(),
                });
            }
        }
        rows
    }

    fn label(&self, row: &Row<'_>) -> Markup {
        match row {
            Row::Task { id, .. } => {
                let short = id.rsplit('.').next().unwrap_or(id);
                let newest = self.columns.last();
                html! {
                    @match newest {
                        Some(column) => a href=(self.instance(column, id)) title=(id) { (short) },
                        None => span title=(id) { (short) },
                    }
                }
            }
            Row::Group { id, is_folded, .. } => {
                let short = id.rsplit('.').next().unwrap_or(id);
                html! {
                    a.fold href=((self.fold_link)(id)) aria-expanded=(if *is_folded { "false" } else { "true" }) title={"group " (id)} {
                        span aria-hidden="true" { (if *is_folded { "+" } else { "−" }) } " " (short)
                    }
                }
            }
        }
    }

    fn instance(&self, column: &Column, task_id: &str) -> String {
        let is_mapped = column.cells.get(task_id).is_some_and(|cell| cell.is_mapped);
        let run_id = &column.run.run_id;
        if is_mapped {
            let path = link::run(&self.dag.dag_id, run_id);
            return link::query(&path, &[("task", task_id)]);
        }
        link::task_instance(&self.dag.dag_id, run_id, task_id, -1)
    }

    /// The state of a task in a run, or of a group's tasks put together.
    fn found(row: &Row<'_>, column: &Column) -> Option<(&'static str, String)> {
        match row {
            Row::Task { id, .. } => {
                let cell = column.cells.get(*id)?;
                let words = if cell.is_mapped {
                    show::counts(&cell.counts)
                } else {
                    cell.state.as_str().replace('_', " ")
                };
                let tries = if cell.try_number > 1 {
                    format!(", try {}", cell.try_number)
                } else {
                    String::new()
                };
                let took = cell
                    .duration_ms
                    .map_or(String::new(), |ms| format!(", {}", show::duration(ms)));
                Some((cell.state.as_str(), format!("{words}{tries}{took}")))
            }
            Row::Group { id, .. } => {
                let prefix = format!("{id}.");
                let inside = || {
                    column
                        .cells
                        .iter()
                        .filter(|(task, _)| task.starts_with(&prefix))
                };
                let state = crate::app::worst(inside().map(|(_, cell)| cell.state))?;
                Some((
                    state.as_str(),
                    format!(
                        "{}, {}",
                        state.as_str().replace('_', " "),
                        show::count(inside().count(), "task")
                    ),
                ))
            }
        }
    }

    fn cell(&self, row: &Row<'_>, column: &Column) -> Markup {
        let Some((word, detail)) = Self::found(row, column) else {
            return html! { span.cell.absent title="not in this run's version" {} };
        };
        let mapped = match row {
            Row::Task { id, .. } => column.cells.get(*id).is_some_and(|cell| cell.is_mapped),
            Row::Group { .. } => true,
        };
        let href = match row {
            Row::Task { id, .. } => self.instance(column, id),
            Row::Group { .. } => link::run(&self.dag.dag_id, &column.run.run_id),
        };
        let name = format!("{}: {detail}, run {}", row.id(), column.run.run_id);
        html! {
            a class={"cell c-" (word) @if mapped { " many" }} href=(href) title=(name) aria-label=(name) { (icon(word)) }
        }
    }

    fn head(&self, column: &Column) -> Markup {
        let run = &column.run;
        let name = format!("run {}: {}", run.run_id, run.state);
        html! {
            a class={"head c-" (run.state.as_str())} href=(link::run(&self.dag.dag_id, &run.run_id)) title=(name) aria-label=(name) { (icon(run.state.as_str())) }
        }
    }

    fn heads(&self) -> Markup {
        let width = self.columns.len() * PITCH;
        html! {
            svg.strip width=(width) height=(PITCH) {
                @for (place, column) in self.columns.iter().enumerate() {
                    a href=(link::run(&self.dag.dag_id, &column.run.run_id)) data-run=(column.run.run_id) {
                        rect class={"p-" (column.run.state.as_str())} x=(place * PITCH) y="1" width=(SIDE) height=(SIDE) rx="2" {
                            title { "run " (column.run.run_id) ": " (column.run.state) }
                        }
                    }
                }
            }
        }
    }

    /// One row of a large grid: a path for each state. The module finds the cell that is pointed at.
    fn strip(&self, row: &Row<'_>) -> Markup {
        let mut paths: BTreeMap<&'static str, String> = BTreeMap::new();
        for (place, column) in self.columns.iter().enumerate() {
            if let Some((word, _)) = Self::found(row, column) {
                let path = paths.entry(word).or_default();
                path.push_str(&shape(word, place * PITCH));
            }
        }
        let words: Vec<String> = paths
            .iter()
            .map(|(word, path)| format!("{} {word}", path.matches('M').count()))
            .collect();
        html! {
            svg.strip width=(self.columns.len() * PITCH) height=(PITCH) role="img" aria-label={(row.id()) ": " (words.join(", "))} data-pitch=(PITCH) {
                @for (word, path) in &paths { path class={"p-" (word)} d=(path) {} }
            }
        }
    }
}

/// A cell of a picture at `x`, by state: its form says it as well as its colour.
fn shape(word: &str, x: usize) -> String {
    let half = SIDE / 2;
    match word {
        "failed" => format!("M{} 0l7 7.5l-7 7.5l-7-7.5z", x + half),
        "upstream_failed" => format!("M{x} 14l{half}-13l{half} 13z"),
        "running" | "restarting" => format!("M{x} 1l{SIDE} 6.5l-{SIDE} 6.5z"),
        "skipped" => format!("M{x} 6h{SIDE}v3h-{SIDE}z"),
        "none" | "queued" | "scheduled" | "removed" => format!("M{} 5h5v5h-5z", x + 4),
        "success" => format!("M{x} 1h{SIDE}v{SIDE}h-{SIDE}z"),
        _ => format!("M{x} 1h{SIDE}l-{SIDE} {SIDE}z"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_other_meaning_have_other_forms() {
        let words = [
            "success",
            "failed",
            "upstream_failed",
            "running",
            "skipped",
            "none",
            "up_for_retry",
        ];
        let shapes: BTreeSet<String> = words.iter().map(|word| shape(word, 0)).collect();
        assert_eq!(shapes.len(), words.len());
    }
}
