//! The rules, one a function. Each reopens the store where what it says must outlive that.

use std::sync::mpsc::channel;

use super::super::types::KEY_BYTES_MAX;
use super::super::{
    Ack, Append, BLOB_GRACE_MS, Commit, CommitError, Digest, Guard, RowWrite, Seq, Store,
    StoreError, StreamId, Table, TimerWrite, VALUE_BYTES_MAX,
};
use super::{Backend, START_MS, event, row};

/// How long claims last here, milliseconds.
const TTL: u64 = 1_000;

fn stream(name: &str) -> StreamId {
    StreamId(name.to_owned())
}

pub(super) fn heads_are_compared_and_events_are_dense<B: Backend>() {
    let backend = B::fresh();
    let store = backend.store();
    let first = store.commit(event("run/a", Some(0), b"one")).unwrap();
    assert_eq!((first.position, first.head), (1, 1));
    assert_eq!(
        store.commit(event("run/a", Some(0), b"again")),
        Err(CommitError::WrongHead { head: 1 })
    );
    let mut two = event("run/a", Some(1), b"two");
    two.events.push(b"three".to_vec());
    assert_eq!(store.commit(two).unwrap().head, 3);
    // A refused commit takes no position.
    assert_eq!(
        store.commit(event("run/a\0", None, b"x")).unwrap().position,
        3
    );
    assert_eq!(store.commit(event("run", None, b"y")).unwrap().head, 1);
    let backend = backend.reopen();
    let store = backend.store();
    assert_eq!(store.head(&stream("run/a")).unwrap(), 3);
    assert_eq!(store.head(&stream("none")).unwrap(), 0);
    let payloads = |from, max| -> Vec<(u64, Vec<u8>)> {
        let events = store.read(&stream("run/a"), from, max).unwrap();
        events.into_iter().map(|e| (e.seq, e.payload)).collect()
    };
    let all = vec![
        (0, b"one".to_vec()),
        (1, b"two".to_vec()),
        (2, b"three".to_vec()),
    ];
    assert_eq!(payloads(0, 10), all);
    assert_eq!(payloads(1, 1), all[1..2]);
    assert_eq!(payloads(2, 10), all[2..]);
    assert_eq!(payloads(3, 10), vec![]);
    assert_eq!(payloads(0, 0), vec![]);
    store.commit(event("run/a", Some(3), b"four")).unwrap();
    assert_eq!(payloads(2, 10).len(), 2);
}

pub(super) fn rows_count_their_writes<B: Backend>() {
    let backend = B::fresh();
    let store = backend.store();
    let write = |expect, value: Option<&[u8]>| store.commit(row(Table::Dag, b"d", expect, value));
    write(Some(0), Some(b"1")).unwrap();
    assert_eq!(
        write(Some(0), Some(b"x")),
        Err(CommitError::WrongVersion { version: 1 })
    );
    write(Some(1), Some(b"2")).unwrap();
    write(None, Some(b"3")).unwrap();
    let backend = backend.reopen();
    let store = backend.store();
    let found = store.get(Table::Dag, b"d").unwrap().unwrap();
    assert_eq!((found.version, found.value), (3, b"3".to_vec()));
    assert_eq!(store.get(Table::Run, b"d").unwrap(), None);
    assert_eq!(
        store.commit(row(Table::Dag, b"d", Some(2), None)),
        Err(CommitError::WrongVersion { version: 3 })
    );
    store.commit(row(Table::Dag, b"d", Some(3), None)).unwrap();
    assert_eq!(store.get(Table::Dag, b"d").unwrap(), None);
    store.commit(row(Table::Dag, b"d", None, None)).unwrap();
    store
        .commit(row(Table::Dag, b"d", Some(0), Some(b"4")))
        .unwrap();
    assert_eq!(store.get(Table::Dag, b"d").unwrap().unwrap().version, 1);
}

fn export(store: &dyn Store) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.export(&mut bytes).unwrap();
    bytes
}

