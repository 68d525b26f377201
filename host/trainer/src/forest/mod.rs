//! Random forests: trees that are grown apart, each on its own draw of rows, several at once on several threads. Labels and weights
//! are integers, so their sums are exact and every draw is a counter-based hash: no number of threads can change a model.
//!
//! Sources: bootstrap, features drawn at each split and growth until a node is pure as in scikit-learn's forests (Breiman, 2001);
//! splits between bins as in LightGBM. Two classes and values share one criterion, because the Gini gain of two classes is twice the
//! variance gain of their labels 0 and 1.

mod cpu;
mod device;
mod draw;
mod grow;
mod plan;
mod split;
mod target;

pub(crate) use cpu::backend;
pub(crate) use device::backend_on_cards;
pub(crate) use plan::plan;
