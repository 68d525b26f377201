//! GPUs as a resource: what a machine has, what a task asks for, and who holds how much of which card.
//! It refuses to know how cards are found or used; it only matches and counts.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A whole card in the unit of [`GpuWish::share`].
pub const WHOLE_CARD: u16 = 1_000;
/// The most cards of one task instance.
pub const COUNT_MAX: u8 = 64;

/// A card of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// The driver's name of this very card, `GPU-...`.
    pub uuid: String,
    /// The product, such as `NVIDIA H100 80GB HBM3`.
    pub name: String,
    /// Bytes.
    pub memory: u64,
    /// Compute capability, major and minor.
    pub compute: (u8, u8),
}

/// What a task instance must have before it starts. The same card may serve several by shares.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GpuWish {
    /// Part of the product's name, upper or lower case.
    pub name: Option<String>,
    /// Bytes of memory of each card.
    pub min_memory: Option<u64>,
    /// Least compute capability of each card.
    pub min_compute: Option<(u8, u8)>,
    /// Cards, 1 to [`COUNT_MAX`].
    pub count: u8,
    /// Thousandths of each card, 1 to [`WHOLE_CARD`].
    pub share: u16,
}

impl Default for GpuWish {
    fn default() -> Self {
        Self {
            name: None,
            min_memory: None,
            min_compute: None,
            count: 1,
            share: WHOLE_CARD,
        }
    }
}

impl fmt::Display for GpuWish {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => write!(out, "1 GPU")?,
            count => write!(out, "{count} GPUs")?,
        }
        if let Some(name) = &self.name {
            write!(out, " named {name:?}")?;
        }
        if let Some(memory) = self.min_memory {
            write!(out, " of at least {}", size_text(memory))?;
        }
        if let Some((major, minor)) = self.min_compute {
            write!(out, " with compute capability {major}.{minor} or later")?;
        }
        if self.share < WHOLE_CARD {
            write!(out, " ({} of the card)", share_text(self.share))?;
        }
        Ok(())
    }
}

/// A share for people: `0.25`.
pub fn share_text(share: u16) -> String {
    let text = format!("{:.3}", f64::from(share) / f64::from(WHOLE_CARD));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl fmt::Display for Gpu {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.compute;
        let memory = size_text(self.memory);
        write!(
            out,
            "{} ({memory}, compute capability {major}.{minor})",
            self.name
        )
    }
}

/// A size for people, in the largest unit that says it without much rounding: `80 GiB`, `79.6 GiB`.
pub fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut size, mut unit) = (bytes, "bytes");
    let mut rest = 0;
    for next in UNITS {
        if size < 1 << 10 {
            break;
        }
        (rest, size, unit) = (size & 1_023, size >> 10, next);
    }
    match rest * 10 / 1_024 {
        0 => format!("{size} {unit}"),
        tenths => format!("{size}.{tenths} {unit}"),
    }
}

/// Whether a product's name has `part` in it, upper or lower case.
pub fn is_named(gpu: &Gpu, part: &str) -> bool {
    gpu.name.to_lowercase().contains(&part.to_lowercase())
}

/// Which cards a pool of kind gpu gives out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuFilter {
    /// Part of the product's name; all cards where absent.
    pub name: Option<String>,
}

impl GpuFilter {
    /// Whether the pool gives out this card.
    pub fn has(&self, gpu: &Gpu) -> bool {
        self.name.as_deref().is_none_or(|part| is_named(gpu, part))
    }
}

/// What a task instance holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    cards: Vec<usize>,
    share: u16,
}

#[derive(Debug, Clone)]
struct Card {
    gpu: Gpu,
    taken: u16,
}

/// The machine's cards and what is taken of each.
#[derive(Debug, Clone, Default)]
pub struct Gpus {
    cards: Vec<Card>,
}

impl Gpus {
    /// Nothing is taken.
    pub fn new(gpus: Vec<Gpu>) -> Self {
        let cards = gpus.into_iter().map(|gpu| Card { gpu, taken: 0 });
        Self {
            cards: cards.collect(),
        }
    }

    /// Each card and how many thousandths of it are taken.
    pub fn cards(&self) -> impl Iterator<Item = (&Gpu, u16)> {
        self.cards.iter().map(|card| (&card.gpu, card.taken))
    }

    fn suits(card: &Card, wish: &GpuWish, filter: &GpuFilter) -> bool {
        let Gpu {
            memory, compute, ..
        } = &card.gpu;
        filter.has(&card.gpu)
            && wish
                .name
                .as_deref()
                .is_none_or(|part| is_named(&card.gpu, part))
            && wish.min_memory.is_none_or(|least| *memory >= least)
            && wish.min_compute.is_none_or(|least| *compute >= least)
    }

    /// Whether it would fit if nothing were taken.
    pub fn could_ever(&self, wish: &GpuWish, filter: &GpuFilter) -> bool {
        let suiting = |card: &&Card| Self::suits(card, wish, filter);
        self.cards.iter().filter(suiting).count() >= usize::from(wish.count)
    }

    /// The cards that it would get now. The fullest ones that still have room go first, so that whole cards stay whole.
    fn chosen(&self, wish: &GpuWish, filter: &GpuFilter) -> Option<Vec<usize>> {
        let room = |card: &Card| WHOLE_CARD.saturating_sub(card.taken) >= wish.share;
        let fitting = self.cards.iter().enumerate();
        let fitting = fitting.filter(|(_, card)| Self::suits(card, wish, filter) && room(card));
        let mut places: Vec<(u16, usize)> = fitting
            .map(|(place, card)| (WHOLE_CARD - card.taken, place))
            .collect();
        places.sort_unstable();
        places.truncate(usize::from(wish.count));
        let enough = places.len() == usize::from(wish.count);
        enough.then(|| places.into_iter().map(|(_, place)| place).collect())
    }