/// One of everything.
fn full(name: &str) -> Commit {
    Commit {
        stream: Some((stream(name), None)),
        events: vec![b"event".to_vec(), vec![9; 5_000]],
        rows: vec![
            (Table::Run, write(b"r", None, Some(b"v"))),
            (Table::Model, write(b"m", None, Some(&[3; 9_000]))),
        ],
        enqueue: vec![("q".to_owned(), b"work".to_vec())],
        timers: vec![TimerWrite {
            key: b"t".to_vec(),
            at: Some((5, b"tick".to_vec())),
        }],
        idempotency_key: Some(name.as_bytes().to_vec()),
        ..Commit::default()
    }
}

fn write(key: &[u8], expect: Option<u64>, value: Option<&[u8]>) -> RowWrite {
    RowWrite {
        key: key.to_vec(),
        expect,
        value: value.map(<[u8]>::to_vec),
    }
}

pub(super) fn a_failing_condition_changes_nothing<B: Backend>() {
    let backend = B::fresh();
    let store = backend.store();
    store.commit(full("run")).unwrap();
    let before = export(store);
    let guard = Guard {
        lease: b"nobody".to_vec(),
        fence: 1,
    };
    let ack = Ack { item: 1, fence: 1 };
    let fenced = Err(CommitError::Fenced { current: 0 });
    let refused = [
        (
            Commit {
                guards: vec![guard],
                ..full("a")
            },
            fenced,
        ),
        (
            Commit {
                acks: vec![ack],
                ..full("b")
            },
            fenced_again(),
        ),
        (
            Commit {
                rows: vec![
                    (Table::Run, write(b"r", None, Some(b"new"))),
                    (Table::Run, write(b"other", Some(7), Some(b"x"))),
                ],
                ..full("c")
            },
            Err(CommitError::WrongVersion { version: 0 }),
        ),
        (
            Commit {
                stream: Some((stream("run"), Some(1))),
                ..full("d")
            },
            Err(CommitError::WrongHead { head: 2 }),
        ),
        (
            Commit {
                more_streams: vec![append("run", None), append("other", Some(3))],
                ..full("e")
            },
            Err(CommitError::WrongHead { head: 0 }),
        ),
    ];
    for (commit, expected) in refused {
        assert_eq!(store.commit(commit), expected);
    }
    assert!(export(store) == before, "a refused commit left something");
}

pub(super) fn events_are_read_in_any_amount_wherever_they_lie<B: Backend>() {
    let backend = B::fresh();
    let store = backend.store();
    let events: Vec<Vec<u8>> = (0..12_u8).map(|number| vec![number; 3]).collect();
    for half in events.chunks(6) {
        // What lies before a checkpoint lies elsewhere than what comes after it.
        store.checkpoint().unwrap();
        for payload in half {
            store.commit(event("run/a", None, payload)).unwrap();
        }
    }
    for from in 0..14 {
        for max in 0..14 {
            let found = store.read(&stream("run/a"), from as Seq, max).unwrap();
            let found: Vec<_> = found.into_iter().map(|event| event.payload).collect();
            let wanted: Vec<_> = events.iter().skip(from).take(max).cloned().collect();
            assert_eq!(found, wanted, "{max} from {from}");
        }
    }
}

fn append(name: &str, expect: Option<u64>) -> Append {
    Append {
        stream: stream(name),
        expect,
        events: vec![b"more".to_vec()],
    }
}

pub(super) fn a_commit_appends_to_several_streams_or_to_none<B: Backend>() {
    let backend = B::fresh();
    let store = backend.store();
    let several = |first| Commit {
        stream: Some((stream("a"), Some(first))),
        events: vec![b"event".to_vec()],
        more_streams: vec![append("b", Some(first)), append("c", None)],
        ..Commit::default()
    };
    assert_eq!(store.commit(several(0)).unwrap().head, 1);
    assert_eq!(store.commit(several(1)).unwrap().position, 2);
    let twice = Commit {
        more_streams: vec![append("a", None), append("a", None)],
        ..Commit::default()
    };
    let refused = store.commit(twice);
    assert!(
        matches!(refused, Err(CommitError::TooLarge { .. })),
        "{refused:?}"
    );
    for name in ["a", "b", "c"] {
        assert_eq!(store.head(&stream(name)).unwrap(), 2, "{name}");
        assert_eq!(store.read(&stream(name), 1, 9).unwrap().len(), 1);
    }
}

