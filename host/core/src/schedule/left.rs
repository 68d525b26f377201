//! The dates that a backfill has left, as ranges of equal steps: a year of days is one range, so that the row that holds
//! them stays small. It refuses to know how they were computed; they stay as they are when the schedule is edited.

use crate::timetable::DueRun;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// `count` dates, each `step` after the one before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Range {
    first: DueRun,
    step: SignedDuration,
    count: u32,
}

impl Range {
    fn get(&self, place: u32) -> Option<DueRun> {
        let by = self.step.checked_mul(i32::try_from(place).ok()?)?;
        let shift = |at: Timestamp| at.checked_add(by).ok();
        Some(DueRun {
            logical_date: shift(self.first.logical_date)?,
            data_interval_start: shift(self.first.data_interval_start)?,
            data_interval_end: shift(self.first.data_interval_end)?,
            run_after: shift(self.first.run_after)?,
        })
    }

    /// Whether `run` goes on where the range ends; it becomes part of it then.
    fn takes(&mut self, run: &DueRun) -> bool {
        let step = run.logical_date.duration_since(self.first.logical_date);
        let range = match self.count {
            1 => Self { step, ..*self },
            _ => *self,
        };
        let takes = range.get(self.count) == Some(*run);
        if takes {
            *self = range;
            self.count += 1;
        }
        takes
    }
}

/// Dates, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Left(VecDeque<Range>);

impl Left {
    pub(super) fn new(dates: &[DueRun]) -> Self {
        let mut ranges: VecDeque<Range> = VecDeque::new();
        for run in dates {
            if !ranges.back_mut().is_some_and(|range| range.takes(run)) {
                ranges.push_back(Range {
                    first: *run,
                    step: SignedDuration::ZERO,
                    count: 1,
                });
            }
        }
        Self(ranges)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn len(&self) -> u32 {
        self.0.iter().map(|range| range.count).sum()
    }

    /// Takes the oldest date, or the latest one.
    pub(super) fn take(&mut self, latest: bool) -> Option<DueRun> {
        let range = if latest {
            self.0.back_mut()?
        } else {
            self.0.front_mut()?
        };
        let last = range.count.saturating_sub(1);
        let taken = range.get(if latest { last } else { 0 });
        if last == 0 {
            if latest {
                self.0.pop_back();
            } else {
                self.0.pop_front();
            }
        } else {
            if !latest {
                range.first = range.get(1)?;
            }
            range.count = last;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn runs(hours: &[i64]) -> Vec<DueRun> {
        let at = |hours: &i64| Timestamp::from_second(hours * 3_600).unwrap();
        hours.iter().map(at).map(DueRun::exact).collect()
    }

    #[test]
    fn a_year_of_days_is_one_range() {
        let days: Vec<i64> = (0..365).map(|day| day * 24).collect();
        assert_eq!(Left::new(&runs(&days)).0.len(), 1);
    }

    proptest! {
        #[test]
        fn every_date_comes_back_once_from_either_end(
            steps in prop::collection::vec(1_i64..4, 0..40), latest in any::<bool>()
        ) {
            let hours: Vec<i64> = steps.iter().scan(0, |at, step| { *at += step; Some(*at) }).collect();
            let mut expected = runs(&hours);
            if latest { expected.reverse(); }
            let mut left = Left::new(&runs(&hours));
            prop_assert_eq!(left.len() as usize, expected.len());
            let taken: Vec<DueRun> = std::iter::from_fn(|| left.take(latest)).collect();
            prop_assert_eq!(taken, expected);
            prop_assert!(left.is_empty());
        }
    }
}
