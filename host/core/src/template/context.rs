//! What a template may see: plain values and a source of XCom values, under Airflow's names. Members are made when they are
//! asked for. It refuses secrets: see `lookup`.

use super::datetime::{self, Date, Macros};
use super::growth;
use super::history::{self, NoHistory, RunHistory};
use super::json::to_value;
use super::lookup::{Kind, Lookup, Named, NoLookup};
use crate::run::event::AssetEvent;
use jiff::Timestamp;
use minijinja::value::{Enumerator, Kwargs, Object, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The XCom key of an operator's value.
const RETURN_VALUE: &str = "return_value";

/// Where `xcom_pull` looks: every XCom of the run.
pub trait XComSource: Send + Sync {
    /// The value that `task_id` pushed under `key`. A mapped task without `map_index` yields the list of its values.
    fn pull(&self, task_id: &str, key: &str, map_index: Option<i32>) -> Option<Json>;
}

/// What `dag` holds.
#[derive(Debug, Clone, Default)]
pub struct DagValues {
    /// Its id.
    pub dag_id: String,
    /// Free text.
    pub description: Option<String>,
    /// For searching.
    pub tags: Vec<String>,
}

/// What `dag_run` and the variables about dates hold.
#[derive(Debug, Clone, Default)]
pub struct RunValues {
    /// Its id.
    pub run_id: String,
    /// Airflow's word, for example `scheduled`.
    pub run_type: String,
    /// What the run is about. Without one the dates fall back to `run_after`.
    pub logical_date: Option<Timestamp>,
    /// Start of the data interval.
    pub data_interval_start: Option<Timestamp>,
    /// End of the data interval.
    pub data_interval_end: Option<Timestamp>,
    /// When it was due or asked for.
    pub run_after: Timestamp,
    /// The conf as given: an object.
    pub conf: Json,
    /// After defaults and conf were merged: an object.
    pub params: Json,
    /// The asset events that the run consumes, oldest first.
    pub asset_events: Vec<AssetEvent>,
    /// Whether nothing of the run is recorded (`airlock tasks test`).
    pub is_test: bool,
}

/// What `task` and `ti` hold.
#[derive(Debug, Clone, Default)]
pub struct TaskValues {
    /// Its id.
    pub task_id: String,
    /// Which operator runs it.
    pub operator: String,
    /// -1 when unmapped.
    pub map_index: i32,
    /// From 1.
    pub try_number: u32,
    /// Further attempts after the first.
    pub retries: u32,
    /// Where it takes its slots.
    pub pool: String,
    /// Which hosts may run it.
    pub queue: String,
    /// URIs of the assets it says that it reads.
    pub inlets: Vec<String>,
    /// URIs of the assets that its success updates.
    pub outlets: Vec<String>,
    /// The template of its instances' labels.
    pub map_index_template: Option<String>,
    /// How often this try was put off.
    pub task_reschedule_count: u32,
}

/// The values of one rendering. Cheap to clone.
#[derive(Clone)]
pub struct Context(Arc<Values>);

#[derive(Clone)]
struct Values {
    dag: DagValues,
    run: RunValues,
    task: Option<TaskValues>,
    xcom: Arc<dyn XComSource>,
    lookup: Arc<dyn Lookup>,
    history: Arc<dyn RunHistory>,
    extra: BTreeMap<String, Json>,
}

impl fmt::Debug for Context {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Context({} {})", self.0.dag.dag_id, self.0.run.run_id)
    }
}

impl Context {
    /// The context of a task instance; without `task`, of a callback of the run.
    pub fn new(
        dag: DagValues,
        run: RunValues,
        task: Option<TaskValues>,
        xcom: Arc<dyn XComSource>,
    ) -> Self {
        Self(Arc::new(Values {
            dag,
            run,
            task,
            xcom,
            lookup: Arc::new(NoLookup),
            history: Arc::new(NoHistory),
            extra: BTreeMap::new(),
        }))
    }

    /// With what `var` and `conn` read.
    #[must_use]
    pub fn with_lookup(mut self, lookup: Arc<dyn Lookup>) -> Self {
        Arc::make_mut(&mut self.0).lookup = lookup;
        self
    }

    /// With what the names of other runs read.
    #[must_use]
    pub fn with_history(mut self, history: Arc<dyn RunHistory>) -> Self {
        Arc::make_mut(&mut self.0).history = history;
        self
    }

    /// With one more name at the top, for example `slow_tasks` of an SLA callback. It cannot replace Airflow's names.
    #[must_use]
    pub fn with(mut self, name: &str, value: Json) -> Self {
        Arc::make_mut(&mut self.0)
            .extra
            .insert(name.to_owned(), value);
        self
    }

    pub(super) fn root(&self) -> Value {
        Value::from_object(Root {
            values: self.0.clone(),
            made: Mutex::default(),
        })
    }
}