fn fenced_again() -> Result<super::super::Receipt, CommitError> {
    Err(CommitError::Fenced { current: 0 })
}

fn guarded(fence: u64) -> Commit {
    Commit {
        guards: vec![Guard {
            lease: b"shard".to_vec(),
            fence,
        }],
        ..event("s", None, b"e")
    }
}

pub(super) fn leases_fence_those_who_lost_them<B: Backend>() {
    let backend = B::fresh();
    let store = backend.store();
    let first = store.lease(b"shard", "a", 100).unwrap();
    assert_eq!(first.until_ms, START_MS + 100);
    assert!(matches!(store.lease(b"shard", "b", 100), Err(StoreError::Held(by)) if by == "a"));
    store.commit(guarded(first.fence)).unwrap();
    backend.clock().advance(50);
    let renewed = store.lease(b"shard", "a", 100).unwrap();
    assert_eq!(
        (renewed.fence, renewed.until_ms),
        (first.fence, START_MS + 150)
    );
    let backend = backend.reopen();
    let store = backend.store();
    assert!(matches!(
        store.lease(b"shard", "b", 100),
        Err(StoreError::Held(_))
    ));
    backend.clock().advance(100);
    // Nobody took it: its holder may still write.
    store.commit(guarded(first.fence)).unwrap();
    let second = store.lease(b"shard", "b", 100).unwrap();
    assert!(second.fence > first.fence);
    let current = second.fence;
    assert_eq!(
        store.commit(guarded(first.fence)),
        Err(CommitError::Fenced { current })
    );
    store.commit(guarded(second.fence)).unwrap();
}

pub(super) fn lease_time_does_not_go_back<B: Backend>() {
    let backend = B::fresh();
    backend.clock().advance(1_000);
    backend.store().lease(b"l", "a", 10).unwrap();
    let other = B::fresh();
    // A store that is taken to a machine whose clock is behind.
    let moved = export(backend.store());
    other.store().import(&mut moved.as_slice()).unwrap();
    let lease = other.store().lease(b"other", "b", 10).unwrap();
    assert_eq!(lease.until_ms, START_MS + 1_010);
}

fn timer(key: &[u8], at: Option<i64>) -> Commit {
    Commit {
        timers: vec![TimerWrite {
            key: key.to_vec(),
            at: at.map(|at| (at, key.to_ascii_uppercase())),
        }],
        ..Commit::default()
    }
}

fn due(store: &dyn Store, now: i64, max: usize) -> Vec<(i64, Vec<u8>, Vec<u8>)> {
    let due = store.due(now, max).unwrap();
    due.into_iter()
        .map(|(at, row)| (at, row.key, row.value))
        .collect()
}

pub(super) fn timers_are_due_in_order<B: Backend>() {
    let backend = B::fresh();
    let store = backend.store();
    for (key, at) in [(b"c", 30), (b"a", -10), (b"b", 20), (b"d", i64::MAX)] {
        store.commit(timer(key, Some(at))).unwrap();
    }
    store.commit(timer(b"b", Some(25))).unwrap();
    let backend = backend.reopen();
    let store = backend.store();
    let entry = |at, key: &[u8]| (at, key.to_vec(), key.to_ascii_uppercase());
    assert_eq!(due(store, 24, 9), vec![entry(-10, b"a")]);
    assert_eq!(due(store, 25, 9), vec![entry(-10, b"a"), entry(25, b"b")]);
    assert_eq!(due(store, 99, 1), vec![entry(-10, b"a")]);
    assert_eq!(due(store, i64::MAX, 9).len(), 4);
    assert_eq!(due(store, i64::MIN, 9), vec![]);
    store.commit(timer(b"a", None)).unwrap();
    store.commit(timer(b"nothing", None)).unwrap();
    assert_eq!(due(store, 30, 9), vec![entry(25, b"b"), entry(30, b"c")]);
}

