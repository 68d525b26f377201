//! Questions that task instances ask people (Airflow's human-in-the-loop details): those that wait, and answering one.

use super::dag_runs::Known;
use super::query::{PAGED, Page, Pattern};
use super::task_instances::{Shared, TaskInstanceResponse, named};
use super::{ALL, About, ApiError, Call, JsonSchema, Kind, Reply, Route};
use crate::app::Role::{Operator, Viewer};
use crate::app::{InstanceName, PendingInput, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/hitlDetails",
        Viewer,
        list,
        About::new("List the questions of a run that wait for an answer, or with `~` of every run")
            .query(&[
                PAGED,
                &[
                    ("task_id", Kind::Text),
                    ("map_index", Kind::Integer),
                    ("response_received", Kind::Truth),
                    ("dag_id_pattern", Kind::Text),
                    ("dag_id_prefix_pattern", Kind::Text),
                ],
            ])
            .answers::<Questions>(),
    )
    .filtered(),
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/hitlDetails",
        Viewer,
        get,
        About::new("The question of a task instance that waits for an answer")
            .answers::<Question>(),
    ),
    Route::airflow(
        "PATCH",
        "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/hitlDetails",
        Operator,
        answer,
        About::new("Answer a question; an answer cannot be taken back")
            .takes::<AnswerBody>()
            .answers::<Answered>(),
    ),
];

#[derive(Serialize, JsonSchema)]
struct User {
    id: String,
    name: String,
}

impl User {
    fn new(name: &str) -> Self {
        Self {
            id: name.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// A question that waits.
#[derive(Serialize, JsonSchema)]
struct Question {
    options: Vec<String>,
    subject: String,
    body: Option<String>,
    defaults: Option<Vec<String>>,
    multiple: bool,
    params: Map<String, Value>,
    assigned_users: Vec<User>,
    created_at: Timestamp,
    responded_by_user: Option<User>,
    responded_at: Option<Timestamp>,
    chosen_options: Option<Vec<String>>,
    params_input: Map<String, Value>,
    response_received: bool,
    task_instance: TaskInstanceResponse,
}

/// Questions of a page, and how many there are in all.
#[derive(Serialize, JsonSchema)]
struct Questions {
    hitl_details: Vec<Question>,
    total_entries: usize,
}

fn question(
    call: &Call<'_>,
    known: &mut Known<'_>,
    input: &PendingInput,
) -> Result<Question, ApiError> {
    let inside = call.app.run_inside(&input.dag_id, &input.run_id)?;
    let shared = Shared::new(&inside, known)?;
    let is_its = |row: &crate::app::TaskInstanceRow| {
        (row.task_id.as_str(), row.map_index) == (input.task_id.as_str(), input.map_index)
    };
    let instance = inside.instances.iter().find(|one| is_its(&one.row));
    let instance = instance.ok_or_else(|| ApiError::missing("the task instance is gone"))?;
    let asked = &input.question;
    Ok(Question {
        options: asked.options.clone(),
        subject: asked.subject.clone(),
        body: asked.body.clone(),
        defaults: asked.defaults.clone(),
        multiple: asked.multiple,
        params: asked.params.clone(),
        assigned_users: asked
            .assigned_users
            .iter()
            .map(|name| User::new(name))
            .collect(),
        created_at: instance.start_date.unwrap_or(inside.run.run_after),
        responded_by_user: None,
        responded_at: None,
        chosen_options: None,
        params_input: Map::new(),
        response_received: false,
        task_instance: shared.instance(instance),
    })
}

fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let fields = &call.fields;
    let (dag_id, run_id) = (call.any_dag_id()?, fields.need_text("dag_run_id")?);
    let (task_id, map_index) = (fields.text("task_id")?, fields.integer("map_index")?);
    let dag_ids = Pattern::of(fields, "dag_id")?;
    let mut waiting = Vec::new();
    // One that was answered is a part of its run's past.
    if fields.truth("response_received")? != Some(true) {
        waiting = call.app.pending_inputs()?;
    }
    waiting.retain(|input| {
        call.reaches(&input.dag_id)
            && dag_id.as_ref().is_none_or(|dag_id| input.dag_id == *dag_id)
            && (run_id == ALL || input.run_id.as_str() == run_id)
            && task_id.is_none_or(|task_id| input.task_id == task_id)
            && map_index.is_none_or(|index| i64::from(input.map_index) == index)
            && dag_ids.fits(input.dag_id.as_str())
    });
    let total_entries = waiting.len();
    let mut known = Known::new(call.app);
    let page = Page::of(fields)?.cut(waiting);
    let shown: Result<_, ApiError> = page
        .iter()
        .map(|input| question(call, &mut known, input))
        .collect();
    Reply::ok(&Questions {
        hitl_details: shown?,
        total_entries,
    })
}

fn name(call: &Call<'_>) -> Result<InstanceName, ApiError> {
    let inside = super::task_instances::inside(call)?;
    let instance = named(call, &inside, call.map_index()?)?;
    Ok(InstanceName {
        dag_id: inside.run.dag_id,
        run_id: inside.run.run_id,
        task_id: instance.row.task_id,
        map_index: instance.row.map_index,
    })
}

fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    let name = name(call)?;
    let waiting = call.app.pending_inputs()?;
    let input = waiting.iter().find(|input| {
        (
            &input.dag_id,
            &input.run_id,
            &input.task_id,
            input.map_index,
        ) == (&name.dag_id, &name.run_id, &name.task_id, name.map_index)
    });
    let input = input.ok_or_else(|| {
        ApiError::missing(format!("the task instance {} asks nothing", name.task_id))
    })?;
    Reply::ok(&question(call, &mut Known::new(call.app), input)?)
}

/// An answer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AnswerBody {
    chosen_options: Vec<String>,
    #[serde(default)]
    params_input: Map<String, Value>,
}

/// An answer that was taken.
#[derive(Serialize, JsonSchema)]
struct Answered {
    responded_by: User,
    responded_at: Timestamp,
    chosen_options: Vec<String>,
    params_input: Map<String, Value>,
}

fn answer(call: &Call<'_>) -> Result<Reply, ApiError> {
    let body: AnswerBody = call.read()?;
    let name = name(call)?;
    let response = Response {
        chosen_options: body.chosen_options.clone(),
        params_input: body.params_input.clone(),
        ..Response::default()
    };
    let subject = format!(
        "{}/{}/{}/{}",
        name.dag_id, name.run_id, name.task_id, name.map_index
    );
    call.audited("update_hitl_detail", &subject, || {
        Ok(call.wait(call.app.answer(&name, response, &call.actor.id))?)
    })?;
    Reply::ok(&Answered {
        responded_by: User::new(&call.actor.id),
        responded_at: Timestamp::now(),
        chosen_options: body.chosen_options,
        params_input: body.params_input,
    })
}
