//! Devices that break.

use super::*;
use crate::cuda::inject::{Break, Inject, Plan};

fn broken(plan: Plan) -> Option<Vec<Box<dyn Gpu>>> {
    let card = cards(&[0])?.pop()?;
    Some(vec![Box::new(Inject::new(card, plan))])
}

#[test]
fn a_fault_ends_the_run_and_its_checkpoint_goes_on_elsewhere_to_the_same_bytes() {
    let data = matrix(500, &ALL, 2, 121);
    let gbdt = Gbdt {
        rounds: 6,
        subsample: 0.9,
        ..settings()
    };
    let plan_text = Plan::parse("fault@80").unwrap();
    let Some(gpus) = broken(plan_text) else {
        return;
    };
    let quiet = Quiet {
        checkpoint: true,
        ..Quiet::default()
    };
    let checkpointed = Config {
        checkpoint_every_ms: Some(0),
        ..config(gbdt.clone())
    };
    let plan = plan(&data, None, checkpointed);
    let backend = Cuda::new(gpus, &[&plan]).unwrap();
    let ended = drive(Box::new(backend), vec![plan.variant(&quiet)])
        .pop()
        .unwrap();
    assert!(
        matches!(ended, Err(TrainError::DeviceFault(_))),
        "{ended:?}"
    );
    let checkpoint = quiet.checkpoints.lock().unwrap().last().cloned().unwrap();
    let rounds = Model::from_bytes(&checkpoint).unwrap().rounds();
    assert!((1..6).contains(&rounds), "{rounds}");
    let whole = on_processor(&data, None, config(gbdt.clone()));
    let rest = Config {
        resume_from: Some(checkpoint),
        ..config(gbdt)
    };
    let moved = on_cards(
        cards(&[0]).unwrap(),
        &data,
        None,
        std::slice::from_ref(&rest),
    )
    .pop()
    .unwrap()
    .unwrap();
    assert!(moved.model.to_bytes() == whole.to_bytes());
    assert!(on_processor(&data, None, rest).to_bytes() == whole.to_bytes());
}

#[test]
fn memory_that_runs_out_while_it_is_taken_is_a_typed_error() {
    let data = matrix(100, &ALL, 2, 131);
    let plan = plan(&data, None, config(settings()));
    for at in 1..20 {
        let Some(gpus) = broken(Plan {
            what: Break::OutOfMemory,
            at,
        }) else {
            return;
        };
        let refused = Cuda::new(gpus, &[&plan]).err();
        assert!(
            matches!(refused, Some(TrainError::OutOfMemory { .. })),
            "{at}: {refused:?}"
        );
    }
}

#[test]
fn plans_of_breaking_are_read() {
    assert_eq!(
        Plan::parse("hang@4"),
        Some(Plan {
            what: Break::Hang,
            at: 4
        })
    );
    assert_eq!(
        Plan::parse("exit@1"),
        Some(Plan {
            what: Break::Exit,
            at: 1
        })
    );
    assert_eq!(Plan::parse("melt@1"), None);
    assert_eq!(Plan::parse("fault"), None);
}