pub(super) fn work_is_claimed_once_and_acked_by_its_claimer<B: Backend>() {
    let backend = B::fresh();
    let store = backend.store();
    let big = vec![b'z'; 10_000];
    let enqueue = |queue: &str, payload: &[u8]| Commit {
        enqueue: vec![(queue.to_owned(), payload.to_vec())],
        ..Commit::default()
    };
    for payload in [b"1".as_slice(), b"2", &big] {
        store.commit(enqueue("q", payload)).unwrap();
    }
    store.commit(enqueue("other", b"x")).unwrap();
    assert_eq!(store.claim("none", "w", 9, TTL).unwrap(), vec![]);
    let first = store.claim("q", "w", 2, TTL).unwrap();
    let payloads: Vec<_> = first.iter().map(|item| item.payload.as_slice()).collect();
    assert_eq!(payloads, [b"1".as_slice(), b"2"]);
    let backend = backend.reopen();
    let store = backend.store();
    let second = store.claim("q", "v", 9, TTL).unwrap();
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].payload, big);
    assert!(second[0].fence > first[0].fence);
    assert_eq!(store.claim("q", "w", 9, TTL).unwrap(), vec![]);
    let ack = |item: u64, fence: u64| Commit {
        acks: vec![Ack { item, fence }],
        ..Commit::default()
    };
    let current = first[0].fence;
    assert_eq!(
        store.commit(ack(first[0].item, current - 1)),
        Err(CommitError::Fenced { current })
    );
    store.commit(ack(first[0].item, current)).unwrap();
    assert_eq!(
        store.commit(ack(first[0].item, current)),
        Err(CommitError::Fenced { current: 0 })
    );
}

pub(super) fn an_idempotency_key_answers_the_first_receipt<B: Backend>() {
    let backend = B::fresh();
    let store = backend.store();
    let commit = || Commit {
        idempotency_key: Some(b"once".to_vec()),
        ..event("s", Some(0), b"e")
    };
    let first = store.commit(commit()).unwrap();
    store.commit(event("s", Some(1), b"f")).unwrap();
    assert_eq!(store.commit(commit()), Ok(first));
    let backend = backend.reopen();
    assert_eq!(backend.store().commit(commit()), Ok(first));
    assert_eq!(backend.store().head(&stream("s")).unwrap(), 2);
}

pub(super) fn limits_are_refused_with_their_number<B: Backend>() {
    let backend = B::fresh();
    let store = backend.store();
    let long = vec![b'k'; KEY_BYTES_MAX + 1];
    let name = "k".repeat(KEY_BYTES_MAX);
    let refused = |commit: Commit, expected: usize| match store.commit(commit) {
        Err(CommitError::TooLarge { limit, .. }) => assert_eq!(limit, expected),
        other => panic!("{other:?}"),
    };
    refused(row(Table::Dag, &long, None, None), KEY_BYTES_MAX);
    refused(event(&format!("{name}k"), None, b""), KEY_BYTES_MAX);
    refused(timer(&long, None), KEY_BYTES_MAX);
    refused(
        event("s", None, &vec![0; VALUE_BYTES_MAX + 1]),
        VALUE_BYTES_MAX,
    );
    let mut homeless = event("s", None, b"e");
    homeless.stream = None;
    refused(homeless, 0);
    store.commit(event(&name, None, b"e")).unwrap();
    store
        .commit(row(Table::Dag, &long[1..], None, Some(b"")))
        .unwrap();
    store.commit(timer(&long[1..], Some(1))).unwrap();
    let backend = backend.reopen();
    assert_eq!(backend.store().head(&stream(&name)).unwrap(), 1);
    assert!(
        backend
            .store()
            .get(Table::Dag, &long[1..])
            .unwrap()
            .is_some()
    );
}

pub(super) fn done_comes_in_order_and_sees_earlier_commits<B: Backend>() {
    let backend = B::fresh();
    let store = backend.store();
    let (send, receive) = channel();
    for batch in 0..50_u64 {
        let send = send.clone();
        // Three commits that depend on each other; the middle one is refused.
        let commits = vec![
            event("s", Some(batch * 2), b"a"),
            event("s", Some(batch * 2), b"b"),
            event("s", Some(batch * 2 + 1), b"c"),
        ];
        store.submit(
            commits,
            Box::new(move |results| send.send((batch, results)).unwrap()),
        );
    }
    drop(send);
    let answers: Vec<_> = receive.into_iter().collect();
    assert_eq!(answers.len(), 50);
    for (expected, (batch, results)) in (0..).zip(answers) {
        assert_eq!(batch, expected);
        assert_eq!(results[0].as_ref().unwrap().position, batch * 2 + 1);
        let head = batch * 2 + 1;
        assert_eq!(results[1], Err(CommitError::WrongHead { head }));
        assert_eq!(results[2].as_ref().unwrap().head, batch * 2 + 2);
    }
    assert_eq!(store.head(&stream("s")).unwrap(), 100);
}

