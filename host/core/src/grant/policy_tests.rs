use super::tests::{ADDRESSES, HOSTS, NAMES, PREFIXES, any_grants, questions};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn reach(patterns: &'static [&'static str]) -> impl Strategy<Value = Reach<Vec<String>>> {
    let list = prop::collection::vec(prop::sample::select(patterns), 0..4);
    prop_oneof![
        any::<bool>().prop_map(Reach::Whole),
        list.prop_map(|list| Reach::AtMost(list.into_iter().map(str::to_owned).collect())),
    ]
}

prop_compose! {
    fn any_policy()(
        http in reach(HOSTS), storage in reach(PREFIXES), storage_read in reach(PREFIXES),
        tracking in reach(NAMES), models in reach(NAMES), dag_state in reach(NAMES),
        trigger_dags in reach(NAMES), threads in 0..9_u32, secret in reach(HOSTS),
        memory in prop::option::of(1..9_u64), email in reach(ADDRESSES),
    ) -> Policy {
        let training = match threads {
            0 => Reach::Whole(false),
            1 => Reach::Whole(true),
            threads => Reach::AtMost(TrainingGrant { threads, memory_bytes: u64::from(threads) }),
        };
        let secrets = match secret {
            Reach::Whole(whole) => Reach::Whole(whole),
            Reach::AtMost(hosts) => Reach::AtMost([("s".to_owned(), hosts)].into()),
        };
        Policy {
            http, storage, storage_read, tracking, models, training, dag_state, trigger_dags, secrets, email,
            limits: Limits { memory_bytes: memory, ..Limits::default() },
        }
    }
}

prop_compose! {
    fn any_asks()(bits in any::<u16>()) -> Asks {
        let imports: Vec<&str> = [
            "airlock:operator/storage@0.1.0",
            "airlock:operator/training@0.1.0",
            "airlock:operator/tracking@0.1.0",
            "airlock:operator/models@0.1.7",
            "airlock:operator/dag-state@0.1.0",
            "airlock:operator/dag-runs@0.1.0",
            "airlock:operator/secrets@0.1.0",
            "wasi:http/outgoing-handler@0.2.4",
            "airlock:operator/email@0.1.0",
        ]
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| bits & 1 << bit != 0)
        .map(|(_, import)| import)
        .collect();
        Asks::of_imports(&imports)
    }
}

