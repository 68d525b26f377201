//! Rounds on cards: all variants of a batch in one sequence of launches, without a word from the host inside a tree. Several cards
//! share the rows of every variant; one variant a card is a backend for each.

use super::card::Card;
use super::driver::Driver;
use super::exchange;
use super::gpu::{Gpu, fetch, store};
use super::lanes::{Batch, Lanes};
use super::layout::{Head, Node, State};
use super::tree;
use crate::config::Algorithm;
use crate::data::Matrix;
use crate::device;
use crate::error::TrainError;
use crate::forest;
use crate::job::TreePlan;
use crate::model::{Ensemble, Tree};
use crate::rounds::{Backend, Part, Spent, Turn};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Plans of a tree between two looks at whether all trees are grown already.
const STEPS_BETWEEN_LOOKS: u32 = 32;

/// Bytes of trees that are copied from a card at once, whether or not they are all wanted.
const COPY_MAX: usize = 8 << 20;

/// How far a variant is.
#[derive(Default)]
struct Progress {
    /// Rounds in the margins on the cards.
    rounds: usize,
    /// Trees that were handed out.
    given: Vec<Tree>,
    /// Rounds that are grown and not handed out yet.
    ahead: VecDeque<Vec<Tree>>,
}

/// Trains a batch of variants over one training matrix.
pub(crate) struct Cuda {
    cards: Vec<Card>,
    batch: Batch,
    train: Arc<Matrix>,
    /// A validation matrix whose margins are kept here: its bins are not those of the training matrix.
    valid: Option<Arc<Matrix>>,
    valid_margins: Vec<Vec<f64>>,
    progress: Vec<Progress>,
    active: Vec<u32>,
    busy: Duration,
}

/// Opens one card for a share of its memory.
pub(super) fn open_card(card: &device::Card, share: f32) -> Result<Box<dyn Gpu>, TrainError> {
    #[cfg(any(test, feature = "emulated-gpu"))]
    if let Some(gpu) = super::made_up::open(card) {
        return gpu;
    }
    Ok(Box::new(Driver::open(card, share)?))
}

/// Opens the cards, each for a share of its memory, and puts a batch onto them.
///
/// # Errors
/// [`TrainError::OutOfMemory`], [`TrainError::NoDevice`] and [`TrainError::DeviceFault`].
pub(crate) fn open(
    cards: &[device::Card],
    share: f32,
    plans: &[&TreePlan],
) -> Result<Box<dyn Backend>, TrainError> {
    let mut gpus = Vec::with_capacity(cards.len());
    for card in cards {
        gpus.push(open_card(card, share)?);
    }
    if let [plan] = plans
        && let Algorithm::RandomForest(settings) = &plan.config.algorithm
    {
        return forest::backend_on_cards(plan, settings, gpus);
    }
    Ok(Box::new(Cuda::new(gpus, plans)?))
}

impl Cuda {
    /// Puts the matrices onto the cards, at the base margins.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] for what does not train on a GPU, [`TrainError::OutOfMemory`], [`TrainError::DeviceFault`].
    pub(crate) fn new(gpus: Vec<Box<dyn Gpu>>, plans: &[&TreePlan]) -> Result<Self, TrainError> {
        let Some(first) = plans.first().filter(|_| !gpus.is_empty()) else {
            return Err(TrainError::Invalid(
                "a training on GPUs needs a GPU and settings".to_owned(),
            ));
        };
        let (train, valid) = (Arc::clone(&first.train), first.valid.clone());
        let batch = Batch::new(plans, &train)?;
        let on_card = valid.as_deref().filter(|valid| has_bins_of(valid, &train));
        let devices = gpus.len().min(train.rows());
        let mut cards = Vec::with_capacity(devices);
        for (number, gpu) in gpus.into_iter().take(devices).enumerate() {
            let bound = |number: usize| number * train.rows() / devices;
            let rows = bound(number)..bound(number + 1);
            let valid = on_card.filter(|_| number == 0);
            cards.push(Card::new(gpu, &batch, &train, valid, rows, devices)?);
        }
        let is_on_card = on_card.is_some();
        let mut backend = Self {
            valid_margins: vec![Vec::new(); plans.len()],
            progress: plans.iter().map(|_| Progress::default()).collect(),
            active: vec![0; batch.settings.len()],
            valid: valid.filter(|_| !is_on_card),
            cards,
            batch,
            train,
            busy: Duration::ZERO,
        };
        for variant in 0..plans.len() {
            backend.rewind(variant)?;
        }
        Ok(backend)
    }

