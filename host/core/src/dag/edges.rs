//! From names to edges: what each task waits for, with groups replaced by their first and last tasks.
//! It refuses edges from a group to itself or to its own tasks, and more edges than a graph may hold.

use super::EDGES_MAX;
use super::diagnostic::{Sink, Span, quoted};
use super::names::{Name, Names};
use super::read_group::GroupDraft;
use super::read_task::{Draft, Reference};
use crate::ids::{GroupIndex, TaskIndex};
use std::collections::BTreeSet;

/// One `depends_on`, resolved: `to` waits for `from`.
struct Wish {
    from: Name,
    to: Name,
    span: Span,
}

/// The first and last tasks of a group. Without an upstream in the group a task is a root; without a downstream in it
/// a leaf, where teardowns count neither as leaves nor as downstream of work (as in Airflow).
#[derive(Default, Clone)]
struct Ends {
    roots: Vec<TaskIndex>,
    leaves: Vec<TaskIndex>,
}

/// Resolves every reference: fills the `depends_on`, `inputs` and `edges` of the drafts and marks setups.
pub(super) fn resolve(
    names: &Names,
    groups: &[GroupDraft<'_, '_>],
    drafts: &mut [Draft<'_, '_>],
    sink: &mut Sink,
) {
    // A bucket for each group and, last, one for the DAG: an edge lies in the innermost group that holds both ends.
    let mut buckets: Vec<Vec<Wish>> = Vec::new();
    buckets.resize_with(groups.len() + 1, Vec::new);
    let mut setups = BTreeSet::new();
    for (place, draft) in (0_u32..).map(TaskIndex).zip(drafts.iter_mut()) {
        let found = task_references(names, place, draft, sink);
        for (reference, target) in draft.upstream.iter().zip(&found) {
            if let (Some(Name::Task(setup)), "teardown") = (target, reference.key) {
                setups.insert(*setup);
            }
        }
        draft.found = found;
    }
    for setup in setups {
        if let Some(draft) = drafts.get_mut(setup.get()) {
            draft.task.is_setup = true;
        }
    }
    collect(names, groups, drafts, &mut buckets, sink);
    connect(groups, drafts, buckets, sink);
    for draft in drafts {
        draft.edges.sort_by_key(|(task, _)| *task);
        draft.edges.dedup_by_key(|(task, _)| *task);
        draft.task.depends_on = draft.edges.iter().map(|(task, _)| *task).collect();
    }
}

/// What each reference of a task means; its inputs are filled.
fn task_references(
    names: &Names,
    place: TaskIndex,
    draft: &mut Draft<'_, '_>,
    sink: &mut Sink,
) -> Vec<Option<Name>> {
    let scope = draft.task.task_group;
    let own = Name::Task(place);
    let mut found = Vec::with_capacity(draft.upstream.len());
    for reference in &draft.upstream {
        let target = lookup(names, reference, scope, own, sink);
        let is_group = matches!(target, Some(Name::Group(_)));
        if is_group && reference.key != "depends_on" {
            let name = quoted(&reference.task_id);
            let message = format!("`{}` names {name}, which is a group", reference.key);
            let hint = "name one of its tasks".to_owned();
            sink.error_hint(reference.span, "not-a-task", message, hint);
        }
        found.push(target.filter(|_| !is_group || reference.key == "depends_on"));
    }
    for (name, reference, key) in &draft.inputs {
        if let Some(Some(Name::Task(task))) = found.get(*reference).copied() {
            let key = key.clone();
            let input = super::spec::Input { task, key };
            draft.task.inputs.insert(name.clone(), input);
        }
    }
    found
}

/// What one reference means; an error if nothing, or if it leads back to where it stands.
fn lookup(
    names: &Names,
    reference: &Reference,
    scope: Option<GroupIndex>,
    own: Name,
    sink: &mut Sink,
) -> Option<Name> {
    let name = quoted(&reference.task_id);
    let Some(target) = names.find(&reference.task_id, scope, Some(own)) else {
        let hint = names.hint(&reference.task_id, scope, sink);
        let message = format!(
            "`{}` names {name}, which is {}",
            reference.key,
            names.kinds()
        );
        sink.error_hint(reference.span, "unknown-task", message, hint);
        return None;
    };
    if target == own {
        let message = format!("{name} depends on itself");
        let hint = "remove it".to_owned();
        sink.error_hint(reference.span, "self-dependency", message, hint);
        return None;
    }
    let around = |group| names.enclosing(scope).any(|outer| outer == group);
    if matches!(target, Name::Group(group) if around(group)) {
        let message = format!("{name} is the group that this stands in: it would wait for itself");
        let hint = "name the tasks of the group that must come first".to_owned();
        sink.error_hint(reference.span, "self-dependency", message, hint);
        return None;
    }
    Some(target)
}

/// Puts every edge that was asked for into the bucket of the innermost group that holds both ends.
fn collect(
    names: &Names,
    groups: &[GroupDraft<'_, '_>],
    drafts: &[Draft<'_, '_>],
    buckets: &mut [Vec<Wish>],
    sink: &mut Sink,
) {
    let mut put = |wish: Wish, scope: Option<GroupIndex>| {
        let from = match wish.from {
            Name::Task(task) => drafts.get(task.get()).and_then(|one| one.task.task_group),
            Name::Group(group) => names.parent(group),
        };
        let from: Vec<GroupIndex> = names.enclosing(from).collect();
        let common = names.enclosing(scope).find(|group| from.contains(group));
        let bucket = common.map_or(groups.len(), GroupIndex::get);
        if let Some(bucket) = buckets.get_mut(bucket) {
            bucket.push(wish);
        }
    };
    for (place, draft) in (0_u32..).map(TaskIndex).zip(drafts) {
        let to = Name::Task(place);
        for (reference, from) in draft.upstream.iter().zip(&draft.found) {
            if let &Some(from) = from {
                let span = reference.span;
                put(Wish { from, to, span }, draft.task.task_group);
            }
        }
    }
    for (place, draft) in (0_u32..).map(GroupIndex).zip(groups) {
        let to = Name::Group(place);
        for reference in &draft.upstream {
            let Some(from) = lookup(names, reference, draft.group.parent, to, sink) else {
                continue;
            };
            if is_inside(names, drafts, from, place) {
                let name = quoted(&reference.task_id);
                let message = format!("{name} is inside the group that waits for it");
                let hint = "write `depends_on` at the tasks inside the group".to_owned();
                sink.error_hint(reference.span, "self-dependency", message, hint);
                continue;
            }
            let span = reference.span;
            put(Wish { from, to, span }, draft.group.parent);
        }
    }
}

