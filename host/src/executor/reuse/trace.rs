//! What an attempt sees and leaves while it runs, written down beside its calls. It refuses to change an answer.

use super::record::Told;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most objects, listings and XComs that one attempt may have seen; of more nothing is kept.
const ENTRIES_MAX: usize = 1_000;

/// Shared by the ports of one attempt.
#[derive(Default)]
pub(super) struct Trace(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    told: Told,
    entries: usize,
    /// Tracking runs that this attempt found or made: its own, so that reading them back is no question to the world.
    own_runs: BTreeSet<String>,
    /// What no digest can stand for.
    outside: Option<&'static str>,
}

impl Trace {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The attempt asked something whose answer may differ tomorrow for the same config and data.
    pub(super) fn outside(&self, what: &'static str) {
        self.lock().outside.get_or_insert(what);
    }

    fn entry(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.lock();
        inner.entries += 1;
        if inner.entries > ENTRIES_MAX {
            inner
                .outside
                .get_or_insert("more objects than are written down");
        }
        inner
    }

    /// An object as it was when the attempt looked at it first. What it wrote itself is no input.
    pub(super) fn saw(&self, uri: &str, digest: Option<&str>) {
        let mut inner = self.entry();
        if inner.outside.is_some() || inner.told.written.contains_key(uri) {
            return;
        }
        let before = inner
            .told
            .objects
            .entry(uri.to_owned())
            .or_insert_with(|| digest.map(str::to_owned));
        if before.as_deref() != digest {
            inner.outside = Some("an object that changed meanwhile");
        }
    }

    pub(super) fn listed(&self, prefix: String, after: Option<String>, found: Vec<(String, u64)>) {
        let mut inner = self.entry();
        if inner.outside.is_none() {
            inner.told.listings.push((prefix, after, found));
        }
    }

    pub(super) fn pulled(
        &self,
        (task_id, key): (&str, &str),
        map_index: Option<i32>,
        digest: Option<String>,
    ) {
        let mut inner = self.entry();
        if inner.outside.is_none() {
            let of = (task_id.to_owned(), key.to_owned(), map_index, digest);
            inner.told.pulled.push(of);
        }
    }

    pub(super) fn wrote(&self, uri: &str, digest: Option<String>) {
        self.entry().told.written.insert(uri.to_owned(), digest);
    }

    pub(super) fn pushed(&self, key: &str, value: &str) {
        let mut inner = self.entry();
        inner.told.pushed.push((key.to_owned(), value.to_owned()));
    }

    pub(super) fn began_run(&self, run_id: &str) {
        self.lock().own_runs.insert(run_id.to_owned());
    }

    pub(super) fn is_own_run(&self, run_id: &str) -> bool {
        self.lock().own_runs.contains(run_id)
    }

    /// All of it, or what no digest can stand for.
    pub(super) fn end(&self) -> Result<Told, &'static str> {
        let mut inner = self.lock();
        if let Some(what) = inner.outside {
            return Err(what);
        }
        let mut told = std::mem::take(&mut inner.told);
        let listings = std::mem::take(&mut told.listings);
        told.listings = listings
            .into_iter()
            .map(|(prefix, after, found)| (prefix, after, told.listed(&found)))
            .collect();
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_attempt_wrote_itself_is_no_input_of_it() {
        let trace = Trace::default();
        trace.saw("file://./in", Some("1"));
        trace.wrote("file://./out", Some("2".to_owned()));
        trace.saw("file://./out", Some("2"));
        let found = ["file://./in", "file://./out"].map(|uri| (uri.to_owned(), 3));
        trace.listed("file://./".to_owned(), None, found.to_vec());
        let told = trace.end().unwrap();
        assert_eq!(told.objects.keys().collect::<Vec<_>>(), ["file://./in"]);
        let only = ("file://./in".to_owned(), 3);
        assert_eq!(told.listings, [("file://./".to_owned(), None, vec![only])]);
    }

    #[test]
    fn an_object_that_changed_and_a_question_to_the_world_leave_nothing_to_keep() {
        let trace = Trace::default();
        trace.saw("file://./in", Some("1"));
        trace.saw("file://./in", Some("2"));
        assert_eq!(trace.end(), Err("an object that changed meanwhile"));
        let trace = Trace::default();
        trace.outside("a person");
        trace.outside("the time");
        assert_eq!(trace.end(), Err("a person"));
    }

    #[test]
    fn more_than_the_limit_is_not_kept() {
        let trace = Trace::default();
        for number in 0..=ENTRIES_MAX {
            trace.saw(&format!("file://./{number}"), None);
        }
        assert!(trace.end().is_err());
    }
}