    fn lanes(&self, variant: usize) -> Result<&Lanes, TrainError> {
        self.batch
            .variants
            .get(variant)
            .ok_or_else(|| no_variant(variant))
    }

    /// Makes the margins of a variant those before its first round.
    fn rewind(&mut self, variant: usize) -> Result<(), TrainError> {
        let lanes = self.lanes(variant)?;
        for (lane, base) in (lanes.first..).zip(&lanes.base) {
            for card in &self.cards {
                let (rows, valid_rows) = (card.rows.len(), valid_rows(card));
                store(
                    &*card.gpu,
                    &card.arrays.margins,
                    lane * rows,
                    &vec![*base; rows],
                )?;
                store(
                    &*card.gpu,
                    &card.arrays.valid_margins,
                    lane * valid_rows,
                    &vec![*base; valid_rows],
                )?;
            }
        }
        let own = lanes.base.clone();
        let here = self.valid.as_ref().map_or(0, |valid| valid.rows());
        if let Some(margins) = self.valid_margins.get_mut(variant) {
            *margins = own.repeat(here);
        }
        self.set_rounds(variant, 0)
    }

    /// Says how many rounds a variant has: the next one is grown with this number.
    fn set_rounds(&mut self, variant: usize, rounds: usize) -> Result<(), TrainError> {
        let lanes = self.lanes(variant)?;
        // The launch that begins a round adds one.
        let state = State {
            round: (rounds as u64).wrapping_sub(1),
            ..State::default()
        };
        for card in &self.cards {
            let states = vec![state; lanes.outputs];
            store(&*card.gpu, &card.arrays.states, lanes.first, &states)?;
        }
        self.progress(variant)?.rounds = rounds;
        Ok(())
    }

    fn progress(&mut self, variant: usize) -> Result<&mut Progress, TrainError> {
        self.progress
            .get_mut(variant)
            .ok_or_else(|| no_variant(variant))
    }

    /// Lets the lanes of these variants take part, and no others.
    fn activate(&mut self, variants: impl Iterator<Item = usize>) -> Result<(), TrainError> {
        let mut active = vec![0; self.batch.settings.len()];
        for variant in variants {
            let lanes = self.lanes(variant)?;
            if let Some(own) = active.get_mut(lanes.first..lanes.first + lanes.outputs) {
                own.fill(1);
            }
        }
        if active != self.active {
            for card in &self.cards {
                store(&*card.gpu, &card.arrays.active, 0, &active)?;
            }
            self.active = active;
        }
        Ok(())
    }

    fn each(&self, launch: impl Fn(&Card) -> Result<(), TrainError>) -> Result<(), TrainError> {
        self.cards.iter().try_for_each(launch)
    }

    /// Launches a round of all active lanes.
    fn launch_round(&self, steps: u32) -> Result<(), TrainError> {
        let sampled: Vec<bool> = self
            .batch
            .settings
            .iter()
            .map(|lane| lane.sampled != 0)
            .collect();
        self.each(Card::launch_start)?;
        exchange::residuals(&self.cards)?;
        self.each(Card::launch_gradients)?;
        exchange::totals(&self.cards, &sampled)?;
        self.each(Card::launch_root)?;
        for step in 0..steps {
            if step > 0 {
                self.each(Card::launch_partition)?;
                exchange::counts(&self.cards)?;
                self.each(Card::launch_children)?;
            }
            self.each(Card::launch_histogram)?;
            exchange::histograms(&self.cards)?;
            self.each(Card::launch_plan)?;
            let looks = (step + 1).is_multiple_of(STEPS_BETWEEN_LOOKS);
            if looks && step + 1 < steps && self.all_grown()? {
                break;
            }
        }
        self.each(|card| card.launch_update(None))
    }

    fn all_grown(&self) -> Result<bool, TrainError> {
        let Some(card) = self.cards.first() else {
            return Ok(true);
        };
        let states: Vec<State> = fetch(&*card.gpu, &card.arrays.states, 0, self.active.len())?;
        Ok(states.iter().all(|state| state.done != 0))
    }