/// Names at the top, for hints; `ti`'s only in a task.
const NAMES: [&str; 38] = [
    "ds",
    "ds_nodash",
    "ts",
    "ts_nodash",
    "ts_nodash_with_tz",
    "logical_date",
    "execution_date",
    "data_interval_start",
    "data_interval_end",
    "prev_ds",
    "prev_ds_nodash",
    "next_ds",
    "next_ds_nodash",
    "prev_logical_date",
    "next_logical_date",
    "prev_data_interval_start_success",
    "prev_data_interval_end_success",
    "prev_start_date_success",
    "prev_end_date_success",
    "triggering_asset_events",
    "test_mode",
    "partition_key",
    "inlets",
    "outlets",
    "map_index_template",
    "task_reschedule_count",
    "dag",
    "dag_run",
    "run_id",
    "task",
    "ti",
    "task_instance",
    "task_instance_key_str",
    "xcom_pull",
    "params",
    "var",
    "conn",
    "macros",
];

/// What is seen at the top. A name is made once in a rendering: what it holds is then held once, and looked up once.
struct Root {
    values: Arc<Values>,
    made: Mutex<BTreeMap<String, Option<Value>>>,
}

/// `ti`, and `xcom_pull` as a bare function.
#[derive(Clone)]
struct Ti(Arc<Values>);

macro_rules! opaque_debug {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(stringify!($name))
            }
        }
    )*};
}
opaque_debug!(Root, Ti);

fn date(at: Option<Timestamp>) -> Value {
    at.map_or_else(|| Value::from(()), Date::value)
}

fn object<const N: usize>(members: [(&'static str, Value); N]) -> Value {
    Value::from(BTreeMap::from(members))
}

fn optional<T: Into<Value>>(value: Option<T>) -> Value {
    value.map_or_else(|| Value::from(()), Into::into)
}

impl Values {
    fn about(&self) -> Timestamp {
        self.run.logical_date.unwrap_or(self.run.run_after)
    }

    fn dag(&self) -> Value {
        object([
            ("dag_id", Value::from(self.dag.dag_id.as_str())),
            ("description", optional(self.dag.description.clone())),
            ("tags", Value::from(self.dag.tags.clone())),
        ])
    }

    fn dag_run(&self) -> Value {
        let run = &self.run;
        object([
            ("dag_id", Value::from(self.dag.dag_id.as_str())),
            ("run_id", Value::from(run.run_id.as_str())),
            ("run_type", Value::from(run.run_type.as_str())),
            ("logical_date", date(run.logical_date)),
            ("data_interval_start", date(run.data_interval_start)),
            ("data_interval_end", date(run.data_interval_end)),
            ("run_after", Date::value(run.run_after)),
            ("conf", to_value(&run.conf)),
        ])
    }

    fn task(&self) -> Option<Value> {
        let task = self.task.as_ref()?;
        Some(object([
            ("task_id", Value::from(task.task_id.as_str())),
            ("operator", Value::from(task.operator.as_str())),
            ("retries", Value::from(task.retries)),
            ("pool", Value::from(task.pool.as_str())),
            ("queue", Value::from(task.queue.as_str())),
            ("inlets", Value::from(task.inlets.clone())),
            ("outlets", Value::from(task.outlets.clone())),
        ]))
    }

    /// By asset, oldest first: each event with its asset, its time, its source and what the source said about it.
    fn asset_events(&self) -> Value {
        let mut by_uri: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for event in &self.run.asset_events {
            let extra: Json = serde_json::from_str(&event.extra).unwrap_or_default();
            let shown = object([
                ("uri", Value::from(event.uri.as_str())),
                ("timestamp", Date::value(event.at)),
                ("source", Value::from(event.source.as_str())),
                ("extra", to_value(&extra)),
            ]);
            by_uri.entry(event.uri.clone()).or_default().push(shown);
        }
        Value::from(by_uri)
    }

    fn looked_up(&self, kind: Kind) -> Value {
        Value::from_object(Named::new(kind, self.lookup.clone()))
    }

    fn xcom_pull(&self, args: &[Value]) -> Result<Value, Error> {
        let (task_ids, kwargs): (Option<Value>, Kwargs) = from_args(args)?;
        let task_ids = match task_ids {
            Some(given) => Some(given),
            None => kwargs.get::<Option<Value>>("task_ids")?,
        };
        let key: Option<String> = kwargs.get("key")?;
        let key = key.unwrap_or_else(|| RETURN_VALUE.to_owned());
        let default: Option<Value> = kwargs.get("default")?;
        let map_indexes: Option<Value> = kwargs.get("map_indexes")?;
        kwargs.assert_all_used()?;
        let own = || {
            self.task
                .as_ref()
                .map(|task| Value::from(task.task_id.as_str()))
        };
        let task_ids = task_ids
            .filter(|ids| !ids.is_none())
            .or_else(own)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::MissingArgument,
                    "xcom_pull needs task_ids outside a task",
                )
            })?;
        let ids = listed(&task_ids)?;
        let indexes = match map_indexes.as_ref().filter(|given| !given.is_none()) {
            Some(given) => listed(given)?,
            None => Vec::new(),
        };
        let single = task_ids.as_str().is_some()
            && map_indexes.is_none_or(|given| given.is_integer() || given.is_none());
        let mut values = Vec::new();
        for id in &ids {
            let id = id.as_str().ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidOperation,
                    "task_ids is a text or a list of texts",
                )
            })?;
            let mut pull = |index: Option<i32>| {
                let found = self.xcom.pull(id, &key, index).map(|json| to_value(&json));
                values.push(
                    found.unwrap_or_else(|| default.clone().unwrap_or_else(|| Value::from(()))),
                );
            };
            if indexes.is_empty() {
                pull(None);
            }
            for index in &indexes {
                pull(Some(i32::try_from(index.clone())?));
            }
        }
        if single {
            return Ok(values.pop().unwrap_or_else(|| Value::from(())));
        }
        Ok(Value::from(values))
    }
}

