//! Filters, orders and pages rows. A page's token is the place of its last row in the order, so it stays valid while rows come and
//! go: the next page holds what is behind that place then.

use crate::store::hex;
use crate::tracking::items::unhex;

use super::{Condition, Filter, OrderBy, SearchError, Value, holds};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::cmp::Ordering;

/// Rows that can be searched.
pub(in crate::tracking) trait Rows {
    /// One row.
    type Row;
    /// A field as these rows find it fastest.
    type Slot;
    /// Finds a field once for a search.
    fn slot(&self, field: &super::Field) -> Self::Slot;
    /// Every value that a row has in a field: `test` is asked until one holds. A row without values is asked with `Absent`.
    fn any(&self, row: &Self::Row, slot: &Self::Slot, test: &dyn Fn(Value<'_>) -> bool) -> bool;
    /// The value that a row is ordered by.
    fn value<'r>(&'r self, row: &'r Self::Row, slot: &Self::Slot) -> Value<'r>;
    /// What orders rows that are otherwise equal: a time, the latest first, then an id.
    fn tie<'r>(&self, row: &'r Self::Row) -> (i64, &'r str);
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(in crate::tracking) struct Request {
    pub(in crate::tracking) filter: Filter,
    pub(in crate::tracking) order: Vec<OrderBy>,
    /// Rows of one page; at least 1.
    pub(in crate::tracking) max: usize,
    /// Where the page before ended.
    after: Option<Place>,
    /// Of everything that decides the order and the set of rows.
    fingerprint: String,
}

/// How many rows, and from where.
#[derive(Debug, Clone, Copy)]
pub(in crate::tracking) struct Size<'s> {
    pub(in crate::tracking) max: usize,
    /// The most that `max` may be.
    pub(in crate::tracking) limit: usize,
    pub(in crate::tracking) token: Option<&'s str>,
}

/// A page of rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page<T> {
    /// In the order that was asked for.
    pub items: Vec<T>,
    /// Asks for the rows behind the last of these; `None` where there are none now.
    pub next_page_token: Option<String>,
}

/// A row's place in the order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Place {
    keys: Vec<Key>,
    time: i64,
    id: String,
}

/// A value in the order. NaN comes after numbers, what is absent after that, whichever way the order goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Key {
    /// The bits, because a token must say them exactly.
    Number(u64),
    Text(String),
    Nan,
    Absent,
}

/// A token before it is written.
#[derive(Serialize, Deserialize)]
struct Token {
    search: String,
    after: Place,
}

impl Request {
    /// Reads everything. `scope` is what else decides which rows there are, for example the experiments.
    pub(in crate::tracking) fn parse(
        schema: super::Schema,
        filter: &str,
        order: &[String],
        scope: &str,
        size: Size<'_>,
    ) -> Result<Self, SearchError> {
        let refused = |what: &str, allowed: String| SearchError {
            what: what.to_owned(),
            at: 1,
            text: size.token.unwrap_or_default().chars().take(200).collect(),
            allowed,
        };
        if size.max == 0 || size.max > size.limit {
            let allowed = format!("max_results is 1 to {}", size.limit);
            return Err(refused("no page can be so large", allowed));
        }
        let filter = Filter::parse(schema, filter)?;
        let order = OrderBy::parse_all(schema, order)?;
        let mut hash = Sha256::new();
        hash.update(scope);
        hash.update(filter.to_string());
        for one in &order {
            hash.update(one.to_string());
        }
        let digest = hash.finalize();
        let fingerprint = hex(digest.get(..8).unwrap_or_default());
        let after = match size.token.filter(|token| !token.is_empty()) {
            None => None,
            Some(token) => Some(
                unhex(token)
                    .and_then(|bytes| serde_json::from_slice::<Token>(&bytes).ok())
                    .filter(|token| token.search == fingerprint)
                    .ok_or_else(|| {
                        let allowed = "it is what the page before of the same search gave";
                        refused("no page token of this search", allowed.to_owned())
                    })?
                    .after,
            ),
        };
        Ok(Self {
            filter,
            order,
            max: size.max,
            after,
            fingerprint,
        })
    }