    pub(crate) fn fits(&self, wish: &GpuWish, filter: &GpuFilter) -> bool {
        self.chosen(wish, filter).is_some()
    }

    pub(crate) fn take(&mut self, wish: &GpuWish, filter: &GpuFilter) -> Option<Held> {
        let cards = self.chosen(wish, filter)?;
        for place in &cards {
            if let Some(card) = self.cards.get_mut(*place) {
                card.taken += wish.share;
            }
        }
        Some(Held {
            cards,
            share: wish.share,
        })
    }

    pub(crate) fn give_back(&mut self, held: &Held) {
        for place in &held.cards {
            if let Some(card) = self.cards.get_mut(*place) {
                card.taken = card.taken.saturating_sub(held.share);
            }
        }
    }

    pub(crate) fn uuids(&self, held: &Held) -> Vec<String> {
        let cards = held.cards.iter();
        let cards = cards.filter_map(|place| self.cards.get(*place));
        cards.map(|card| card.gpu.uuid.clone()).collect()
    }

    /// What there is, for a message: one card after the other, or that there is none.
    pub fn describe(&self, filter: &GpuFilter) -> String {
        let cards = self.cards.iter().filter(|card| filter.has(&card.gpu));
        let there: Vec<String> = cards.map(|card| card.gpu.to_string()).collect();
        match (there.is_empty(), &filter.name) {
            (false, _) => there.join(", "),
            (true, Some(name)) => format!("no GPU named {name:?}"),
            (true, None) => "no GPU".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn machine() -> Gpus {
        let card = |n: u8, name: &str, gib: u64, compute| Gpu {
            uuid: format!("GPU-{n}"),
            name: name.to_owned(),
            memory: gib << 30,
            compute,
        };
        Gpus::new(vec![
            card(0, "NVIDIA A100-SXM4-40GB", 40, (8, 0)),
            card(1, "NVIDIA H100 80GB HBM3", 80, (9, 0)),
            card(2, "NVIDIA H100 80GB HBM3", 80, (9, 0)),
        ])
    }

    fn all() -> GpuFilter {
        GpuFilter::default()
    }

    #[test]
    fn a_wish_is_matched_by_name_memory_compute_capability_count_and_share() {
        let mut gpus = machine();
        let wish = |name: &str| GpuWish {
            name: Some(name.to_owned()),
            ..GpuWish::default()
        };
        assert!(gpus.could_ever(&wish("h100"), &all()));
        assert!(!gpus.could_ever(&wish("H200"), &all()));
        let large = GpuWish {
            min_memory: Some(64 << 30),
            ..GpuWish::default()
        };
        let held = gpus.take(&large, &all()).unwrap();
        assert_eq!(gpus.uuids(&held), ["GPU-1"]);
        let three = GpuWish {
            count: 3,
            ..GpuWish::default()
        };
        assert!(gpus.could_ever(&three, &all()) && !gpus.fits(&three, &all()));
        gpus.give_back(&held);
        assert!(gpus.fits(&three, &all()));
        let recent = GpuWish {
            min_compute: Some((9, 0)),
            count: 3,
            ..GpuWish::default()
        };
        assert!(!gpus.could_ever(&recent, &all()));
    }

    #[test]
    fn shares_fill_a_card_before_another_is_broken_into() {
        let mut gpus = machine();
        let third = GpuWish {
            share: 333,
            ..GpuWish::default()
        };
        for _ in 0..3 {
            let held = gpus.take(&third, &all()).unwrap();
            assert_eq!(gpus.uuids(&held), ["GPU-0"]);
        }
        let held = gpus.take(&third, &all()).unwrap();
        assert_eq!(gpus.uuids(&held), ["GPU-1"]);
    }

    #[test]
    fn a_pool_gives_out_its_own_cards_only() {
        let mut gpus = machine();
        let h100 = GpuFilter {
            name: Some("H100".to_owned()),
        };
        let held = gpus.take(&GpuWish::default(), &h100).unwrap();
        assert_eq!(gpus.uuids(&held), ["GPU-1"]);
        assert_eq!(
            gpus.describe(&GpuFilter {
                name: Some("V100".to_owned())
            }),
            "no GPU named \"V100\""
        );
    }

    #[test]
    fn a_wish_is_told_in_words() {
        let wish = GpuWish {
            name: Some("H100".to_owned()),
            min_memory: Some(40 << 30),
            min_compute: Some((8, 0)),
            count: 2,
            share: 250,
        };
        assert_eq!(
            wish.to_string(),
            "2 GPUs named \"H100\" of at least 40 GiB with compute capability 8.0 or later (0.25 of the card)"
        );
    }

    proptest! {
        #[test]
        fn no_card_is_ever_taken_beyond_the_whole_of_it(
            acts in prop::collection::vec((any::<bool>(), 1_u8..4, 1_u16..=1_000), 1..60),
        ) {
            let (mut gpus, mut held) = (machine(), Vec::new());
            for (takes, count, share) in acts {
                if takes {
                    let wish = GpuWish { count, share, ..GpuWish::default() };
                    let fits = gpus.fits(&wish, &all());
                    let taken = gpus.take(&wish, &all());
                    prop_assert_eq!(fits, taken.is_some());
                    held.extend(taken);
                } else if let Some(held) = held.pop() {
                    gpus.give_back(&held);
                }
                prop_assert!(gpus.cards().all(|(_, taken)| taken <= WHOLE_CARD));
            }
            for held in &held {
                gpus.give_back(held);
            }
            prop_assert!(gpus.cards().all(|(_, taken)| taken == 0));
        }
    }
}
