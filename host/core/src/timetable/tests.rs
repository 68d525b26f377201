use super::*;
use crate::dag::spec::AssetExpression;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use serde_json::{Value, json};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn dag(schedule: Schedule, zone: &str, kind: TimetableKind, start: Option<&str>) -> Dag {
    Dag {
        dag_id: crate::ids::DagId::parse("d").unwrap(),
        dag_display_name: None,
        description: None,
        doc_md: None,
        owner_links: std::collections::BTreeMap::new(),
        schedule,
        timezone: zone.to_owned(),
        timetable: kind,
        start_date: start.map(at),
        end_date: None,
        catchup: true,
        max_active_runs: 1,
        max_active_tasks: 1,
        dagrun_timeout: None,
        fail_fast: false,
        max_consecutive_failed_dag_runs: 0,
        is_paused_upon_creation: false,
        tags: Vec::new(),
        params: std::collections::BTreeMap::default(),
        grants: crate::grant::Grants::default(),
        on_sla_miss: Vec::new(),
        on_failure: Vec::new(),
        on_success: Vec::new(),
        deadlines: Vec::new(),
        component: None,
        pins: std::collections::BTreeMap::new(),
        task_groups: Vec::new(),
        tasks: Vec::new(),
    }
}

fn cron(text: &str, zone: &str, start: &str) -> Dag {
    dag(
        Schedule::Cron(text.to_owned()),
        zone,
        TimetableKind::Trigger,
        Some(start),
    )
}

fn fires(dag: &Dag, count: usize) -> Vec<String> {
    let now = at("2025-01-01T00:00:00Z");
    let runs = upcoming(dag, now, count).unwrap();
    runs.iter().map(|run| run.run_after.to_string()).collect()
}

fn schedule_of(case: &Value) -> Schedule {
    match case["cron"].as_str() {
        Some(text) => Schedule::Cron(text.to_owned()),
        None => Schedule::Every(SignedDuration::from_secs(case["delta_s"].as_i64().unwrap())),
    }
}

/// What Airflow 3.3.2 itself answered, over five zones and both changes of the clock.
#[test]
fn every_schedule_agrees_with_airflow() {
    let vectors = include_str!("../../../../tests/oracle/schedules.jsonl");
    let mut checked = 0;
    for line in vectors.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let kind = if case["timetable"].as_str().unwrap().contains("Trigger") {
            TimetableKind::Trigger
        } else {
            TimetableKind::Interval
        };
        let zone = case["tz"].as_str().unwrap_or("UTC");
        let start = case["start_date"].as_str();
        let mut dag = dag(schedule_of(&case), zone, kind, start);
        dag.catchup = case["catchup"].as_bool().unwrap();
        let now = at(case["now"].as_str().unwrap_or("2025-01-01T00:00:00Z"));
        let expected = case["runs"].as_array().unwrap();
        let runs = upcoming(&dag, now, expected.len()).unwrap();
        let actual: Vec<Value> = runs
            .iter()
            .map(|run| {
                json!([
                    run.logical_date.to_string().replace('Z', "+00:00"),
                    run.data_interval_start.to_string().replace('Z', "+00:00"),
                    run.data_interval_end.to_string().replace('Z', "+00:00"),
                    run.run_after.to_string().replace('Z', "+00:00"),
                ])
            })
            .collect();
        assert_eq!(&actual, expected, "{line}");
        checked += 1;
    }
    assert_eq!(checked, 134);
}

