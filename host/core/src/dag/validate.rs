//! What only the whole DAG can tell: references, cycles, templates, and settings that exclude each other.
//! It refuses to look at plugins and runs: operators are known there, and what they choose.

use super::diagnostic::{Sink, Span, quoted};
use super::graph::{Graph, cycles};
use super::names::{Name, Names};
use super::read::Fields;
use super::read_group::GroupDraft;
use super::read_task::Draft;
use super::spec::{Cache, Dag, Schedule, Task, TaskGroup, TriggerRule};
use super::yaml::{Kind, Node};
use super::{check_templates, commands, edges};
use crate::ids::TaskIndex;

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

/// The groups and tasks with their references resolved; what cannot be resolved is an error in `sink`.
pub(super) fn join(
    dag: &Dag,
    fields: Fields<'_, '_>,
    groups: &[GroupDraft<'_, '_>],
    mut drafts: Vec<Draft<'_, '_>>,
    text: &str,
    sink: &mut Sink,
) -> (Vec<TaskGroup>, Vec<Task>) {
    let full_ids = fields.or("full_ids", false, sink);
    let names = Names::new(groups, &drafts, full_ids, sink);
    edges::resolve(&names, groups, &mut drafts, sink);
    for draft in &drafts {
        settings(dag, draft, sink);
    }
    sla(dag, fields, &drafts, sink);
    let graph = graph(&drafts, sink);
    if let Some(graph) = &graph {
        branches(&names, &drafts, graph, sink);
    }
    let mut check = check_templates::Check::new(&names, &drafts, graph.as_ref(), text);
    check.dag(fields, sink);
    check.groups(groups, sink);
    check.tasks(sink);
    let full = check_templates::full_ids(&names, groups, drafts.as_mut_slice());
    (full, drafts.into_iter().map(|draft| draft.task).collect())
}

/// What is asked of the network, of secrets or of other runs is not content: a result that depends on it cannot be told from another.
fn cache(dag: &Dag, draft: &Draft<'_, '_>, sink: &mut Sink) {
    let task = &draft.task;
    let Some(entry) = draft.fields.entry("cache") else {
        return;
    };
    if task.cache == Cache::Off {
        return;
    }
    let own = task.grants.as_ref();
    let grants = own.map_or_else(|| dag.grants.clone(), |own| dag.grants.narrow(own));
    let granted = [
        ("http", grants.http.is_empty()),
        ("secrets", grants.secrets.is_empty()),
        ("dag_state", grants.dag_state.is_empty()),
        ("trigger_dags", grants.trigger_dags.is_empty()),
        ("email", grants.email.is_empty()),
    ];
    let granted: Vec<&str> = granted
        .iter()
        .filter(|(_, is_empty)| !is_empty)
        .map(|(name, _)| *name)
        .collect();
    if granted.is_empty() {
        return;
    }
    let message = format!(
        "`cache: content` does not go with the grants {}: what they answer is no content",
        granted.join(", ")
    );
    let hint =
        "narrow the task's `grants` to storage, tracking, models and training, or remove `cache`";
    sink.error_hint(entry.key_span, "cache-and-grants", message, hint.to_owned());
}

/// Settings of one task that exclude or need each other.
fn settings(dag: &Dag, draft: &Draft<'_, '_>, sink: &mut Sink) {
    let task = &draft.task;
    if task.is_setup && task.is_teardown {
        let message = format!("{} is both a setup and a teardown", quoted(&draft.id_text));
        let hint = "make two tasks of it".to_owned();
        sink.error_hint(draft.span, "setup-and-teardown", message, hint);
    }
    let fits = matches!(
        task.trigger_rule,
        TriggerRule::AllSuccess | TriggerRule::AllDoneSetupSuccess
    );
    if dag.fail_fast && !fits {
        let node = draft.fields.node("trigger_rule");
        let span = node.map_or(draft.span, |node| node.span);
        let message = "`fail_fast` allows only the trigger rule all_success".to_owned();
        let hint = "remove the task's `trigger_rule`, or the DAG's `fail_fast`".to_owned();
        sink.error_hint(span, "fail-fast-rule", message, hint);
    }
    cache(dag, draft, sink);
    commands::check(draft, sink);
    for key in ["email_on_failure", "email_on_retry"] {
        let asked = draft.fields.entry(key);
        let asked = asked.filter(|entry| matches!(entry.value.kind, Kind::Bool(true)));
        if let (Some(entry), true) = (asked, task.email.is_empty()) {
            let message = format!("`{key}` has no effect without `email`");
            let hint = "add `email: name@host`, or remove it".to_owned();
            sink.warning(entry.key_span, "email-without-address", message, hint);
        }
    }
    past(draft, sink);
}

