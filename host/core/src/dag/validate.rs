//! What only the whole DAG can tell: references, cycles, templates, and settings that exclude each other.
//! It refuses to look at plugins and runs: operators and branch targets are known there.

use super::diagnostic::{Sink, quoted};
use super::graph::{Graph, UpstreamSets, cycles};
use super::read::Fields;
use super::read_task::Draft;
use super::spec::{Dag, Input, Schedule, Task, TriggerRule};
use super::suggest;
use super::templates::{Pull, Templates};
use crate::ids::TaskIndex;
use std::collections::{BTreeSet, HashMap};

/// Checks of the DAG's own settings against each other.
pub(super) fn dag(dag: &Dag, fields: Fields<'_, '_>, sink: &mut Sink) {
    let span = |key| fields.node(key).map(|node| node.span);
    if let (Some(start), Some(end), Some(span)) = (dag.start_date, dag.end_date, span("end_date"))
        && end < start
    {
        let message = format!("`end_date` {end} is before `start_date` {start}");
        sink.error_hint(
            span,
            "end-before-start",
            message,
            "no run would ever be created".to_owned(),
        );
    }
    if let (Schedule::Continuous, Some(span)) = (&dag.schedule, span("max_active_runs"))
        && dag.max_active_runs > 1
    {
        let message = "@continuous allows one run at a time".to_owned();
        sink.error_hint(
            span,
            "continuous-runs",
            message,
            "remove `max_active_runs`".to_owned(),
        );
    }
    if let (true, None, Some(span)) = (dag.catchup, dag.start_date, span("catchup")) {
        let message = "`catchup` has no effect without `start_date`".to_owned();
        sink.warning(
            span,
            "catchup-without-start",
            message,
            "add `start_date: 2024-01-01`".to_owned(),
        );
    }
}

/// The tasks with their references resolved; what cannot be resolved is an error in `sink`.
pub(super) fn tasks(
    dag: &Dag,
    fields: Fields<'_, '_>,
    drafts: Vec<Draft<'_, '_>>,
    text: &str,
    sink: &mut Sink,
) -> Vec<Task> {
    let index = index(&drafts, sink);
    let mut drafts = drafts;
    let mut setups = BTreeSet::new();
    for (place, draft) in drafts.iter_mut().enumerate() {
        resolve(place, draft, &index, &mut setups, sink);
        settings(dag, draft, sink);
    }
    for setup in setups {
        if let Some(draft) = drafts.get_mut(setup.get()) {
            draft.task.is_setup = true;
        }
    }
    for draft in drafts
        .iter()
        .filter(|draft| draft.task.is_setup && draft.task.is_teardown)
    {
        let message = format!("{} is both a setup and a teardown", quoted(&draft.id_text));
        sink.error_hint(
            draft.span,
            "setup-and-teardown",
            message,
            "make two tasks of it".to_owned(),
        );
    }
    let graph = graph(&drafts, sink);
    check_templates(fields, &drafts, &index, graph.as_ref(), text, sink);
    drafts.into_iter().map(|draft| draft.task).collect()
}

fn index(drafts: &[Draft<'_, '_>], sink: &mut Sink) -> HashMap<String, TaskIndex> {
    let mut index = HashMap::with_capacity(drafts.len());
    for (place, draft) in drafts.iter().enumerate() {
        let Ok(place) = u32::try_from(place) else {
            break;
        };
        let earlier = index
            .get(&draft.id_text)
            .and_then(|at: &TaskIndex| drafts.get(at.get()));
        if let Some(earlier) = earlier {
            if !draft.id_text.is_empty() {
                let message = format!("a second task is called {}", quoted(&draft.id_text));
                let hint = format!("the first is at line {}; rename one", earlier.span.line);
                sink.error_hint(draft.span, "duplicate-task", message, hint);
            }
        } else {
            index.insert(draft.id_text.clone(), TaskIndex(place));
        }
    }
    index
}

fn resolve(
    place: usize,
    draft: &mut Draft<'_, '_>,
    index: &HashMap<String, TaskIndex>,
    setups: &mut BTreeSet<TaskIndex>,
    sink: &mut Sink,
) {
    let mut found = Vec::with_capacity(draft.upstream.len());
    for reference in &draft.upstream {
        let target = index.get(&reference.task_id).copied();
        let name = quoted(&reference.task_id);
        if target.is_none() {
            let hint = near(&reference.task_id, index, sink);
            let message = format!(
                "`{}` names {name}, which is no task of this DAG",
                reference.key
            );
            sink.error_hint(reference.span, "unknown-task", message, hint);
        } else if target.is_some_and(|target| target.get() == place) {
            let message = format!("{name} depends on itself");
            sink.error_hint(
                reference.span,
                "self-dependency",
                message,
                "remove it".to_owned(),
            );
        }
        if let (Some(target), "teardown") = (target, reference.key) {
            setups.insert(target);
        }
        found.push(target.filter(|target| target.get() != place));
    }
    let mut edges: Vec<TaskIndex> = found.iter().flatten().copied().collect();
    edges.sort_unstable();
    edges.dedup();
    draft.task.depends_on = edges;
    for (name, reference, key) in &draft.inputs {
        if let Some(Some(task)) = found.get(*reference).copied() {
            let key = key.clone();
            draft.task.inputs.insert(name.clone(), Input { task, key });
        }
    }
}

