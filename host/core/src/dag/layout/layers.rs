//! A flat graph in layers, from left to right: ranks by longest path, few crossings by barycentre sweeps, heights by isotonic
//! regression. It owns the geometry of one level; it refuses to know what a node is. Deterministic: no hash order, no random
//! numbers, and only IEEE operations that give the same everywhere.

use super::Size;

/// Between two nodes of one rank, pixels.
pub(super) const ROW_GAP: u32 = 14;
/// Between two ranks, pixels: where edges bend.
pub(super) const RANK_GAP: u32 = 46;
/// Sweeps over the ranks that look for fewer crossings. Bounded, so that a large graph costs time in proportion to its size.
const SWEEPS: usize = 8;
/// Passes that pull nodes towards their neighbours.
const PULLS: usize = 6;
/// Bends of long edges that are laid out; beyond that long edges are drawn straight.
const BENDS_MAX: usize = 40_000;

/// Where everything is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Placement {
    /// The left upper corner of each node.
    pub(super) corners: Vec<(u32, u32)>,
    /// The points of each edge: where it leaves, where it bends, where it arrives.
    pub(super) routes: Vec<Vec<(u32, u32)>>,
    pub(super) size: Size,
}

/// A node of the layered graph: a real one, or the bend of a long edge.
#[derive(Debug, Clone, Default)]
struct Cell {
    height: f64,
    /// Its middle.
    y: f64,
    left: Vec<usize>,
    right: Vec<usize>,
}

struct Layers {
    cells: Vec<Cell>,
    ranks: Vec<Vec<usize>>,
    /// The bends of each edge, from left to right.
    bends: Vec<Vec<usize>>,
}

/// Lays nodes of these sizes out. An edge that closes a circle is drawn backwards.
pub(super) fn place(sizes: &[Size], edges: &[(usize, usize)]) -> Placement {
    let ranks = ranks(sizes.len(), edges);
    let mut layers = Layers::new(sizes, edges, &ranks);
    layers.untangle();
    layers.settle();
    layers.placement(sizes, edges, &ranks)
}

/// The longest path to each node. Of a circle the node with the lowest number comes first.
fn ranks(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let (mut waits, mut below) = (vec![0_usize; nodes], vec![Vec::new(); nodes]);
    for &(from, to) in edges {
        if from != to
            && from < nodes
            && let Some(count) = waits.get_mut(to)
        {
            *count += 1;
            if let Some(list) = below.get_mut(from) {
                list.push(to);
            }
        }
    }
    let mut ranks = vec![0; nodes];
    let mut is_done = vec![false; nodes];
    let mut free: std::collections::BTreeSet<usize> =
        (0..nodes).filter(|&node| at(&waits, node) == 0).collect();
    let mut first_open = 0;
    for _ in 0..nodes {
        while at(&is_done, first_open) {
            first_open += 1;
        }
        let node = free.pop_first().unwrap_or(first_open);
        put(&mut is_done, node, true);
        let next = at(&ranks, node) + 1;
        for &to in below.get(node).into_iter().flatten() {
            if at(&is_done, to) {
                continue;
            }
            let rank = at(&ranks, to).max(next);
            put(&mut ranks, to, rank);
            let left = at(&waits, to).saturating_sub(1);
            put(&mut waits, to, left);
            if left == 0 {
                free.insert(to);
            }
        }
    }
    ranks
}

impl Layers {
    fn new(sizes: &[Size], edges: &[(usize, usize)], ranks: &[usize]) -> Self {
        let count = ranks.iter().max().map_or(0, |last| last + 1);
        let mut layers = Self {
            cells: sizes
                .iter()
                .map(|size| Cell {
                    height: f64::from(size.height),
                    ..Cell::default()
                })
                .collect(),
            ranks: vec![Vec::new(); count],
            bends: Vec::with_capacity(edges.len()),
        };
        for (node, &rank) in ranks.iter().enumerate() {
            layers.put_into(rank, node);
        }
        let mut left = BENDS_MAX;
        for &(from, to) in edges {
            let (begin, end) = (at(ranks, from), at(ranks, to));
            let between = end.saturating_sub(begin + 1);
            let mut bends = Vec::new();
            if begin < end && between <= left {
                left -= between;
                let mut last = from;
                for rank in begin + 1..end {
                    let bend = layers.cells.len();
                    layers.cells.push(Cell::default());
                    layers.put_into(rank, bend);
                    layers.connect(last, bend);
                    bends.push(bend);
                    last = bend;
                }
                layers.connect(last, to);
            }
            layers.bends.push(bends);
        }
        layers
    }

    fn put_into(&mut self, rank: usize, cell: usize) {
        if let Some(cells) = self.ranks.get_mut(rank) {
            cells.push(cell);
        }
    }

