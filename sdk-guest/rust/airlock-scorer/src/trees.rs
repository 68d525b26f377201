//! Boosted trees and forests: the sum of one leaf a tree, in the order of the trees.

use crate::bytes::Bytes;
use crate::{Error, OUTPUTS_MAX, Objective, math};

const NODE_BYTES: usize = 24;
const HEAD_BYTES: usize = 16;

/// Where the parts of a body of trees lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trees<'a> {
    pub(crate) objective: Objective,
    pub(crate) outputs: usize,
    average: bool,
    count: usize,
    base_scores: Bytes<'a>,
    counts: Bytes<'a>,
    nodes: Bytes<'a>,
}

impl<'a> Trees<'a> {
    pub(crate) fn new(body: Bytes<'a>, features: usize) -> Result<Self, Error> {
        let objective = Objective::of(body.u32(0))?;
        let (outputs, trees) = (body.count(4), body.count(12));
        if outputs == 0 || outputs > OUTPUTS_MAX || trees % outputs != 0 || trees > body.len() / 4 {
            return Err(Error::Damaged);
        }
        let part = |at, length| body.part(at, length).ok_or(Error::Damaged);
        let base_scores = part(HEAD_BYTES, 4 * outputs)?;
        let counts = part(HEAD_BYTES + 4 * outputs, 4 * trees)?;
        let begin = HEAD_BYTES + 4 * outputs + 4 * trees;
        let nodes = part(begin, body.len() - begin)?;
        let found = Self {
            objective,
            outputs,
            average: body.u32(8) == 1,
            count: trees,
            base_scores,
            counts,
            nodes,
        };
        found.check(features)?;
        Ok(found)
    }

    /// Children lie behind their parents and within their tree, so that following them ends.
    fn check(&self, features: usize) -> Result<(), Error> {
        let mut rest = self.nodes.0;
        for tree in 0..self.count {
            let count = self.counts.count(4 * tree);
            let length = count.checked_mul(NODE_BYTES).ok_or(Error::Damaged)?;
            let (nodes, after) = rest.split_at_checked(length).ok_or(Error::Damaged)?;
            rest = after;
            let is_sound = |(place, node): (usize, &[u8])| {
                let (left, feature) = (Bytes(node).count(4), Bytes(node).count(0) >> 1);
                feature < features && (left == 0 || left > place && left < count - 1)
            };
            if count == 0 || !nodes.chunks_exact(NODE_BYTES).enumerate().all(is_sound) {
                return Err(Error::Damaged);
            }
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(Error::Damaged)
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "scores are f32")]
    pub(crate) fn score(&self, row: &[f32], out: &mut [f32]) {
        let mut room = [0.0; OUTPUTS_MAX];
        let Some(margins) = room.get_mut(..self.outputs) else {
            return;
        };
        self.add(row, margins);
        if self.average {
            let rounds = u32::try_from(self.count / self.outputs).unwrap_or(u32::MAX);
            for margin in &mut *margins {
                *margin /= f64::from(rounds.max(1));
            }
        } else {
            self.objective.link(margins);
        }
        for (score, margin) in out.iter_mut().zip(margins) {
            *score = *margin as f32;
        }
    }

    fn add(&self, row: &[f32], margins: &mut [f64]) {
        for (output, margin) in margins.iter_mut().enumerate() {
            let score = f64::from(self.base_scores.f32(4 * output));
            let is_probability = self.objective == Objective::BinaryLogistic && !self.average;
            *margin = if is_probability {
                math::log_odds(score)
            } else {
                score
            };
        }
        let (mut begin, mut output) = (0, 0);
        for tree in 0..self.count {
            if let Some(margin) = margins.get_mut(output) {
                *margin += f64::from(self.leaf(begin, row));
            }
            begin += NODE_BYTES * self.counts.count(4 * tree);
            output = if output + 1 == self.outputs {
                0
            } else {
                output + 1
            };
        }
    }

    /// The leaf of a row in the tree whose root lies at `begin`.
    fn leaf(&self, begin: usize, row: &[f32]) -> f32 {
        let mut at = begin;
        loop {
            let left = self.nodes.count(at + 4);
            if left == 0 {
                return self.nodes.f32(at + 12);
            }
            let packed = self.nodes.count(at);
            let x = row.get(packed >> 1).copied().unwrap_or(f32::NAN);
            let goes_left = if x.is_nan() {
                packed & 1 == 1
            } else {
                x < self.nodes.f32(at + 8)
            };
            at = begin + NODE_BYTES * (left + usize::from(!goes_left));
        }
    }
}
