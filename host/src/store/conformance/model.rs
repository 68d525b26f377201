//! Random commits on a backend and on a plain model of the contract; they must agree on every answer and on everything that can
//! be read, also after reopening.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{
    Append, Commit, CommitError, Receipt, RowWrite, Store, StreamId, Table, TimerWrite,
};
use super::{Backend, Local, Memory, Rebuilt};

#[derive(Debug, Clone)]
enum Step {
    Batch(Vec<Commit>),
    Reopen,
    Checkpoint,
}

/// The contract, written once more in the plainest way.
#[derive(Default)]
struct Model {
    position: u64,
    streams: BTreeMap<String, Vec<Vec<u8>>>,
    rows: BTreeMap<Vec<u8>, (Vec<u8>, u64)>,
    timers: BTreeMap<Vec<u8>, (i64, Vec<u8>)>,
    receipts: BTreeMap<Vec<u8>, Receipt>,
}

impl Model {
    fn commit(&mut self, commit: &Commit) -> Result<Receipt, CommitError> {
        if let Some(made) = commit
            .idempotency_key
            .as_ref()
            .and_then(|key| self.receipts.get(key))
        {
            return Ok(*made);
        }
        for (_, write) in &commit.rows {
            let version = self.rows.get(&write.key).map_or(0, |row| row.1);
            if write.expect.is_some_and(|expect| expect != version) {
                return Err(CommitError::WrongVersion { version });
            }
        }
        for append in &commit.more_streams {
            let head = self.streams.get(&append.stream.0).map_or(0, Vec::len) as u64;
            let own = |(stream, expect): &(StreamId, Option<u64>)| {
                let head = self.streams.get(&stream.0).map_or(0, Vec::len) as u64;
                expect.is_some_and(|expect| expect != head)
            };
            // The commit's own stream is looked at first.
            if append.expect.is_some_and(|expect| expect != head)
                && !commit.stream.as_ref().is_some_and(own)
            {
                return Err(CommitError::WrongHead { head });
            }
        }
        let mut head = 0;
        if let Some((stream, expect)) = &commit.stream {
            let events = self.streams.entry(stream.0.clone()).or_default();
            head = events.len() as u64;
            if expect.is_some_and(|expect| expect != head) {
                return Err(CommitError::WrongHead { head });
            }
            events.extend(commit.events.iter().cloned());
            head = events.len() as u64;
        }
        for append in &commit.more_streams {
            let events = self.streams.entry(append.stream.0.clone()).or_default();
            events.extend(append.events.iter().cloned());
        }
        for stream in &commit.remove_streams {
            self.streams.remove(&stream.0);
        }
        for (_, write) in &commit.rows {
            let version = self.rows.get(&write.key).map_or(0, |row| row.1);
            match &write.value {
                Some(value) => {
                    let row = (value.clone(), version + 1);
                    self.rows.insert(write.key.clone(), row);
                }
                None => drop(self.rows.remove(&write.key)),
            }
        }
        for timer in &commit.timers {
            match &timer.at {
                Some(at) => drop(self.timers.insert(timer.key.clone(), at.clone())),
                None => drop(self.timers.remove(&timer.key)),
            }
        }
        self.position += 1;
        let receipt = Receipt {
            position: self.position,
            head,
        };
        if let Some(key) = &commit.idempotency_key {
            self.receipts.insert(key.clone(), receipt);
        }
        Ok(receipt)
    }

    fn agrees_with(&self, store: &dyn Store) {
        for name in ["a", "b", "ab"] {
            let stream = StreamId(name.to_owned());
            let empty = Vec::new();
            let expected = self.streams.get(name).unwrap_or(&empty);
            assert_eq!(store.head(&stream).unwrap(), expected.len() as u64);
            for from in [0, expected.len() / 2] {
                let found = store.read(&stream, from as u64, usize::MAX).unwrap();
                let seqs: Vec<_> = found.iter().map(|event| event.seq).collect();
                assert_eq!(
                    seqs,
                    (from as u64..expected.len() as u64).collect::<Vec<_>>()
                );
                let found: Vec<_> = found.into_iter().map(|event| event.payload).collect();
                assert_eq!(found, expected[from..]);
            }
        }
        let rows: Vec<_> = store.scan(Table::Run, b"", None, usize::MAX).unwrap();
        let rows: BTreeMap<_, _> = rows
            .into_iter()
            .map(|r| (r.key, (r.value, r.version)))
            .collect();
        assert_eq!(rows, self.rows);
        let due = store.due(i64::MAX, usize::MAX).unwrap();
        let mut expected: Vec<_> = self
            .timers
            .iter()
            .map(|(key, (at, _))| (*at, key.clone()))
            .collect();
        expected.sort();
        let found: Vec<_> = due.iter().map(|(at, row)| (*at, row.key.clone())).collect();
        assert_eq!(found, expected);
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (1_000..6_000_usize).prop_map(|size| vec![7; size]),
    ]
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec![
        b"k".to_vec(),
        b"k1".to_vec(),
        b"l".to_vec(),
        vec![0xff],
        vec![],
    ])
}

