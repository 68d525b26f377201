use super::*;
use airlock_sdk::testing::Host;
use airlock_sdk::time::Timestamp;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn h8_an_approval_waits_without_a_slot_and_goes_on_when_approved() {
    let host = Host::new();
    let config = || json!({"subject": "Deploy?", "body": "**AUC** 0.9", "timeout": "1h"});
    let expected = Ok(Outcome::Defer(at("2026-01-05T03:00:00Z")));
    assert_eq!(host.run::<approval>(config()), expected);
    host.set_now(at("2026-01-05T02:30:00Z"));
    assert_eq!(host.run::<approval>(config()), expected);
    let questions = host.questions();
    assert_eq!(
        questions.first(),
        questions.last(),
        "it is the same question"
    );
    assert_eq!(
        questions.first().unwrap(),
        &json!({
            "subject": "Deploy?", "body": "**AUC** 0.9", "options": ["Approve", "Reject"], "multiple": false,
            "expires_at": "2026-01-05T03:00:00Z",
        })
    );
    host.put_answer(json!({"chosen_options": ["Approve"], "responded_by": "ana"}));
    let ended = host.run::<approval>(config());
    assert!(matches!(ended, Ok(Outcome::Success(value)) if value["responded_by"] == "ana"),);
}

#[test]
fn h8_a_rejection_skips_downstream_or_fails() {
    let host = Host::new();
    host.put_answer(json!({"chosen_options": ["Reject"], "responded_by": "ana"}));
    let skipped = host.run::<approval>(json!({"subject": "s"}));
    let expected = Outcome::ShortCircuit {
        ignore_downstream_trigger_rules: false,
    };
    assert_eq!(skipped, Ok(expected));
    let kept = host.pushed("return_value").unwrap();
    assert_eq!(kept["chosen_options"], json!(["Reject"]));
    let failed = host.run::<approval>(json!({"subject": "s", "fail_on_reject": true}));
    assert_eq!(failed, Err(TaskError::permanent("rejected by ana")));
}

#[test]
fn h8_after_the_timeout_the_defaults_count_or_it_fails() {
    let host = Host::new();
    let with = json!({"subject": "s", "timeout": "1h", "defaults": "Approve"});
    let without = json!({"subject": "s", "timeout": "1h"});
    assert!(matches!(
        host.run::<approval>(with.clone()),
        Ok(Outcome::Defer(_))
    ));
    host.set_now(at("2026-01-05T03:00:00Z"));
    assert!(matches!(
        host.run::<approval>(with),
        Ok(Outcome::Success(_))
    ));
    assert!(matches!(
        host.run::<approval>(without),
        Err(TaskError::Permanent(_))
    ));
}

#[test]
fn h8_an_entry_yields_what_was_entered() {
    let host = Host::new();
    let config = json!({"subject": "s", "params": {"n": {"type": "integer", "default": 3}}});
    assert!(matches!(
        host.run::<entry>(config.clone()),
        Ok(Outcome::Defer(_))
    ));
    assert_eq!(host.questions().first().unwrap()["options"], json!(["OK"]));
    host.put_answer(json!({"chosen_options": ["OK"], "params_input": {"n": 7}}));
    let ended = host.run::<entry>(config);
    assert!(matches!(ended, Ok(Outcome::Success(value)) if value["params_input"]["n"] == 7));
}

#[test]
fn h8_a_branch_goes_on_with_the_chosen_tasks() {
    let host = Host::new();
    let config = json!({
        "subject": "s", "options": ["Full", "quick"], "options_mapping": {"Full": "full_run"}, "multiple": true,
    });
    host.put_answer(json!({"chosen_options": ["Full", "quick"]}));
    let ended = host.run::<branch>(config);
    assert_eq!(
        ended,
        Ok(Outcome::Branch(vec!["full_run".into(), "quick".into()]))
    );
    let wrong = json!({"subject": "s", "options": ["a"], "options_mapping": {"b": "c"}});
    assert!(matches!(
        host.run::<branch>(wrong),
        Err(TaskError::InvalidInput { .. })
    ));
}