    fn connect(&mut self, left: usize, right: usize) {
        if let Some(cell) = self.cells.get_mut(left) {
            cell.right.push(right);
        }
        if let Some(cell) = self.cells.get_mut(right) {
            cell.left.push(left);
        }
    }

    /// Orders each rank by the mean place of its neighbours, and keeps the best order that was seen.
    fn untangle(&mut self) {
        let mut best = (self.crossings(), self.ranks.clone());
        for sweep in 0..SWEEPS {
            if best.0 == 0 {
                break;
            }
            let places = 0..self.ranks.len();
            let order: Vec<usize> = if sweep % 2 == 0 {
                places.collect()
            } else {
                places.rev().collect()
            };
            let mut places = self.places();
            for rank in order {
                self.sort_rank(rank, sweep % 2 == 0, &mut places);
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.ranks.clone());
            }
        }
        self.ranks = best.1;
    }

    fn sort_rank(&mut self, rank: usize, by_left: bool, places: &mut [f64]) {
        let Some(cells) = self.ranks.get_mut(rank) else {
            return;
        };
        let weight = |(place, cell): (usize, &usize)| {
            let neighbours = self.cells.get(*cell);
            let neighbours = neighbours.map(|cell| if by_left { &cell.left } else { &cell.right });
            let neighbours = neighbours.into_iter().flatten();
            let mean = mean(neighbours.map(|&other| at(places, other)));
            (mean.unwrap_or(real(place)), *cell)
        };
        let mut keyed: Vec<(f64, usize)> = cells.iter().enumerate().map(weight).collect();
        // Stable: what weighs the same stays in its order.
        keyed.sort_by(|one, other| one.0.total_cmp(&other.0));
        *cells = keyed.into_iter().map(|(_, cell)| cell).collect();
        for (place, &cell) in cells.iter().enumerate() {
            put(places, cell, real(place));
        }
    }

    /// The place of each cell in its rank.
    fn places(&self) -> Vec<f64> {
        let mut places = vec![0.0; self.cells.len()];
        for cells in &self.ranks {
            for (place, &cell) in cells.iter().enumerate() {
                put(&mut places, cell, real(place));
            }
        }
        places
    }

    /// How many pairs of edges cross, over all gaps between ranks.
    fn crossings(&self) -> usize {
        let places = self.places();
        let mut count = 0;
        for cells in &self.ranks {
            let mut ends: Vec<usize> = Vec::new();
            for &cell in cells {
                let right = self.cells.get(cell).map(|cell| cell.right.as_slice());
                let mut places: Vec<usize> = right
                    .into_iter()
                    .flatten()
                    .map(|&other| whole(at(&places, other)))
                    .collect();
                places.sort_unstable();
                ends.extend(places);
            }
            count += inversions(&ends);
        }
        count
    }

    /// Gives every cell its height in the picture: near its neighbours, in the order of its rank, without touching others.
    fn settle(&mut self) {
        for rank in 0..self.ranks.len() {
            self.pull(rank, None);
        }
        for pass in 0..PULLS {
            let by_left = pass % 2 == 0;
            let count = self.ranks.len();
            for step in 0..count {
                let rank = if by_left { step } else { count - 1 - step };
                self.pull(rank, Some(by_left));
            }
        }
    }

    /// Moves the cells of a rank as little as the gaps allow from the mean of their neighbours (isotonic regression).
    fn pull(&mut self, rank: usize, by_left: Option<bool>) {
        let Some(cells) = self.ranks.get(rank) else {
            return;
        };
        let mut offset = 0.0;
        let mut last_half = None;
        let mut wanted = Vec::with_capacity(cells.len());
        let mut offsets = Vec::with_capacity(cells.len());
        for &cell in cells {
            let Some(cell) = self.cells.get(cell) else {
                continue;
            };
            let half = cell.height / 2.0;
            offset += last_half.map_or(0.0, |last: f64| last + half + f64::from(ROW_GAP));
            last_half = Some(half);
            let neighbours = match by_left {
                Some(true) => cell.left.as_slice(),
                Some(false) => cell.right.as_slice(),
                None => &[],
            };
            let heights = neighbours.iter().filter_map(|&other| self.cells.get(other));
            let target = mean(heights.map(|other| other.y)).unwrap_or(cell.y);
            wanted.push(target - offset);
            offsets.push(offset);
        }
        let settled = isotonic(&wanted);
        let cells = cells.clone();
        for ((cell, level), offset) in cells.into_iter().zip(settled).zip(offsets) {
            if let Some(cell) = self.cells.get_mut(cell) {
                cell.y = level + offset;
            }
        }
    }

    fn placement(&self, sizes: &[Size], edges: &[(usize, usize)], ranks: &[usize]) -> Placement {
        let tops = self.cells.iter().map(|cell| cell.y - cell.height / 2.0);
        let top = tops.fold(f64::INFINITY, f64::min);
        let top = if top.is_finite() { top } else { 0.0 };
        let (lefts, widths, width) = self.columns(sizes);
        let mut height = 0;
        let mut corners = Vec::with_capacity(sizes.len());
        for (node, size) in sizes.iter().enumerate() {
            let middle = self.middle(node, top);
            let y = middle.saturating_sub(size.height / 2);
            let rank = at(ranks, node);
            let x = at(&lefts, rank) + (at(&widths, rank).saturating_sub(size.width)) / 2;
            height = height.max(y + size.height);
            corners.push((x, y));
        }
        for bends in &self.bends {
            for &bend in bends {
                height = height.max(self.middle(bend, top));
            }
        }
        let route = |(&(from, to), bends): (&(usize, usize), &Vec<usize>)| {
            let size = |node: usize| sizes.get(node).copied().unwrap_or_default();
            let corner = |node: usize| at(&corners, node);
            let mut points = Vec::with_capacity(2 + 2 * bends.len());
            let (x, y) = corner(from);
            points.push((x + size(from).width, y + size(from).height / 2));
            for (step, &bend) in bends.iter().enumerate() {
                let rank = at(ranks, from) + 1 + step;
                let y = self.middle(bend, top);
                points.push((at(&lefts, rank), y));
                points.push((at(&lefts, rank) + at(&widths, rank), y));
            }
            let (x, y) = corner(to);
            points.push((x, y + size(to).height / 2));
            points
        };
        let routes = edges.iter().zip(&self.bends).map(route).collect();
        Placement {
            corners,
            routes,
            size: Size { width, height },
        }
    }

    fn middle(&self, cell: usize, top: f64) -> u32 {
        self.cells.get(cell).map_or(0, |cell| pixel(cell.y - top))
    }

    /// Where each rank begins, how wide it is, and how wide all of them are.
    fn columns(&self, sizes: &[Size]) -> (Vec<u32>, Vec<u32>, u32) {
        let (mut lefts, mut widths, mut x) = (Vec::new(), Vec::new(), 0);
        for cells in &self.ranks {
            let wide = cells.iter().filter_map(|&cell| sizes.get(cell));
            let width = wide.map(|size| size.width).max().unwrap_or(0);
            lefts.push(x);
            widths.push(width);
            x += width + RANK_GAP;
        }
        (lefts, widths, x.saturating_sub(RANK_GAP))
    }
}

