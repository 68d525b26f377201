//! Which accelerators this machine has, and which of them a wish gets. Never panics where there is no driver. Refuses to train.
//!
//! [`list`] asks the driver, which may hang or bring the process down: call it in a process of its own. [`probe`] and [`matching`] are
//! safe anywhere.

use crate::config::GpuWish;
use crate::cuda;
use crate::error::TrainError;
use serde::{Deserialize, Serialize};

/// Most cards of one run.
pub const MAX_CARDS: u8 = 16;

/// What was found without calling the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// libcuda cannot be opened.
    NoDriver,
    /// libcuda is there; which cards it has says [`list`].
    Driver,
}

impl Probe {
    /// One sentence for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::NoDriver => "no NVIDIA driver on this machine; use device cpu or best",
            Self::Driver => "an NVIDIA driver on this machine",
        }
    }
}

/// Asks whether libcuda can be opened.
pub fn probe() -> Probe {
    if cuda::is_driver_present() {
        Probe::Driver
    } else {
        Probe::NoDriver
    }
}

/// One card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its number in this process; `CUDA_VISIBLE_DEVICES` changes it.
    pub ordinal: usize,
    /// `GPU-` and the UUID in hex, as `CUDA_VISIBLE_DEVICES` takes it.
    pub uuid: String,
    /// The product's name.
    pub name: String,
    /// Bytes.
    pub memory_total: u64,
    /// Bytes that nobody uses now.
    pub memory_free: u64,
    /// Compute capability.
    pub compute: (u8, u8),
}

impl Card {
    fn describe(&self) -> String {
        let (major, minor) = self.compute;
        format!(
            "{} ({:.1} GiB, {:.1} GiB free, compute capability {major}.{minor})",
            self.name,
            gibibytes(self.memory_total),
            gibibytes(self.memory_free)
        )
    }
}

fn gibibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// The cards of this machine; none where there is no driver. Opens a context on each to see its free memory.
///
/// # Errors
/// [`TrainError::DeviceFault`] where there is a driver and it does not answer.
pub fn list() -> Result<Vec<Card>, TrainError> {
    cuda::list()
}

/// Clocks of a multiprocessor for one 32-bit atomic of a warp in shared memory, which is what training on a card is bound by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AtomicClocks {
    /// All lanes at one word: the worst case, a column of one value.
    pub one_word: f64,
    /// Each lane at a bank of its own: the best case.
    pub own_banks: f64,
    /// Words drawn at random: a column of many values.
    pub random_words: f64,
}

/// Measures a card, for `examples/train_device.rs`. Opens a context on it.
///
/// # Errors
/// [`TrainError::NoDevice`] and [`TrainError::DeviceFault`].
pub fn atomic_clocks(card: &Card) -> Result<AtomicClocks, TrainError> {
    cuda::atomic_clocks(card)
}

/// The cards among `cards` that `wish` gets: those that fit, the freest first.
///
/// # Errors
/// [`TrainError::Invalid`] for a wish that makes no sense, [`TrainError::NoDevice`] that names what there is and what was wanted.
pub fn matching<'a>(wish: &GpuWish, cards: &'a [Card]) -> Result<Vec<&'a Card>, TrainError> {
    let invalid = |text: String| Err(TrainError::Invalid(text));
    if !(1..=MAX_CARDS).contains(&wish.count) {
        return invalid(format!("{} GPUs; a run has 1 to {MAX_CARDS}", wish.count));
    }
    if !(wish.share > 0.0 && wish.share <= 1.0) {
        return invalid(format!(
            "a share of {} of a GPU; it is over 0 and at most 1",
            wish.share
        ));
    }
    let mut fitting: Vec<&Card> = cards.iter().filter(|card| fits(wish, card)).collect();
    // The order of two equally free cards is that of their numbers.
    fitting.sort_by_key(|card| (std::cmp::Reverse(card.memory_free), card.ordinal));
    let count = usize::from(wish.count);
    if fitting.len() < count {
        return Err(TrainError::NoDevice(unmet(wish, cards, fitting.len())));
    }
    fitting.truncate(count);
    Ok(fitting)
}

fn fits(wish: &GpuWish, card: &Card) -> bool {
    let named = wish
        .name
        .as_ref()
        .is_none_or(|name| card.name.to_lowercase().contains(&name.to_lowercase()));
    named
        && wish
            .min_memory
            .is_none_or(|bytes| card.memory_total >= bytes)
        && wish
            .min_compute
            .is_none_or(|compute| card.compute >= compute)
        && card.compute >= cuda::COMPUTE_MIN
}

