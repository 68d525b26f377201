//! What the templates of a task instance came to, read from its run's events: nobody keeps it in memory.

use super::codec::decode_event;
use super::records::run_stream;
use super::recovery::RecoveryError;
use crate::store::Store;
use airlock_core::ids::{DagId, RunId, TaskInstanceKey};
use airlock_core::run::event::Event;

/// Events read at once.
const READ_EVENTS: usize = 4_096;

/// The rendered fields of the last attempt, as a JSON object; none where it had no templates.
pub fn rendered_fields(
    store: &dyn Store,
    dag_id: &DagId,
    run_id: &RunId,
    ti: TaskInstanceKey,
) -> Result<Option<String>, RecoveryError> {
    let stream = run_stream(dag_id, run_id);
    let (mut from, mut last) = (0, None);
    loop {
        let events = store.read(&stream, from, READ_EVENTS)?;
        if events.is_empty() {
            return Ok(last);
        }
        for stored in events {
            from = stored.seq + 1;
            let event = decode_event(&stored.payload).map_err(|source| RecoveryError::Codec {
                place: format!("run {run_id} of dag {dag_id}"),
                source,
            })?;
            match event {
                Event::Rendered { ti: of, fields } if of == ti => last = Some(fields),
                Event::AttemptStarted { ti: of, .. } if of == ti => last = None,
                _ => {}
            }
        }
    }
}