pub(super) fn scans_go_page_by_page<B: Backend>() {
    let backend = B::fresh();
    let store = backend.store();
    let key = |n: u32| format!("p/{n:03}").into_bytes();
    for n in 0..40 {
        store
            .commit(row(Table::Run, &key(n), None, Some(&key(n))))
            .unwrap();
    }
    for other in [b"p".as_slice(), b"p.", b"p0", b"q", &[0xff, 0xff]] {
        store
            .commit(row(Table::Run, other, None, Some(b"x")))
            .unwrap();
    }
    store
        .commit(row(Table::Plugin, b"p/000", None, Some(b"x")))
        .unwrap();
    let backend = backend.reopen();
    let store = backend.store();
    // Changes that may not be in the index yet, over rows that are.
    for n in [0, 13, 39] {
        store.commit(row(Table::Run, &key(n), None, None)).unwrap();
    }
    store
        .commit(row(Table::Run, &key(40), None, Some(b"new")))
        .unwrap();
    let expected: Vec<_> = (1..=40)
        .filter(|n| ![13, 39].contains(n))
        .map(key)
        .collect();
    let mut found = Vec::new();
    loop {
        let after = found.last().cloned();
        let page = store.scan(Table::Run, b"p/", after.as_deref(), 7).unwrap();
        assert!(page.len() <= 7);
        if page.is_empty() {
            break;
        }
        found.extend(page.into_iter().map(|row| row.key));
    }
    assert_eq!(found, expected);
    assert_eq!(store.scan(Table::Run, b"", None, 99).unwrap().len(), 38 + 5);
    assert_eq!(
        store
            .scan(Table::Run, &[0xff, 0xff], None, 9)
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        store.scan(Table::Run, b"p/", Some(b"a"), 99).unwrap().len(),
        38
    );
    assert_eq!(
        store.scan(Table::Run, b"p/", Some(b"z"), 99).unwrap(),
        vec![]
    );
    assert_eq!(store.scan(Table::Run, b"p/", None, 0).unwrap(), vec![]);
}

pub(super) fn values_of_every_size_come_back<B: Backend>() {
    let backend = B::fresh();
    let sizes = [0, 1, 100, 4_095, 4_096, 4_097, 50_000, 1 << 20];
    let bytes =
        |size: usize| -> Vec<u8> { (0..size).map(|n| (n % 251).to_le_bytes()[0]).collect() };
    for size in sizes {
        let name = size.to_string();
        let mut commit = event("sizes", None, &bytes(size));
        commit.rows = vec![(
            Table::State,
            write(name.as_bytes(), None, Some(&bytes(size))),
        )];
        commit.timers = vec![TimerWrite {
            key: name.into_bytes(),
            at: Some((1, bytes(size))),
        }];
        backend.store().commit(commit).unwrap();
    }
    let backend = backend.reopen();
    let store = backend.store();
    let events = store.read(&stream("sizes"), 0, 99).unwrap();
    for (event, size) in events.iter().zip(sizes) {
        assert!(event.payload == bytes(size), "event of {size}");
        let row = store
            .get(Table::State, size.to_string().as_bytes())
            .unwrap();
        assert!(row.unwrap().value == bytes(size), "row of {size}");
    }
    assert_eq!(events.len(), sizes.len());
    assert_eq!(store.due(1, 99).unwrap().len(), sizes.len());
    assert_eq!(store.check().unwrap().problems, Vec::<String>::new());
}

