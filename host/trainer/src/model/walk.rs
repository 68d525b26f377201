//! Scoring with many trees at once: a compact copy of the nodes, blocks of rows that stay in the first cache, and several rows on
//! their way through a tree at the same time, so that none waits for another's memory. Refuses to change an order of addition: a
//! margin gets its leaves in the order of the trees, so its bits are those of the simple way.

use super::trees::Tree;
use crate::data::Matrix;

/// Rows that are copied together, value beside value.
const ROWS: usize = 64;
/// Rows on their way through a tree at the same time.
const LANES: usize = 8;
/// Trees under which copying rows costs more than it saves.
const TREES_MIN: usize = 4;
/// The deepest tree that is walked by counting steps; in a deeper one leaves lie at very different depths, so each round of steps
/// asks whether any row still moves.
const COUNTED_DEPTH: u32 = 10;

/// A node, so that a step is the same for splits and leaves: a leaf is its own left child, and every value goes left.
#[derive(Debug, Clone, Copy)]
struct Step {
    cut: f32,
    left: u32,
    /// Place among the used features, and below it whether a missing value goes left.
    feature: u32,
}

#[derive(Debug)]
struct Path {
    steps: Vec<Step>,
    values: Vec<f32>,
    depth: u32,
}

/// Trees ready to be walked.
pub(crate) struct Walk<'a> {
    trees: &'a [Tree],
    outputs: usize,
    /// Empty where the simple way is faster.
    paths: Vec<Path>,
    /// The features that any tree asks for.
    used: Vec<usize>,
}

impl<'a> Walk<'a> {
    /// Of whole rounds of trees: tree `n` belongs to output `n % outputs`.
    pub(crate) fn new(trees: &'a [Tree], outputs: usize) -> Self {
        let mut walk = Self {
            trees,
            outputs,
            paths: Vec::new(),
            used: Vec::new(),
        };
        if trees.len() < TREES_MIN {
            return walk;
        }
        let mut used: Vec<u32> = trees
            .iter()
            .flat_map(|tree| tree.nodes.iter().filter(|node| node.left != 0))
            .map(|node| node.feature)
            .collect();
        used.sort_unstable();
        used.dedup();
        walk.paths = trees.iter().map(|tree| path(tree, &used)).collect();
        walk.used = used.iter().map(|feature| *feature as usize).collect();
        walk
    }

    /// Adds the trees to the margins of rows `first` and following, which lie row by row.
    pub(crate) fn add(&self, data: &Matrix, first: usize, margins: &mut [f64]) {
        if self.paths.is_empty() {
            for (number, tree) in self.trees.iter().enumerate() {
                let output = number % self.outputs;
                tree.add_to(data, first, margins, output, self.outputs);
            }
            return;
        }
        let mut rows = vec![0.0; ROWS * self.used.len().max(1)];
        for (block, margins) in margins.chunks_mut(ROWS * self.outputs).enumerate() {
            self.copy(
                data,
                first + block * ROWS,
                margins.len() / self.outputs,
                &mut rows,
            );
            for (number, path) in self.paths.iter().enumerate() {
                self.add_path(path, &rows, number % self.outputs, margins);
            }
        }
    }

    /// Fills `rows` with the used features of `count` rows from `first`; what lies behind them stays and is not looked at.
    fn copy(&self, data: &Matrix, first: usize, count: usize, rows: &mut [f32]) {
        let width = self.used.len().max(1);
        for (place, feature) in self.used.iter().enumerate() {
            let values = &data.raw(*feature)[first..first + count];
            for (cell, x) in rows.iter_mut().skip(place).step_by(width).zip(values) {
                *cell = *x;
            }
        }
    }

    fn add_path(&self, path: &Path, rows: &[f32], output: usize, margins: &mut [f64]) {
        let width = self.used.len().max(1);
        let lanes = rows.chunks_exact(LANES * width);
        for (rows, margins) in lanes.zip(margins.chunks_mut(LANES * self.outputs)) {
            let leaves = path.leaves(rows, width);
            let own = margins.iter_mut().skip(output).step_by(self.outputs);
            for (margin, leaf) in own.zip(leaves) {
                *margin += f64::from(path.values[leaf as usize]);
            }
        }
    }
}

