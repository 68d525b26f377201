//! The join itself: for each event the feature row that held at its time. Memory is bounded by the events: about 36 bytes each,
//! and 4 more for each feature table, besides the keys. Feature rows pass by once, in any order.

use crate::config::Source;
use crate::keys::Index;
use crate::scan;
use airlock_sdk::TaskError;
use airlock_sdk::dataset::{Column, NO_ROW, Table};

/// The events of an entity table, ordered by key and time.
pub(crate) struct Events {
    index: Index,
    /// By number of a key: where its events begin; one more at the end.
    starts: Vec<u32>,
    /// By place in that order.
    times: Vec<i64>,
    /// By place: the event's row.
    rows: Vec<u32>,
    /// Rows of the entity table, those without key or time included.
    all: usize,
}

impl Events {
    pub(crate) fn read(table: &Table, keys: &[Column], timestamp: &str) -> Result<Self, TaskError> {
        let mut index = Index::for_keys(keys);
        let all = usize::try_from(table.rows())
            .map_err(|_| TaskError::permanent("a table here has under 2^32 rows"))?;
        let mut events: Vec<(u32, i64, u32)> = Vec::with_capacity(all);
        let mut buffer = Vec::new();
        scan::table(table, keys, timestamp, None, |batch| {
            for (row, number) in (0..batch.rows).zip(batch.first..) {
                // Without key or time nobody knows which features held: they are null.
                if let Some(time) = batch.time(row)
                    && let Some(id) = index.add(&batch.keys, row, &mut buffer)?
                {
                    events.push((id, time, number));
                }
            }
            Ok(())
        })?;
        events.sort_unstable();
        let mut starts = vec![0; index.len() + 1];
        let mut place = 0;
        for (id, _, _) in &events {
            place += 1;
            if let Some(end) = starts.get_mut(*id as usize + 1) {
                *end = place;
            }
        }
        Ok(Self {
            index,
            starts,
            times: events.iter().map(|(_, time, _)| *time).collect(),
            rows: events.iter().map(|(_, _, row)| *row).collect(),
            all,
        })
    }

    /// The places of a key's events.
    fn places(&self, id: u32) -> std::ops::Range<usize> {
        let at = |id: usize| self.starts.get(id).map_or(0, |start| *start as usize);
        at(id as usize)..at(id as usize + 1)
    }

    /// By row of the entity table: the row of `source` that held, or `NO_ROW`.
    pub(crate) fn held(&self, source: &Source) -> Result<Vec<u32>, TaskError> {
        let mut best = Best::new(self.times.len());
        let mut buffer = Vec::new();
        scan::source(source, |batch| {
            for (row, number) in (0..batch.rows).zip(batch.first..) {
                let Some(time) = batch.time(row) else {
                    continue;
                };
                let Some(id) = self.index.find(&batch.keys, row, &mut buffer) else {
                    continue;
                };
                // The first event that could see it; later ones see it through that one.
                let places = self.places(id);
                let events = self.times.get(places.clone()).unwrap_or_default();
                let passed = events.partition_point(|event| *event < time);
                if passed < events.len() {
                    best.offer(places.start + passed, (time, batch.created(row)), number);
                }
            }
            Ok(())
        })?;
        Ok(self.carried(&best, source.ttl))
    }

    /// Carries what holds on to the next events of the same key, while it lives.
    fn carried(&self, best: &Best, ttl: Option<i64>) -> Vec<u32> {
        let mut held = vec![NO_ROW; self.all];
        for id in 0..self.starts.len().saturating_sub(1) {
            let mut now: Option<((i64, i64), u32)> = None;
            for place in self.places(u32::try_from(id).unwrap_or(u32::MAX)) {
                // At equal times and ages the later row wins, as in `Best::offer`.
                now = now.max(best.at(place));
                let (Some(((time, _), row)), Some(event)) = (now, self.times.get(place)) else {
                    continue;
                };
                let lives =
                    ttl.is_none_or(|ttl| event.checked_sub(time).is_some_and(|age| age <= ttl));
                let number = self.rows.get(place).map(|row| *row as usize);
                if let (true, Some(slot)) = (lives, number.and_then(|row| held.get_mut(row))) {
                    *slot = row;
                }
            }
        }
        held
    }
}

/// The best feature row so far, by place: the latest, of these the last written, of these the last in the table.
pub(crate) struct Best {
    ages: Vec<(i64, i64)>,
    rows: Vec<u32>,
}

impl Best {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            ages: vec![(i64::MIN, i64::MIN); places],
            rows: vec![NO_ROW; places],
        }
    }

    /// Makes room for one more place.
    pub(crate) fn grow(&mut self, places: usize) {
        self.ages.resize(places, (i64::MIN, i64::MIN));
        self.rows.resize(places, NO_ROW);
    }

    /// Rows come in the order of the table.
    pub(crate) fn offer(&mut self, place: usize, age: (i64, i64), row: u32) {
        let (Some(best), Some(known)) = (self.ages.get_mut(place), self.rows.get_mut(place)) else {
            return;
        };
        if *known == NO_ROW || age >= *best {
            *best = age;
            *known = row;
        }
    }

    pub(crate) fn at(&self, place: usize) -> Option<((i64, i64), u32)> {
        let row = self.rows.get(place).filter(|row| **row != NO_ROW)?;
        Some((*self.ages.get(place)?, *row))
    }
}