fn is_inside(names: &Names, drafts: &[Draft<'_, '_>], name: Name, group: GroupIndex) -> bool {
    let scope = match name {
        Name::Task(task) => drafts.get(task.get()).and_then(|one| one.task.task_group),
        Name::Group(inner) => names.parent(inner),
    };
    names.enclosing(scope).any(|outer| outer == group)
}

/// Turns wishes into edges, inner groups first: what a group's ends are is known once its own edges are.
fn connect(
    groups: &[GroupDraft<'_, '_>],
    drafts: &mut [Draft<'_, '_>],
    buckets: Vec<Vec<Wish>>,
    sink: &mut Sink,
) {
    let mut ends = vec![Ends::default(); groups.len() + 1];
    for (place, draft) in (0_u32..).map(TaskIndex).zip(drafts.iter()) {
        let group = draft.task.task_group.map_or(groups.len(), GroupIndex::get);
        if let Some(ends) = ends.get_mut(group) {
            ends.roots.push(place);
            ends.leaves.push(place);
        }
    }
    let mut edges = 0_usize;
    // A group comes after the group that it is in, so that the last is never outside another; the DAG itself is last.
    let order = (0..groups.len()).rev().chain([groups.len()]);
    let mut buckets: Vec<Option<Vec<Wish>>> = buckets.into_iter().map(Some).collect();
    for place in order {
        let wishes = buckets.get_mut(place).and_then(Option::take);
        let mut inner = Vec::new();
        for wish in wishes.unwrap_or_default() {
            edges = edges.saturating_add(expand(&wish, &ends, &mut inner, EDGES_MAX - edges));
            if edges >= EDGES_MAX {
                let message = format!("the DAG has more than {EDGES_MAX} dependencies");
                let hint = "put one task between two groups, so that each waits for it".to_owned();
                sink.error_hint(wish.span, "too-many-edges", message, hint);
                return;
            }
        }
        close(place, groups, drafts, &inner, &mut ends);
        for (from, to, span) in inner {
            if let Some(draft) = drafts.get_mut(to.get()) {
                draft.edges.push((from, span));
            }
        }
    }
}

/// Adds the edges of one wish, at most `room`, and says how many there are.
fn expand(
    wish: &Wish,
    ends: &[Ends],
    out: &mut Vec<(TaskIndex, TaskIndex, Span)>,
    room: usize,
) -> usize {
    let of = |name: Name, last: bool| match name {
        Name::Task(task) => vec![task],
        Name::Group(group) => ends
            .get(group.get())
            .map(|ends| if last { &ends.leaves } else { &ends.roots })
            .cloned()
            .unwrap_or_default(),
    };
    let (from, to) = (of(wish.from, true), of(wish.to, false));
    let pairs = from
        .iter()
        .flat_map(|from| to.iter().map(move |to| (*from, *to, wish.span)));
    out.extend(pairs.take(room));
    from.len().saturating_mul(to.len())
}

/// Takes what waits or is waited for inside the group at `place` from its ends, and tells the group round it.
fn close(
    place: usize,
    groups: &[GroupDraft<'_, '_>],
    drafts: &[Draft<'_, '_>],
    inner: &[(TaskIndex, TaskIndex, Span)],
    ends: &mut [Ends],
) {
    let Some(group) = groups.get(place) else {
        return;
    };
    let is = |task: TaskIndex, test: fn(&Draft<'_, '_>) -> bool| {
        drafts.get(task.get()).is_some_and(test)
    };
    let teardown = |task| is(task, |one| one.task.is_teardown);
    let setup = |task| is(task, |one| one.task.is_setup);
    let waiting: BTreeSet<TaskIndex> = inner.iter().map(|(_, to, _)| *to).collect();
    let before: BTreeSet<TaskIndex> = inner
        .iter()
        .filter(|(from, to, _)| !teardown(*to) || setup(*from))
        .map(|(from, _, _)| *from)
        .collect();
    let Some(own) = ends.get_mut(place) else {
        return;
    };
    own.roots.retain(|task| !waiting.contains(task));
    let all = std::mem::take(&mut own.leaves);
    let work = |task: &TaskIndex| !before.contains(task) && !teardown(*task);
    own.leaves = all.iter().copied().filter(work).collect();
    if own.leaves.is_empty() {
        // A group of setups and teardowns alone ends with what nothing waits for.
        let followed: BTreeSet<TaskIndex> = inner.iter().map(|(from, _, _)| *from).collect();
        own.leaves = all
            .into_iter()
            .filter(|task| !followed.contains(task))
            .collect();
    }
    let own = own.clone();
    let outer = group.group.parent.map_or(groups.len(), GroupIndex::get);
    if let Some(outer) = ends.get_mut(outer) {
        outer.roots.extend(own.roots);
        outer.leaves.extend(own.leaves);
    }
}
