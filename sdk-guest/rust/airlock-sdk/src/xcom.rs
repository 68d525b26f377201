//! Small JSON values between tasks of one run, typed.

use crate::sys::xcom as host;
use crate::{Task, TaskError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The key of an operator's value.
pub const RETURN_VALUE: &str = "return_value";

/// Upserts; durable and visible to others when it returns. At most 48 KiB of JSON.
pub fn push<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<(), TaskError> {
    host::push(key, &serde_json::to_string(value)?)
        .map_err(|error| TaskError::from(error).context(&format!("push XCom `{key}`")))
}

/// What `task_id` pushed under `key` in this run; of a mapped task, the list of all its values.
pub fn pull<T: DeserializeOwned>(task_id: &str, key: &str) -> Result<Option<T>, TaskError> {
    pull_at(task_id, key, None)
}

/// What one instance of the mapped task `task_id` pushed.
pub fn pull_mapped<T: DeserializeOwned>(
    task_id: &str,
    key: &str,
    map_index: i32,
) -> Result<Option<T>, TaskError> {
    pull_at(task_id, key, Some(map_index))
}

/// What this task instance made under `key` in an earlier attempt of the same try; else makes it now and keeps it. For what
/// must stay the same over deferrals and pokes.
pub fn once<T: Serialize + DeserializeOwned>(
    task: &Task,
    key: &str,
    make: impl FnOnce() -> Result<T, TaskError>,
) -> Result<T, TaskError> {
    if let Some(kept) = pull_at(&task.task_id, key, Some(task.map_index))? {
        return Ok(kept);
    }
    let made = make()?;
    push(key, &made)?;
    Ok(made)
}

fn pull_at<T: DeserializeOwned>(
    task_id: &str,
    key: &str,
    map_index: Option<i32>,
) -> Result<Option<T>, TaskError> {
    let doing = format!("pull XCom `{key}` of `{task_id}`");
    let text = host::pull(task_id, key, map_index)
        .map_err(|error| TaskError::from(error).context(&doing))?;
    text.map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| TaskError::from(error).context(&doing))
}