/// A list as it is, anything else as a list of one.
fn listed(value: &Value) -> Result<Vec<Value>, Error> {
    if value.kind() == minijinja::value::ValueKind::Seq {
        return Ok(value.try_iter()?.collect());
    }
    Ok(vec![value.clone()])
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = made.get(key) {
            return value.clone();
        }
        let value = top(&self.values, key);
        made.insert(key.to_owned(), value.clone());
        value
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let extra = self.values.extra.keys();
        let extra = extra.map(|name| Value::from(name.as_str()));
        Enumerator::Values(NAMES.into_iter().map(Value::from).chain(extra).collect())
    }
}

/// What a name at the top holds.
fn top(values: &Arc<Values>, key: &str) -> Option<Value> {
    let run = &values.run;
    Some(match key {
        "ds" | "ds_nodash" | "ts" | "ts_nodash" | "ts_nodash_with_tz" => {
            Value::from(datetime::named(key, values.about()))
        }
        "logical_date" | "execution_date" => Date::value(values.about()),
        "data_interval_start" => Date::value(run.data_interval_start.unwrap_or(values.about())),
        "data_interval_end" => Date::value(run.data_interval_end.unwrap_or(values.about())),
        "triggering_asset_events" => values.asset_events(),
        "test_mode" => Value::from(run.is_test),
        // Airlock's assets have no partitions, as in Airflow where a run has no key.
        "partition_key" => Value::from(()),
        "inlets" => Value::from(values.task.as_ref()?.inlets.clone()),
        "outlets" => Value::from(values.task.as_ref()?.outlets.clone()),
        "map_index_template" => optional(values.task.as_ref()?.map_index_template.clone()),
        "task_reschedule_count" => Value::from(values.task.as_ref()?.task_reschedule_count),
        "dag" => values.dag(),
        "dag_run" => values.dag_run(),
        "run_id" => Value::from(run.run_id.as_str()),
        "task" => values.task()?,
        "ti" | "task_instance" => {
            values.task.as_ref()?;
            Value::from_object(Ti(values.clone()))
        }
        "xcom_pull" => Value::from_object(Ti(values.clone())),
        "task_instance_key_str" => Value::from(format!(
            "{}__{}__{}",
            values.dag.dag_id,
            values.task.as_ref()?.task_id,
            datetime::named("ds_nodash", values.about())
        )),
        "params" => to_value(&run.params),
        "var" => object([
            ("value", values.looked_up(Kind::Variable)),
            ("json", values.looked_up(Kind::ParsedVariable)),
        ]),
        "conn" => values.looked_up(Kind::Connection),
        "macros" => Value::from_object(Macros),
        other => {
            let of_others = history::value(other, values.history.as_ref());
            of_others.or_else(|| values.extra.get(other).map(to_value))?
        }
    })
}

impl Object for Ti {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let task = self.0.task.as_ref()?;
        Some(match key {
            "task_id" => Value::from(task.task_id.as_str()),
            "dag_id" => Value::from(self.0.dag.dag_id.as_str()),
            "run_id" => Value::from(self.0.run.run_id.as_str()),
            "map_index" => Value::from(task.map_index),
            "try_number" => Value::from(task.try_number),
            "max_tries" => Value::from(task.retries),
            "operator" => Value::from(task.operator.as_str()),
            "xcom_pull" => Value::from_object(Self(self.0.clone())),
            _ => return None,
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&[
            "task_id",
            "dag_id",
            "run_id",
            "map_index",
            "try_number",
            "max_tries",
            "operator",
            "xcom_pull",
        ])
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        growth::kept(state, self.0.xcom_pull(args)?)
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        if method == "xcom_pull" {
            return growth::kept(state, self.0.xcom_pull(args)?);
        }
        Err(Error::from(ErrorKind::UnknownMethod))
    }
}
