//! A node that was split, and its children before anyone has looked at them. Owns the rule that only the smaller child is counted.

use super::gradient::Sum;
use super::histogram::Histogram;
use std::ops::Range;

/// A node whose fate is not known yet.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) node: usize,
    pub(super) depth: u8,
    pub(super) rows: Range<usize>,
    pub(super) total: Sum,
}

/// A node with its histogram, if it needs one.
pub(super) struct Counted(pub(super) Candidate, pub(super) Option<Histogram>);

/// Two children and what is left of their parent.
pub(super) struct Family {
    pub(super) parent: Option<Histogram>,
    pub(super) children: [Candidate; 2],
    /// Whether any of the children may be split.
    pub(super) splits: bool,
}

impl Family {
    fn left_is_smaller(&self) -> bool {
        let [left, right] = &self.children;
        left.rows.len() <= right.rows.len()
    }

    /// The children to count: the smaller one, even one of a single row, because its sibling needs what is left; both where the parent
    /// kept no histogram.
    pub(super) fn wanted(&self) -> &[Candidate] {
        match (&self.parent, self.splits) {
            (_, false) => &[],
            (None, true) => &self.children,
            (Some(_), true) if self.left_is_smaller() => &self.children[..1],
            (Some(_), true) => &self.children[1..],
        }
    }

    /// Gives each child its histogram, from those that [`Family::wanted`] asked for: what is left of the parent is the larger child's.
    pub(super) fn share(self, counted: Vec<Histogram>) -> [Counted; 2] {
        let left_is_counted = self.parent.is_none() || self.left_is_smaller();
        let mut counted = counted.into_iter();
        let (one, other) = (counted.next(), counted.next());
        let other = match (self.parent, &one) {
            (Some(mut parent), Some(one)) => {
                parent.subtract(one);
                Some(parent)
            }
            _ => other,
        };
        let [left, right] = self.children;
        if left_is_counted {
            [Counted(left, one), Counted(right, other)]
        } else {
            [Counted(left, other), Counted(right, one)]
        }
    }
}