/// The nearest values (by squares) that never go down.
fn isotonic(wanted: &[f64]) -> Vec<f64> {
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for &value in wanted {
        blocks.push((value, 1));
        while let [.., (left, left_count), (right, right_count)] = blocks.as_slice() {
            if left <= right {
                break;
            }
            let count = left_count + right_count;
            let sum = left * real(*left_count) + right * real(*right_count);
            let merged = (sum / real(count), count);
            blocks.truncate(blocks.len() - 2);
            blocks.push(merged);
        }
    }
    let repeat = |(value, count): (f64, usize)| std::iter::repeat_n(value, count);
    blocks.into_iter().flat_map(repeat).collect()
}

/// Pairs in the wrong order, by a Fenwick tree.
fn inversions(values: &[usize]) -> usize {
    let size = values.iter().max().map_or(0, |max| max + 1);
    let mut tree = vec![0_usize; size + 1];
    let mut count = 0;
    for (seen, &value) in values.iter().enumerate() {
        let mut not_above = 0;
        let mut place = value + 1;
        while place > 0 {
            not_above += at(&tree, place);
            place &= place - 1;
        }
        count += seen - not_above;
        let mut place = value + 1;
        while place <= size {
            let more = at(&tree, place) + 1;
            put(&mut tree, place, more);
            place += place & place.wrapping_neg();
        }
    }
    count
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| {
        (sum + value, count + 1)
    });
    (count > 0).then(|| sum / real(count))
}

fn at<T: Copy + Default>(values: &[T], place: usize) -> T {
    values.get(place).copied().unwrap_or_default()
}

fn put<T>(values: &mut [T], place: usize, value: T) {
    if let Some(old) = values.get_mut(place) {
        *old = value;
    }
}

#[expect(clippy::cast_precision_loss, reason = "places are far below 2^52")]
fn real(place: usize) -> f64 {
    place as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places are small and never negative; a cast saturates"
)]
fn whole(place: f64) -> usize {
    place as usize
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "distances from the top are never negative; a cast saturates"
)]
fn pixel(length: f64) -> u32 {
    length.round() as u32
}
