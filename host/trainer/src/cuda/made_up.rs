//! Cards that do not exist, for tests of programs that train on one: with the feature `emulated-gpu` and the variable
//! `AIRLOCK_EMULATED_GPUS=2` there are two emulated cards, beside the real ones, whose names hold `emulated`. `AIRLOCK_GPU_BREAK=fault@120`
//! breaks each at its 120th launch (also `hang@` and `exit@`; `oom@3` at the third allocation). Slow, and needs a C++ compiler.

use super::emulator::Emulator;
use super::gpu::Gpu;
use super::inject::{Inject, Plan};
use crate::device::Card;
use crate::error::TrainError;

/// Bytes of an emulated card.
const MEMORY: u64 = 1 << 30;
const UUID: &str = "EMULATED-";

/// Those that the variable asks for; in this crate's own tests always two.
pub(super) fn cards() -> Vec<Card> {
    let count = std::env::var("AIRLOCK_EMULATED_GPUS")
        .ok()
        .and_then(|count| count.parse().ok());
    let count = count.unwrap_or(if cfg!(test) { 2 } else { 0 });
    let card = |number: usize| Card {
        ordinal: number,
        uuid: format!("{UUID}{number}"),
        name: format!("emulated card {number}"),
        memory_total: MEMORY,
        memory_free: MEMORY,
        compute: (9, 0),
    };
    (0..count).map(card).collect()
}

/// The card, if it is one of these.
pub(super) fn open(card: &Card) -> Option<Result<Box<dyn Gpu>, TrainError>> {
    if !card.uuid.starts_with(UUID) {
        return None;
    }
    let Some(emulator) = Emulator::new(0, card.memory_total) else {
        return Some(Err(TrainError::NoDevice(
            "there is no C++ compiler for an emulated card".to_owned(),
        )));
    };
    let plan = std::env::var("AIRLOCK_GPU_BREAK")
        .ok()
        .and_then(|text| Plan::parse(&text));
    Some(Ok(match plan {
        Some(plan) => Box::new(Inject::new(Box::new(emulator), plan)),
        None => Box::new(emulator),
    }))
}
