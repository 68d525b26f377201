//! Lists as Airflow's clients ask for them: `limit` and `offset`, `order_by` with `-` for the other way, patterns, ranges. It
//! refuses what it cannot read, instead of answering everything.

use super::super::about::{Kind, Query};
use super::super::error::ApiError;
use super::super::fields::Fields;
use jiff::Timestamp;
use std::cmp::Ordering;

/// Rows of a page where nothing is said (Airflow's).
const LIMIT_DEFAULT: usize = 50;
/// The most rows of a page; more is read as this many, as in Airflow.
pub(super) const LIMIT_MAX: usize = 1_000;

/// What pages and orders a list.
pub(super) const PAGED: &[Query] = &[
    ("limit", Kind::Integer),
    ("offset", Kind::Integer),
    ("order_by", Kind::Texts),
];

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) limit: usize,
    pub(super) offset: usize,
}

impl Page {
    pub(super) fn of(fields: &Fields) -> Result<Self, ApiError> {
        Self::named(fields, "limit", "offset")
    }

    /// The same under the names that the bodies of Airflow's `list` routes have.
    pub(super) fn named(fields: &Fields, limit: &str, offset: &str) -> Result<Self, ApiError> {
        let count = |name: &str, default: usize| {
            let given = fields.integer(name)?.map(usize::try_from).transpose();
            let given = given.map_err(|_| {
                ApiError::invalid(format!("`{name}` must be a whole number from 0 on"))
            })?;
            Ok::<_, ApiError>(given.unwrap_or(default))
        };
        Ok(Self {
            limit: count(limit, LIMIT_DEFAULT)?.min(LIMIT_MAX),
            offset: count(offset, 0)?,
        })
    }

    /// Its rows of a whole list.
    pub(super) fn cut<T>(self, rows: Vec<T>) -> Vec<T> {
        rows.into_iter()
            .skip(self.offset)
            .take(self.limit)
            .collect()
    }
}

/// How two rows are ordered by one of their fields.
pub(super) type By<T> = (&'static str, fn(&T, &T) -> Ordering);

/// Orders rows by the fields of `order_by`, the first of which counts most; rows that are equal stay as they were.
pub(super) fn order<T>(rows: &mut [T], fields: &Fields, known: &[By<T>]) -> Result<(), ApiError> {
    let mut wanted = Vec::new();
    for name in fields.texts("order_by")? {
        let (is_reversed, bare) = match name.strip_prefix('-') {
            Some(bare) => (true, bare),
            None => (false, name.as_str()),
        };
        let Some((_, by)) = known.iter().find(|(known, _)| *known == bare) else {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let told = ApiError::invalid(format!("nothing is ordered by {bare:?} here"));
            return Err(told.hint(format!("it is ordered by {}", names.join(", "))));
        };
        wanted.push((*by, is_reversed));
    }
    if wanted.is_empty() {
        return Ok(());
    }
    rows.sort_by(|one, other| {
        let compare = |(by, is_reversed): &(fn(&T, &T) -> Ordering, bool)| {
            let ordering = by(one, other);
            if *is_reversed {
                ordering.reverse()
            } else {
                ordering
            }
        };
        let first = wanted.iter().map(compare).find(|found| found.is_ne());
        first.unwrap_or(Ordering::Equal)
    });
    Ok(())
}

/// A pattern of SQL's LIKE that may stand anywhere in a text, whatever the case, or the beginning of a text as it is: `%` is any
/// text, `_` any character, `|` an or.
#[derive(Debug, Clone, Default)]
pub(super) struct Pattern {
    anywhere: Option<Vec<String>>,
    prefix: Option<Vec<String>>,
}

impl Pattern {
    /// From `{name}_pattern` and `{name}_prefix_pattern`.
    pub(super) fn of(fields: &Fields, name: &str) -> Result<Self, ApiError> {
        let parts = |name: String| {
            let text = fields.text(&name)?;
            // Airflow's pages send `~` for all.
            let text = text.filter(|text| *text != "~");
            Ok::<_, ApiError>(text.map(|text| {
                let parts = text.split('|').map(|part| part.trim().to_owned());
                parts.collect::<Vec<String>>()
            }))
        };
        let anywhere = parts(format!("{name}_pattern"))?;
        Ok(Self {
            anywhere: anywhere.map(|parts| {
                let around = |part: &String| format!("%{}%", part.to_lowercase());
                parts.iter().map(around).collect()
            }),
            prefix: parts(format!("{name}_prefix_pattern"))?,
        })
    }

    pub(super) fn fits(&self, text: &str) -> bool {
        let is_like = self.anywhere.as_ref().is_none_or(|patterns| {
            let text: Vec<char> = text.to_lowercase().chars().collect();
            let one = |pattern: &String| like(&pattern.chars().collect::<Vec<_>>(), &text);
            patterns.iter().any(one)
        });
        let mut prefixes = self.prefix.iter().flatten();
        is_like && (self.prefix.is_none() || prefixes.any(|prefix| text.starts_with(prefix)))
    }
}

/// SQL's LIKE, in time of pattern times text: it goes back to the last `%` alone.
fn like(pattern: &[char], text: &[char]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while place < text.len() {
        match pattern.get(at) {
            Some('%') => {
                star = Some((at, place));
                at += 1;
            }
            Some('_') => {
                at += 1;
                place += 1;
            }
            Some(wanted) if text.get(place) == Some(wanted) => {
                at += 1;
                place += 1;
            }
            _ => {
                let Some((back, taken)) = star else {
                    return false;
                };
                star = Some((back, taken + 1));
                at = back + 1;
                place = taken + 1;
            }
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|character| *character == '%'))
}

/// The ends that a value must lie between.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Range<T> {
    gte: Option<T>,
    gt: Option<T>,
    lte: Option<T>,
    lt: Option<T>,
}