    /// The rounds that were launched, from the first card: all cards grew the same.
    fn read_rounds(&mut self, turns: &[Turn], rounds: usize) -> Result<(), TrainError> {
        let Some(card) = self.cards.first() else {
            return Ok(());
        };
        let (ring, nodes_max) = (wide(card.shape.ring), wide(card.shape.nodes));
        let places = self.active.len() * ring;
        let heads: Vec<Head> = fetch(&*card.gpu, &card.arrays.heads, 0, places)?;
        // One copy of everything is quicker than many small ones.
        let at_once = places * nodes_max * size_of::<Node>() <= COPY_MAX;
        let all: Vec<Node> = if at_once {
            fetch(&*card.gpu, &card.arrays.nodes, 0, places * nodes_max)?
        } else {
            Vec::new()
        };
        let read = |lanes: &Lanes, lane: usize, round: usize| {
            let place = lane * ring + round % ring;
            let head = heads.get(place).copied().unwrap_or_default();
            let (from, count) = (place * nodes_max, (head.nodes as usize).min(nodes_max));
            if at_once {
                let nodes = all.get(from..from + count).unwrap_or_default();
                return tree::read(nodes, head, lanes, &self.train);
            }
            let nodes: Vec<Node> = fetch(&*card.gpu, &card.arrays.nodes, from, count)?;
            tree::read(&nodes, head, lanes, &self.train)
        };
        let mut grown = Vec::with_capacity(turns.len());
        for turn in turns {
            let lanes = self.lanes(turn.variant)?;
            for round in turn.round..turn.round + rounds {
                let own = lanes.first..lanes.first + lanes.outputs;
                let trees: Result<Vec<Tree>, _> =
                    own.map(|lane| read(lanes, lane, round)).collect();
                grown.push((turn.variant, trees?));
            }
        }
        for (variant, trees) in grown {
            let progress = self.progress(variant)?;
            progress.ahead.push_back(trees);
            progress.rounds += 1;
        }
        Ok(())
    }

    /// Grows rounds of these variants, as many as nobody looks into before all of them are there.
    fn grow_ahead(&mut self, turns: &[Turn]) -> Result<(), TrainError> {
        let mut steps = 0;
        let mut rounds = self.cards.first().map_or(1, |card| wide(card.shape.ring));
        for turn in turns {
            let lanes = self.lanes(turn.variant)?;
            steps = steps.max(lanes.steps);
            rounds = rounds.min(lanes.rounds_ahead(turn.round));
            if self.progress(turn.variant)?.rounds != turn.round {
                self.set_rounds(turn.variant, turn.round)?;
            }
        }
        self.activate(turns.iter().map(|turn| turn.variant))?;
        for _ in 0..rounds {
            self.launch_round(steps)?;
        }
        self.read_rounds(turns, rounds)
    }

    /// Adds trees to the margins that are kept here.
    fn follow(&mut self, variant: usize, trees: &[Tree]) -> Result<(), TrainError> {
        let outputs = self.lanes(variant)?.outputs;
        if let (Some(valid), Some(margins)) = (&self.valid, self.valid_margins.get_mut(variant)) {
            for (number, tree) in trees.iter().enumerate() {
                tree.add_to(valid, 0, margins, number % outputs, outputs);
            }
        }
        Ok(())
    }

    /// Makes everything of a variant as it is after these trees.
    fn restart_from(&mut self, variant: usize, trees: Vec<Tree>) -> Result<(), TrainError> {
        let rounds = trees.len() / self.lanes(variant)?.outputs;
        self.rewind(variant)?;
        self.activate(std::iter::once(variant))?;
        self.replay(variant, &trees)?;
        self.set_rounds(variant, rounds)?;
        let progress = self.progress(variant)?;
        progress.ahead.clear();
        progress.given = trees;
        Ok(())
    }