pub(super) fn blobs_are_named_by_their_content<B: Backend>() {
    let backend = B::fresh();
    let digest = backend.store().put_blob(b"abc").unwrap();
    assert_eq!(
        digest.to_string(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(backend.store().put_blob(b"abc").unwrap(), digest);
    let backend = backend.reopen();
    let found = backend.store().get_blob(&digest).unwrap();
    assert_eq!(found.as_deref(), Some(b"abc".as_slice()));
    assert_eq!(backend.store().get_blob(&Digest([0; 32])).unwrap(), None);
}

pub(super) fn an_export_moves_everything<B: Backend>() {
    let backend = B::fresh();
    backend.store().commit(full("run")).unwrap();
    backend.store().commit(full("run2")).unwrap();
    let claimed = backend.store().claim("q", "w", 1, TTL).unwrap();
    let bytes = export(backend.store());
    let other = B::fresh();
    other.store().import(&mut bytes.as_slice()).unwrap();
    let other = other.reopen();
    let store = other.store();
    assert_eq!(store.head(&stream("run")).unwrap(), 2);
    assert_eq!(
        store.read(&stream("run"), 1, 9).unwrap()[0].payload,
        vec![9; 5_000]
    );
    assert_eq!(
        store.get(Table::Model, b"m").unwrap().unwrap().value,
        vec![3; 9_000]
    );
    assert_eq!(store.due(5, 9).unwrap().len(), 1);
    let ack = Ack {
        item: claimed[0].item,
        fence: claimed[0].fence,
    };
    let next = Commit {
        acks: vec![ack],
        ..Commit::default()
    };
    // Positions go on, so that no fence is given twice.
    assert_eq!(store.commit(next).unwrap().position, 4);
    let full = store.import(&mut bytes.as_slice());
    assert!(matches!(full, Err(StoreError::NotEmpty)));
    assert_eq!(store.check().unwrap().problems, Vec::<String>::new());
}

pub(super) fn a_damaged_export_is_refused<B: Backend>() {
    let backend = B::fresh();
    backend.store().commit(full("run")).unwrap();
    let bytes = export(backend.store());
    let other = B::fresh();
    let step = bytes.len() / 40;
    for at in (0..bytes.len()).step_by(step) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        for bad in [&flipped[..], &bytes[..at]] {
            let refused = other.store().import(&mut &*bad);
            assert!(
                matches!(
                    refused,
                    Err(StoreError::Damaged { .. } | StoreError::TooNew { .. })
                ),
                "byte {at}: {refused:?}"
            );
        }
    }
    assert_eq!(other.store().head(&stream("run")).unwrap(), 0);
    other.store().import(&mut bytes.as_slice()).unwrap();
    assert_eq!(other.store().head(&stream("run")).unwrap(), 2);
}

pub(super) fn a_removed_stream_is_gone_and_may_begin_again<B: Backend>() {
    let backend = B::fresh();
    let store = backend.store();
    for number in 0..50_u8 {
        store.commit(event("run/a", None, &[number; 500])).unwrap();
    }
    store.commit(event("run/a\0", None, b"neighbour")).unwrap();
    store.commit(event("run", None, b"neighbour")).unwrap();
    let backend = backend.reopen();
    let store = backend.store();
    store.commit(event("run/a", Some(50), b"newest")).unwrap();
    let remove = |names: &[&str]| Commit {
        remove_streams: names.iter().map(|name| stream(name)).collect(),
        ..Commit::default()
    };
    let both = Commit {
        rows: vec![(Table::Run, write(b"a", None, Some(b"gone")))],
        ..remove(&["run/a", "none"])
    };
    store.commit(both).unwrap();
    let is_gone = |store: &dyn Store| {
        assert_eq!(store.head(&stream("run/a")).unwrap(), 0);
        assert_eq!(store.read(&stream("run/a"), 0, 99).unwrap(), vec![]);
        assert_eq!(store.head(&stream("run/a\0")).unwrap(), 1);
        assert_eq!(store.head(&stream("run")).unwrap(), 1);
        assert_eq!(store.check().unwrap().problems, Vec::<String>::new());
    };
    is_gone(store);
    let backend = backend.reopen();
    is_gone(backend.store());
    let store = backend.store();
    assert_eq!(
        store.commit(event("run/a", Some(51), b"late")),
        Err(CommitError::WrongHead { head: 0 })
    );
    store.commit(event("run/a", Some(0), b"again")).unwrap();
    let backend = backend.reopen();
    let events = backend.store().read(&stream("run/a"), 0, 9).unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].payload, b"again");
    let itself = Commit {
        remove_streams: vec![stream("run/a")],
        ..event("run/a", None, b"x")
    };
    assert!(matches!(
        backend.store().commit(itself),
        Err(CommitError::TooLarge { limit: 0, .. })
    ));
}

