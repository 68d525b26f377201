//! `airlock:operator/calendar`: local time from the host's one time zone database, so that no guest carries its own.

use super::Answer;
use super::own_run::OwnRun;
use crate::sandbox::bindings::airlock::operator::calendar::LocalTime;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::ports::CalendarPort;
use airlock_core::timetable::zone;
use async_trait::async_trait;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::sync::Arc;

/// The time as an attempt may see it.
pub(super) struct Calendar {
    pub(super) own_run: Arc<dyn OwnRun>,
}

impl Calendar {
    fn zone(&self, timezone: Option<String>) -> Answer<TimeZone> {
        zone(&timezone.unwrap_or_else(|| self.own_run.timezone())).map_err(invalid)
    }
}

#[async_trait]
impl CalendarPort for Calendar {
    async fn to_local(&self, instant: String, timezone: Option<String>) -> Answer<LocalTime> {
        let instant: Timestamp = instant.parse().map_err(invalid)?;
        let local = instant.to_zoned(self.zone(timezone)?).datetime();
        Ok(LocalTime {
            date: local.date().to_string(),
            time: local.time().to_string(),
            iso_weekday: local.weekday().to_monday_one_offset().unsigned_abs(),
        })
    }

    async fn from_local(&self, date_time: String, timezone: Option<String>) -> Answer<String> {
        let local: DateTime = date_time.parse().map_err(invalid)?;
        let zoned = local.to_zoned(self.zone(timezone)?).map_err(invalid)?;
        Ok(zoned.timestamp().to_string())
    }

    async fn is_latest_interval(&self) -> Answer<bool> {
        let latest = self.own_run.is_latest_interval();
        latest.map_err(CapabilityError::Unavailable)
    }
}

fn invalid(error: impl std::fmt::Display) -> CapabilityError {
    CapabilityError::Invalid(error.to_string())
}
