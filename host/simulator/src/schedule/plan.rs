//! Random DAGs as far as their schedule goes: one version of each, with what the auditor knows about it without the core.

use super::calendar::Calendar;
use super::cron::{Grain, Shifts, draw_cron};
use super::rule::{Rule, Ticks};
use crate::draw::Draw;
use crate::world::after;
use airlock_core::dag::spec::{AssetExpression, Dag, Schedule, TimetableKind};
use airlock_core::ids::DagId;
use airlock_core::timetable::zone;
use jiff::{SignedDuration, Timestamp};
use std::rc::Rc;
use std::sync::Arc;

/// What every drawn DAG begins as: the parser gives all that is not drawn its default.
const TEMPLATE: &str = "dag_id: d\ntasks:\n  - task_id: t\n    operator: probe\n";
/// The assets of a world.
pub(super) const ASSETS: [&str; 3] = ["s3://a", "s3://b", "s3://c"];
/// Zones with what their clocks do.
const ZONES: [(&str, Shifts); 11] = [
    ("UTC", Shifts::Never),
    ("Asia/Kolkata", Shifts::Never),
    ("Asia/Kathmandu", Shifts::Never),
    ("Europe/London", Shifts::Hours),
    ("Europe/Zurich", Shifts::Hours),
    ("Europe/Dublin", Shifts::Hours),
    ("America/New_York", Shifts::Hours),
    ("America/St_Johns", Shifts::Hours),
    ("Africa/Casablanca", Shifts::Hours),
    ("Pacific/Chatham", Shifts::Half),
    ("Australia/Lord_Howe", Shifts::Half),
];
/// Worlds begin in one of so many seconds from 2021 on.
const YEARS_SECONDS: i64 = 8 * 365 * 86_400;
const FIRST_SECOND: i64 = 1_609_459_200;

/// One version of a DAG.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) dag: Arc<Dag>,
    pub(super) rule: Rule,
    pub(super) assets: Option<AssetExpression>,
    /// What its successful runs update.
    pub(super) outlet: Option<&'static str>,
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.rule)?;
        if let Some(assets) = &self.assets {
            write!(f, ", by {assets:?}")?;
        }
        let (most, failures) = (
            self.dag.max_active_runs,
            self.dag.max_consecutive_failed_dag_runs,
        );
        write!(
            f,
            ", max_active_runs {most}, paused after {failures} failures, updates {:?}",
            self.outlet
        )
    }
}

impl Plan {
    /// How many of its runs may be unfinished: one of a continuous schedule, whatever the DAG says.
    pub(super) fn max_active_runs(&self) -> u32 {
        match self.rule.ticks {
            Ticks::Continuous => self.dag.max_active_runs.min(1),
            _ => self.dag.max_active_runs,
        }
    }

    pub(super) fn depends_on_past(&self) -> bool {
        self.dag.tasks.iter().any(|task| task.depends_on_past)
    }
}

/// What all DAGs of a world have in common.
#[derive(Debug)]
pub(super) struct Setting {
    base: Dag,
    /// How fast time passes: what catches up ticks no faster.
    pub(super) tempo: Grain,
    /// When the world begins: often shortly before somebody's clocks change.
    pub(super) epoch: Timestamp,
}

impl Setting {
    pub(super) fn draw(draw: &mut Draw) -> Result<Self, String> {
        let base = airlock_core::dag::parse(TEMPLATE).dag;
        let base = base.ok_or("the simulator's template of a DAG does not parse")?;
        let tempo = draw.one_of(&Grain::ALL, Grain::Days);
        let (name, _) = draw.one_of(&ZONES, ("UTC", Shifts::Never));
        let zone = zone(name).map_err(|error| error.to_string())?;
        let second = FIRST_SECOND + draw.between(0, YEARS_SECONDS);
        let drawn = Timestamp::from_second(second).map_err(|error| error.to_string())?;
        let change = zone.following(drawn).next();
        let change = change.map_or(drawn, |change| change.timestamp());
        let back = tempo.seconds() * draw.between(1, 12) + draw.between(0, 3_600);
        let epoch = after(change, SignedDuration::from_secs(-back));
        Ok(Self { base, tempo, epoch })
    }

    /// So many units of the world's tempo.
    pub(super) fn units(&self, many: i64) -> SignedDuration {
        SignedDuration::from_secs(self.tempo.seconds() * many)
    }

