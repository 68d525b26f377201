//! The trees of a random forest on a card, many at a time. What they are grown by comes from [`crate::forest`], which also turns
//! what grew into trees: this room knows integers only.

use super::card::{columns, narrow, space};
use super::gpu::{Gpu, Kernel, Launch, Memory, fetch, hold, store};
use super::lanes::small;
use super::layout::{Forest, ForestNode, ForestRow, ForestState, Job};
use crate::data::Matrix;
use crate::error::TrainError;

const THREADS: u64 = 256;
/// Blocks of each multiprocessor that the sums of a node leave room for.
const BLOCKS_EACH: u64 = 5;
/// Levels between two looks at whether all trees are grown.
const LEVELS_BETWEEN_LOOKS: u32 = 4;
/// Most trees of one launch: more would only hold memory.
const TREES_MAX: u64 = 1_024;

/// What the trees of a forest grow by.
pub(crate) struct Grounds<'a> {
    pub(crate) data: &'a Matrix,
    pub(crate) labels: Vec<ForestRow>,
    pub(crate) seed: u64,
    /// Sums of a bin.
    pub(crate) width: usize,
    /// 0 for values and two classes.
    pub(crate) classes: usize,
    /// Features to try at a split.
    pub(crate) tried: usize,
    pub(crate) min_leaf: u32,
    pub(crate) depth_limit: u8,
    pub(crate) bootstrap: bool,
}

/// One tree as it grew: nodes in any order, children behind their parents; and the sums of each.
pub(crate) struct Grown {
    pub(crate) nodes: Vec<ForestNode>,
    pub(crate) sums: Vec<i64>,
}

/// A card that holds a forest's data.
pub(crate) struct ForestCard {
    gpu: Box<dyn Gpu>,
    forest: Forest,
    job: Job,
    /// Trees at a time.
    trees: u64,
    bytes: u64,
    settings: Memory,
    states: Memory,
    nodes: Memory,
    sums: Memory,
    #[expect(dead_code, reason = "given back when the card is")]
    kept: Vec<Memory>,
}

impl ForestCard {
    /// Puts the data of a forest onto a card, with room for at most `trees` trees at a time.
    ///
    /// # Errors
    /// [`TrainError::OutOfMemory`] where not even one tree fits, before anything is allocated.
    pub(crate) fn new(
        gpu: Box<dyn Gpu>,
        grounds: &Grounds<'_>,
        trees: usize,
    ) -> Result<Self, TrainError> {
        let (rows, features) = (grounds.data.rows() as u64, grounds.data.features() as u64);
        let nodes_max = nodes_max(grounds, rows);
        let shared = rows * (features + size_of::<ForestRow>() as u64) + 4 * features + 1024;
        let blocks = |trees: u64| {
            let card = u64::from(gpu.processors()) * BLOCKS_EACH;
            card.div_ceil(trees.max(1)).min(nodes_max)
        };
        // With fewer trees each has more blocks: the bound of one is that of all.
        let order = 8 * features * (u64::from(gpu.processors()) * BLOCKS_EACH + 1);
        let sums = 8 * grounds.width as u64;
        let tree =
            rows * 12 + nodes_max * (size_of::<ForestNode>() as u64 + sums) + 16 + 8 * features;
        let available = gpu.free_bytes()?;
        let fitting = available.saturating_sub(shared + order) / tree;
        if fitting == 0 {
            return Err(TrainError::OutOfMemory {
                needed: shared + order + tree,
                available,
            });
        }
        let trees = fitting.min(trees as u64).clamp(1, TREES_MAX);
        let blocks = blocks(trees);
        let forest = Forest {
            seed: grounds.seed,
            width: small(grounds.width),
            classes: small(grounds.classes),
            tried: small(grounds.tried),
            min_leaf: grounds.min_leaf,
            depth_limit: u32::from(grounds.depth_limit),
            bootstrap: u32::from(grounds.bootstrap),
            nodes_max: narrow(nodes_max),
            blocks: narrow(blocks),
            ..Forest::default()
        };
        Self::allocate(gpu, grounds, forest, trees, shared + order + trees * tree)
    }

