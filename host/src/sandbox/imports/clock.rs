//! `airlock:operator/clock`.

use crate::sandbox::bindings::airlock::operator::clock;
use crate::sandbox::state::GuestState;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

/// What `monotonic` counts from; when this program began is not for guests to know.
static FIRST_ASKED: LazyLock<Instant> = LazyLock::new(Instant::now);

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl clock::Host for GuestState {
    async fn now(&mut self) -> u64 {
        // A clock that stands before 1970 is taken for 1970.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        nanoseconds(now.unwrap_or_default())
    }

    async fn monotonic(&mut self) -> u64 {
        nanoseconds(FIRST_ASKED.elapsed())
    }

    async fn sleep(&mut self, nanoseconds: u64) {
        // An attempt that is ended meanwhile is dropped here.
        tokio::time::sleep(Duration::from_nanos(nanoseconds)).await;
    }
}