/// Airflow raises here ("did not advance"): elapsed hours leave the grid when the clock moves by half an hour.
/// The interval chain must be gapless and go through the same instants as the trigger chain, which Airflow can do.
#[test]
fn hourly_intervals_pass_a_half_hour_change() {
    for start in ["2025-04-05T12:00:00Z", "2025-10-04T12:00:00Z"] {
        let mut dag = cron("@hourly", "Australia/Lord_Howe", start);
        let ticks = fires(&dag, 12);
        dag.timetable = TimetableKind::Interval;
        let now = at("2025-01-01T00:00:00Z");
        let runs = upcoming(&dag, now, 11).unwrap();
        for (run, pair) in runs.iter().zip(ticks.windows(2)) {
            assert_eq!(run.data_interval_start.to_string(), pair[0]);
            assert_eq!(run.data_interval_end.to_string(), pair[1]);
        }
        assert_eq!(runs.len(), 11);
    }
}

#[test]
fn a8_a_time_in_a_gap_moves_forward_and_a_repeated_one_runs_second() {
    let dag = cron("30 2 * * *", "America/New_York", "2025-03-09T05:00:00Z");
    assert_eq!(
        fires(&dag, 2),
        ["2025-03-09T07:30:00Z", "2025-03-10T06:30:00Z"]
    );
    let dag = cron("30 1 * * *", "America/New_York", "2025-11-02T04:00:00Z");
    assert_eq!(
        fires(&dag, 2),
        ["2025-11-02T06:30:00Z", "2025-11-03T06:30:00Z"]
    );
}

#[test]
fn every_tick_of_a_gap_is_moved_and_none_is_lost() {
    let dag = cron("0,30 2 * * *", "America/New_York", "2025-03-09T05:00:00Z");
    assert_eq!(
        fires(&dag, 3),
        [
            "2025-03-09T07:00:00Z",
            "2025-03-09T07:30:00Z",
            "2025-03-10T06:00:00Z"
        ]
    );
    let dag = cron("45 */2 * * *", "America/New_York", "2025-03-09T07:31:48Z");
    assert_eq!(
        fires(&dag, 2),
        ["2025-03-09T07:45:00Z", "2025-03-09T08:45:00Z"]
    );
}

#[test]
fn a_start_inside_the_first_pass_of_a_repeated_hour_loses_no_tick() {
    let dag = cron("0 1 * * *", "America/New_York", "2025-11-02T05:10:00Z");
    assert_eq!(
        fires(&dag, 2),
        ["2025-11-02T06:00:00Z", "2025-11-03T06:00:00Z"]
    );
}

#[test]
fn an_hourly_schedule_runs_25_times_on_a_day_of_25_hours() {
    for text in ["0 * * * *", "0 */1 * * *", "0 0-23 * * *"] {
        let dag = cron(text, "Europe/Zurich", "2025-10-25T22:00:00Z");
        let day_end = "2025-10-26T23:00:00Z".to_owned();
        let runs = fires(&dag, 30);
        assert_eq!(
            runs.iter().filter(|fire| **fire < day_end).count(),
            25,
            "{text}"
        );
    }
}

#[test]
fn either_day_field_is_enough_unless_one_restricts_nothing() {
    let dag = cron("0 9 13 * 5", "UTC", "2025-06-01T00:00:00Z");
    assert_eq!(
        fires(&dag, 3),
        [
            "2025-06-06T09:00:00Z",
            "2025-06-13T09:00:00Z",
            "2025-06-20T09:00:00Z"
        ]
    );
    let dag = cron("0 9 1-31 * 5", "UTC", "2025-06-01T00:00:00Z");
    assert_eq!(
        fires(&dag, 2),
        ["2025-06-06T09:00:00Z", "2025-06-13T09:00:00Z"]
    );
}

#[test]
fn a_date_that_never_comes_is_never_due() {
    let mut dag = cron("0 0 31 2 *", "UTC", "2025-01-01T00:00:00Z");
    for (kind, catchup) in [
        (TimetableKind::Trigger, true),
        (TimetableKind::Trigger, false),
        (TimetableKind::Interval, true),
        (TimetableKind::Interval, false),
    ] {
        dag.timetable = kind;
        dag.catchup = catchup;
        assert!(fires(&dag, 3).is_empty());
    }
    let now = at("2025-06-01T00:00:00Z");
    assert_eq!(Timetable::new(&dag).unwrap().manual(now), (now, now));
}

