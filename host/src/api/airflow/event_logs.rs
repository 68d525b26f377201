//! Who changed what: the audit trail, as Airflow's event log.

use super::query::{By, PAGED, Page, Pattern, is_wanted, order, time};
use super::{About, ApiError, Call, JsonSchema, Kind, Query, Reply, Route};
use crate::app::AuditRow;
use crate::app::Role::Admin;
use jiff::Timestamp;
use serde::Serialize;

const FILTERS: &[Query] = &[
    ("dag_id", Kind::Text),
    ("run_id", Kind::Text),
    ("task_id", Kind::Text),
    ("map_index", Kind::Integer),
    ("owner", Kind::Text),
    ("event", Kind::Text),
    ("included_events", Kind::Texts),
    ("excluded_events", Kind::Texts),
    ("before", Kind::Time),
    ("after", Kind::Time),
    ("dag_id_pattern", Kind::Text),
    ("owner_pattern", Kind::Text),
    ("event_pattern", Kind::Text),
];

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/eventLogs",
        Admin,
        list,
        About::new("List who changed what")
            .query(&[PAGED, FILTERS])
            .answers::<EventLogs>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/eventLogs/{event_log_id}",
        Admin,
        get,
        About::new("A change").answers::<EventLog>(),
    ),
];

/// A change that somebody made or asked for.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct EventLog {
    #[serde(rename = "event_log_id")]
    number: u64,
    when: Timestamp,
    dag_id: Option<String>,
    task_id: Option<String>,
    run_id: Option<String>,
    map_index: Option<i32>,
    try_number: Option<u32>,
    event: String,
    logical_date: Option<Timestamp>,
    /// Who.
    owner: Option<String>,
    /// What was changed, from what and to what: a JSON object as a text.
    extra: Option<String>,
    dag_display_name: Option<String>,
    task_display_name: Option<String>,
}

/// Changes of a page, and how many there are in all.
#[derive(Serialize, JsonSchema)]
struct EventLogs {
    event_logs: Vec<EventLog>,
    total_entries: usize,
}

impl From<AuditRow> for EventLog {
    fn from(row: AuditRow) -> Self {
        Self {
            number: row.number,
            when: row.at,
            dag_display_name: row.dag_id.clone(),
            task_display_name: row.task_id.clone(),
            dag_id: row.dag_id,
            task_id: row.task_id,
            run_id: row.run_id,
            map_index: row.map_index,
            try_number: None,
            event: row.event,
            logical_date: None,
            owner: Some(row.owner),
            extra: Some(row.extra.to_string()),
        }
    }
}

fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let fields = &call.fields;
    let (dag, run, task) = (
        fields.text("dag_id")?,
        fields.text("run_id")?,
        fields.text("task_id")?,
    );
    let (owner, event) = (fields.text("owner")?, fields.text("event")?);
    let index = fields.integer("map_index")?;
    let (included, excluded) = (
        fields.texts("included_events")?,
        fields.texts("excluded_events")?,
    );
    let (before, after) = (time(fields, "before")?, time(fields, "after")?);
    let (dags, owners, events) = (
        Pattern::of(fields, "dag_id")?,
        Pattern::of(fields, "owner")?,
        Pattern::of(fields, "event")?,
    );
    let is = |wanted: Option<&str>, value: &Option<String>| {
        wanted.is_none_or(|wanted| value.as_deref() == Some(wanted))
    };
    let rows = call.app.audit_rows()?.into_iter().map(EventLog::from);
    let mut found: Vec<EventLog> = rows
        .filter(|log| {
            is(dag, &log.dag_id)
                && is(run, &log.run_id)
                && is(task, &log.task_id)
                && is(owner, &log.owner)
                && event.is_none_or(|event| log.event == event)
                && index.is_none_or(|index| log.map_index.map(i64::from) == Some(index))
                && is_wanted(&included, &log.event)
                && !excluded.contains(&log.event)
                && before.is_none_or(|end| log.when < end)
                && after.is_none_or(|end| log.when > end)
                && dags.fits(log.dag_id.as_deref().unwrap_or_default())
                && owners.fits(log.owner.as_deref().unwrap_or_default())
                && events.fits(&log.event)
        })
        .collect();
    let by: &[By<EventLog>] = &[
        ("id", |one, other| one.number.cmp(&other.number)),
        ("event_log_id", |one, other| one.number.cmp(&other.number)),
        ("when", |one, other| one.when.cmp(&other.when)),
        ("dttm", |one, other| one.when.cmp(&other.when)),
        ("dag_id", |one, other| one.dag_id.cmp(&other.dag_id)),
        ("task_id", |one, other| one.task_id.cmp(&other.task_id)),
        ("run_id", |one, other| one.run_id.cmp(&other.run_id)),
        ("event", |one, other| one.event.cmp(&other.event)),
        ("owner", |one, other| one.owner.cmp(&other.owner)),
    ];
    order(&mut found, fields, by)?;
    Reply::ok(&EventLogs {
        total_entries: found.len(),
        event_logs: Page::of(fields)?.cut(found),
    })
}

fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    let wanted = call.fields.need_integer("event_log_id")?;
    let mut rows = call.app.audit_rows()?.into_iter();
    let found = rows.find(|row| i64::try_from(row.number) == Ok(wanted));
    let found =
        found.ok_or_else(|| ApiError::missing(format!("there is no event log {wanted}")))?;
    Reply::ok(&EventLog::from(found))
}