fn settings(dag: &Dag, draft: &Draft<'_, '_>, sink: &mut Sink) {
    let fits = matches!(
        draft.task.trigger_rule,
        TriggerRule::AllSuccess | TriggerRule::AllDoneSetupSuccess
    );
    if dag.fail_fast && !fits {
        let span = draft
            .fields
            .node("trigger_rule")
            .map_or(draft.span, |node| node.span);
        let message = "`fail_fast` allows only the trigger rule all_success".to_owned();
        let hint = "remove the task's `trigger_rule`, or the DAG's `fail_fast`".to_owned();
        sink.error_hint(span, "fail-fast-rule", message, hint);
    }
}

/// `None`: there is a cycle; each is reported with all of its tasks.
fn graph(drafts: &[Draft<'_, '_>], sink: &mut Sink) -> Option<Graph> {
    let upstream: Vec<Vec<TaskIndex>> = drafts
        .iter()
        .map(|draft| draft.task.depends_on.clone())
        .collect();
    let mut downstream = vec![Vec::new(); upstream.len()];
    for (task, ups) in (0_u32..).map(TaskIndex).zip(&upstream) {
        for up in ups {
            if let Some(list) = downstream.get_mut(up.get()) {
                list.push(task);
            }
        }
    }
    for cycle in cycles(&upstream, &downstream) {
        report_cycle(&cycle, drafts, sink);
    }
    Graph::from_upstream(upstream).ok()
}

fn report_cycle(cycle: &[TaskIndex], drafts: &[Draft<'_, '_>], sink: &mut Sink) {
    /// Names of a cycle that are written out.
    const NAMES_MAX: usize = 20;
    let name_of = |task: &TaskIndex| drafts.get(task.get()).map(|draft| draft.id_text.as_str());
    let (Some(first), Some(last)) = (cycle.first(), cycle.last()) else {
        return;
    };
    let mut names: Vec<&str> = cycle.iter().take(NAMES_MAX).filter_map(name_of).collect();
    if cycle.len() > NAMES_MAX {
        names.push("...");
    }
    names.extend(name_of(first));
    let Some(draft) = drafts.get(first.get()) else {
        return;
    };
    let last = name_of(last).unwrap_or_default();
    let edge = draft.upstream.iter().find(|one| one.task_id == last);
    let span = edge.map_or(draft.span, |edge| edge.span);
    let message = format!("the tasks form a cycle: {}", names.join(" -> "));
    sink.error_hint(
        span,
        "cycle",
        message,
        "remove one of these dependencies".to_owned(),
    );
}

fn check_templates(
    fields: Fields<'_, '_>,
    drafts: &[Draft<'_, '_>],
    index: &HashMap<String, TaskIndex>,
    graph: Option<&Graph>,
    text: &str,
    sink: &mut Sink,
) {
    let templates = Templates::new(text);
    let mut pulls = Vec::new();
    for key in ["on_sla_miss", "on_failure_callback", "on_success_callback"] {
        if let Some(node) = fields.node(key) {
            templates.check(node, &mut pulls, sink);
        }
    }
    for pull in pulls.drain(..) {
        target(&pull, index, sink);
    }
    let mut sets = None;
    for (task, draft) in (0_u32..).map(TaskIndex).zip(drafts) {
        for key in ["config", "partial", "expand", "expand_kwargs"] {
            if let Some(node) = draft.fields.node(key) {
                templates.check(node, &mut pulls, sink);
            }
        }
        for pull in pulls.drain(..) {
            reachable(&pull, task, draft, index, graph, &mut sets, sink);
        }
        for key in [
            "on_failure_callback",
            "on_success_callback",
            "on_retry_callback",
        ] {
            if let Some(node) = draft.fields.node(key) {
                templates.check(node, &mut pulls, sink);
            }
        }
        for pull in pulls.drain(..) {
            target(&pull, index, sink);
        }
    }
}

fn target(pull: &Pull, index: &HashMap<String, TaskIndex>, sink: &mut Sink) -> Option<TaskIndex> {
    let found = index.get(&pull.task_id).copied();
    if found.is_none() {
        let name = quoted(&pull.task_id);
        let hint = near(&pull.task_id, index, sink);
        let message = format!("`xcom_pull` names {name}, which is no task of this DAG");
        sink.error_hint(pull.span, "unknown-task", message, hint);
    }
    found
}

/// The hint for a task that does not exist.
fn near(name: &str, index: &HashMap<String, TaskIndex>, sink: &Sink) -> Option<String> {
    let names = index.keys().map(String::as_str);
    sink.wants_searches()
        .then(|| suggest::hint(name, names, || None))
        .flatten()
}

/// A template makes no edge: what it pulls must be upstream by another way, or may not be there yet.
fn reachable(
    pull: &Pull,
    task: TaskIndex,
    draft: &Draft<'_, '_>,
    index: &HashMap<String, TaskIndex>,
    graph: Option<&Graph>,
    sets: &mut Option<UpstreamSets>,
    sink: &mut Sink,
) {
    let (Some(target), Some(graph)) = (target(pull, index, sink), graph) else {
        return;
    };
    if draft.task.depends_on.binary_search(&target).is_ok() {
        return;
    }
    // Built at most once, and only for DAGs that pull from further away.
    let sets = sets.get_or_insert_with(|| graph.upstream_sets());
    if !sets.contains(task, target) {
        let name = quoted(&pull.task_id);
        let message = format!(
            "{name} is not upstream of {}: its XCom may not exist yet",
            quoted(&draft.id_text)
        );
        let hint = format!("add {name} to `depends_on`; a template makes no edge");
        sink.warning(pull.span, "not-upstream", message, hint);
    }
}
