//! The loop: a round of every variant that goes on, until none does.

use super::{Backend, Spent, Trained, Turn, Variant};
use crate::error::TrainError;

/// Trains `variants`, which are those that `backend` was made for, in its order. What ends the backend ends all of them.
pub(crate) fn drive(
    mut backend: Box<dyn Backend>,
    mut variants: Vec<Variant<'_>>,
) -> Vec<Result<Trained, TrainError>> {
    let count = variants.len();
    if let Err(error) = rounds(&mut *backend, &mut variants) {
        return (0..count).map(|_| Err(error.clone())).collect();
    }
    let ends: Vec<_> = variants
        .into_iter()
        .enumerate()
        .map(|(number, variant)| variant.end(number, &mut *backend))
        .collect();
    let spent = backend.finish();
    let share = |total: u64| total / count.max(1) as u64;
    let own = Spent {
        cpu_ms: share(spent.cpu_ms),
        device_ms: share(spent.device_ms),
        peak_device: spent.peak_device,
    };
    ends.into_iter()
        .map(|end| {
            end.map(|trained| Trained {
                spent: own,
                ..trained
            })
        })
        .collect()
}

fn rounds(backend: &mut dyn Backend, variants: &mut [Variant<'_>]) -> Result<(), TrainError> {
    for (number, variant) in variants.iter().enumerate() {
        if variant.ensemble.rounds() > 0 {
            backend.restart(number, &variant.ensemble)?;
        }
    }
    loop {
        let mut turns = Vec::with_capacity(variants.len());
        for (number, variant) in variants.iter_mut().enumerate() {
            if variant.goes_on() {
                turns.push(Turn {
                    variant: number,
                    round: variant.ensemble.rounds(),
                });
            }
        }
        if turns.is_empty() {
            return Ok(());
        }
        let grown = backend.grow(&turns)?;
        for (turn, trees) in turns.iter().zip(grown) {
            if let Some(variant) = variants.get_mut(turn.variant) {
                variant.ensemble.trees.extend(trees);
                variant.grown(turn.variant, backend)?;
            }
        }
    }
}