impl Path {
    /// The leaves of [`LANES`] rows.
    fn leaves(&self, rows: &[f32], width: usize) -> [u32; LANES] {
        let mut at = [0; LANES];
        if self.depth <= COUNTED_DEPTH {
            for _ in 0..self.depth {
                self.step(rows, width, &mut at);
            }
            return at;
        }
        loop {
            let before = at;
            self.step(rows, width, &mut at);
            if at == before {
                return at;
            }
        }
    }

    #[inline]
    fn step(&self, rows: &[f32], width: usize, at: &mut [u32; LANES]) {
        for (at, row) in at.iter_mut().zip(rows.chunks_exact(width)) {
            let step = self.steps[*at as usize];
            let x = row[(step.feature >> 1) as usize];
            let default_left = step.feature & 1 == 1;
            let goes_left = (x < step.cut) | (x.is_nan() & default_left);
            *at = step.left + u32::from(!goes_left);
        }
    }
}

fn path(tree: &Tree, used: &[u32]) -> Path {
    let mut depths = vec![0; tree.nodes.len()];
    let mut deepest = 0;
    let mut steps = Vec::with_capacity(tree.nodes.len());
    for (place, node) in tree.nodes.iter().enumerate() {
        if node.left == 0 {
            let left = u32::try_from(place).unwrap_or(0);
            steps.push(Step {
                cut: f32::INFINITY,
                left,
                feature: 1,
            });
            continue;
        }
        let depth = depths[place] + 1;
        deepest = deepest.max(depth);
        for child in [node.left as usize, node.left as usize + 1] {
            depths[child] = depth;
        }
        let feature = used.binary_search(&node.feature).unwrap_or(0);
        steps.push(Step {
            cut: node.threshold,
            left: node.left,
            feature: u32::try_from(feature).unwrap_or(0) << 1 | u32::from(node.default_left),
        });
    }
    Path {
        steps,
        values: tree.nodes.iter().map(|node| node.value).collect(),
        depth: deepest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::MatrixInput;
    use crate::math::hash3;
    use crate::model::Node;
    use proptest::prelude::*;

    const FEATURES: u64 = 5;

    fn number(seed: u64, stream: u64, index: u64) -> f32 {
        match hash3(seed, stream, index) % 20 {
            0 => f32::NAN,
            other => f32::from(u8::try_from(other).unwrap()) - 10.0,
        }
    }

    /// A tree of `splits` splits: bushy, or a chain that is as deep as it has splits.
    fn tree(seed: u64, splits: u32, is_chain: bool) -> Tree {
        let leaf = |place: u64| Node {
            feature: 0,
            threshold: 0.0,
            default_left: false,
            left: 0,
            value: (hash3(seed, 1, place) % 1_000) as f32 / 7.0,
            gain: 0.0,
            cover: 0.0,
        };
        let mut nodes = vec![leaf(0)];
        for split in 0..splits {
            let place = if is_chain {
                nodes.len() - 1
            } else {
                split as usize
            };
            let hash = hash3(seed, 2, u64::from(split));
            let left = u32::try_from(nodes.len()).unwrap();
            nodes[place] = Node {
                feature: u32::try_from(hash % FEATURES).unwrap(),
                threshold: number(seed, 3, u64::from(split)).max(-9.5),
                default_left: hash & 1024 == 0,
                left,
                ..nodes[place]
            };
            nodes.push(leaf(u64::from(left)));
            nodes.push(leaf(u64::from(left) + 1));
        }
        Tree { nodes }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

        #[test]
        fn the_walk_gives_the_bits_of_the_simple_way(
            seed in any::<u64>(), rows in 1_usize..300, rounds in 1_usize..5, outputs in 1_usize..4, splits in 0_u32..40, first in 0_usize..50
        ) {
            let column = |feature| (0..(rows + first) as u64).map(|row| number(seed, 10 + feature, row)).collect();
            let columns = (0..FEATURES).map(|feature| (format!("f{feature}"), column(feature))).collect();
            let input = MatrixInput { columns, max_bins: 8, ..MatrixInput::default() };
            let data = Matrix::build(input).unwrap();
            let trees: Vec<Tree> = (0..rounds * outputs).map(|n| tree(seed ^ n as u64, splits, n % 2 == 0)).collect();
            let mut simple = vec![0.1; rows * outputs];
            let mut walked = simple.clone();
            for (number, tree) in trees.iter().enumerate() {
                tree.add_to(&data, first, &mut simple, number % outputs, outputs);
            }
            Walk::new(&trees, outputs).add(&data, first, &mut walked);
            prop_assert_eq!(simple, walked);
        }
    }
}