#[test]
fn wrong_schedules_say_which_part_is_wrong() {
    for (text, part) in [
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("0 0 * * * *", "6 fields"),
        ("0 0 * * * * 2030", "7 fields"),
        ("@daily x", "2 fields"),
        ("60 * * * *", "out of bounds"),
        ("* 24 * * *", "out of bounds"),
        ("1,,2 * * * *", "minute"),
        ("/5 * * * *", "write */5"),
        ("* * ? * *", "day-of-month"),
        ("* * * * +1", "day-of-week"),
        ("*/0 * * * *", "zero"),
        ("5-1 * * * *", "out of bounds"),
        ("nonsense a b c d", ""),
    ] {
        let error = Timetable::new(&cron(text, "UTC", "2025-01-01T00:00:00Z")).unwrap_err();
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
    let long = format!("{} * * * *", "1,".repeat(CRON_BYTES_MAX));
    assert!(Timetable::new(&cron(&long, "UTC", "2025-01-01T00:00:00Z")).is_err());
    let error = Timetable::new(&cron("@daily", "Mars/Olympus", "2025-01-01T00:00:00Z"));
    assert!(error.unwrap_err().to_string().contains("Europe/London"));
    let backwards = Schedule::Every(SignedDuration::ZERO);
    let dag = dag(backwards, "UTC", TimetableKind::Trigger, None);
    assert!(Timetable::new(&dag).is_err());
}

#[test]
fn a6_end_date_is_the_last_logical_date() {
    for kind in [TimetableKind::Trigger, TimetableKind::Interval] {
        let mut dag = cron("@daily", "UTC", "2025-01-01T00:00:00Z");
        dag.timetable = kind;
        dag.end_date = Some(at("2025-01-03T00:00:00Z"));
        let runs = upcoming(&dag, at("2025-02-01T00:00:00Z"), 10).unwrap();
        let dates: Vec<_> = runs
            .iter()
            .map(|run| run.logical_date.to_string())
            .collect();
        assert_eq!(
            dates,
            [
                "2025-01-01T00:00:00Z",
                "2025-01-02T00:00:00Z",
                "2025-01-03T00:00:00Z"
            ]
        );
    }
}

#[test]
fn without_catchup_only_the_most_recent_missed_tick_runs() {
    let mut dag = cron("0 2 * * 1", "UTC", "2025-01-01T00:00:00Z");
    dag.catchup = false;
    let timetable = Timetable::new(&dag).unwrap();
    let old = DueRun::exact(at("2025-03-03T02:00:00Z"));
    let next = timetable
        .next(Some(&old), at("2025-06-18T13:37:11Z"))
        .unwrap();
    assert_eq!(next, DueRun::exact(at("2025-06-16T02:00:00Z")));
    let after = timetable
        .next(Some(&next), at("2025-06-18T13:37:12Z"))
        .unwrap();
    assert_eq!(after, DueRun::exact(at("2025-06-23T02:00:00Z")));
}

#[test]
fn once_continuous_and_none() {
    let start = Some("2025-01-01T00:00:00Z");
    let now = at("2025-01-02T00:00:00Z");
    let once = dag(Schedule::Once, "UTC", TimetableKind::Trigger, start);
    assert_eq!(fires(&once, 5), ["2025-01-01T00:00:00Z"]);
    for schedule in [
        Schedule::None,
        Schedule::Assets(AssetExpression::Asset("s3://a/b".to_owned())),
    ] {
        assert!(fires(&dag(schedule, "UTC", TimetableKind::Trigger, start), 5).is_empty());
    }
    let continuous = dag(Schedule::Continuous, "UTC", TimetableKind::Trigger, start);
    assert_eq!(upcoming(&continuous, now, 9).unwrap().len(), 1);
    let timetable = Timetable::new(&continuous).unwrap();
    let first = timetable.next(None, now).unwrap();
    assert_eq!(first, DueRun::interval(at("2025-01-01T00:00:00Z"), now));
    let later = at("2025-01-02T00:05:00Z");
    let second = timetable.next(Some(&first), later).unwrap();
    assert_eq!(second, DueRun::interval(now, later));
}

#[test]
fn a_manual_run_takes_the_last_complete_interval() {
    let mut dag = cron("@daily", "UTC", "2025-01-01T00:00:00Z");
    let now = at("2025-06-25T01:00:00Z");
    assert_eq!(Timetable::new(&dag).unwrap().manual(now), (now, now));
    dag.timetable = TimetableKind::Interval;
    assert_eq!(
        Timetable::new(&dag).unwrap().manual(now),
        (at("2025-06-24T00:00:00Z"), at("2025-06-25T00:00:00Z"))
    );
}

#[test]
fn an_interval_timetable_realigns_when_its_schedule_changed() {
    let mut dag = cron("@daily", "UTC", "2025-01-01T00:00:00Z");
    dag.timetable = TimetableKind::Interval;
    let hourly = DueRun::interval(at("2025-06-24T13:00:00Z"), at("2025-06-24T14:00:00Z"));
    let next = Timetable::new(&dag)
        .unwrap()
        .next(Some(&hourly), at("2025-06-24T15:00:00Z"));
    let day = DueRun::interval(at("2025-06-25T00:00:00Z"), at("2025-06-26T00:00:00Z"));
    assert_eq!(next, Some(day));
}

/// A second, slow implementation: walks the wall clock minute by minute and knows neither the cron search nor
/// the zone arithmetic of the first.
mod naive {
    use super::*;

    pub(super) struct Fields {
        sets: [Vec<i8>; 5],
        either_day: bool,
    }

    fn values(field: &str, first: i8, last: i8) -> Vec<i8> {
        let mut all = Vec::new();
        for part in field.split(',') {
            let (range, step) = part.split_once('/').unwrap_or((part, "1"));
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (first, last),
                Some((from, to)) => (from.parse().unwrap(), to.parse().unwrap()),
                None => (range.parse().unwrap(), range.parse().unwrap()),
            };
            all.extend((from..=to).step_by(step.parse().unwrap()));
        }
        all
    }

    impl Fields {
        pub(super) fn parse(text: &str) -> Self {
            let parts: Vec<&str> = text.split(' ').collect();
            let bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
            Self {
                sets: std::array::from_fn(|i| values(parts[i], bounds[i].0, bounds[i].1)),
                either_day: values(parts[2], 1, 31).len() < 31 && values(parts[4], 0, 6).len() < 7,
            }
        }

        pub(super) fn every_hour(&self) -> bool {
            self.sets[1].len() == 24
        }

        fn matches(&self, civil: DateTime) -> bool {
            let day = self.sets[2].contains(&civil.day());
            let weekday = civil.weekday().to_sunday_zero_offset();
            let weekday = self.sets[4].contains(&weekday);
            self.sets[0].contains(&civil.minute())
                && self.sets[1].contains(&civil.hour())
                && self.sets[3].contains(&civil.month())
                && if self.either_day {
                    day || weekday
                } else {
                    day && weekday
                }
        }
    }

    /// Tries every minute within three hours of the wall clock read as UTC, offset by the zone: the last that shows
    /// this wall clock; if none does, the minute that lies as far behind the gap as the wall clock is inside it.
    fn instant(zone: &TimeZone, civil: DateTime) -> Timestamp {
        let minute = SignedDuration::from_mins(1);
        let around = civil.to_zoned(TimeZone::UTC).unwrap().timestamp();
        let offset = zone.to_offset(around);
        let centre = around - SignedDuration::from_secs(i64::from(offset.seconds()));
        let (mut seen, mut before) = (None, None);
        let mut probe = centre - SignedDuration::from_hours(3);
        while probe <= centre + SignedDuration::from_hours(3) {
            let shown = zone.to_datetime(probe);
            if shown == civil {
                seen = Some(probe);
            } else if shown < civil {
                before = Some((probe, civil.duration_since(shown)));
            }
            probe += minute;
        }
        let (last, missing) = before.unwrap();
        seen.unwrap_or(last + missing)
    }

    pub(super) fn next(
        fields: &Fields,
        zone: &TimeZone,
        at: Timestamp,
        days: i64,
    ) -> Option<Timestamp> {
        let from = zone.to_datetime(at);
        let minute = SignedDuration::from_mins(1);
        let mut civil = from.with().second(0).subsec_nanosecond(0).build().unwrap();
        let end = civil + SignedDuration::from_hours(24 * days);
        if !fields.every_hour() {
            // What was moved out of a gap lies ahead under a wall-clock time that is past.
            civil -= SignedDuration::from_hours(2);
        }
        loop {
            civil += minute;
            if civil > end {
                return None;
            }
            if fields.matches(civil) && (fields.every_hour() || instant(zone, civil) > at) {
                break;
            }
        }
        if fields.every_hour() {
            return Some(at + civil.duration_since(from));
        }
        Some(instant(zone, civil))
    }
}

