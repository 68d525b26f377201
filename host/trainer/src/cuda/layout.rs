//! The device's memory as the kernels see it: the structs of `kernels/common.cuh`, field for field. Owns nothing else; a test
//! compares the sizes with those that the C++ compiler finds.

/// A type without padding, of which every bit pattern is a value: it may cross to a device and back as bytes.
///
/// # Safety
/// Only for `repr(C)` types of numbers whose sizes add up to their own.
#[expect(unsafe_code, reason = "a promise about bytes, made type by type below")]
pub(crate) unsafe trait Plain: Copy + Default + 'static {}

macro_rules! plain {
    ($($name:ty),*) => {
        $(
            // SAFETY: a number, or a `repr(C)` struct of numbers whose padding is spelt out.
            #[expect(unsafe_code, reason = "the promise of `Plain`")]
            unsafe impl Plain for $name {}
        )*
    };
}
plain!(
    u8,
    u32,
    u64,
    i64,
    f32,
    f64,
    Sum,
    Gradient,
    Settings,
    State,
    Node,
    Item,
    Head,
    ForestRow,
    ForestNode,
    ForestState,
    Forest,
    Job
);

/// The bytes of plain values.
#[expect(unsafe_code, reason = "plain values are their bytes")]
pub(crate) fn bytes<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: `Plain` has no padding, so all bytes are initialised; the length is that of the same memory.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The bytes of plain values, to be written.
#[expect(unsafe_code, reason = "plain values are their bytes")]
pub(crate) fn bytes_mut<T: Plain>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: every bit pattern of a `Plain` is a value; the memory is borrowed for as long as the bytes are.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

/// `struct Sum`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) g: i64,
    pub(crate) h: i64,
}

/// `struct Gradient`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gradient {
    pub(crate) g: i32,
    pub(crate) h: u32,
}

/// `struct Settings`: what a lane grows its trees by.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Settings {
    pub(crate) l2: f64,
    pub(crate) min_gain: f64,
    pub(crate) min_h: i64,
    pub(crate) learning_rate: f64,
    pub(crate) g_scale: f64,
    pub(crate) h_scale: f64,
    pub(crate) seed: u64,
    pub(crate) sample_limit: u64,
    pub(crate) class_weight_at: u32,
    pub(crate) classes: u32,
    pub(crate) objective: u32,
    pub(crate) growth: u32,
    pub(crate) depth_limit: u32,
    pub(crate) leaf_limit: u32,
    pub(crate) features_wanted: u32,
    pub(crate) sampled: u32,
    pub(crate) output: u32,
    pub(crate) first_lane: u32,
    pub(crate) outputs: u32,
    pub(crate) variant: u32,
}

/// `struct State`: what changes while a lane's tree grows.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) total: Sum,
    pub(crate) largest: u64,
    pub(crate) g_unit: f64,
    pub(crate) h_unit: f64,
    pub(crate) round: u64,
    pub(crate) chosen: u32,
    pub(crate) nodes: u32,
    pub(crate) leaves: u32,
    pub(crate) slots: u32,
    pub(crate) items: u32,
    pub(crate) part_tiles: u32,
    pub(crate) searched: u32,
    pub(crate) sum_tiles: u32,
    pub(crate) sum_tile_rows: u32,
    pub(crate) root: u32,
    pub(crate) done: u32,
    pub(crate) elsewhere: u32,
    pub(crate) place: u32,
    pub(crate) padding: u32,
}

/// `struct Node`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Node {
    pub(crate) total: Sum,
    pub(crate) left: Sum,
    pub(crate) gain: f64,
    pub(crate) feature: u32,
    pub(crate) bin: u32,
    pub(crate) default_left: u32,
    pub(crate) child: u32,
    pub(crate) begin: u32,
    pub(crate) count: u32,
    pub(crate) slot: u32,
    pub(crate) depth: u32,
    pub(crate) value: f32,
    pub(crate) open: u32,
}

/// `struct Item`: a node being split.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) node: u32,
    pub(crate) parts: u32,
    pub(crate) fresh_slot: u32,
    pub(crate) kept_slot: u32,
    pub(crate) left_here: u32,
    pub(crate) right_here: u32,
    pub(crate) left_rows: u32,
    pub(crate) right_rows: u32,
    pub(crate) right_is_smaller: u32,
    pub(crate) padding: u32,
}

/// `struct Head`: what a grown tree is read by.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Head {
    pub(crate) g_unit: f64,
    pub(crate) nodes: u32,
    pub(crate) padding: u32,
}

/// Bytes of `struct Candidate`, which stays on the device.
pub(crate) const CANDIDATE_BYTES: u64 = 32;

/// `struct Job`: where everything lies. Pointers are addresses on the device.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) settings: u64,
    pub(crate) states: u64,
    pub(crate) active: u64,
    pub(crate) groups: u64,
    pub(crate) columns: u64,
    pub(crate) cuts: u64,
    pub(crate) labels: u64,
    pub(crate) weights: u64,
    pub(crate) class_weights: u64,
    pub(crate) table: u64,
    pub(crate) shares: u64,
    pub(crate) valid_columns: u64,
    pub(crate) valid_margins: u64,
    pub(crate) margins: u64,
    pub(crate) gradients: u64,
    pub(crate) rows: u64,
    pub(crate) histograms: u64,
    pub(crate) candidates: u64,
    pub(crate) items: u64,
    pub(crate) part_first: u64,
    pub(crate) sum_first: u64,
    pub(crate) seen: u64,
    pub(crate) nodes: u64,
    pub(crate) heads: u64,
    pub(crate) forest: u64,
    pub(crate) row_count: u64,
    pub(crate) row_offset: u64,
    pub(crate) valid_count: u64,
    pub(crate) features: u32,
    pub(crate) group_count: u32,
    pub(crate) slots: u32,
    pub(crate) nodes_max: u32,
    pub(crate) ring: u32,
    pub(crate) sum_blocks: u32,
    pub(crate) lanes: u32,
    pub(crate) devices: u32,
}

/// Most sums of a bin in a forest: the shared memory of a block holds no more.
pub(crate) const FOREST_WIDTH_MAX: usize = 20;

/// `struct ForestRow`: one row's part in the sums of a forest.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ForestRow {
    pub(crate) weight: u32,
    pub(crate) label: i32,
}

/// `struct ForestNode`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct ForestNode {
    pub(crate) key: u64,
    pub(crate) score: f64,
    pub(crate) feature: u32,
    pub(crate) bin: u32,
    pub(crate) default_left: u32,
    pub(crate) child: u32,
    pub(crate) begin: u32,
    pub(crate) count: u32,
}

/// `struct ForestState`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ForestState {
    pub(crate) rows: u32,
    pub(crate) nodes: u32,
    pub(crate) level_begin: u32,
    pub(crate) level_end: u32,
}

/// `struct Forest`: what the trees of a forest grow by, and where.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Forest {
    pub(crate) labels: u64,
    pub(crate) times: u64,
    pub(crate) rows: u64,
    pub(crate) states: u64,
    pub(crate) nodes: u64,
    pub(crate) sums: u64,
    pub(crate) order: u64,
    pub(crate) seed: u64,
    pub(crate) first_tree: u64,
    pub(crate) width: u32,
    pub(crate) classes: u32,
    pub(crate) tried: u32,
    pub(crate) min_leaf: u32,
    pub(crate) depth_limit: u32,
    pub(crate) bootstrap: u32,
    pub(crate) nodes_max: u32,
    pub(crate) blocks: u32,
}
