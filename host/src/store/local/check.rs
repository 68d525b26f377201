//! Verifying a store that runs: journal, checkpoints, every value, every blob. It owns the list of what is wrong and changes
//! nothing.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;

use super::checkpoint;
use super::shared::Shared;
use crate::store::codec::{self, Payload};
use crate::store::journal::scan;
use crate::store::keys::{self, Family, Range};
use crate::store::memtable::Overlay;
use crate::store::types::{CheckReport, Digest, Position, Seq, StoreError};
use crate::store::view::View;

/// More problems than this are counted, not listed.
const PROBLEMS_MAX: usize = 100;
/// Keys that are looked at in one go.
const PAGE: usize = 4_096;

/// Verifies everything. Commits that arrive meanwhile may or may not be looked at.
pub(super) fn check(shared: &Shared) -> Result<CheckReport, StoreError> {
    let _upkeep = shared.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
    let mut check = Check {
        shared,
        report: CheckReport {
            position: shared.position(),
            ..CheckReport::default()
        },
        named: HashSet::new(),
        ends: HashMap::new(),
        more: 0,
    };
    check.journal();
    check.checkpoints()?;
    check.values()?;
    check.blobs()?;
    if check.more > 0 {
        let more = format!("and {} more", check.more);
        check.report.problems.push(more);
    }
    Ok(check.report)
}

struct Check<'s> {
    shared: &'s Shared,
    report: CheckReport,
    /// Blobs that values name.
    named: HashSet<Digest>,
    /// Where the chunks of each stream end.
    ends: HashMap<String, Seq>,
    more: usize,
}

impl Check<'_> {
    fn problem(&mut self, what: String) {
        if self.report.problems.len() < PROBLEMS_MAX {
            self.report.problems.push(what);
        } else {
            self.more += 1;
        }
    }

    fn journal(&mut self) {
        let mut commits = 0;
        let durable = self.report.position;
        let scanned = scan::scan(&self.shared.paths.journal, 0, |_| {
            commits += 1;
            Ok(())
        });
        self.report.commits = commits;
        match scanned {
            Ok(Some(scan)) if scan.end >= durable => {}
            Ok(scan) => self.problem(format!(
                "the journal ends at {}, but position {durable} is durable",
                scan.map_or(0, |scan| scan.end)
            )),
            Err(error) => self.problem(error.to_string()),
        }
    }

    fn checkpoints(&mut self) -> Result<(), StoreError> {
        for (_, path) in checkpoint::list(&self.shared.paths.checkpoints)? {
            if let Err(error) = checkpoint::verify(&path) {
                self.problem(error.to_string());
            }
        }
        Ok(())
    }

    fn values(&mut self) -> Result<(), StoreError> {
        let mut range = Range::prefix(vec![keys::KEY_FORMAT]);
        loop {
            let page = self.shared.scan(&range, Overlay::new(), PAGE)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            range.start.clone_from(last);
            range.after = true;
            for (key, value) in page {
                if self.value(&key, &value).is_none() {
                    self.problem(format!(
                        "a value does not decode: key {}",
                        key.escape_ascii()
                    ));
                }
            }
        }
    }

    fn value(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let payload = match keys::family(key)? {
            Family::Events => return self.chunk(key, value),
            Family::Head => return self.head(key, value),
            Family::Row => {
                self.report.rows += 1;
                codec::parse_row(value).ok()?.1
            }
            Family::Waiting => codec::parse_row(value).ok()?.1,
            Family::Timer => codec::parse_timer(value).ok()?.2,
            Family::Claim => codec::parse_claim(value).ok()?.payload,
            Family::Other => return Some(()),
        };
        self.payload(payload)
    }

    fn payload(&mut self, payload: &[u8]) -> Option<()> {
        if let Payload::Blob(digest) = Payload::parse(payload).ok()? {
            self.named.insert(digest);
        }
        Some(())
    }

    fn chunk(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let (stream, first) = keys::parse_chunk(key)?;
        let payloads = codec::parse_chunk(value).ok()?;
        let end = self.ends.entry(stream.to_owned()).or_default();
        let expected = std::mem::replace(end, first + payloads.len() as Seq);
        if expected != first {
            self.problem(format!(
                "stream {stream}: events {expected} to {first} are missing"
            ));
        }
        payloads
            .into_iter()
            .try_for_each(|payload| self.payload(payload))
    }

    /// Heads come behind all chunks in key order.
    fn head(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let stream = keys::parse_head(key)?;
        let head: Position = codec::parse_number(value).ok()?;
        let end = self.ends.get(stream).copied().unwrap_or(0);
        if end != head && !self.is_growing(stream, end) {
            self.problem(format!(
                "stream {stream}: {end} events, but its head is {head}"
            ));
        }
        Some(())
    }

    /// Commits during the check move a head behind its chunks.
    fn is_growing(&self, stream: &str, end: Seq) -> bool {
        self.shared.position() != self.report.position
            && self.shared.head(stream).is_ok_and(|head| head > end)
    }

    fn blobs(&mut self) -> Result<(), StoreError> {
        for digest in self.shared.blobs.list()? {
            self.report.blobs += 1;
            self.named.remove(&digest);
            if let Err(error) = self.shared.blobs.get(&digest) {
                self.problem(error.to_string());
            }
        }
        for digest in std::mem::take(&mut self.named) {
            self.problem(format!("blob {digest} is missing"));
        }
        Ok(())
    }
}
