//! The log of a task instance, a try at a time. It refuses to send more than a page: a token says where the next one begins.

use super::task_instances::{inside, named};
use super::{About, ApiError, Call, JsonSchema, Kind, Reply, Route};
use crate::app::Role::Viewer;
use serde::Serialize;

/// Lines of a page.
const LINES_MAX: usize = 10_000;

pub(super) const ROUTES: &[Route] = &[Route::airflow(
    "GET",
    "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/logs/{try_number}",
    Viewer,
    get,
    About::new("The log of a try; 0 is every try")
        .query(&[&[
            ("map_index", Kind::Integer),
            ("full_content", Kind::Truth),
            ("token", Kind::Text),
        ]])
        .answers::<Log>(),
)];

/// A line. Without a timestamp it goes on what the line before it began.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<String>,
    /// Who said it: `task`, `stdout`, `stderr` or `airlock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    logger: Option<String>,
}

/// Lines of a log, and where the rest begins.
#[derive(Serialize, JsonSchema)]
struct Log {
    content: Vec<Line>,
    continuation_token: Option<String>,
}

fn line(text: &str) -> Line {
    let parts = || {
        let (timestamp, rest) = text.split_once(' ')?;
        timestamp.parse::<jiff::Timestamp>().ok()?;
        let (level, rest) = rest.split_at_checked(5)?;
        let (logger, event) = rest.strip_prefix(' ')?.split_once(": ")?;
        Some(Line {
            timestamp: Some(timestamp.to_owned()),
            event: event.to_owned(),
            level: Some(level.trim().to_ascii_lowercase()),
            logger: Some(logger.to_owned()),
        })
    };
    parts().unwrap_or_else(|| Line {
        timestamp: None,
        event: text.to_owned(),
        level: None,
        logger: None,
    })
}

fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    let inside = inside(call)?;
    let map_index = call.map_index()?;
    named(call, &inside, map_index)?;
    let wanted = call.fields.need_integer("try_number")?;
    let try_number = u32::try_from(wanted)
        .map_err(|_| ApiError::invalid(format!("{wanted} is no number of a try")))?;
    let begin = match call.fields.text("token")? {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .map_err(|_| ApiError::invalid("the token is none that a log answered"))?,
    };
    let (run, task_id) = (&inside.run, call.task_id()?);
    let one = Some(try_number).filter(|number| *number > 0);
    let ids = (&run.dag_id, &run.run_id);
    let text = call.app.log(ids, &task_id, map_index, one)?;
    let mut lines = text.lines().skip(begin);
    let content: Vec<Line> = lines.by_ref().take(LINES_MAX).map(line).collect();
    let next = lines.next().map(|_| (begin + content.len()).to_string());
    Reply::ok(&Log {
        content,
        continuation_token: next,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_taken_apart_and_one_without_a_time_is_kept_whole() {
        let parsed = line("2026-01-05T02:00:00.123Z INFO  task: hello: there");
        assert_eq!(
            parsed.timestamp.as_deref(),
            Some("2026-01-05T02:00:00.123Z")
        );
        assert_eq!(parsed.level.as_deref(), Some("info"));
        assert_eq!(parsed.logger.as_deref(), Some("task"));
        assert_eq!(parsed.event, "hello: there");
        assert_eq!(line("  at frame 3").event, "  at frame 3");
    }

    proptest! {
        #[test]
        fn no_line_makes_the_reader_panic(text in ".{0,80}") {
            let parsed = line(&text);
            prop_assert!(text.ends_with(&parsed.event));
        }
    }
}