    /// Walks the rows of a variant down trees that were grown before.
    fn replay(&mut self, variant: usize, trees: &[Tree]) -> Result<(), TrainError> {
        let (first, outputs) = (self.lanes(variant)?.first, self.lanes(variant)?.outputs);
        for round in trees.chunks(outputs) {
            for (lane, tree) in (first..).zip(round) {
                let nodes = tree::write(tree, &self.train)?;
                for card in &self.cards {
                    let nodes_max = wide(card.shape.nodes);
                    if nodes.len() > nodes_max {
                        return Err(TrainError::Invalid(
                            "a tree of the checkpoint is larger than these settings can grow"
                                .to_owned(),
                        ));
                    }
                    let first = lane * wide(card.shape.ring) * nodes_max;
                    store(&*card.gpu, &card.arrays.nodes, first, &nodes)?;
                }
            }
            self.each(|card| card.launch_update(Some(0)))?;
        }
        self.follow(variant, trees)
    }

    fn timed<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, TrainError>,
    ) -> Result<T, TrainError> {
        let begun = Instant::now();
        let done = work(self)?;
        self.each(|card| card.gpu.synchronise())?;
        self.busy += begun.elapsed();
        Ok(done)
    }

    fn device_margins(&self, variant: usize, part: Part) -> Result<Vec<f64>, TrainError> {
        let lanes = self.lanes(variant)?;
        let mut by_output = vec![Vec::new(); lanes.outputs];
        for card in &self.cards {
            let (memory, rows) = match part {
                Part::Train => (&card.arrays.margins, card.rows.len()),
                Part::Valid => (&card.arrays.valid_margins, valid_rows(card)),
            };
            for (lane, margins) in (lanes.first..).zip(&mut by_output) {
                margins.extend(fetch::<f64>(&*card.gpu, memory, lane * rows, rows)?);
            }
        }
        if let [margins] = &mut by_output[..] {
            return Ok(std::mem::take(margins));
        }
        let rows = by_output.first().map_or(0, Vec::len);
        let mut margins = vec![0.0; rows * lanes.outputs];
        for (output, own) in by_output.iter().enumerate() {
            let places = margins.iter_mut().skip(output).step_by(lanes.outputs);
            places.zip(own).for_each(|(place, margin)| *place = *margin);
        }
        Ok(margins)
    }
}

impl Backend for Cuda {
    fn restart(&mut self, variant: usize, ensemble: &Ensemble) -> Result<(), TrainError> {
        self.timed(|own| own.restart_from(variant, ensemble.trees.clone()))
    }

    fn grow(&mut self, turns: &[Turn]) -> Result<Vec<Vec<Tree>>, TrainError> {
        self.timed(|own| {
            let mut missing = turns.to_vec();
            missing.retain(|turn| {
                own.progress(turn.variant)
                    .is_ok_and(|progress| progress.ahead.is_empty())
            });
            if !missing.is_empty() {
                own.grow_ahead(&missing)?;
            }
            let mut grown = Vec::with_capacity(turns.len());
            for turn in turns {
                let progress = own.progress(turn.variant)?;
                let trees = progress.ahead.pop_front().unwrap_or_default();
                progress.given.extend(trees.iter().cloned());
                own.follow(turn.variant, &trees)?;
                grown.push(trees);
            }
            Ok(grown)
        })
    }

    fn margins(&mut self, variant: usize, part: Part) -> Result<Cow<'_, [f64]>, TrainError> {
        if part == Part::Valid && self.valid.is_some() {
            let margins = self.valid_margins.get(variant).map(Vec::as_slice);
            return Ok(Cow::Borrowed(margins.unwrap_or_default()));
        }
        if !self.progress(variant)?.ahead.is_empty() {
            // The run was stopped before it took what is grown: the margins are those of what it took.
            let given = std::mem::take(&mut self.progress(variant)?.given);
            self.timed(|own| own.restart_from(variant, given))?;
        }
        self.device_margins(variant, part).map(Cow::Owned)
    }

    fn finish(self: Box<Self>) -> Spent {
        Spent {
            cpu_ms: 0,
            device_ms: u64::try_from(self.busy.as_millis()).unwrap_or(u64::MAX),
            peak_device: self.cards.iter().map(|card| card.shape.bytes()).sum(),
        }
    }
}

fn no_variant(variant: usize) -> TrainError {
    TrainError::WorkerLost(format!("there is no variant {variant}; please report this"))
}

fn valid_rows(card: &Card) -> usize {
    wide(card.shape.valid_rows)
}

/// A count of what lies in memory.
fn wide(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn has_bins_of(data: &Matrix, train: &Matrix) -> bool {
    data.features() == train.features()
        && (0..train.features()).all(|feature| data.cuts(feature) == train.cuts(feature))
}
