//! One card with its share of the rows: its arrays, and the launches that grow a round of trees. Refuses to look at what it computes.

use super::gpu::{Gpu, Kernel, Launch, Memory, hold, store};
use super::lanes::{Batch, small};
use super::layout::{CANDIDATE_BYTES, Gradient, Head, Item, Job, Node, State, Sum};
use super::shape::{GROUP, Shape};
use crate::config::Objective;
use crate::data::Matrix;
use crate::error::TrainError;
use std::ops::Range;

/// Rows that a block parts, and threads of a block: as in `kernels/common.cuh`.
const PART_TILE: u64 = 2_048;
const THREADS: u64 = 256;
/// Blocks of each multiprocessor that a launch aims at: enough to hide the memory's delay, few enough to begin quickly.
const BLOCKS_EACH: u32 = 8;

/// The arrays that the host reads and writes; the others are only kept alive.
pub(crate) struct Arrays {
    pub(crate) states: Memory,
    pub(crate) active: Memory,
    pub(crate) margins: Memory,
    pub(crate) valid_margins: Memory,
    pub(crate) gradients: Memory,
    pub(crate) histograms: Memory,
    pub(crate) items: Memory,
    pub(crate) nodes: Memory,
    pub(crate) heads: Memory,
    /// Two lists of row numbers for each lane.
    pub(crate) rows: Memory,
    #[expect(dead_code, reason = "given back when the card is")]
    kept: Vec<Memory>,
}

/// One card.
pub(crate) struct Card {
    pub(crate) gpu: Box<dyn Gpu>,
    pub(crate) shape: Shape,
    pub(crate) arrays: Arrays,
    /// Its rows of the training matrix.
    pub(crate) rows: Range<usize>,
    job: Job,
    has_shares: bool,
    has_residuals: bool,
}

impl Card {
    /// Puts `rows` of `train` onto a card, and all rows of `valid` if there is one.
    ///
    /// # Errors
    /// [`TrainError::OutOfMemory`], before anything is allocated.
    pub(crate) fn new(
        gpu: Box<dyn Gpu>,
        batch: &Batch,
        train: &Matrix,
        valid: Option<&Matrix>,
        rows: Range<usize>,
        devices: usize,
    ) -> Result<Self, TrainError> {
        let shape = batch.shape(train, rows.len(), valid.map_or(0, Matrix::rows));
        let available = gpu.free_bytes()?;
        if shape.bytes() > available {
            return Err(TrainError::OutOfMemory {
                needed: shape.bytes(),
                available,
            });
        }
        let (arrays, job) = allocate(&*gpu, batch, &shape, train, valid, &rows)?;
        let job = Job {
            row_count: rows.len() as u64,
            row_offset: rows.start as u64,
            valid_count: shape.valid_rows,
            features: small(train.features()),
            group_count: narrow(shape.groups),
            slots: narrow(shape.slots),
            nodes_max: narrow(shape.nodes),
            ring: narrow(shape.ring),
            sum_blocks: lane_blocks(&*gpu, &shape, u64::MAX),
            lanes: narrow(shape.lanes),
            devices: small(devices),
            ..job
        };
        let card = Self {
            gpu,
            shape,
            arrays,
            rows,
            job,
            has_shares: batch.has(Objective::Softmax),
            has_residuals: batch.has(Objective::SquaredError),
        };
        let states = vec![State::default(); batch.settings.len()];
        store(&*card.gpu, &card.arrays.states, 0, &states)?;
        Ok(card)
    }

    /// State, features, and the largest residuals.
    pub(crate) fn launch_start(&self) -> Result<(), TrainError> {
        self.launch(Kernel::Advance, 1, 0)?;
        let words = self.shape.histogram().max(self.shape.features);
        self.launch(Kernel::Begin, self.blocks(words.div_ceil(THREADS)), 0)?;
        if self.has_shares {
            self.launch(Kernel::Shares, self.row_blocks(), 0)?;
        }
        if self.has_residuals {
            self.launch(Kernel::Residuals, self.row_blocks(), 0)?;
        }
        Ok(())
    }

    pub(crate) fn launch_gradients(&self) -> Result<(), TrainError> {
        self.launch(Kernel::Gradients, self.row_blocks(), 0)
    }