pub(super) fn a_claim_that_lasted_too_long_is_handed_out_again<B: Backend>() {
    let backend = B::fresh();
    let big = vec![b'y'; 10_000];
    for payload in [b"1".as_slice(), &big, b"3"] {
        let commit = Commit {
            enqueue: vec![("q".to_owned(), payload.to_vec())],
            ..Commit::default()
        };
        backend.store().commit(commit).unwrap();
    }
    let dead = backend.store().claim("q", "dead", 2, TTL).unwrap();
    backend.clock().advance(500);
    let busy = backend.store().claim("q", "busy", 9, TTL).unwrap();
    assert_eq!((dead.len(), busy.len()), (2, 1));
    let ack = |claimed: &super::super::WorkItem| Commit {
        acks: vec![Ack {
            item: claimed.item,
            fence: claimed.fence,
        }],
        ..Commit::default()
    };
    backend.store().commit(ack(&dead[0])).unwrap();
    backend.clock().advance(499);
    assert_eq!(backend.store().claim("q", "next", 9, TTL).unwrap(), vec![]);
    let backend = backend.reopen();
    backend.clock().advance(1);
    let again = backend.store().claim("q", "next", 9, TTL).unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].item, &again[0].payload), (dead[1].item, &big));
    assert!(again[0].fence > dead[1].fence);
    let current = again[0].fence;
    assert_eq!(
        backend.store().commit(ack(&dead[1])),
        Err(CommitError::Fenced { current })
    );
    backend.store().commit(ack(&again[0])).unwrap();
    backend.clock().advance(500);
    let last = backend.store().claim("q", "next", 9, TTL).unwrap();
    assert_eq!(last[0].item, busy[0].item);
    assert_eq!(
        backend.store().check().unwrap().problems,
        Vec::<String>::new()
    );
}

pub(super) fn blobs_that_nothing_names_are_collected<B: Backend>() {
    let backend = B::fresh();
    let store = backend.store();
    let named = store.put_blob(b"a caller names it").unwrap();
    let orphan = store.put_blob(b"nothing names it").unwrap();
    let held = [4_u8; 5_000];
    store.commit(event("run/a", None, &held)).unwrap();
    store.commit(event("run/b", None, &[5; 6_000])).unwrap();
    store
        .commit(row(Table::Run, b"r", None, Some(&[6; 7_000])))
        .unwrap();
    let commit = Commit {
        enqueue: vec![("q".to_owned(), vec![8; 8_000])],
        remove_streams: vec![stream("run/b")],
        ..Commit::default()
    };
    store.commit(commit).unwrap();
    store.claim("q", "w", 1, TTL).unwrap();
    let text = format!("an artifact: {named}.");
    store
        .commit(row(Table::State, b"n", None, Some(text.as_bytes())))
        .unwrap();
    let fresh = store.put_blob(b"a moment ago").unwrap();
    backend.clock().advance(BLOB_GRACE_MS - 1);
    let young = store.put_blob(b"a moment ago, too").unwrap();
    store.put_blob(b"a moment ago").unwrap();
    assert_eq!(store.collect_blobs().unwrap().blobs, 0);
    backend.clock().advance(1);
    let collected = store.collect_blobs().unwrap();
    assert_eq!((collected.blobs, collected.bytes), (2, 16 + 6_000));
    let there = |digest| store.get_blob(&digest).unwrap().is_some();
    assert!(there(named) && there(fresh) && there(young) && !there(orphan));
    // The same bytes again are written again.
    store.put_blob(b"nothing names it").unwrap();
    assert!(there(orphan));
    assert_eq!(
        store.read(&stream("run/a"), 0, 1).unwrap()[0].payload,
        held.to_vec()
    );
    assert_eq!(store.check().unwrap().problems, Vec::<String>::new());
}