/// Which capabilities cover a question; one of them is enough.
fn covering(question: Request<'_>) -> &'static [Capability] {
    match question {
        Request::Http { .. } => &[Capability::Http],
        Request::Storage { write: true, .. } => &[Capability::Storage],
        Request::Storage { .. } => &[Capability::Storage, Capability::StorageRead],
        Request::Experiment(_) => &[Capability::Tracking],
        Request::Model(_) => &[Capability::Models],
        Request::DagState(_) => &[Capability::DagState],
        Request::TriggerDag(_) => &[Capability::TriggerDags],
        Request::Email(_) => &[Capability::Email],
        Request::Training => &[Capability::Training],
        Request::Secret { .. } => &[Capability::Secrets],
    }
}

/// An answer of its own: a policy allows what one of its members names, or opens as a whole.
fn policy_allows(policy: &Policy, question: Request<'_>) -> bool {
    let list = |reach: &Reach<Vec<String>>| match reach {
        Reach::AtMost(list) => list.clone(),
        Reach::Whole(_) => Vec::new(),
    };
    let named = Grants {
        http: list(&policy.http),
        storage: list(&policy.storage),
        storage_read: list(&policy.storage_read),
        tracking: list(&policy.tracking),
        models: list(&policy.models),
        training: match &policy.training {
            Reach::AtMost(most) => Some(most.clone()),
            Reach::Whole(_) => None,
        },
        dag_state: list(&policy.dag_state),
        trigger_dags: list(&policy.trigger_dags),
        secrets: match &policy.secrets {
            Reach::AtMost(most) => most.clone(),
            Reach::Whole(_) => std::collections::BTreeMap::new(),
        },
        email: list(&policy.email),
        scratch_bytes: None,
        limits: Limits::default(),
    };
    let whole = |capability: &Capability| match (policy.list(*capability), capability) {
        (Some(list), _) => *list == Reach::Whole(true),
        (None, Capability::Training) => policy.training == Reach::Whole(true),
        (None, _) => policy.secrets == Reach::Whole(true),
    };
    named.check(question).is_ok() || covering(question).iter().any(whole)
}

/// An attempt that used all that it was granted.
fn as_uses(grants: &Grants) -> BTreeSet<Use> {
    let lists = [
        (Capability::Http, &grants.http),
        (Capability::Storage, &grants.storage),
        (Capability::StorageRead, &grants.storage_read),
        (Capability::Tracking, &grants.tracking),
        (Capability::Models, &grants.models),
        (Capability::DagState, &grants.dag_state),
        (Capability::TriggerDags, &grants.trigger_dags),
        (Capability::Email, &grants.email),
    ];
    let mut all: Vec<(Capability, String)> = Vec::new();
    for (capability, list) in lists {
        all.extend(list.iter().map(|what| (capability, what.clone())));
    }
    for (name, hosts) in &grants.secrets {
        let sent = hosts.iter().map(|host| format!("{name}={host}"));
        all.extend(sent.map(|what| (Capability::Secrets, what)));
    }
    all.extend(
        grants
            .training
            .iter()
            .map(|_| (Capability::Training, String::new())),
    );
    let uses = all.into_iter();
    uses.map(|(capability, what)| Use { capability, what })
        .collect()
}

proptest! {
    /// Never more than any of them allows; and what all of them allow as a whole is not lost.
    #[test]
    fn an_effective_grant_is_within_each_of_its_sources(
        one in any_policy(), two in any_policy(), asks in any_asks(), dag in any_grants(), task in prop::option::of(any_grants()),
    ) {
        let attempt = effective(&[&one, &two], &asks, &dag, task.as_ref());
        for question in questions() {
            // A placeholder comes in with the config too.
            let asked = matches!(question, Request::Secret { .. }) || covering(question).iter().any(|capability| asks.contains(*capability));
            let each = dag.check(question).is_ok()
                && task.as_ref().is_none_or(|task| task.check(question).is_ok())
                && policy_allows(&one, question)
                && policy_allows(&two, question)
                && asked;
            prop_assert_eq!(attempt.check(question).is_ok(), each, "{:?}", question);
        }
        for limits in [&one.limits, &two.limits, &dag.limits] {
            prop_assert!(attempt.limits.memory_bytes.unwrap_or(99) <= limits.memory_bytes.unwrap_or(99));
        }
        prop_assert_eq!(attempt.clone(), effective(&[&two, &one], &asks, &dag, task.as_ref()));
    }

    #[test]
    fn opening_a_policy_never_takes_anything_away(policy in any_policy(), dag in any_grants(), number in 0..10_usize) {
        let mut wider = policy.clone();
        wider.grant(Capability::ALL[number], &[]).unwrap_or_default();
        let (before, after) = (policy.narrow(&dag), wider.narrow(&dag));
        for question in questions() {
            prop_assert!(before.check(question).is_err() || after.check(question).is_ok(), "{question:?}");
        }
        let mut shut = policy.clone();
        shut.revoke(Capability::ALL[number], &[]).unwrap();
        prop_assert!(!shut.opens(Capability::ALL[number]));
    }

    #[test]
    fn tightening_takes_away_what_was_not_used_and_nothing_else(policy in any_policy(), dag in any_grants(), used in any_grants()) {
        let uses: BTreeSet<Use> = as_uses(&policy.narrow(&used));
        let tight = policy.tightened(&uses);
        let (before, after) = (policy.narrow(&dag), tight.narrow(&dag));
        let used = policy.narrow(&used);
        for question in questions() {
            let is_used = used.check(question).is_ok();
            prop_assert_eq!(after.check(question).is_ok(), before.check(question).is_ok() && is_used, "{:?}", question);
        }
        for capability in Capability::ALL {
            // Reading goes with writing, and any of both links.
            let links = |policy: &Policy| policy.opens(capability) || (capability == Capability::StorageRead && policy.opens(Capability::Storage));
            prop_assert_eq!(links(&tight), links(&policy), "{:?}", capability);
        }
    }

    #[test]
    fn a_policy_is_the_same_after_writing_and_reading(policy in any_policy()) {
        let text = serde_json::to_string(&policy).unwrap();
        prop_assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy);
    }
}

#[test]
fn a_whole_policy_changes_nothing_that_is_well_formed() {
    let dag = Grants {
        http: vec!["*".into(), "10.0.0.5:8080".into(), "localhost:8080".into()],
        storage: vec!["s3://d/".into()],
        training: Some(TrainingGrant::default()),
        secrets: [("s".to_owned(), vec!["a.com".to_owned()])].into(),
        ..Grants::default()
    };
    let attempt = effective(&[&Policy::whole()], &Asks::everything(), &dag, None);
    let ip = "10.0.0.5".parse().unwrap();
    assert!(attempt.allows_address(ip, 8080));
    let mut grants = attempt.into_grants();
    grants.http.sort();
    let mut expected = dag;
    expected.http.sort();
    assert_eq!(grants, expected);
}

