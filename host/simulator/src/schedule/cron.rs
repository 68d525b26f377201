//! Random cron expressions, drawn as the sets of numbers that they mean: nobody has to parse one to know its ticks. It refuses
//! expressions whose hourly ticks would depend on where one starts to count (`every_hour` in a zone where that matters).

use crate::draw::Draw;
use std::ops::RangeInclusive;

/// How far apart the ticks of a schedule are, roughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grain {
    Minutes,
    Hours,
    Days,
    Months,
}

impl Grain {
    pub(super) const ALL: [Self; 4] = [Self::Minutes, Self::Hours, Self::Days, Self::Months];

    /// Its unit in seconds.
    pub(super) fn seconds(self) -> i64 {
        match self {
            Self::Minutes => 60,
            Self::Hours => 3_600,
            Self::Days => 86_400,
            Self::Months => 30 * 86_400,
        }
    }
}

/// What a zone allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shifts {
    /// Its offset never changes.
    Never,
    /// By whole hours.
    Hours,
    /// By half an hour, or at a quarter to an hour: what is hourly has no fixed minutes, and two ticks may change places.
    Half,
}

/// Which days match besides those of the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    None,
    /// The last day of the month.
    LastDay,
    /// The `n`-th `weekday` of the month; Sunday is 0.
    Nth {
        weekday: i8,
        n: i8,
    },
}

/// An expression and what it means.
#[derive(Debug, Clone)]
pub(super) struct Cron {
    pub(super) grain: Grain,
    pub(super) text: String,
    pub(super) minutes: Vec<i8>,
    pub(super) hours: Vec<i8>,
    pub(super) days: Vec<i8>,
    pub(super) months: Vec<i8>,
    /// Sunday is 0.
    pub(super) weekdays: Vec<i8>,
    pub(super) special: Special,
}

impl Cron {
    /// Whether a day of the month and a day of the week are both asked for: then either is enough.
    pub(super) fn either_day(&self) -> bool {
        self.days.len() < 31 && self.weekdays.len() < 7
    }

    pub(super) fn every_hour(&self) -> bool {
        self.hours.len() == 24
    }
}

/// A field as written, and its numbers in order.
type Field = (String, Vec<i8>);

const MINUTES: RangeInclusive<i8> = 0..=59;
const HOURS: RangeInclusive<i8> = 0..=23;
const DAYS: RangeInclusive<i8> = 1..=31;
const MONTHS: RangeInclusive<i8> = 1..=12;
const WEEKDAYS: RangeInclusive<i8> = 0..=6;
const WEEKDAY_NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTH_NAMES: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

fn star(all: RangeInclusive<i8>) -> Field {
    ("*".to_owned(), all.collect())
}

fn step(all: RangeInclusive<i8>, by: i8) -> Field {
    let numbers = all.step_by(usize::try_from(by).unwrap_or(1)).collect();
    (format!("*/{by}"), numbers)
}

fn one(draw: &mut Draw, all: &RangeInclusive<i8>) -> i8 {
    let drawn = draw.between(i64::from(*all.start()), i64::from(*all.end()));
    i8::try_from(drawn).unwrap_or(*all.start())
}

fn single(number: i8) -> Field {
    (number.to_string(), vec![number])
}

fn list(draw: &mut Draw, all: &RangeInclusive<i8>) -> Field {
    let mut numbers: Vec<i8> = (0..=draw.between(1, 2)).map(|_| one(draw, all)).collect();
    let text: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    numbers.sort_unstable();
    numbers.dedup();
    (text.join(","), numbers)
}

/// `from-to`, often with a step.
fn range(draw: &mut Draw, all: &RangeInclusive<i8>) -> Field {
    let (one, other) = (one(draw, all), one(draw, all));
    let (from, to) = (one.min(other), one.max(other));
    let by = draw.between(1, 4);
    let numbers = (from..=to).step_by(usize::try_from(by).unwrap_or(1));
    let text = match by {
        1 => format!("{from}-{to}"),
        by => format!("{from}-{to}/{by}"),
    };
    (text, numbers.collect())
}

fn weekdays(draw: &mut Draw) -> Field {
    let day = one(draw, &WEEKDAYS);
    let name = usize::try_from(day)
        .ok()
        .and_then(|day| WEEKDAY_NAMES.get(day));
    match draw.below(4) {
        0 => (name.unwrap_or(&"sun").to_string(), vec![day]),
        1 => ("1-5".to_owned(), (1..=5).collect()),
        2 => ("7".to_owned(), vec![0]),
        _ => list(draw, &WEEKDAYS),
    }
}

fn months(draw: &mut Draw) -> Field {
    let month = one(draw, &MONTHS);
    let name = usize::try_from(month - 1)
        .ok()
        .and_then(|place| MONTH_NAMES.get(place));
    match draw.below(5) {
        0 => step(MONTHS, 3),
        1 => (name.unwrap_or(&"jan").to_string(), vec![month]),
        2 => list(draw, &MONTHS),
        _ => star(MONTHS),
    }
}

/// An expression of a grain, for a zone that shifts like that.
pub(super) fn draw_cron(draw: &mut Draw, grain: Grain, shifts: Shifts) -> Cron {
    if draw.chance(15)
        && let Some(cron) = preset(grain, shifts)
    {
        return cron;
    }
    let cron = by_fields(draw, grain, shifts);
    Cron { grain, ..cron }
}

