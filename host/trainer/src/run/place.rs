//! Where a run trains: the cards that its wish gets, or the processor. Owns the rule when the processor may stand in for a card.

use crate::config::{Config, Device, GpuWish};
use crate::cuda;
use crate::device::{self, Card, Probe};
use crate::error::TrainError;
use crate::job::{Job, TreePlan};
use crate::rounds::Backend;

/// What `best` asks for.
const ANY_CARD: GpuWish = GpuWish {
    name: None,
    min_memory: None,
    min_compute: None,
    count: 1,
    share: 1.0,
};

/// Where a run trains.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    Processor,
    Cards {
        cards: Vec<Card>,
        /// Of each card, over 0 and at most 1.
        share: f32,
        /// Only if nothing stands in the way: the wish was `best`.
        else_processor: bool,
    },
}

impl Place {
    /// # Errors
    /// [`TrainError::NoDevice`] names what there is and what was wanted; [`TrainError::Invalid`] for what trains on no GPU.
    pub(super) fn of(config: &Config) -> Result<Self, TrainError> {
        let on_cards = cuda::trains_on_cards(&config.algorithm);
        match &config.device {
            Device::Gpu(wish) => on_cards.and_then(|()| Self::cards(wish, false)),
            Device::Best if on_cards.is_ok() && device::probe() == Probe::Driver => {
                Ok(Self::cards(&ANY_CARD, true).unwrap_or(Self::Processor))
            }
            Device::Cpu | Device::Best => Ok(Self::Processor),
        }
    }

    fn cards(wish: &GpuWish, else_processor: bool) -> Result<Self, TrainError> {
        let there = device::list()?;
        let cards = device::matching(wish, &there)?;
        Ok(Self::Cards {
            cards: cards.into_iter().cloned().collect(),
            share: wish.share,
            else_processor,
        })
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Processor => "cpu".to_owned(),
            Self::Cards { cards, .. } => {
                let names: Vec<&str> = cards.iter().map(|card| card.name.as_str()).collect();
                names.join(", ")
            }
        }
    }

    /// Puts a batch onto the cards; none where it trains on the processor.
    ///
    /// # Errors
    /// What stands in the way of the cards.
    pub(super) fn open(&self, plans: &[&TreePlan]) -> Result<Option<Box<dyn Backend>>, TrainError> {
        match self {
            Self::Processor => Ok(None),
            Self::Cards { cards, share, .. } => cuda::open(cards, *share, plans).map(Some),
        }
    }

    pub(super) fn may_fall_back(&self) -> bool {
        matches!(
            self,
            Self::Cards {
                else_processor: true,
                ..
            }
        )
    }
}

/// The trees of a training, if it is made of them.
pub(super) fn plan_of(job: &Job) -> Option<&TreePlan> {
    match job {
        Job::Trees(plan) => Some(plan),
        Job::Alone(_) => None,
    }
}