    /// The root, whose histogram is built next.
    pub(crate) fn launch_root(&self) -> Result<(), TrainError> {
        self.launch(Kernel::Root, 1, 0)
    }

    pub(crate) fn launch_partition(&self) -> Result<(), TrainError> {
        let tiles = self.shape.rows.div_ceil(PART_TILE) + self.shape.slots;
        self.launch(Kernel::Partition, self.blocks(tiles), 0)
    }

    /// The children, and their histograms.
    pub(crate) fn launch_children(&self) -> Result<(), TrainError> {
        self.launch(Kernel::Children, 1, 0)
    }

    pub(crate) fn launch_histogram(&self) -> Result<(), TrainError> {
        self.launch(Kernel::Histogram, self.job.sum_blocks, 0)
    }

    /// The best splits, and what follows from them.
    pub(crate) fn launch_plan(&self) -> Result<(), TrainError> {
        let warps = self.shape.slots * self.shape.features;
        let per_block = u64::from(Kernel::SplitSearch.threads() / 32);
        self.launch(
            Kernel::SplitSearch,
            self.blocks(warps.div_ceil(per_block)),
            0,
        )?;
        self.launch(Kernel::Plan, 1, 0)
    }

    /// Adds the tree that was grown, or the one at a place of the ring, to the margins.
    pub(crate) fn launch_update(&self, place: Option<u32>) -> Result<(), TrainError> {
        let tree = place.map_or(0, |place| 2 * (place + 1));
        self.launch(Kernel::Update, self.row_blocks(), tree)?;
        if self.shape.valid_rows > 0 {
            let blocks = self.blocks(self.shape.valid_rows.div_ceil(THREADS));
            self.launch(Kernel::Update, blocks, tree + 1)?;
        }
        Ok(())
    }

    fn launch(&self, kernel: Kernel, blocks: u32, step: u32) -> Result<(), TrainError> {
        let launch = Launch {
            kernel,
            blocks,
            lanes: self.job.lanes,
            step,
        };
        self.gpu.launch(launch, &self.job)
    }

    fn row_blocks(&self) -> u32 {
        self.blocks(self.shape.rows.div_ceil(THREADS))
    }

    /// Blocks of one lane where `work` would each have something to do.
    fn blocks(&self, work: u64) -> u32 {
        lane_blocks(&*self.gpu, &self.shape, work)
    }
}

fn lane_blocks(gpu: &dyn Gpu, shape: &Shape, work: u64) -> u32 {
    let card = u64::from(gpu.processors() * BLOCKS_EACH);
    narrow(card.div_ceil(shape.lanes.max(1)).min(work).max(1))
}

