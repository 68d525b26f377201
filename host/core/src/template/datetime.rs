//! Dates in templates: they print and format as Airflow's do (pendulum in UTC). It refuses to know what time it is.

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};
use minijinja::value::{Kwargs, Object, ObjectRepr, Rest, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// Airflow's date filters.
pub(super) const FILTERS: [&str; 5] = ["ds", "ds_nodash", "ts", "ts_nodash", "ts_nodash_with_tz"];

/// The longest pattern of a date, in bytes: a directive may print as many characters as it has digits for.
const PATTERN_BYTES_MAX: usize = 256;

/// A point in time as templates see it.
#[derive(Debug, Clone)]
pub(super) struct Date(Zoned);

impl Date {
    pub(super) fn value(at: Timestamp) -> Value {
        Value::from_object(Self(at.to_zoned(TimeZone::UTC)))
    }

    fn iso(&self) -> String {
        let zoned = &self.0;
        let pattern = if zoned.subsec_nanosecond() / 1000 == 0 {
            "%Y-%m-%dT%H:%M:%S%:z"
        } else {
            "%Y-%m-%dT%H:%M:%S.%6f%:z"
        };
        zoned.strftime(pattern).to_string()
    }

    fn named(&self, name: &str) -> String {
        match name {
            "ds" => self.0.strftime("%Y-%m-%d").to_string(),
            "ds_nodash" => self.0.strftime("%Y%m%d").to_string(),
            "ts_nodash" => self.0.strftime("%Y%m%dT%H%M%S").to_string(),
            "ts_nodash_with_tz" => self.0.strftime("%Y%m%dT%H%M%S%z").to_string(),
            _ => self.iso(),
        }
    }

    /// Later by `delta`, whatever the clocks of its zone do meanwhile.
    fn shifted(&self, delta: SignedDuration) -> Result<Value, Error> {
        let moved = self.0.checked_add(delta).map_err(invalid)?;
        Ok(Value::from_object(Self(moved)))
    }

    fn moved(&self, args: &[Value], sign: i64) -> Result<Value, Error> {
        let (delta, kwargs): (Option<Value>, Kwargs) = from_args(args)?;
        let mut span = Span::new();
        if let Some(delta) = delta {
            let delta = delta
                .downcast_object_ref::<Delta>()
                .ok_or_else(|| invalid("expected macros.timedelta(...) or units like days=1"))?;
            let moved = i64::try_from(delta.0.as_micros()).ok();
            let moved = moved.and_then(|micros| micros.checked_mul(sign));
            let moved = moved.ok_or_else(|| invalid("too large"))?;
            span = span.try_microseconds(moved).map_err(invalid)?;
        }
        for unit in kwargs.args() {
            let count: i64 = kwargs.get(unit)?;
            let count = count
                .checked_mul(sign)
                .ok_or_else(|| invalid("too large"))?;
            span = match unit {
                "years" => span.try_years(count),
                "months" => span.try_months(count),
                "weeks" => span.try_weeks(count),
                "days" => span.try_days(count),
                "hours" => span.try_hours(count),
                "minutes" => span.try_minutes(count),
                "seconds" => span.try_seconds(count),
                _ => {
                    return Err(invalid(
                        "units are years, months, weeks, days, hours, minutes, seconds",
                    ));
                }
            }
            .map_err(invalid)?;
        }
        Ok(Value::from_object(Self(
            self.0.checked_add(span).map_err(invalid)?,
        )))
    }
}

/// The text of a date as one of Airflow's variables has it: `ds`, `ts_nodash` and so on.
pub(super) fn named(name: &str, at: Timestamp) -> String {
    Date(at.to_zoned(TimeZone::UTC)).named(name)
}

/// One of [`FILTERS`]: of a date, or of a text that holds one. None stays none.
pub(super) fn filter(name: &str, value: &Value) -> Result<Value, Error> {
    if value.is_none() {
        return Ok(Value::from(()));
    }
    if let Some(date) = value.downcast_object_ref::<Date>() {
        return Ok(Value::from(date.named(name)));
    }
    let text = value
        .as_str()
        .ok_or_else(|| invalid("expected a date or its text"))?;
    let at = text.parse::<Timestamp>().or_else(|_| {
        let civil: DateTime = text.parse()?;
        civil.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp())
    });
    Ok(Value::from(named(name, at.map_err(invalid)?)))
}