    fn allocate(
        gpu: Box<dyn Gpu>,
        grounds: &Grounds<'_>,
        forest: Forest,
        trees: u64,
        bytes: u64,
    ) -> Result<Self, TrainError> {
        let data = grounds.data;
        let (rows, nodes) = (data.rows() as u64, trees * u64::from(forest.nodes_max));
        let cuts: Vec<u32> = (0..data.features())
            .map(|feature| small(data.cuts(feature).len()))
            .collect();
        let columns = columns(&*gpu, data, &(0..data.rows()))?;
        let cuts = hold(&*gpu, &cuts)?;
        let labels = hold(&*gpu, &grounds.labels)?;
        let times = space::<u32>(&*gpu, trees * rows)?;
        let lists = space::<u32>(&*gpu, trees * 2 * rows)?;
        let order = space::<u32>(
            &*gpu,
            trees * u64::from(forest.blocks) * 2 * data.features() as u64,
        )?;
        let states = space::<ForestState>(&*gpu, trees)?;
        let node_list = space::<ForestNode>(&*gpu, nodes)?;
        let sums = space::<i64>(&*gpu, nodes * u64::from(forest.width))?;
        let settings = space::<Forest>(&*gpu, 1)?;
        let forest = Forest {
            labels: labels.address,
            times: times.address,
            rows: lists.address,
            states: states.address,
            nodes: node_list.address,
            sums: sums.address,
            order: order.address,
            ..forest
        };
        let job = Job {
            columns: columns.address,
            cuts: cuts.address,
            forest: settings.address,
            row_count: rows,
            features: small(data.features()),
            ..Job::default()
        };
        Ok(Self {
            gpu,
            forest,
            job,
            trees,
            bytes,
            settings,
            states,
            nodes: node_list,
            sums,
            kept: vec![columns, cuts, labels, times, lists, order],
        })
    }

    /// Trees that grow at a time.
    pub(crate) fn trees(&self) -> usize {
        usize::try_from(self.trees).unwrap_or(usize::MAX)
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Grows `trees` trees from the one of this number, at most as many as fit at a time.
    ///
    /// # Errors
    /// [`TrainError::DeviceFault`].
    pub(crate) fn grow(&self, first: u64, trees: usize) -> Result<Vec<Grown>, TrainError> {
        let trees = trees.min(self.trees());
        let forest = Forest {
            first_tree: first,
            ..self.forest
        };
        store(&*self.gpu, &self.settings, 0, &[forest])?;
        let lanes = small(trees);
        let launch = |kernel, blocks, step| {
            let launch = Launch {
                kernel,
                blocks,
                lanes,
                step,
            };
            self.gpu.launch(launch, &self.job)
        };
        let own = forest.blocks;
        let rows = narrow(self.job.row_count.div_ceil(THREADS)).clamp(own, own.max(64));
        launch(Kernel::ForestBegin, rows, 0)?;
        launch(Kernel::ForestDraw, rows, 0)?;
        launch(Kernel::ForestRows, rows, 0)?;
        launch(Kernel::ForestNext, 1, 0)?;
        let mut depth = 0;
        loop {
            launch(Kernel::ForestLevel, own, depth)?;
            launch(Kernel::ForestNext, 1, 1)?;
            depth += 1;
            if depth.is_multiple_of(LEVELS_BETWEEN_LOOKS) {
                let states: Vec<ForestState> = fetch(&*self.gpu, &self.states, 0, trees)?;
                if states
                    .iter()
                    .all(|state| state.level_begin == state.level_end)
                {
                    return states
                        .iter()
                        .enumerate()
                        .map(|(tree, state)| self.read(tree, state))
                        .collect();
                }
            }
        }
    }

    fn read(&self, tree: usize, state: &ForestState) -> Result<Grown, TrainError> {
        let nodes_max = self.forest.nodes_max as usize;
        let count = (state.nodes as usize).min(nodes_max);
        let width = self.forest.width as usize;
        Ok(Grown {
            nodes: fetch(&*self.gpu, &self.nodes, tree * nodes_max, count)?,
            sums: fetch(
                &*self.gpu,
                &self.sums,
                tree * nodes_max * width,
                count * width,
            )?,
        })
    }
}

/// Most nodes of a tree: a leaf holds a row and `min_leaf` draws at least.
fn nodes_max(grounds: &Grounds<'_>, rows: u64) -> u64 {
    let by_depth = 1_u64
        .checked_shl(u32::from(grounds.depth_limit))
        .unwrap_or(u64::MAX);
    let leaves = by_depth
        .min(rows / u64::from(grounds.min_leaf.max(1)))
        .max(1);
    2 * leaves - 1
}
