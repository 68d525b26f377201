//! Where the tasks of a DAG stand in a picture: layers from left to right, each open task group laid out inside its own box.
//! It owns geometry in whole pixels; the caller says how large a label is and draws. The same DAG gives the same picture.

mod layers;
#[cfg(test)]
mod tests;

use super::spec::Dag;
use crate::ids::{GroupIndex, TaskIndex};
use layers::place;
use std::collections::{BTreeMap, BTreeSet};

/// Between the border of a group's box and what is in it, pixels.
pub const GROUP_PAD: u32 = 14;
/// Room for the label of an open group, pixels.
pub const GROUP_HEAD: u32 = 24;

/// Width and height, pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// From left to right.
    pub width: u32,
    /// From top to bottom.
    pub height: u32,
}

/// What is placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// A task.
    Task(TaskIndex),
    /// A task group: as one node, or as a box round its tasks.
    Group(GroupIndex),
}

/// An item and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// What.
    pub item: Item,
    /// The left border.
    pub x: u32,
    /// The upper border.
    pub y: u32,
    /// How large it is.
    pub size: Size,
    /// A group whose tasks are shown.
    pub is_open: bool,
}

/// An edge and its way: a straight line from point to point, which a drawer may round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The upstream side.
    pub from: Item,
    /// The downstream side.
    pub to: Item,
    /// At least two points.
    pub points: Vec<(u32, u32)>,
}

/// A picture.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// All of it.
    pub size: Size,
    /// Open groups come before what is in them.
    pub placed: Vec<Placed>,
    /// Edges between items of one level: an edge into an open group ends at its box.
    pub routes: Vec<Route>,
}

/// Lays a DAG out; groups in `folded` are one node each. `measure` says how large a node is: a task, or a folded group.
/// Linear in tasks and edges but for the sorting of ranks.
pub fn layout(dag: &Dag, folded: &BTreeSet<GroupIndex>, measure: &dyn Fn(Item) -> Size) -> Layout {
    let levels = Levels::new(dag, folded);
    let mut picture = levels.draw(None, measure);
    picture.placed.sort_by_key(|placed| !placed.is_open);
    picture
}

/// A group's level, or with `None` the DAG's.
type Level = Option<GroupIndex>;

/// What stands on each level, and which edges run there.
struct Levels {
    items: BTreeMap<Level, Vec<Item>>,
    edges: BTreeMap<Level, BTreeSet<(Item, Item)>>,
    folded: BTreeSet<GroupIndex>,
}

impl Levels {
    fn new(dag: &Dag, folded: &BTreeSet<GroupIndex>) -> Self {
        let mut levels = Self {
            items: BTreeMap::new(),
            edges: BTreeMap::new(),
            folded: folded.clone(),
        };
        let mut held = BTreeSet::new();
        let mut paths = Vec::with_capacity(dag.tasks.len());
        for (place, _) in dag.tasks.iter().enumerate() {
            let path = levels.path(dag, place);
            let mut level: Level = None;
            for &item in &path {
                if held.insert(item) {
                    levels.items.entry(level).or_default().push(item);
                }
                if let Item::Group(group) = item {
                    level = Some(group);
                }
            }
            paths.push(path);
        }
        for (to, task) in dag.tasks.iter().enumerate() {
            for from in &task.depends_on {
                if let (Some(from), Some(to)) = (paths.get(from.get()), paths.get(to)) {
                    levels.connect(from, to);
                }
            }
        }
        levels
    }

    /// The groups that a task is in, the outermost first, then the task; it ends at the first folded group.
    fn path(&self, dag: &Dag, place: usize) -> Vec<Item> {
        let Ok(index) = u32::try_from(place) else {
            return Vec::new();
        };
        let task = TaskIndex(index);
        let mut path = vec![Item::Task(task)];
        let mut group = dag.task(task).and_then(|task| task.task_group);
        while let Some(index) = group {
            path.push(Item::Group(index));
            group = dag.group(index).and_then(|group| group.parent);
        }
        path.reverse();
        let is_folded =
            |item: &Item| matches!(item, Item::Group(group) if self.folded.contains(group));
        if let Some(end) = path.iter().position(is_folded) {
            path.truncate(end + 1);
        }
        path
    }

    /// An edge runs on the level of the innermost group that holds both ends.
    fn connect(&mut self, from: &[Item], to: &[Item]) {
        let mut level: Level = None;
        for (one, other) in from.iter().zip(to) {
            if one != other {
                self.edges.entry(level).or_default().insert((*one, *other));
                return;
            }
            if let Item::Group(group) = one {
                level = Some(*group);
            }
        }
    }

    fn draw(&self, level: Level, measure: &dyn Fn(Item) -> Size) -> Layout {
        let items = self.items.get(&level).map_or(&[][..], Vec::as_slice);
        let inner: Vec<Option<Layout>> = items
            .iter()
            .map(|item| match item {
                Item::Group(group) if !self.folded.contains(group) => {
                    Some(self.draw(Some(*group), measure))
                }
                _ => None,
            })
            .collect();
        let size = |(item, inside): (&Item, &Option<Layout>)| {
            let own = measure(*item);
            inside.as_ref().map_or(own, |inside| Size {
                width: own.width.max(inside.size.width + 2 * GROUP_PAD),
                height: inside.size.height + GROUP_HEAD + GROUP_PAD,
            })
        };
        let sizes: Vec<Size> = items.iter().zip(&inner).map(size).collect();
        let numbers: BTreeMap<Item, usize> = items
            .iter()
            .enumerate()
            .map(|(place, item)| (*item, place))
            .collect();
        let edges: Vec<(Item, Item)> = self
            .edges
            .get(&level)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        let numbered: Vec<(usize, usize)> = edges
            .iter()
            .filter_map(|(from, to)| Some((*numbers.get(from)?, *numbers.get(to)?)))
            .collect();
        let flat = place(&sizes, &numbered);
        let routes = edges.iter().zip(flat.routes);
        let mut picture = Layout {
            size: flat.size,
            placed: Vec::new(),
            routes: routes
                .map(|(&(from, to), points)| Route { from, to, points })
                .collect(),
        };
        let places = items.iter().zip(sizes).zip(flat.corners).zip(inner);
        for (((item, size), (x, y)), inside) in places {
            picture.placed.push(Placed {
                item: *item,
                x,
                y,
                size,
                is_open: inside.is_some(),
            });
            if let Some(inside) = inside {
                picture.take_in(inside, x + GROUP_PAD, y + GROUP_HEAD);
            }
        }
        picture
    }
}

impl Layout {
    /// Takes the picture of a group in, moved.
    fn take_in(&mut self, inside: Layout, x: u32, y: u32) {
        self.placed
            .extend(inside.placed.into_iter().map(|placed| Placed {
                x: placed.x + x,
                y: placed.y + y,
                ..placed
            }));
        self.routes.extend(inside.routes.into_iter().map(|route| {
            Route {
                points: route
                    .points
                    .into_iter()
                    .map(|(left, top)| (left + x, top + y))
                    .collect(),
                ..route
            }
        }));
    }
}
