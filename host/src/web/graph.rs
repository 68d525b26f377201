//! The graph of a DAG as SVG: where things stand comes from the core's layout; links, labels and states from here.

use super::show::{icon, instance_name};
use crate::app::Cell;
use airlock_core::dag::layout::{Item, Layout, Placed, Route, Size, layout};
use airlock_core::dag::spec::Dag;
use airlock_core::ids::GroupIndex;
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

/// Pixels of one character, about.
const CHARACTER: u32 = 7;
const NODE_HEIGHT: u32 = 40;
const NODE_WIDTH_MIN: u32 = 96;
/// Characters of a label; the whole of it is said when it is pointed at.
const LABEL_MAX: usize = 34;
const MARGIN: u32 = 12;
/// Curves end in a point of this length.
const ARROW: u32 = 6;

/// What a graph is drawn with.
pub(super) struct Drawing<'a> {
    pub(super) dag: &'a Dag,
    /// Tasks by id, in one run; none for the DAG itself.
    pub(super) cells: Option<&'a BTreeMap<String, Cell>>,
    /// Ids of folded groups.
    pub(super) folded: BTreeSet<&'a str>,
    /// Where a task leads.
    pub(super) task_link: &'a dyn Fn(&str, bool) -> String,
    /// This page with a group folded, or opened again.
    pub(super) fold_link: &'a dyn Fn(&str) -> String,
}

impl Drawing<'_> {
    /// The picture.
    pub(super) fn draw(&self) -> Markup {
        let folded = self.folded_groups();
        let picture = layout(self.dag, &folded, &|item| self.measure(item));
        let Layout {
            size,
            placed,
            routes,
        } = &picture;
        let (width, height) = (size.width + 2 * MARGIN, size.height + 2 * MARGIN);
        html! {
            div.graph tabindex="0" role="group" aria-label="Graph of tasks" {
                svg width=(width) height=(height) viewBox={"0 0 " (width) " " (height)} {
                    g transform={"translate(" (MARGIN) " " (MARGIN) ")"} {
                        @for placed in placed.iter().filter(|placed| placed.is_open) { (self.group_box(placed)) }
                        @for route in routes { (edge(route)) }
                        @for placed in placed.iter().filter(|placed| !placed.is_open) { (self.node(placed)) }
                    }
                }
            }
        }
    }

    fn folded_groups(&self) -> BTreeSet<GroupIndex> {
        let groups = (0..).map(GroupIndex).zip(&self.dag.task_groups);
        let folded = groups.filter(|(_, group)| self.folded.contains(group.group_id.as_str()));
        folded.map(|(index, _)| index).collect()
    }

    fn name(&self, item: Item) -> &str {
        match item {
            Item::Task(task) => self.dag.task(task).map_or("", |task| task.task_id.as_str()),
            Item::Group(group) => self
                .dag
                .group(group)
                .map_or("", |group| group.group_id.as_str()),
        }
    }

    fn measure(&self, item: Item) -> Size {
        let characters = label(self.name(item)).chars().count();
        let characters = u32::try_from(characters)
            .unwrap_or(u32::MAX)
            .saturating_add(6);
        let width = characters.saturating_mul(CHARACTER).max(NODE_WIDTH_MIN);
        Size {
            width,
            height: NODE_HEIGHT,
        }
    }

    fn group_box(&self, placed: &Placed) -> Markup {
        let name = self.name(placed.item);
        html! {
            g.group {
                rect x=(placed.x) y=(placed.y) width=(placed.size.width) height=(placed.size.height) rx="6" {}
                a href=((self.fold_link)(name)) {
                    text x=(placed.x + 10) y=(placed.y + 16) { "− " (label(name)) title { "fold the group " (name) } }
                }
            }
        }
    }

    fn node(&self, placed: &Placed) -> Markup {
        let name = self.name(placed.item);
        let (word, detail, link) = match placed.item {
            Item::Task(task) => {
                let operator = self
                    .dag
                    .task(task)
                    .map_or("", |task| task.operator.as_str());
                let cell = self.cells.and_then(|cells| cells.get(name));
                let is_mapped = cell.is_some_and(|cell| cell.is_mapped);
                let word = cell.map(|cell| cell.state.as_str());
                let detail = match cell {
                    Some(cell) if is_mapped => super::show::counts(&cell.counts),
                    Some(cell) => cell.state.as_str().replace('_', " "),
                    None => operator.to_owned(),
                };
                (word, detail, (self.task_link)(name, is_mapped))
            }
            Item::Group(_) => {
                let (word, detail) = self.inside(name);
                (word, detail, (self.fold_link)(name))
            }
        };
        let is_group = matches!(placed.item, Item::Group(_));
        let (x, y) = (placed.x, placed.y);
        let class = if is_group { "node folded" } else { "node" };
        html! {
            a href=(link) {
                g class={(class) " n-" (word.unwrap_or("plain"))} {
                    rect x=(x) y=(y) width=(placed.size.width) height=(placed.size.height) rx="5" {}
                    @if let Some(word) = word {
                        svg x=(x + 9) y=(y + 7) width="12" height="12" { (icon(word)) }
                    }
                    text.name x=(x + if word.is_some() { 26 } else { 10 }) y=(y + 17) { @if is_group { "+ " } (label(name)) }
                    text.detail x=(x + 10) y=(y + 32) { (label(&detail)) }
                    title { (instance_name(name, -1)) ": " (detail) }
                }
            }
        }
    }

    /// What a folded group says of its tasks.
    fn inside(&self, group_id: &str) -> (Option<&'static str>, String) {
        let prefix = format!("{group_id}.");
        let ids = self.dag.tasks.iter().map(|task| task.task_id.as_str());
        let count = ids.filter(|id| id.starts_with(&prefix)).count();
        let detail = super::show::count(count, "task");
        let Some(cells) = self.cells else {
            return (None, detail);
        };
        let inside = cells.iter().filter(|(id, _)| id.starts_with(&prefix));
        let worst = crate::app::worst(inside.map(|(_, cell)| cell.state));
        (
            worst.map(airlock_core::task_instance::state::TaskInstanceState::as_str),
            detail,
        )
    }
}

fn label(text: &str) -> String {
    if text.chars().count() <= LABEL_MAX {
        return text.to_owned();
    }
    let kept: String = text.chars().take(LABEL_MAX - 1).collect();
    format!("{kept}…")
}

/// A curve through the points, with an arrow at its end.
fn edge(route: &Route) -> Markup {
    let mut path = String::new();
    let mut last: Option<(u32, u32)> = None;
    let end = route.points.len().saturating_sub(1);
    for (place, &(x, y)) in route.points.iter().enumerate() {
        let x = if place == end {
            x.saturating_sub(ARROW)
        } else {
            x
        };
        match last {
            None => path.push_str(&format!("M{x} {y}")),
            Some((_, before)) if before == y => path.push_str(&format!("L{x} {y}")),
            Some((left, before)) => {
                let middle = u32::midpoint(left, x);
                path.push_str(&format!("C{middle} {before} {middle} {y} {x} {y}"));
            }
        }
        last = Some((x, y));
    }
    let (x, y) = last.unwrap_or_default();
    let arrow = format!("M{} {}l-7 -4v8z", x + ARROW, y);
    html! { path.edge d=(path) {} path.arrow d=(arrow) {} }
}
