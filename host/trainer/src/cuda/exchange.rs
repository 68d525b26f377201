//! One model over several cards, each with its own rows: what they must agree on is added up between the launches. The sums are of
//! integers, so the order of the cards cannot change the model. They go through the host: it works with any pair of cards.

use super::card::Card;
use super::gpu::{fetch, store};
use super::layout::{Gradient, Item, State, Sum};
use crate::error::TrainError;

/// Lists of all lanes, one list a card.
fn of_each<T>(
    cards: &[Card],
    read: impl Fn(&Card) -> Result<Vec<T>, TrainError>,
) -> Result<Vec<Vec<T>>, TrainError> {
    cards.iter().map(read).collect()
}

fn states(card: &Card) -> Result<Vec<State>, TrainError> {
    fetch(&*card.gpu, &card.arrays.states, 0, lanes(card))
}

fn items(card: &Card) -> Result<Vec<Item>, TrainError> {
    fetch(&*card.gpu, &card.arrays.items, 0, lanes(card) * slots(card))
}

fn lanes(card: &Card) -> usize {
    usize::try_from(card.shape.lanes).unwrap_or(usize::MAX)
}

fn slots(card: &Card) -> usize {
    usize::try_from(card.shape.slots).unwrap_or(usize::MAX)
}

/// The largest residual of all rows.
pub(crate) fn residuals(cards: &[Card]) -> Result<(), TrainError> {
    if cards.len() == 1 {
        return Ok(());
    }
    let mut all = of_each(cards, states)?;
    let lanes = all.first().map_or(0, Vec::len);
    for lane in 0..lanes {
        let largest = all
            .iter()
            .filter_map(|states| states.get(lane))
            .map(|state| state.largest)
            .max();
        for state in all.iter_mut().filter_map(|states| states.get_mut(lane)) {
            state.largest = largest.unwrap_or_default();
        }
    }
    write_states(cards, &all)
}

fn write_states(cards: &[Card], all: &[Vec<State>]) -> Result<(), TrainError> {
    for (card, states) in cards.iter().zip(all) {
        store(&*card.gpu, &card.arrays.states, 0, states)?;
    }
    Ok(())
}

/// The sum over all rows that a tree sees, and how many there are on other cards.
pub(crate) fn totals(cards: &[Card], sampled: &[bool]) -> Result<(), TrainError> {
    let Some(first) = cards.first().filter(|_| cards.len() > 1) else {
        return Ok(());
    };
    let mut all = of_each(cards, states)?;
    for (lane, sampled) in sampled.iter().enumerate() {
        let own = all.iter().filter_map(|states| states.get(lane));
        let (mut total, mut chosen) = (Sum::default(), 0);
        for state in own {
            total.g += state.total.g;
            total.h += state.total.h;
            chosen += state.chosen;
        }
        let nobody = *sampled && chosen == 0;
        if nobody {
            // The first row of all, which is on the first card, stands for the rest.
            let at = lane * first.rows.len();
            let gradient: Vec<Gradient> = fetch(&*first.gpu, &first.arrays.gradients, at, 1)?;
            let gradient = gradient.first().copied().unwrap_or_default();
            total = Sum {
                g: i64::from(gradient.g),
                h: i64::from(gradient.h),
            };
        }
        for (number, state) in all
            .iter_mut()
            .filter_map(|states| states.get_mut(lane))
            .enumerate()
        {
            state.total = total;
            state.elsewhere = if nobody {
                u32::from(number > 0)
            } else {
                chosen - state.chosen
            };
        }
    }
    write_states(cards, &all)
}

/// How many rows went to each side on all cards.
pub(crate) fn counts(cards: &[Card]) -> Result<(), TrainError> {
    if cards.len() == 1 {
        return Ok(());
    }
    let mut all = of_each(cards, items)?;
    let length = all.first().map_or(0, Vec::len);
    for place in 0..length {
        let own = all.iter().filter_map(|items| items.get(place));
        let (left, right) = own.fold((0_u32, 0_u32), |(left, right), item| {
            (
                left.wrapping_add(item.left_here),
                right.wrapping_add(item.right_here),
            )
        });
        for item in all.iter_mut().filter_map(|items| items.get_mut(place)) {
            item.left_rows = left;
            item.right_rows = right;
        }
    }
    for (card, items) in cards.iter().zip(&all) {
        store(&*card.gpu, &card.arrays.items, 0, items)?;
    }
    Ok(())
}

/// The histograms that were built, over all rows.
pub(crate) fn histograms(cards: &[Card]) -> Result<(), TrainError> {
    let Some(first) = cards.first().filter(|_| cards.len() > 1) else {
        return Ok(());
    };
    let (states, items) = (states(first)?, items(first)?);
    let length = usize::try_from(first.shape.histogram()).unwrap_or(usize::MAX);
    for (lane, state) in states.iter().enumerate() {
        let own = items
            .iter()
            .skip(lane * slots(first))
            .take(state.searched as usize);
        let fresh: Vec<u32> = if state.root != 0 {
            vec![0; state.searched as usize]
        } else {
            own.filter(|item| item.parts != 0)
                .map(|item| item.fresh_slot)
                .collect()
        };
        for slot in fresh {
            add_up(
                cards,
                (lane * slots(first) + slot as usize) * length,
                length,
            )?;
        }
    }
    Ok(())
}

fn add_up(cards: &[Card], at: usize, length: usize) -> Result<(), TrainError> {
    let mut total = vec![Sum::default(); length];
    for card in cards {
        let own: Vec<Sum> = fetch(&*card.gpu, &card.arrays.histograms, at, length)?;
        for (total, own) in total.iter_mut().zip(own) {
            total.g += own.g;
            total.h += own.h;
        }
    }
    for card in cards {
        store(&*card.gpu, &card.arrays.histograms, at, &total)?;
    }
    Ok(())
}
