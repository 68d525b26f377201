//! What a card must hold is known before anything is put there.

use super::*;

#[test]
fn what_a_card_cannot_hold_is_refused_before_anything_is_allocated() {
    let Some(small) = Emulator::new(0, 10_000) else {
        return;
    };
    let data = matrix(500, &ALL, 2, 111);
    let plan = plan(&data, None, config(settings()));
    let plans = [&plan];
    let refused = Cuda::new(vec![Box::new(small)], &plans).err().unwrap();
    let TrainError::OutOfMemory { needed, available } = refused else {
        panic!("{refused}");
    };
    assert_eq!(available, 10_000);
    // What was said to be needed is what is used.
    let exact = Emulator::new(0, needed).unwrap();
    assert!(Cuda::new(vec![Box::new(exact)], &plans).is_ok());
    let less = Emulator::new(0, needed - 1).unwrap();
    assert!(matches!(
        Cuda::new(vec![Box::new(less)], &plans),
        Err(TrainError::OutOfMemory { .. })
    ));
}

#[test]
fn what_a_matrix_says_it_needs_is_about_what_a_card_holds() {
    let Some(card) = Emulator::new(0, 1).map(|card| Box::new(card) as Box<dyn Gpu>) else {
        return;
    };
    let data = matrix(20_000, &ALL, 2, 171);
    let plan = plan(&data, None, config(Gbdt::default()));
    let Some(TrainError::OutOfMemory { needed, .. }) = Cuda::new(vec![card], &[&plan]).err() else {
        panic!("one byte is enough");
    };
    let said = data.memory().device_shared + data.memory().device_per_run;
    let ratio = said as f64 / needed as f64;
    assert!((0.9..1.1).contains(&ratio), "{said} {needed}");
}