fn unmet(wish: &GpuWish, cards: &[Card], fitting: usize) -> String {
    let there = if cards.is_empty() {
        match probe() {
            Probe::NoDriver => "no NVIDIA driver".to_owned(),
            Probe::Driver => "a driver without a GPU".to_owned(),
        }
    } else {
        let names: Vec<String> = cards.iter().map(Card::describe).collect();
        names.join(", ")
    };
    let fit = match fitting {
        0 => "none fits",
        1 => "one fits",
        _ => "too few fit",
    };
    format!(
        "asked for {}; there is {there}, of which {fit}; ask for less, or use device cpu or best",
        asked(wish)
    )
}

/// A wish in words.
pub fn asked(wish: &GpuWish) -> String {
    let count = match wish.count {
        1 => "one GPU".to_owned(),
        count => format!("{count} GPUs"),
    };
    let name = wish.name.as_ref().map(|name| format!(" named {name:?}"));
    let memory = wish.min_memory.map(gibibytes);
    let memory = memory.map(|bytes| format!(" with at least {bytes:.1} GiB of memory"));
    let compute = wish.min_compute.filter(|least| *least > cuda::COMPUTE_MIN);
    let compute =
        compute.map(|(major, minor)| format!(" of compute capability {major}.{minor} or later"));
    [Some(count), name, memory, compute]
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn card(ordinal: usize, name: &str, memory_free: u64, compute: (u8, u8)) -> Card {
        Card {
            ordinal,
            uuid: format!("GPU-{ordinal}"),
            name: name.to_owned(),
            memory_total: 80 * GIB,
            memory_free,
            compute,
        }
    }

    fn cards() -> Vec<Card> {
        vec![
            card(0, "NVIDIA H100 80GB HBM3", 10 * GIB, (9, 0)),
            card(1, "NVIDIA A100-SXM4-80GB", 70 * GIB, (8, 0)),
            card(2, "NVIDIA H100 80GB HBM3", 60 * GIB, (9, 0)),
            card(3, "Tesla P100-PCIE-16GB", 80 * GIB, (6, 0)),
        ]
    }

    fn wish() -> GpuWish {
        GpuWish {
            name: None,
            min_memory: None,
            min_compute: None,
            count: 1,
            share: 1.0,
        }
    }

    fn got(wish: &GpuWish) -> Vec<usize> {
        let cards = cards();
        matching(wish, &cards)
            .unwrap()
            .iter()
            .map(|card| card.ordinal)
            .collect()
    }

    #[test]
    fn the_freest_cards_that_fit_are_given() {
        assert_eq!(got(&wish()), [1]);
        assert_eq!(got(&GpuWish { count: 3, ..wish() }), [1, 2, 0]);
        let named = GpuWish {
            name: Some("h100".to_owned()),
            ..wish()
        };
        assert_eq!(got(&named), [2]);
        let newer = GpuWish {
            min_compute: Some((8, 6)),
            count: 2,
            ..wish()
        };
        assert_eq!(got(&newer), [2, 0]);
        assert_eq!(
            got(&GpuWish {
                min_memory: Some(80 * GIB),
                ..wish()
            }),
            [1]
        );
    }

    #[test]
    fn an_unmet_wish_names_what_there_is_and_what_was_wanted() {
        let refused = |wish: GpuWish| matching(&wish, &cards()).unwrap_err().to_string();
        let text = refused(GpuWish {
            name: Some("H200".to_owned()),
            min_memory: Some(100 * GIB),
            min_compute: Some((9, 0)),
            count: 2,
            share: 0.5,
        });
        for part in [
            "2 GPUs named \"H200\" with at least 100.0 GiB of memory of compute capability 9.0 or later",
            "NVIDIA A100-SXM4-80GB (80.0 GiB, 70.0 GiB free, compute capability 8.0)",
            "none fits",
        ] {
            assert!(text.contains(part), "{text}");
        }
        // The kernels do not run on so old a card.
        assert!(
            refused(GpuWish {
                name: Some("P100".to_owned()),
                ..wish()
            })
            .contains("none fits")
        );
        assert!(matches!(
            matching(&wish(), &[]),
            Err(TrainError::NoDevice(_))
        ));
        for share in [0.0, -1.0, 1.5, f32::NAN] {
            assert!(refused(GpuWish { share, ..wish() }).contains("share"));
        }
        assert!(refused(GpuWish { count: 0, ..wish() }).contains("0 GPUs"));
    }
}