#[test]
fn reading_is_left_where_writing_is_not_allowed() {
    let dag = Grants {
        storage: vec!["s3://d/".into()],
        ..Grants::default()
    };
    let policy = Policy {
        storage_read: Reach::Whole(true),
        ..Policy::default()
    };
    let left = policy.narrow(&dag);
    assert!(left.allows_storage("s3://d/x", false));
    assert!(!left.allows_storage("s3://d/x", true));
}

#[test]
fn imports_are_the_request() {
    let asks = Asks::of_imports(&[
        "airlock:operator/log@0.1.0",
        "airlock:operator/dataset@0.1.0",
        "wasi:cli/stdout@0.2.3",
    ]);
    let names: Vec<&str> = asks.iter().map(Capability::name).collect();
    assert_eq!(names, ["storage", "storage_read"]);
    let more = Asks::of_imports(&[
        "airlock:operator/dataset@0.1.0",
        "wasi:http/outgoing-handler@0.2.3",
    ]);
    let new: Vec<&str> = more.beyond(&asks).iter().map(Capability::name).collect();
    assert_eq!(new, ["http", "secrets"]);
    assert!(asks.beyond(&more).is_empty());
}

#[test]
fn an_import_is_shut_when_none_of_its_capabilities_is_open() {
    let imports = [
        "airlock:operator/log@0.1.0",
        "airlock:operator/storage@0.1.0",
        "airlock:operator/dag-runs@0.1.0",
        "wasi:http/outgoing-handler@0.2.3",
    ];
    let policy = Policy {
        storage_read: Reach::Whole(true),
        dag_state: Reach::AtMost(vec!["daily".into()]),
        ..Policy::default()
    };
    assert_eq!(
        shut_imports(&imports, &policy),
        [(imports[3].to_owned(), Capability::Http)]
    );
    assert_eq!(shut_imports(&imports, &Policy::whole()), []);
}

#[test]
fn grants_are_given_and_taken_back_pattern_by_pattern() {
    let text = |text: &str| text.to_owned();
    let mut policy = Policy::whole();
    policy
        .grant(Capability::Http, &[text("b.com"), text("a.com")])
        .unwrap();
    policy.grant(Capability::Http, &[text("a.com")]).unwrap();
    assert_eq!(
        policy.http,
        Reach::AtMost(vec![text("a.com"), text("b.com")])
    );
    policy.revoke(Capability::Http, &[text("a.com")]).unwrap();
    policy.revoke(Capability::Http, &[text("b.com")]).unwrap();
    assert_eq!(policy.http, Reach::Whole(false));
    policy
        .grant(Capability::Secrets, &[text("hf=hf.co")])
        .unwrap();
    policy
        .revoke(Capability::Secrets, &[text("hf=hf.co")])
        .unwrap();
    assert!(!policy.opens(Capability::Secrets));
    for (capability, pattern) in [
        (Capability::Http, "192.168.1.*"),
        (Capability::Storage, "s3://d"),
        (Capability::Secrets, "hf"),
        (Capability::Training, "2"),
    ] {
        let before = policy.clone();
        assert!(policy.grant(capability, &[text(pattern)]).is_err());
        assert!(policy.revoke(capability, &[text(pattern)]).is_err());
        assert_eq!(policy, before);
    }
}

#[test]
fn a_policy_reads_as_sentences() {
    let asks = Asks::everything();
    let policy = Policy {
        http: Reach::AtMost(vec!["hooks.slack.com".into()]),
        storage: Reach::Whole(true),
        secrets: Reach::AtMost([("hf".to_owned(), vec!["hf.co".to_owned()])].into()),
        ..Policy::default()
    };
    assert_eq!(
        policy.sentences(&asks),
        [
            "may read and write the objects that a DAG grants",
            "may not log to experiments, though it asks for it",
            "may not change registered models, though it asks for it",
            "may not train, though it asks for it",
            "may not read run states, though it asks for it",
            "may not trigger runs, though it asks for it",
            "may not send mails, though it asks for it",
            "may call hooks.slack.com",
            "may send secret hf to hf.co (and never sees its value)",
        ]
    );
}
