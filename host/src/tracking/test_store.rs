//! A store in memory for this crate's own tests: rows, streams and blobs; what the tests do not use, it refuses.

use crate::store::{
    CheckReport, Commit, CommitError, Digest, Done, Event, Lease, Receipt, Row, Seq, Store,
    StoreError, StreamId, Table, WorkItem,
};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Mutex;

#[derive(Default)]
struct State {
    rows: BTreeMap<(Table, Vec<u8>), (Vec<u8>, u64)>,
    streams: BTreeMap<StreamId, Vec<Vec<u8>>>,
    blobs: BTreeMap<Digest, Vec<u8>>,
    position: u64,
}

#[derive(Default)]
pub(crate) struct TestStore(Mutex<State>);

impl State {
    fn apply(&mut self, commit: Commit) -> Result<Receipt, CommitError> {
        for (table, write) in &commit.rows {
            let row = self.rows.get(&(*table, write.key.clone()));
            let version = row.map_or(0, |(_, version)| *version);
            if write.expect.is_some_and(|expected| expected != version) {
                return Err(CommitError::WrongVersion { version });
            }
        }
        for (table, write) in commit.rows {
            let key = (table, write.key);
            let version = self.rows.get(&key).map_or(0, |(_, version)| *version) + 1;
            match write.value {
                Some(value) => self.rows.insert(key, (value, version)),
                None => self.rows.remove(&key),
            };
        }
        self.position += 1;
        let mut head = 0;
        if let Some((stream, _)) = commit.stream {
            let events = self.streams.entry(stream).or_default();
            events.extend(commit.events);
            head = events.len() as u64;
        }
        Ok(Receipt {
            position: self.position,
            head,
        })
    }
}

impl Store for TestStore {
    fn submit(&self, batch: Vec<Commit>, done: Done) {
        let mut state = self.0.lock().unwrap();
        let results = batch.into_iter().map(|one| state.apply(one)).collect();
        drop(state);
        done(results);
    }

    fn read(&self, stream: &StreamId, from: Seq, max: usize) -> Result<Vec<Event>, StoreError> {
        let state = self.0.lock().unwrap();
        let events = state.streams.get(stream).into_iter().flatten();
        Ok((0..)
            .zip(events)
            .skip(usize::try_from(from).unwrap())
            .take(max)
            .map(|(seq, payload)| Event {
                seq,
                payload: payload.clone(),
            })
            .collect())
    }

    fn head(&self, stream: &StreamId) -> Result<Seq, StoreError> {
        Ok(self.read(stream, 0, usize::MAX)?.len() as u64)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Row>, StoreError> {
        let state = self.0.lock().unwrap();
        let row = state.rows.get(&(table, key.to_vec()));
        Ok(row.map(|(value, version)| Row {
            key: key.to_vec(),
            value: value.clone(),
            version: *version,
        }))
    }

    fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        max: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let state = self.0.lock().unwrap();
        Ok(state
            .rows
            .iter()
            .filter(|((of, key), _)| *of == table && key.starts_with(prefix))
            .filter(|((_, key), _)| after.is_none_or(|after| key.as_slice() > after))
            .take(max)
            .map(|((_, key), (value, version))| Row {
                key: key.clone(),
                value: value.clone(),
                version: *version,
            })
            .collect())
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest(Sha256::digest(bytes).into());
        let mut state = self.0.lock().unwrap();
        state.blobs.insert(digest, bytes.to_vec());
        Ok(digest)
    }

    fn get_blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap().blobs.get(digest).cloned())
    }

    fn lease(&self, _: &[u8], _: &str, _: u64) -> Result<Lease, StoreError> {
        unimplemented!()
    }
    fn due(&self, _: i64, _: usize) -> Result<Vec<(i64, Row)>, StoreError> {
        unimplemented!()
    }
    fn claim(&self, _: &str, _: &str, _: usize) -> Result<Vec<WorkItem>, StoreError> {
        unimplemented!()
    }
    fn export(&self, _: &mut dyn Write) -> Result<u64, StoreError> {
        unimplemented!()
    }
    fn import(&self, _: &mut dyn Read) -> Result<u64, StoreError> {
        unimplemented!()
    }
    fn check(&self) -> Result<CheckReport, StoreError> {
        unimplemented!()
    }
    fn checkpoint(&self) -> Result<(), StoreError> {
        unimplemented!()
    }
}
