//! Random mapped task groups: which tasks are expanded together, and over what.

use super::Habit;
use crate::draw::Draw;
use airlock_core::dag::spec::{Expand, ExpandSource, Task, TaskGroup};
use airlock_core::ids::{GroupIndex, TaskId, TaskIndex};
use serde_json::Value;

/// The most elements of a literal list.
const LITERALS_MAX: usize = 4;
/// The most tasks from the first to the last of a group.
const SPAN_MAX: usize = 8;

/// In some DAGs a mapped group, perhaps with a group inside it, over tasks that lie near each other.
pub(super) fn generate(
    draw: &mut Draw,
    tasks: &mut [Task],
    habits: &[Habit],
) -> Result<Vec<TaskGroup>, String> {
    if tasks.len() < 2 || !draw.chance(30) {
        return Ok(Vec::new());
    }
    let first = 1 + draw.below(tasks.len() - 1);
    let source = list_before(draw, habits, first);
    let inner = draw.chance(30);
    let span = 1 + draw.below(SPAN_MAX);
    let mut is_first = true;
    for task in tasks.iter_mut().skip(first).take(span) {
        if !is_first && draw.chance(30) {
            continue;
        }
        task.expand = None;
        task.task_group = Some(GroupIndex(u32::from(inner && draw.chance(40))));
        if let Some(list) = source.filter(|_| is_first || draw.chance(20)) {
            task.depends_on.push(list);
            task.depends_on.sort_unstable();
            task.depends_on.dedup();
        }
        is_first = false;
    }
    let keys = vec![("x".to_owned(), elements(draw, source))];
    let mut groups = vec![group("g", None, Some(Expand::Product(keys)))?];
    if inner {
        groups.push(group("g.inner", Some(GroupIndex(0)), None)?);
    }
    Ok(groups)
}

fn group(
    id: &str,
    parent: Option<GroupIndex>,
    expand: Option<Expand>,
) -> Result<TaskGroup, String> {
    Ok(TaskGroup {
        group_id: TaskId::parse(id).map_err(|error| error.to_string())?,
        parent,
        tooltip: String::new(),
        expand,
    })
}

/// A task that gives a list and lies before the group.
fn list_before(draw: &mut Draw, habits: &[Habit], first: usize) -> Option<TaskIndex> {
    let before = (0..).map(TaskIndex).zip(habits).take(first);
    let lists: Vec<TaskIndex> = before
        .filter(|(_, habit)| **habit == Habit::List)
        .map(|(task, _)| task)
        .collect();
    draw.pick(&lists).filter(|_| draw.chance(85))
}

/// The list of that task, named as templates name it, so that the group waits for it alone, or not, so that it waits for
/// all that is above it.
fn elements(draw: &mut Draw, source: Option<TaskIndex>) -> ExpandSource {
    match source {
        Some(list) if draw.chance(50) => {
            ExpandSource::Template(format!("{{{{ xcom_pull('t{}') }}}}", list.0))
        }
        Some(list) => ExpandSource::Template(format!("xcom:{}", list.0)),
        None if draw.chance(10) => ExpandSource::Template("error".to_owned()),
        None => {
            let length = draw.below(LITERALS_MAX + 1);
            ExpandSource::Literal((0..length).map(Value::from).collect())
        }
    }
}