const ZONES: [&str; 14] = [
    "UTC",
    "Europe/London",
    "Europe/Zurich",
    "Europe/Dublin",
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
];

const CRONS: [&str; 9] = [
    "30 2 * * *",
    "0 0 * * *",
    "30 1 * * *",
    "15 * * * *",
    "*/20 * * * *",
    "*/15 1-3 * * *",
    "0 */2 * * *",
    "0 2 * * 0",
    "45 0,3 1-7 * 6",
];

fn agree(text: &str, zone_name: &str, from: Timestamp, steps: usize) {
    let zone = zone(zone_name).unwrap();
    let schedule = CronSchedule::new(text, zone.clone()).unwrap();
    let fields = naive::Fields::parse(text);
    let mut tick = from;
    for _ in 0..steps {
        // Where a start lies in the first pass of a repeated hour, the first implementation looks back into it.
        let civil = zone.to_datetime(tick);
        if !fields.every_hour() && zone.to_ambiguous_timestamp(civil).later().unwrap() != tick {
            tick += SignedDuration::from_hours(3);
        }
        let Some(expected) = naive::next(&fields, &zone, tick, 3) else {
            return;
        };
        let found = schedule.next(tick).unwrap();
        assert_eq!(found, expected, "{text} in {zone_name} after {tick}");
        assert!(found > tick);
        tick = found;
    }
}