fn commit() -> impl Strategy<Value = Commit> {
    let stream = || {
        (
            prop::sample::select(vec!["a", "b", "ab"]),
            prop::option::weighted(0.3, 0..8_u64),
            prop::collection::vec(bytes(), 0..4),
        )
    };
    let row = (
        key(),
        prop::option::weighted(0.4, 0..4_u64),
        prop::option::weighted(0.8, bytes()),
    );
    let timer = (key(), prop::option::weighted(0.8, (-5..50_i64, bytes())));
    (
        prop::option::weighted(0.7, stream()),
        prop::collection::vec(stream(), 0..3),
        prop::collection::vec(row, 0..3),
        prop::collection::vec(timer, 0..3),
        prop::option::weighted(0.2, key()),
        prop::option::weighted(0.2, prop::sample::select(vec!["a", "b", "ab"])),
    )
        .prop_map(|(stream, more, rows, timers, idempotency_key, removed)| {
            let (stream, events) = match stream {
                Some((name, expect, events)) => (Some((StreamId(name.to_owned()), expect)), events),
                None => (None, Vec::new()),
            };
            let mut more_streams: Vec<Append> = Vec::new();
            for (name, expect, events) in more {
                let name = StreamId(name.to_owned());
                let is_own = stream.as_ref().is_some_and(|(to, _)| *to == name);
                if !is_own && more_streams.iter().all(|append| append.stream != name) {
                    more_streams.push(Append {
                        stream: name,
                        expect,
                        events,
                    });
                }
            }
            let rows = rows
                .into_iter()
                .map(|(key, expect, value)| (Table::Run, RowWrite { key, expect, value }));
            let removed = removed.map(|name| StreamId(name.to_owned()));
            let remove_streams = removed
                .into_iter()
                .filter(|removed| stream.as_ref().is_none_or(|(to, _)| to != removed))
                .filter(|removed| more_streams.iter().all(|append| append.stream != *removed))
                .collect();
            Commit {
                remove_streams,
                stream,
                events,
                more_streams,
                rows: rows.collect(),
                timers: timers
                    .into_iter()
                    .map(|(key, at)| TimerWrite { key, at })
                    .collect(),
                idempotency_key,
                ..Commit::default()
            }
        })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop::collection::vec(commit(), 1..10).prop_map(Step::Batch),
        1 => Just(Step::Reopen),
        1 => Just(Step::Checkpoint),
    ];
    prop::collection::vec(step, 1..12)
}

fn run<B: Backend>(steps: &[Step]) {
    let mut backend = B::fresh();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Reopen => backend = backend.reopen(),
            Step::Checkpoint => backend.store().checkpoint().unwrap(),
            Step::Batch(batch) => {
                let (send, receive) = std::sync::mpsc::channel();
                let done = Box::new(move |results| send.send(results).unwrap());
                backend.store().submit(batch.clone(), done);
                let expected: Vec<_> = batch.iter().map(|commit| model.commit(commit)).collect();
                assert_eq!(receive.recv().unwrap(), expected);
            }
        }
        model.agrees_with(backend.store());
    }
    assert_eq!(
        backend.store().check().unwrap().problems,
        Vec::<String>::new()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn memory_agrees_with_the_model(steps in steps()) {
        run::<Memory>(&steps);
    }

    #[test]
    fn local_agrees_with_the_model(steps in steps()) {
        run::<Local>(&steps);
    }

    #[test]
    fn a_rebuilt_index_agrees_with_the_model(steps in steps()) {
        run::<Rebuilt>(&steps);
    }
}
