//! Goes on by what the calendar says.

use crate::Choice;
use airlock_sdk::calendar::{self, Weekday};
use airlock_sdk::prelude::*;
use airlock_sdk::time::{Timestamp, now};
use std::time::Duration;

/// Nothing to choose.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LatestOnly {}

/// Skips what is directly downstream unless the run is the newest; a run that was asked for always goes on.
#[operator]
pub(crate) fn latest_only(config: LatestOnly) -> Result<Outcome, TaskError> {
    let LatestOnly {} = config;
    if calendar::is_latest_interval()? {
        return Ok(Outcome::Success(Value::Null));
    }
    info!("Not the newest run: downstream is skipped");
    Ok(Outcome::Branch(Vec::new()))
}

/// On which days to go on where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BranchDayOfWeek {
    /// One day or several.
    week_day: Days,
    /// Task ids that go on where it is such a day.
    follow_task_ids_if_true: Choice,
    /// Task ids that go on where it is not.
    follow_task_ids_if_false: Choice,
    /// Whether the day of the run's logical date counts, and not today.
    #[serde(default)]
    use_task_logical_date: bool,
    /// IANA name; absent: the DAG's.
    timezone: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Days {
    One(Weekday),
    Many(Vec<Weekday>),
}

/// Goes on by the day of the week.
#[operator]
pub(crate) fn branch_day_of_week(
    config: BranchDayOfWeek,
    task: &Task,
) -> Result<Outcome, TaskError> {
    let days = match config.week_day {
        Days::One(day) => vec![day],
        Days::Many(days) => days,
    };
    let at = base(config.use_task_logical_date, task)?;
    let today = calendar::to_local(at, config.timezone.as_deref())?.iso_weekday;
    let chosen = if days.iter().any(|day| day.iso() == today) {
        config.follow_task_ids_if_true
    } else {
        config.follow_task_ids_if_false
    };
    Ok(Outcome::Branch(chosen.into_list()))
}

/// In which time to go on where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BranchDateTime {
    /// Task ids that go on where it is that time.
    follow_task_ids_if_true: Choice,
    /// Task ids that go on where it is not.
    follow_task_ids_if_false: Choice,
    /// From when: an instant, a local `2026-01-05T02:00:00`, or a time of the day (`09:00`).
    target_lower: Option<String>,
    /// Until when. A time of the day before that of `target_lower` is the next day's.
    target_upper: Option<String>,
    /// Whether the run's logical date counts, and not the present.
    #[serde(default)]
    use_task_logical_date: bool,
    /// IANA name; absent: the DAG's.
    timezone: Option<String>,
}

/// Goes on by the time.
#[operator]
pub(crate) fn branch_datetime(config: BranchDateTime, task: &Task) -> Result<Outcome, TaskError> {
    if config.target_lower.is_none() && config.target_upper.is_none() {
        return Err(TaskError::invalid(
            "target_lower",
            "give target_lower, target_upper or both",
        ));
    }
    let at = base(config.use_task_logical_date, task)?;
    let (lower, upper) = bounds(&config, at)?;
    let inside = lower.is_none_or(|lower| lower <= at) && upper.is_none_or(|upper| at <= upper);
    let chosen = if inside {
        config.follow_task_ids_if_true
    } else {
        config.follow_task_ids_if_false
    };
    Ok(Outcome::Branch(chosen.into_list()))
}

type Bounds = (Option<Timestamp>, Option<Timestamp>);

fn bounds(config: &BranchDateTime, at: Timestamp) -> Result<Bounds, TaskError> {
    let zone = config.timezone.as_deref();
    let today = calendar::to_local(at, zone)?.date;
    let instant = |field: &str, text: &Option<String>| {
        let parsed = text.as_deref().map(|text| bound(text, &today, zone));
        let parsed = parsed.transpose();
        parsed.map_err(|error| TaskError::invalid(field, error.to_string()))
    };
    let lower = instant("target_lower", &config.target_lower)?;
    let upper = instant("target_upper", &config.target_upper)?;
    let crosses_midnight = config.target_upper.as_deref().is_some_and(is_clock)
        && lower.zip(upper).is_some_and(|(lower, upper)| upper < lower);
    if let (true, Some(text)) = (crosses_midnight, &config.target_upper) {
        let midnight: Timestamp = today.parse()?;
        let tomorrow = midnight.plus(Duration::from_hours(24))?.date();
        return Ok((lower, Some(bound(text, &tomorrow, zone)?)));
    }
    Ok((lower, upper))
}

