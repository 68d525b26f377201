//! Measures a card: what the histogram is bound by.

use super::backend::open_card;
use super::gpu::{Kernel, Launch, fetch, hold};
use super::layout::Job;
use crate::device::{AtomicClocks, Card};
use crate::error::TrainError;

/// As in `kernels/probe.cu`.
const ROUNDS: u32 = 4_096;

/// See [`crate::device::atomic_clocks`].
pub(crate) fn atomic_clocks(card: &Card) -> Result<AtomicClocks, TrainError> {
    let gpu = open_card(card, 1.0)?;
    let blocks = gpu.processors();
    let clocks = hold(&*gpu, &vec![0_u32; blocks as usize])?;
    let job = Job {
        sum_first: clocks.address,
        ..Job::default()
    };
    let warps = f64::from(Kernel::ProbeAtomics.threads() / 32);
    let measure = |step| -> Result<f64, TrainError> {
        let launch = Launch {
            kernel: Kernel::ProbeAtomics,
            blocks,
            lanes: 1,
            step,
        };
        // The first one loads the code.
        gpu.launch(launch, &job)?;
        gpu.launch(launch, &job)?;
        let mut all: Vec<u32> = fetch(&*gpu, &clocks, 0, blocks as usize)?;
        all.sort_unstable();
        let median = all.get(all.len() / 2).copied().unwrap_or_default();
        Ok(f64::from(median) / (f64::from(ROUNDS) * warps))
    };
    Ok(AtomicClocks {
        one_word: measure(0)?,
        own_banks: measure(1)?,
        random_words: measure(2)?,
    })
}