/// What only refines `depends_on_past` does nothing alone.
fn past(draft: &Draft<'_, '_>, sink: &mut Sink) {
    let task = &draft.task;
    let refined = [
        (
            "ignore_first_depends_on_past",
            task.ignore_first_depends_on_past,
        ),
        (
            "wait_for_past_depends_before_skipping",
            task.wait_for_past_depends_before_skipping,
        ),
    ];
    for (key, is_set) in refined {
        // A default is for those tasks that need it.
        let entry = draft.fields.own_entry(key);
        if let (Some(entry), true, false) = (entry, is_set, task.depends_on_past) {
            let message = format!("`{key}` has no effect without `depends_on_past`");
            let hint = "add `depends_on_past: true`, or remove it".to_owned();
            sink.warning(entry.key_span, "without-depends-on-past", message, hint);
        }
    }
}

/// `on_sla_miss` is called for tasks with an `sla` only.
fn sla(dag: &Dag, fields: Fields<'_, '_>, drafts: &[Draft<'_, '_>], sink: &mut Sink) {
    let entry = fields
        .entry("on_sla_miss")
        .or_else(|| fields.entry("sla_miss_callback"));
    let Some(entry) = entry.filter(|_| !dag.on_sla_miss.is_empty()) else {
        return;
    };
    if drafts.iter().all(|draft| draft.task.sla.is_none()) {
        let message = format!("`{}` is never called: no task has an `sla`", entry.key);
        let hint = "add `sla: 2h` to the tasks that must be done by then, or to `default_args`";
        sink.warning(
            entry.key_span,
            "sla-miss-without-sla",
            message,
            hint.to_owned(),
        );
    }
}

/// What the bundled operator `probe` will choose is written in its config; other operators decide in a run.
fn branches(names: &Names, drafts: &[Draft<'_, '_>], graph: &Graph, sink: &mut Sink) {
    for (place, draft) in (0_u32..).map(TaskIndex).zip(drafts) {
        let config = draft.fields.node("config").and_then(Node::as_mapping);
        let branch = config
            .unwrap_or_default()
            .iter()
            .find(|entry| draft.task.operator.as_str() == "probe" && entry.key == "branch");
        let Some(Kind::Sequence(items)) = branch.map(|entry| &entry.value.kind) else {
            continue;
        };
        for item in items {
            if let Some(text) = item.as_str().filter(|text| !text.contains("{{")) {
                branch_target(names, drafts, graph, place, (text, item.span), sink);
            }
        }
    }
}

/// A branch may choose what waits for it directly: a task, or a group by its first tasks.
fn branch_target(
    names: &Names,
    drafts: &[Draft<'_, '_>],
    graph: &Graph,
    place: TaskIndex,
    (text, span): (&str, Span),
    sink: &mut Sink,
) {
    let downstream = graph.downstream(place);
    let group_of = |task: &TaskIndex| drafts.get(task.get()).and_then(|one| one.task.task_group);
    let follows = match names.find(text, None, None) {
        Some(Name::Task(task)) => downstream.contains(&task),
        Some(Name::Group(group)) => downstream
            .iter()
            .any(|task| names.enclosing(group_of(task)).any(|outer| outer == group)),
        None => false,
    };
    if follows {
        return;
    }
    let id_of = |task: &TaskIndex| drafts.get(task.get()).map(|one| one.id_text.as_str());
    let children: Vec<&str> = downstream.iter().filter_map(id_of).take(5).collect();
    let asker = id_of(&place).unwrap_or_default();
    let hint = if children.is_empty() {
        format!("add `depends_on: [{asker}]` to the task that it chooses")
    } else {
        format!("directly downstream are {}", children.join(", "))
    };
    let message = format!(
        "`branch` names {}, which is not directly downstream of {}: the task will fail",
        quoted(text),
        quoted(asker)
    );
    sink.warning(span, "branch-target", message, hint);
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
    let edge = draft.edges.iter().find(|(task, _)| task == last);
    let span = edge.map_or(draft.span, |(_, span)| *span);
    let message = format!("the tasks form a cycle: {}", names.join(" -> "));
    sink.error_hint(
        span,
        "cycle",
        message,
        "remove one of these dependencies".to_owned(),
    );
}