    /// A version of the `place`-th DAG, as somebody writes it at `now`.
    pub(super) fn plan(
        &self,
        draw: &mut Draw,
        place: usize,
        now: Timestamp,
    ) -> Result<Plan, String> {
        let catchup = draw.chance(45);
        let least = if catchup { self.tempo } else { Grain::Minutes };
        let grain = draw.one_of(&Grain::ALL, Grain::Days).max(least);
        let (timezone, shifts) = draw.one_of(&ZONES, ("UTC", Shifts::Never));
        let zone = zone(timezone).map_err(|error| error.to_string())?;
        let (schedule, ticks, assets) = schedule(draw, grain, shifts, &zone);
        let kind = draw.one_of(
            &[TimetableKind::Trigger, TimetableKind::Interval],
            TimetableKind::Trigger,
        );
        let near = |draw: &mut Draw, from, to| {
            let seconds = if draw.chance(50) {
                draw.between(0, 86_399)
            } else {
                0
            };
            let whole = Timestamp::from_second(now.as_second()).unwrap_or(now);
            let at = after(whole, self.units(draw.between(from, to)));
            after(at, SignedDuration::from_secs(seconds))
        };
        let start = draw.chance(75).then(|| near(draw, -25, 6));
        let end = draw.chance(20).then(|| near(draw, 0, 60));
        let mut dag = Dag {
            dag_id: DagId::parse(&format!("d{place}")).map_err(|error| error.to_string())?,
            schedule,
            timezone: timezone.to_owned(),
            timetable: kind,
            start_date: start,
            end_date: end,
            catchup,
            max_active_runs: draw.one_of(&[1, 1, 2, 3, 16], 16),
            max_consecutive_failed_dag_runs: draw.one_of(&[0, 0, 0, 1, 2, 3], 0),
            is_paused_upon_creation: draw.chance(20),
            ..self.base.clone()
        };
        let depends_on_past = draw.chance(15);
        for task in &mut dag.tasks {
            task.depends_on_past = depends_on_past;
        }
        let outlet = draw.one_of(&ASSETS, "s3://a");
        let rule = Rule {
            ticks,
            kind,
            start,
            end,
            catchup,
        };
        Ok(Plan {
            dag: Arc::new(dag),
            rule,
            outlet: (assets.is_none() && draw.chance(40)).then_some(outlet),
            assets,
        })
    }
}

type Drawn = (Schedule, Ticks, Option<AssetExpression>);

fn schedule(draw: &mut Draw, grain: Grain, shifts: Shifts, zone: &jiff::tz::TimeZone) -> Drawn {
    let by_assets = draw.chance(25).then(|| expression(draw, 2));
    if by_assets.is_some() && draw.chance(60) {
        let assets = by_assets.clone().map(Schedule::Assets);
        return (assets.unwrap_or(Schedule::None), Ticks::Never, by_assets);
    }
    let (timed, ticks) = timed(draw, grain, shifts, zone);
    let schedule = match &by_assets {
        Some(assets) => Schedule::AssetsOrTime(assets.clone(), Box::new(timed)),
        None => timed,
    };
    (schedule, ticks, by_assets)
}

fn timed(
    draw: &mut Draw,
    grain: Grain,
    shifts: Shifts,
    zone: &jiff::tz::TimeZone,
) -> (Schedule, Ticks) {
    match draw.below(20) {
        0 => (Schedule::None, Ticks::Never),
        1 => (Schedule::Once, Ticks::Once),
        2 => (Schedule::Continuous, Ticks::Continuous),
        3..=6 => {
            let seconds = grain.seconds() * draw.between(1, 5) + draw.one_of(&[0, 0, 7], 0);
            let period = SignedDuration::from_secs(seconds);
            (Schedule::Every(period), Ticks::Every(period))
        }
        _ => {
            let cron = draw_cron(draw, grain, shifts);
            let schedule = Schedule::Cron(cron.text.clone());
            let calendar = Calendar::new(cron, zone.clone());
            (schedule, Ticks::Cron(Rc::new(calendar)))
        }
    }
}

fn expression(draw: &mut Draw, depth: usize) -> AssetExpression {
    let kind = if depth == 0 { 0 } else { draw.below(3) };
    let mut parts = |least: usize| -> Vec<AssetExpression> {
        let many = least + draw.below(2);
        (0..many).map(|_| expression(draw, depth - 1)).collect()
    };
    match kind {
        0 => AssetExpression::Asset(draw.one_of(&ASSETS, "s3://a").to_owned()),
        1 => AssetExpression::All(parts(2)),
        _ => AssetExpression::Any(parts(2)),
    }
}