    fn token(&self, after: Place) -> Option<String> {
        let search = self.fingerprint.clone();
        let json = serde_json::to_vec(&Token { search, after }).ok()?;
        Some(hex(&json))
    }
}

impl Key {
    fn of(value: Value<'_>) -> Self {
        match value {
            Value::Absent => Self::Absent,
            Value::Number(number) if number.is_nan() => Self::Nan,
            Value::Number(number) => Self::Number(number.to_bits()),
            Value::Text(text) => Self::Text(text.to_owned()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Number(_) | Self::Text(_) => 0,
            Self::Nan => 1,
            Self::Absent => 2,
        }
    }

    fn compare(&self, other: &Self, descending: bool) -> Ordering {
        let plain = match (self, other) {
            (Self::Number(left), Self::Number(right)) => {
                // Not total_cmp: 0 and -0 are equal.
                let (left, right) = (f64::from_bits(*left), f64::from_bits(*right));
                left.partial_cmp(&right).unwrap_or(Ordering::Equal)
            }
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            _ => return self.rank().cmp(&other.rank()),
        };
        if descending { plain.reverse() } else { plain }
    }
}

/// Compares places: keys, then the latest, then the id.
fn compare(order: &[OrderBy], left: (&[Key], i64, &str), right: (&[Key], i64, &str)) -> Ordering {
    let keys = left.0.iter().zip(right.0).zip(order);
    for ((left, right), by) in keys {
        let ordering = left.compare(right, by.descending);
        if ordering.is_ne() {
            return ordering;
        }
    }
    right.1.cmp(&left.1).then_with(|| left.2.cmp(right.2))
}

/// The rows that fulfil the filter, ordered, from behind the token's place.
pub(in crate::tracking) fn search<'r, R: Rows>(
    rows: &'r R,
    all: impl Iterator<Item = &'r R::Row>,
    request: &Request,
) -> Page<&'r R::Row> {
    let slots: Vec<(&Condition, R::Slot)> = request
        .filter
        .conditions
        .iter()
        .map(|condition| (condition, rows.slot(&condition.field)))
        .collect();
    let order: Vec<R::Slot> = request
        .order
        .iter()
        .map(|by| rows.slot(&by.field))
        .collect();
    let fits = |row: &&R::Row| {
        let fulfils = |(condition, slot): &(&Condition, R::Slot)| {
            rows.any(row, slot, &|value| holds(condition, value))
        };
        slots.iter().all(fulfils)
    };
    let placed = |row: &'r R::Row| {
        let keys: Vec<Key> = order
            .iter()
            .map(|slot| Key::of(rows.value(row, slot)))
            .collect();
        (keys, rows.tie(row), row)
    };
    let behind = |(keys, (time, id), _): &(Vec<Key>, (i64, &str), &R::Row)| {
        request.after.as_ref().is_none_or(|after| {
            let after = (after.keys.as_slice(), after.time, after.id.as_str());
            compare(&request.order, (keys, *time, id), after).is_gt()
        })
    };
    let mut found: Vec<_> = all.filter(fits).map(placed).filter(behind).collect();
    let by = |left: &(Vec<Key>, (i64, &str), &R::Row), right: &(Vec<Key>, (i64, &str), &R::Row)| {
        compare(
            &request.order,
            (&left.0, left.1.0, left.1.1),
            (&right.0, right.1.0, right.1.1),
        )
    };
    let more = found.len() > request.max;
    if more {
        // Only the page itself needs to be in order.
        found.select_nth_unstable_by(request.max, by);
        found.truncate(request.max);
    }
    found.sort_unstable_by(by);
    let next_page_token = found
        .last()
        .filter(|_| more)
        .and_then(|(keys, (time, id), _)| {
            request.token(Place {
                keys: keys.clone(),
                time: *time,
                id: (*id).to_owned(),
            })
        });
    Page {
        items: found.into_iter().map(|(.., row)| row).collect(),
        next_page_token,
    }
}