/// Counts that [`Shape`] bounds by rows and leaves.
pub(crate) fn narrow(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

pub(crate) fn space<T>(gpu: &dyn Gpu, count: u64) -> Result<Memory, TrainError> {
    let bytes = count.saturating_mul(size_of::<T>() as u64);
    if bytes == 0 {
        return Ok(Memory::none());
    }
    let available = u64::MAX;
    let bytes = usize::try_from(bytes).map_err(|_| TrainError::OutOfMemory {
        needed: bytes,
        available,
    })?;
    gpu.alloc(bytes)
}

/// Allocates all arrays and fills those that training only reads.
fn allocate(
    gpu: &dyn Gpu,
    batch: &Batch,
    shape: &Shape,
    train: &Matrix,
    valid: Option<&Matrix>,
    rows: &Range<usize>,
) -> Result<(Arrays, Job), TrainError> {
    let lanes = shape.lanes;
    let mut job = Job::default();
    let mut kept = matrices(gpu, &mut job, train, valid, rows)?;
    let mut keep = |place: &mut u64, memory: Memory| {
        *place = memory.address;
        kept.push(memory);
    };
    keep(&mut job.settings, hold(gpu, &batch.settings)?);
    keep(&mut job.class_weights, hold(gpu, &batch.class_weights)?);
    keep(&mut job.table, hold(gpu, &batch.table)?);
    let shares = shape.shares * shape.rows * 2;
    keep(&mut job.shares, space::<f64>(gpu, shares)?);
    let candidates = lanes * shape.slots * 2 * shape.features * CANDIDATE_BYTES;
    keep(&mut job.candidates, space::<u8>(gpu, candidates)?);
    let lists = lanes * (shape.slots + 1);
    keep(&mut job.part_first, space::<u32>(gpu, lists)?);
    keep(&mut job.sum_first, space::<u32>(gpu, lists)?);
    keep(&mut job.seen, space::<u8>(gpu, lanes * shape.features)?);
    let histograms = lanes * shape.slots * shape.histogram();
    let arrays = Arrays {
        states: space::<State>(gpu, lanes)?,
        active: space::<u32>(gpu, lanes)?,
        margins: space::<f64>(gpu, lanes * shape.rows)?,
        valid_margins: space::<f64>(gpu, lanes * shape.valid_rows)?,
        gradients: space::<Gradient>(gpu, lanes * shape.rows)?,
        histograms: space::<Sum>(gpu, histograms)?,
        items: space::<Item>(gpu, lanes * shape.slots)?,
        nodes: space::<Node>(gpu, lanes * shape.ring * shape.nodes)?,
        heads: space::<Head>(gpu, lanes * shape.ring)?,
        rows: space::<u32>(gpu, lanes * 2 * shape.rows)?,
        kept,
    };
    let job = Job {
        states: arrays.states.address,
        active: arrays.active.address,
        margins: arrays.margins.address,
        valid_margins: arrays.valid_margins.address,
        gradients: arrays.gradients.address,
        histograms: arrays.histograms.address,
        items: arrays.items.address,
        nodes: arrays.nodes.address,
        heads: arrays.heads.address,
        rows: arrays.rows.address,
        ..job
    };
    Ok((arrays, job))
}

/// Puts what is shared by all lanes onto the card.
fn matrices(
    gpu: &dyn Gpu,
    job: &mut Job,
    train: &Matrix,
    valid: Option<&Matrix>,
    rows: &Range<usize>,
) -> Result<Vec<Memory>, TrainError> {
    let cuts: Vec<u32> = (0..train.features())
        .map(|feature| small(train.cuts(feature).len()))
        .collect();
    let part = |values: Option<&[f32]>| {
        let own = values.and_then(|all| all.get(rows.clone()));
        hold(gpu, own.unwrap_or_default())
    };
    let mut kept = Vec::new();
    let mut keep = |place: &mut u64, memory: Memory| {
        *place = memory.address;
        kept.push(memory);
    };
    keep(&mut job.groups, groups(gpu, train, rows)?);
    keep(&mut job.columns, columns(gpu, train, rows)?);
    keep(&mut job.cuts, hold(gpu, &cuts)?);
    keep(&mut job.labels, part(train.label())?);
    keep(&mut job.weights, part(train.weight())?);
    if let Some(valid) = valid {
        keep(
            &mut job.valid_columns,
            columns(gpu, valid, &(0..valid.rows()))?,
        );
    }
    Ok(kept)
}

/// Bins by group and row, zeros after the last feature, for histograms.
fn groups(gpu: &dyn Gpu, data: &Matrix, rows: &Range<usize>) -> Result<Memory, TrainError> {
    let groups = data.features().div_ceil(GROUP);
    let memory = space::<u8>(gpu, (groups * rows.len() * GROUP) as u64)?;
    let mut records = vec![[0; GROUP]; rows.len()];
    for group in 0..groups {
        for place in 0..GROUP {
            let feature = group * GROUP + place;
            let column = if feature < data.features() {
                data.column(feature)
            } else {
                &[]
            };
            let bins = column
                .iter()
                .skip(rows.start)
                .copied()
                .chain(std::iter::repeat(0));
            let places = records
                .iter_mut()
                .filter_map(|record| record.get_mut(place));
            places.zip(bins).for_each(|(place, bin)| *place = bin);
        }
        gpu.upload(&memory, group * rows.len() * GROUP, records.as_flattened())?;
    }
    Ok(memory)
}

/// Bins by feature and row, for parting and for walking down trees.
pub(crate) fn columns(
    gpu: &dyn Gpu,
    data: &Matrix,
    rows: &Range<usize>,
) -> Result<Memory, TrainError> {
    let memory = space::<u8>(gpu, (data.features() * rows.len()) as u64)?;
    for feature in 0..data.features() {
        let bins = data.column(feature).get(rows.clone()).unwrap_or_default();
        gpu.upload(&memory, feature * rows.len(), bins)?;
    }
    Ok(memory)
}