fn by_fields(draw: &mut Draw, grain: Grain, shifts: Shifts) -> Cron {
    let (minute, hour) = (
        one(draw, &MINUTES),
        draw.one_of(&[0, 1, 2, 2, 3, 12, 23], 2),
    );
    let minute = if draw.chance(60) {
        minute / 15 * 15
    } else {
        minute
    };
    match grain {
        Grain::Minutes => minutely(draw, shifts),
        Grain::Hours => {
            let hours = hours(draw);
            dense(single(minute), hours, draw, shifts)
        }
        Grain::Days => daily(draw, single(minute), single(hour), shifts),
        Grain::Months => monthly(draw, single(minute), single(hour)),
    }
}

fn minutely(draw: &mut Draw, shifts: Shifts) -> Cron {
    let minutes = match draw.below(5) {
        0 => star(MINUTES),
        1 => list(draw, &MINUTES),
        2 => range(draw, &MINUTES),
        _ => {
            let by = draw.one_of(&[5, 7, 10, 20], 5);
            step(MINUTES, by)
        }
    };
    let hours = if draw.chance(60) {
        star(HOURS)
    } else {
        hours(draw)
    };
    dense(minutes, hours, draw, shifts)
}

fn hours(draw: &mut Draw) -> Field {
    match draw.below(4) {
        0 => list(draw, &HOURS),
        1 => range(draw, &HOURS),
        2 => (String::from("0-3"), (0..=3).collect()),
        _ => {
            let by = draw.one_of(&[2, 3, 6], 2);
            step(HOURS, by)
        }
    }
}

/// Several times a day. Days are restricted only where hours are not all, or where the zone stands still.
fn dense(minutes: Field, hours: Field, draw: &mut Draw, shifts: Shifts) -> Cron {
    let (mut minutes, mut hours) = (minutes, hours);
    if shifts == Shifts::Half {
        let first = minutes.1.first().copied().unwrap_or(0);
        minutes = single(first);
        if hours.1.len() == 24 {
            hours = step(HOURS, 2);
        }
    }
    let may_restrict = hours.1.len() < 24 || shifts == Shifts::Never;
    let weekdays = if may_restrict && draw.chance(20) {
        weekdays(draw)
    } else {
        star(WEEKDAYS)
    };
    cron(
        [minutes, hours, star(DAYS), star(MONTHS), weekdays],
        Special::None,
    )
}

fn daily(draw: &mut Draw, minute: Field, hour: Field, shifts: Shifts) -> Cron {
    let hour = if draw.chance(15) {
        list(draw, &HOURS)
    } else {
        hour
    };
    let minute = if draw.chance(10) && shifts != Shifts::Half {
        list(draw, &MINUTES)
    } else {
        minute
    };
    let days = match draw.below(8) {
        0 => step(DAYS, 2),
        1 => range(draw, &DAYS),
        _ => star(DAYS),
    };
    let weekdays = if draw.chance(35) {
        weekdays(draw)
    } else {
        star(WEEKDAYS)
    };
    cron([minute, hour, days, star(MONTHS), weekdays], Special::None)
}

fn monthly(draw: &mut Draw, minute: Field, hour: Field) -> Cron {
    let months = months(draw);
    match draw.below(10) {
        0 => {
            let days = ("L".to_owned(), Vec::new());
            cron(
                [minute, hour, days, months, star(WEEKDAYS)],
                Special::LastDay,
            )
        }
        1 | 2 => {
            let (weekday, n) = (one(draw, &WEEKDAYS), one(draw, &(1..=4)));
            let nth = (format!("{weekday}#{n}"), Vec::new());
            let special = Special::Nth { weekday, n };
            cron([minute, hour, star(DAYS), months, nth], special)
        }
        3 => cron(
            [minute, hour, single(29), single(2), star(WEEKDAYS)],
            Special::None,
        ),
        // No such day: a schedule without a tick.
        4 if draw.chance(20) => cron(
            [minute, hour, single(31), single(4), star(WEEKDAYS)],
            Special::None,
        ),
        5 => cron(
            [minute, hour, single(31), months, star(WEEKDAYS)],
            Special::None,
        ),
        6 => {
            let (day, weekdays) = (one(draw, &DAYS), weekdays(draw));
            cron([minute, hour, single(day), months, weekdays], Special::None)
        }
        _ => {
            let day = one(draw, &(1..=28));
            cron(
                [minute, hour, single(day), months, star(WEEKDAYS)],
                Special::None,
            )
        }
    }
}

fn preset(grain: Grain, shifts: Shifts) -> Option<Cron> {
    let (text, hours, days, weekdays) = match grain {
        Grain::Minutes => return None,
        Grain::Hours if shifts == Shifts::Half => return None,
        Grain::Hours => ("@hourly", star(HOURS), star(DAYS), star(WEEKDAYS)),
        Grain::Days => ("@daily", single(0), star(DAYS), star(WEEKDAYS)),
        Grain::Months => ("@monthly", single(0), single(1), star(WEEKDAYS)),
    };
    let meant = cron(
        [single(0), hours, days, star(MONTHS), weekdays],
        Special::None,
    );
    Some(Cron {
        grain,
        text: text.to_owned(),
        ..meant
    })
}

fn cron(fields: [Field; 5], special: Special) -> Cron {
    let text: Vec<&str> = fields.iter().map(|(text, _)| text.as_str()).collect();
    let text = text.join(" ");
    let [minutes, hours, days, months, weekdays] = fields.map(|(_, numbers)| numbers);
    Cron {
        grain: Grain::Days,
        text,
        minutes,
        hours,
        days,
        months,
        weekdays,
        special,
    }
}