impl Object for Date {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let zoned = &self.0;
        Some(match key {
            "year" => Value::from(zoned.year()),
            "month" => Value::from(zoned.month()),
            "day" => Value::from(zoned.day()),
            "hour" => Value::from(zoned.hour()),
            "minute" => Value::from(zoned.minute()),
            "second" => Value::from(zoned.second()),
            "microsecond" => Value::from(zoned.subsec_nanosecond() / 1000),
            "day_of_week" => Value::from(zoned.weekday().to_monday_zero_offset()),
            "day_of_year" => Value::from(zoned.day_of_year()),
            "int_timestamp" => Value::from(zoned.timestamp().as_second()),
            _ => return None,
        })
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "strftime" => {
                let (pattern,): (&str,) = from_args(args)?;
                Ok(Value::from(formatted(pattern, &self.0)?))
            }
            "isoformat" | "to_iso8601_string" => Ok(Value::from(self.iso())),
            "date" | "to_date_string" => Ok(Value::from(self.named("ds"))),
            "time" | "to_time_string" => Ok(Value::from(formatted("%H:%M:%S", &self.0)?)),
            "to_datetime_string" => Ok(Value::from(formatted("%Y-%m-%d %H:%M:%S", &self.0)?)),
            "weekday" => Ok(Value::from(self.0.weekday().to_monday_zero_offset())),
            "isoweekday" => Ok(Value::from(self.0.weekday().to_monday_one_offset())),
            "timestamp" => Ok(Value::from(seconds(self.0.timestamp()))),
            "add" => self.moved(args, 1),
            "subtract" => self.moved(args, -1),
            "in_timezone" | "in_tz" | "astimezone" => {
                let (name,): (&str,) = from_args(args)?;
                let zone = crate::timetable::zone(name).map_err(invalid)?;
                Ok(Value::from_object(Self(self.0.with_time_zone(zone))))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &minijinja::value::DynObject) -> Option<Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }

    fn render(self: &Arc<Self>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.iso())
    }
}

/// Python's `timestamp()`: seconds with a fraction.
#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of this era fit 53 bits"
)]
fn seconds(at: Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6
}

/// `%f` is always six digits in Python.
fn formatted(pattern: &str, zoned: &Zoned) -> Result<String, Error> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(invalid(format!(
            "a date's pattern has at most {PATTERN_BYTES_MAX} bytes"
        )));
    }
    strtime::format(pattern.replace("%f", "%6f"), zoned).map_err(invalid)
}

fn invalid(reason: impl fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason.to_string())
}

/// Python's `timedelta`.
#[derive(Debug)]
struct Delta(SignedDuration);

impl Delta {
    fn new(args: &[Value]) -> Result<Self, Error> {
        let (days, seconds, kwargs): (Option<f64>, Option<f64>, Kwargs) = from_args(args)?;
        let mut total = days.unwrap_or(0.0) * 86_400.0 + seconds.unwrap_or(0.0);
        for unit in kwargs.args() {
            let factor = match unit {
                "weeks" => 604_800.0,
                "days" => 86_400.0,
                "hours" => 3_600.0,
                "minutes" => 60.0,
                "seconds" => 1.0,
                "milliseconds" => 1e-3,
                "microseconds" => 1e-6,
                _ => {
                    return Err(invalid(
                        "units are weeks, days, hours, minutes, seconds, milliseconds, microseconds",
                    ));
                }
            };
            total += kwargs.get::<f64>(unit)? * factor;
        }
        let duration = SignedDuration::try_from_secs_f64(total).map_err(invalid)?;
        Ok(Self(
            duration.round(jiff::Unit::Microsecond).map_err(invalid)?,
        ))
    }

    /// Days, seconds in the day and microseconds, as Python normalises them: only days may be negative.
    fn parts(&self) -> (i128, i128, i128) {
        let micros = self.0.as_micros();
        let day = 86_400_000_000;
        let rest = micros.rem_euclid(day);
        (micros.div_euclid(day), rest / 1_000_000, rest % 1_000_000)
    }
}

impl Object for Delta {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let (days, seconds, micros) = self.parts();
        Some(Value::from(match key {
            "days" => days,
            "seconds" => seconds,
            "microseconds" => micros,
            _ => return None,
        }))
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        _: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "total_seconds" => Ok(Value::from(self.0.as_secs_f64())),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &minijinja::value::DynObject) -> Option<Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }

    fn render(self: &Arc<Self>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds, micros) = self.parts();
        if days != 0 {
            let plural = if days.abs() == 1 { "" } else { "s" };
            write!(out, "{days} day{plural}, ")?;
        }
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        write!(out, "{hours}:{minutes:02}:{:02}", seconds % 60)?;
        if micros != 0 {
            write!(out, ".{micros:06}")?;
        }
        Ok(())
    }
}