fn is_clock(text: &str) -> bool {
    !text.contains('-') && text.get(2..3) == Some(":")
}

fn bound(text: &str, day: &str, zone: Option<&str>) -> Result<Timestamp, TaskError> {
    if is_clock(text) {
        return calendar::from_local(&format!("{day}T{text}"), zone);
    }
    match text.parse() {
        // A date alone has no zone: it is local.
        Ok(instant) if text.len() > "2026-01-05".len() => Ok(instant),
        Ok(_) => calendar::from_local(&format!("{text}T00:00:00"), zone),
        Err(_) => calendar::from_local(text, zone),
    }
}

fn base(use_task_logical_date: bool, task: &Task) -> Result<Timestamp, TaskError> {
    if !use_task_logical_date {
        return Ok(now()?);
    }
    task.logical_date
        .ok_or_else(|| TaskError::invalid("use_task_logical_date", "this run has no logical date"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_sdk::testing::Host;

    fn yes() -> Result<Outcome, TaskError> {
        Ok(Outcome::Branch(vec!["yes".into()]))
    }

    fn no() -> Result<Outcome, TaskError> {
        Ok(Outcome::Branch(vec!["no".into()]))
    }

    fn with(more: Value) -> Value {
        let mut config =
            json!({"follow_task_ids_if_true": "yes", "follow_task_ids_if_false": ["no"]});
        if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
            config.extend(more);
        }
        config
    }

    #[test]
    fn c6_only_the_newest_run_goes_on() {
        let host = Host::new();
        let done = Ok(Outcome::Success(Value::Null));
        assert_eq!(host.run::<latest_only>(json!({})), done);
        host.set_latest_interval(false);
        let skipped = Ok(Outcome::Branch(Vec::new()));
        assert_eq!(host.run::<latest_only>(json!({})), skipped);
    }

    #[test]
    fn c6_the_local_day_of_the_week_decides() {
        let host = Host::new();
        // Monday, 02:00 UTC.
        let run = |days: Value| host.run::<branch_day_of_week>(with(json!({"week_day": days})));
        assert_eq!(run(json!(["monday", "sunday"])), yes());
        assert_eq!(run(json!("sunday")), no());
        host.set_utc_offset(-3);
        assert_eq!(run(json!("sunday")), yes());
        let later: Timestamp = "2026-01-07T12:00:00Z".parse().unwrap();
        host.set_now(later);
        let own = with(json!({"week_day": 7, "use_task_logical_date": true}));
        assert_eq!(host.run::<branch_day_of_week>(own), yes());
    }

    #[test]
    fn c6_the_time_decides() {
        let host = Host::new();
        let run = |more: Value| host.run::<branch_datetime>(with(more));
        for (more, expected) in [
            (
                json!({"target_lower": "01:00", "target_upper": "03:00"}),
                yes(),
            ),
            (json!({"target_lower": "03:00"}), no()),
            (json!({"target_upper": "01:00"}), no()),
            (
                json!({"target_lower": "01:00", "target_upper": "00:30:00"}),
                yes(),
            ),
            (
                json!({"target_lower": "22:00", "target_upper": "01:00"}),
                no(),
            ),
            (
                json!({"target_lower": "2026-01-01T00:00:00Z", "target_upper": "2026-01-05"}),
                no(),
            ),
            (
                json!({"target_lower": "2026-01-05", "target_upper": "2026-01-05T02:00:00"}),
                yes(),
            ),
        ] {
            assert_eq!(run(more.clone()), expected, "{more}");
        }
        assert!(matches!(
            run(json!({})),
            Err(TaskError::InvalidInput { .. })
        ));
        let wrong = run(json!({"target_lower": "soon"}));
        assert!(
            matches!(wrong, Err(TaskError::InvalidInput { field, .. }) if field == "target_lower")
        );
    }
}