#[test]
fn every_clock_change_of_2020_to_2030_agrees_with_a_minute_walk() {
    let mut changes = 0;
    for name in ZONES {
        let zone = zone(name).unwrap();
        let end = at("2031-01-01T00:00:00Z");
        for change in zone.following(at("2020-01-01T00:00:00Z")) {
            if change.timestamp() > end {
                break;
            }
            changes += 1;
            // A few crons for each change, another few for the next: all meet all kinds of change.
            for offset in 0..3 {
                let text = CRONS[(changes * 3 + offset) % CRONS.len()];
                agree(
                    text,
                    name,
                    change.timestamp() - SignedDuration::from_hours(26),
                    4,
                );
            }
        }
    }
    assert!(changes > 180, "{changes} changes");
}

fn any_field(first: i8, last: i8) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        3 => (first..=last).prop_map(|value| value.to_string()),
        1 => (first..=last, first..=last).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (2..=7_i8).prop_map(|step| format!("*/{step}")),
        1 => (first..=last, first..=last).prop_map(|(a, b)| format!("{a},{b}")),
    ]
}

fn any_cron() -> impl Strategy<Value = String> {
    (
        any_field(0, 59),
        any_field(0, 23),
        any_field(1, 28),
        any_field(1, 12),
        any_field(0, 6),
    )
        .prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}"))
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (1_577_836_800_i64..1_893_456_000).prop_map(|second| Timestamp::from_second(second).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn random_schedules_agree_with_a_minute_walk(text in any_cron(), zone in 0..ZONES.len(), from in any_time()) {
        agree(&text, ZONES[zone], from, 3);
    }

    #[test]
    fn runs_go_strictly_forward_from_the_start_date(
        text in any_cron(), zone in 0..ZONES.len(), start in any_time(), now in any_time(),
        trigger in any::<bool>(), catchup in any::<bool>(),
    ) {
        let mut dag = cron(&text, ZONES[zone], "2025-01-01T00:00:00Z");
        dag.start_date = Some(start);
        dag.catchup = catchup;
        dag.timetable = if trigger { TimetableKind::Trigger } else { TimetableKind::Interval };
        let runs = upcoming(&dag, now, 20).unwrap();
        for run in &runs {
            prop_assert!(run.logical_date >= start);
            prop_assert!(run.run_after >= start);
            prop_assert!(run.data_interval_end >= run.data_interval_start);
        }
        for pair in runs.windows(2) {
            prop_assert!(pair[1].logical_date > pair[0].logical_date);
            prop_assert!(pair[1].run_after > pair[0].run_after);
            // Airflow realigns, and so overlaps, where the clock moves by half an hour.
            if !trigger && ZONES[zone] != "Australia/Lord_Howe" {
                prop_assert_eq!(pair[1].data_interval_start, pair[0].data_interval_end);
            }
        }
    }

    #[test]
    fn catchup_covers_every_tick_once(text in any_cron(), zone_index in 0..ZONES.len(), start in any_time()) {
        let dag = cron(&text, ZONES[zone_index], "2025-01-01T00:00:00Z");
        let dag = Dag { start_date: Some(start), ..dag };
        let schedule = CronSchedule::new(&text, zone(ZONES[zone_index]).unwrap()).unwrap();
        let mut tick = schedule.ceil(start);
        for run in upcoming(&dag, start, 12).unwrap() {
            prop_assert_eq!(Some(run.run_after), tick);
            tick = schedule.next(run.run_after);
        }
    }

    #[test]
    fn prev_and_floor_stay_behind(text in any_cron(), zone_index in 0..ZONES.len(), from in any_time()) {
        let schedule = CronSchedule::new(&text, zone(ZONES[zone_index]).unwrap()).unwrap();
        let floor = schedule.floor(from).unwrap();
        let prev = schedule.prev(from).unwrap();
        prop_assert!(prev < from && floor <= from && prev <= floor);
        prop_assert!(schedule.ceil(from).unwrap() >= from);
    }

    #[test]
    fn any_text_is_a_schedule_or_an_error(text in "[-0-9*/,#LW?@a-z ]{0,20}") {
        if let Ok(schedule) = CronSchedule::new(&text, TimeZone::UTC) {
            schedule.next(Timestamp::UNIX_EPOCH);
        }
    }
}

#[test]
fn the_ends_of_time_are_no_panic() {
    let dag = cron("* * * * *", "Pacific/Chatham", "2025-01-01T00:00:00Z");
    let timetable = Timetable::new(&dag).unwrap();
    for end in [Timestamp::MIN, Timestamp::MAX] {
        let _ = timetable.next(Some(&DueRun::exact(end)), end);
        timetable.manual(end);
    }
    let year = Schedule::Every(SignedDuration::MAX);
    let dag = Dag {
        schedule: year,
        ..dag
    };
    for kind in [TimetableKind::Trigger, TimetableKind::Interval] {
        let dag = Dag {
            timetable: kind,
            catchup: false,
            ..dag.clone()
        };
        let timetable = Timetable::new(&dag).unwrap();
        let run = DueRun::exact(Timestamp::MAX);
        assert_eq!(timetable.next(Some(&run), Timestamp::MAX), None);
    }
}