/// `a + b` of dates and timedeltas; `None` where neither is one.
pub(super) fn add(a: &Value, b: &Value) -> Option<Result<Value, Error>> {
    match (part(a), part(b)) {
        (Part::Other, Part::Other) => None,
        (Part::Date(date), Part::Delta(delta)) | (Part::Delta(delta), Part::Date(date)) => {
            Some(date.shifted(delta.0))
        }
        (Part::Delta(one), Part::Delta(other)) => Some(difference(one.0.checked_add(other.0))),
        _ => Some(Err(unfit("+", a, b))),
    }
}

/// `a - b` of dates and timedeltas; `None` where neither is one.
pub(super) fn subtract(a: &Value, b: &Value) -> Option<Result<Value, Error>> {
    match (part(a), part(b)) {
        (Part::Other, Part::Other) => None,
        (Part::Date(date), Part::Delta(delta)) => Some(match delta.0.checked_neg() {
            Some(delta) => date.shifted(delta),
            None => Err(invalid("too large")),
        }),
        (Part::Date(one), Part::Date(other)) => {
            let apart = one.0.timestamp().duration_since(other.0.timestamp());
            Some(difference(Some(apart)))
        }
        (Part::Delta(one), Part::Delta(other)) => Some(difference(one.0.checked_sub(other.0))),
        _ => Some(Err(unfit("-", a, b))),
    }
}

enum Part<'v> {
    Date(&'v Date),
    Delta(&'v Delta),
    Other,
}

fn part(value: &Value) -> Part<'_> {
    match (value.downcast_object_ref(), value.downcast_object_ref()) {
        (Some(date), _) => Part::Date(date),
        (_, Some(delta)) => Part::Delta(delta),
        _ => Part::Other,
    }
}

fn difference(delta: Option<SignedDuration>) -> Result<Value, Error> {
    let delta = delta.ok_or_else(|| invalid("too large"))?;
    Ok(Value::from_object(Delta(delta)))
}

fn unfit(operator: &str, a: &Value, b: &Value) -> Error {
    let named = |value: &Value| match part(value) {
        Part::Date(_) => "a date".to_owned(),
        Part::Delta(_) => "a timedelta".to_owned(),
        Part::Other => format!("a {}", value.kind()),
    };
    invalid(format!(
        "{} {operator} {} is no date; a date takes a timedelta, as in `logical_date + macros.timedelta(days=1)`",
        named(a),
        named(b)
    ))
}

/// Airflow's `macros`.
#[derive(Debug)]
pub(super) struct Macros;

impl Object for Macros {
    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "ds_add" => {
                let (ds, days): (&str, i64) = from_args(args)?;
                let day: jiff::civil::Date = ds.parse().map_err(invalid)?;
                let span = Span::new().try_days(days).map_err(invalid)?;
                Ok(Value::from(
                    day.checked_add(span).map_err(invalid)?.to_string(),
                ))
            }
            "ds_format" => {
                let (ds, input, output): (&str, &str, &str) = from_args(args)?;
                let parsed = strtime::parse(input.replace("%f", "%6f"), ds).map_err(invalid)?;
                let civil = match parsed.to_datetime() {
                    Ok(civil) => civil,
                    Err(_) => parsed.to_date().map_err(invalid)?.at(0, 0, 0, 0),
                };
                let zoned = civil.to_zoned(TimeZone::UTC).map_err(invalid)?;
                Ok(Value::from(formatted(output, &zoned)?))
            }
            "datetime" => {
                let (year, month, day, rest): (i16, i8, i8, Rest<i8>) = from_args(args)?;
                let part = |index: usize| rest.get(index).copied().unwrap_or(0);
                DateTime::new(year, month, day, part(0), part(1), part(2), 0)
                    .and_then(|civil| civil.to_zoned(TimeZone::UTC))
                    .map(|zoned| Date::value(zoned.timestamp()))
                    .map_err(invalid)
            }
            "timedelta" => Delta::new(args).map(Value::from_object),
            "random" | "uuid" | "time" => Err(invalid(
                "macros.random, macros.uuid and macros.time are left out: a template renders the same at every try; let a task make the value",
            )),
            _ => Err(invalid(
                "macros has ds_add, ds_format, datetime and timedelta",
            )),
        }
    }
}