impl<T: PartialOrd> Range<T> {
    fn read(
        name: &str,
        read: impl Fn(&str) -> Result<Option<T>, ApiError>,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            gte: read(&format!("{name}_gte"))?,
            gt: read(&format!("{name}_gt"))?,
            lte: read(&format!("{name}_lte"))?,
            lt: read(&format!("{name}_lt"))?,
        })
    }

    /// A value that is not there is in a range without ends alone.
    pub(super) fn holds(&self, value: Option<T>) -> bool {
        let Some(value) = value else {
            let ends = [&self.gte, &self.gt, &self.lte, &self.lt];
            return ends.iter().all(|end| end.is_none());
        };
        self.gte.as_ref().is_none_or(|end| value >= *end)
            && self.gt.as_ref().is_none_or(|end| value > *end)
            && self.lte.as_ref().is_none_or(|end| value <= *end)
            && self.lt.as_ref().is_none_or(|end| value < *end)
    }
}

impl Range<Timestamp> {
    pub(super) fn of(fields: &Fields, name: &str) -> Result<Self, ApiError> {
        Self::read(name, |name| time(fields, name))
    }
}

impl Range<f64> {
    pub(super) fn of(fields: &Fields, name: &str) -> Result<Self, ApiError> {
        Self::read(name, |name| number(fields, name))
    }
}

fn number(fields: &Fields, name: &str) -> Result<Option<f64>, ApiError> {
    if fields.names().any(|known| known == name) {
        fields.need_float(name).map(Some)
    } else {
        Ok(None)
    }
}

/// A date and time; none where it is absent. Without an offset it is UTC.
pub(super) fn time(fields: &Fields, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = fields.text(name)? else {
        return Ok(None);
    };
    read_time(text).map(Some).ok_or_else(|| {
        let shown: String = text.chars().take(80).collect();
        ApiError::invalid(format!("`{name}` is no date and time: {shown:?}"))
            .hint("as in 2026-01-05T02:00:00Z")
    })
}

fn read_time(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

/// Whether a list of wanted values is empty or holds this one; `none` stands for no value.
pub(super) fn is_wanted(wanted: &[String], value: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|one| one == value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn given(query: &str) -> Fields {
        Fields::from_query(query).unwrap()
    }

    #[test]
    fn a_page_is_cut_and_never_larger_than_the_limit() {
        let page = |query| Page::of(&given(query));
        assert_eq!(
            page("").unwrap(),
            Page {
                limit: 50,
                offset: 0
            }
        );
        assert_eq!(page("limit=9999").unwrap().limit, LIMIT_MAX);
        assert!(page("limit=-1").is_err() && page("offset=x").is_err());
        let cut = page("limit=2&offset=3").unwrap().cut((0..9).collect());
        assert_eq!(cut, [3, 4]);
        let beyond = page("offset=10").unwrap().cut((0..9).collect());
        assert!(beyond.is_empty());
    }

    #[test]
    fn rows_are_ordered_by_several_fields_and_backwards() {
        let by: &[By<(u8, u8)>] = &[
            ("a", |one, other| one.0.cmp(&other.0)),
            ("b", |one, other| one.1.cmp(&other.1)),
        ];
        let mut rows = [(1, 2), (0, 1), (1, 1)];
        order(&mut rows, &given("order_by=-a&order_by=b"), by).unwrap();
        assert_eq!(rows, [(1, 1), (1, 2), (0, 1)]);
        assert!(order(&mut rows, &given("order_by=c"), by).is_err());
    }

    #[test]
    fn patterns_are_those_of_like_whatever_the_case() {
        let fits = |pattern: &str, text: &str| {
            Pattern::of(&given(&format!("x_pattern={pattern}")), "x")
                .unwrap()
                .fits(text)
        };
        assert!(fits("churn", "weekly_Churn_model"));
        assert!(fits("w%25m_d", "weekly_model"));
        assert!(fits("a%7Cb", "xbx"));
        assert!(fits("~", "anything") && fits("", "anything"));
        assert!(!fits("churn", "chur"));
        let prefix = Pattern::of(&given("x_prefix_pattern=we"), "x").unwrap();
        assert!(prefix.fits("weekly") && !prefix.fits("biweekly") && !prefix.fits("Weekly"));
    }

    #[test]
    fn a_range_takes_what_lies_between_its_ends() {
        let range = Range::<Timestamp>::of(
            &given("d_gte=2026-01-01&d_lt=2026-01-02T00:00:00%2B01:00"),
            "d",
        );
        assert!(range.is_ok(), "a date alone is its midnight");
        let query = given("d_gte=2026-01-01T00:00:00&d_lt=2026-01-02T00:00:00%2B01:00");
        let range = Range::<Timestamp>::of(&query, "d").unwrap();
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        assert!(range.holds(at("2026-01-01T00:00:00Z")));
        assert!(!range.holds(at("2026-01-01T23:00:00Z")));
        assert!(!range.holds(None));
        let open = Range::<f64>::of(&given(""), "d").unwrap();
        assert!(open.holds(None) && open.holds(Some(1.0)));
    }

    proptest! {
        #[test]
        fn a_text_fits_itself_and_no_pattern_runs_for_ever(text in "[a-z_%]{0,30}", pattern in "[a%_]{0,30}") {
            let text: Vec<char> = text.chars().collect();
            let pattern: Vec<char> = pattern.chars().collect();
            prop_assert!(like(&text, &text) || text.contains(&'%') || text.contains(&'_'));
            like(&pattern, &text);
            prop_assert!(like(&['%'], &text));
        }
    }
}
