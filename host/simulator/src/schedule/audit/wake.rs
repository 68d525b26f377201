//! When a schedule asks to be woken: not later than something is due, and not for nothing.

use super::{Audit, laws};
use crate::audit::Checked;
use jiff::Timestamp;

impl Audit {
    pub(in crate::schedule) fn wakes(
        &mut self,
        dag: usize,
        now: Timestamp,
        wake: Option<Timestamp>,
    ) -> Checked<()> {
        let book = self.book(dag)?;
        let moment = book.due_moment(now);
        let told = || {
            format!(
                "d{dag} at {now} wakes at {wake:?}, due at {moment:?}, anchor {:?}, {}",
                book.page.anchor, book.plan.rule
            )
        };
        let in_time = moment.is_none_or(|due| wake.is_some_and(|wake| wake <= due));
        laws::SLEEPS.require(in_time, told)?;
        let for_something = wake.is_none_or(|wake| moment.is_some_and(|due| due <= wake));
        laws::BUSY.require(for_something, told)
    }
}
