//! DAGs as code: tasks are called, and the calls are the dependencies. The function of a `#[dag]` runs when the component is
//! asked what it is; nothing in it runs a task. It refuses to know schedules and trigger rules: their words go to the host.

#![expect(
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "a call of a task is there for what it records"
)]

use crate::{Operator, Registration, TaskError};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::cell::RefCell;
use std::marker::PhantomData;

/// A DAG as `#[dag]` makes it.
pub trait Dag {
    /// Its id.
    const DAG_ID: &'static str;

    /// Settings in the words of a DAG file.
    fn settings() -> Value;
    /// Calls its tasks.
    fn define();
}

/// What a task will return, before it has run: given to another task it makes that one wait and becomes its argument.
#[derive(Debug)]
pub struct Handle<T> {
    index: usize,
    path: String,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self {
            index: self.index,
            path: self.path.clone(),
            kind: PhantomData,
        }
    }
}

/// An argument of a task: a value, what another task will return, or a template.
#[derive(Debug)]
pub struct Argument<T> {
    value: Value,
    after: Option<usize>,
    kind: PhantomData<fn() -> T>,
}

impl<T: Serialize> From<T> for Argument<T> {
    fn from(value: T) -> Self {
        // A value that is no JSON is one that no config could have: the host's check of the document says so.
        Self::of(serde_json::to_value(value).unwrap_or_default(), None)
    }
}

impl From<&str> for Argument<String> {
    fn from(text: &str) -> Self {
        Self::of(Value::from(text), None)
    }
}

impl<T> From<Handle<T>> for Argument<T> {
    fn from(handle: Handle<T>) -> Self {
        Self::of(Value::from(handle.template()), Some(handle.index))
    }
}

impl<T> From<&Handle<T>> for Argument<T> {
    fn from(handle: &Handle<T>) -> Self {
        handle.clone().into()
    }
}

impl<T> Argument<T> {
    fn of(value: Value, after: Option<usize>) -> Self {
        Self {
            value,
            after,
            kind: PhantomData,
        }
    }

    /// As the macros hand it on.
    #[doc(hidden)]
    pub fn parts(self) -> (Value, Option<usize>) {
        (self.value, self.after)
    }
}

/// A template that will be rendered to a `T`: `template("{{ params.rows }}")`.
pub fn template<T>(text: &str) -> Argument<T> {
    Argument::of(Value::from(text), None)
}

/// What a task's function answers; its value is what other tasks can be given.
pub trait TaskReturn {
    /// The value.
    type Value;
}

impl<T> TaskReturn for Result<T, TaskError> {
    type Value = T;
}

/// A call of a task inside a DAG.
struct Call {
    operator: Registration,
    task_id: String,
    config: Map<String, Value>,
    depends_on: Vec<usize>,
    settings: Map<String, Value>,
}

thread_local! {
    static CALLS: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
}

/// Records the call of a task; `#[task]` writes this.
#[doc(hidden)]
pub fn call<O: Operator, T>(
    settings: Value,
    arguments: impl IntoIterator<Item = (&'static str, (Value, Option<usize>))>,
) -> Handle<T> {
    let mut config = Map::new();
    let mut depends_on = Vec::new();
    for (name, (value, after)) in arguments {
        config.insert(name.to_owned(), value);
        if let Some(index) = after.filter(|index| !depends_on.contains(index)) {
            depends_on.push(index);
        }
    }
    let Value::Object(settings) = settings else {
        return Handle::at(0);
    };
    CALLS.with_borrow_mut(|calls| {
        // The same task called again is another one, as in Airflow: name__1.
        let taken = |id: &str| calls.iter().any(|call| call.task_id == id);
        let copies = (1_u32..).map(|copy| format!("{}__{copy}", O::NAME));
        let task_id = std::iter::once(O::NAME.to_owned())
            .chain(copies)
            .find(|id| !taken(id))
            .unwrap_or_default();
        calls.push(Call {
            operator: Registration::of::<O>(),
            task_id,
            config,
            depends_on,
            settings,
        });
        Handle::at(calls.len() - 1)
    })
}

impl<T> Handle<T> {
    fn at(index: usize) -> Self {
        Self {
            index,
            path: String::new(),
            kind: PhantomData,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Call)) {
        CALLS.with_borrow_mut(|calls| {
            if let Some(call) = calls.get_mut(self.index) {
                change(call);
            }
        });
    }

    fn template(&self) -> String {
        let task_id = CALLS.with_borrow(|calls| {
            let call = calls.get(self.index);
            call.map(|call| call.task_id.clone()).unwrap_or_default()
        });
        format!("{{{{ xcom_pull({}){} }}}}", Value::from(task_id), self.path)
    }

    /// A member of the object that the task returns.
    #[must_use]
    pub fn get<U>(&self, member: &str) -> Handle<U> {
        Handle {
            index: self.index,
            path: format!("{}[{}]", self.path, Value::from(member)),
            kind: PhantomData,
        }
    }

    /// Waits for another task without being given its value.
    pub fn after<U>(self, other: &Handle<U>) -> Self {
        self.change(|call| {
            if !call.depends_on.contains(&other.index) {
                call.depends_on.push(other.index);
            }
        });
        self
    }

    /// Names this call; to be said before the result is given to another task.
    pub fn task_id(self, task_id: &str) -> Self {
        self.change(|call| task_id.clone_into(&mut call.task_id));
        self
    }

    /// A setting in the words of a DAG file: `.set("trigger_rule", "all_done")`.
    pub fn set(self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        self.change(|call| {
            call.settings.insert(name.to_owned(), value);
        });
        self
    }
}

/// A DAG with its types erased, so that a plugin can list several.
#[derive(Clone, Copy)]
pub struct DagRegistration {
    build: fn() -> (Value, Vec<Call>),
}

impl DagRegistration {
    /// The registration of `D`.
    pub const fn of<D: Dag>() -> Self {
        Self { build: build::<D> }
    }

    /// The operators that its tasks run.
    pub(crate) fn operators(self) -> Vec<Registration> {
        let (_, calls) = (self.build)();
        calls.into_iter().map(|call| call.operator).collect()
    }

    /// The document of the DAG schema, in a plugin of this name.
    pub fn document(self, plugin: &str) -> Value {
        let (mut document, calls) = (self.build)();
        let ids: Vec<&str> = calls.iter().map(|call| call.task_id.as_str()).collect();
        let task = |call: &Call| {
            let upstream = call.depends_on.iter().filter_map(|index| ids.get(*index));
            let mut task = json!({
                "task_id": call.task_id, "operator": format!("{plugin}.{}", call.operator.name()), "config": call.config,
                "depends_on": upstream.collect::<Vec<_>>(),
            });
            if let Some(task) = task.as_object_mut() {
                task.extend(call.settings.clone());
            }
            task
        };
        let tasks: Vec<Value> = calls.iter().map(task).collect();
        if let Some(document) = document.as_object_mut() {
            document.insert("tasks".to_owned(), Value::from(tasks));
        }
        document
    }
}

fn build<D: Dag>() -> (Value, Vec<Call>) {
    CALLS.take();
    D::define();
    let mut document = json!({"dag_id": D::DAG_ID});
    if let (Some(document), Value::Object(settings)) = (document.as_object_mut(), D::settings()) {
        document.extend(settings);
    }
    (document, CALLS.take())
}
