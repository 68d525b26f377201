//! Trees from a device's memory to the model's and back.

use super::lanes::Lanes;
use super::layout::{Head, Node as Grown};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::gbdt;
use crate::model::{Node, Tree};

/// The tree that a lane grew. Its sums are what the device added up; everything real is made of them here once more.
///
/// # Errors
/// [`TrainError::DeviceFault`] where the device's numbers contradict each other.
pub(crate) fn read(
    grown: &[Grown],
    head: Head,
    lanes: &Lanes,
    data: &Matrix,
) -> Result<Tree, TrainError> {
    let broken = |what: &str| TrainError::DeviceFault(format!("a tree came back broken: {what}"));
    let maker = gbdt::Nodes::new(&lanes.gbdt, head.g_unit, lanes.h_unit);
    let mut nodes = Vec::with_capacity(grown.len());
    for (place, own) in grown.iter().enumerate() {
        let mut node = maker.leaf(own.total.g, own.total.h, own.value)?;
        if own.child != 0 {
            let [left, right] =
                children(grown, own.child).ok_or_else(|| broken("a child is missing"))?;
            let sums = (left.total.g + right.total.g, left.total.h + right.total.h);
            if own.child as usize <= place || sums != (own.total.g, own.total.h) {
                return Err(broken("the children do not sum to their parent"));
            }
            split(&mut node, own, data).ok_or_else(|| broken("a split is of no feature"))?;
        }
        nodes.push(node);
    }
    Ok(Tree { nodes })
}

fn children(grown: &[Grown], child: u32) -> Option<[&Grown; 2]> {
    let child = child as usize;
    Some([grown.get(child)?, grown.get(child + 1)?])
}

#[expect(clippy::cast_possible_truncation, reason = "gains are for people")]
fn split(node: &mut Node, own: &Grown, data: &Matrix) -> Option<()> {
    let feature = own.feature as usize;
    if feature >= data.features() {
        return None;
    }
    node.feature = own.feature;
    // Past the last cut: missing values are parted from all others.
    let cut = data.cuts(feature).get(own.bin as usize);
    node.threshold = cut.copied().unwrap_or(f32::MAX);
    node.default_left = own.default_left != 0;
    node.left = own.child;
    node.gain = own.gain as f32;
    Some(())
}

/// A tree as a device walks it: by bins instead of values.
///
/// # Errors
/// [`TrainError::Invalid`] where a threshold is no cut of `data`, which another matrix' model has.
pub(crate) fn write(tree: &Tree, data: &Matrix) -> Result<Vec<Grown>, TrainError> {
    let bin = |node: &Node| {
        let feature = node.feature as usize;
        let cuts = if feature < data.features() {
            data.cuts(feature)
        } else {
            &[]
        };
        let bin = cuts.partition_point(|cut| *cut < node.threshold);
        let is_cut = cuts.get(bin).is_none_or(|cut| *cut == node.threshold);
        if is_cut && (bin < cuts.len() || node.threshold == f32::MAX) {
            u32::try_from(bin).ok()
        } else {
            None
        }
    };
    let mut nodes = Vec::with_capacity(tree.nodes.len());
    for node in &tree.nodes {
        let bin = if node.left == 0 { Some(0) } else { bin(node) };
        let bin = bin.ok_or_else(|| {
            TrainError::Invalid(
                "the checkpoint was trained on other bins than this matrix has".to_owned(),
            )
        })?;
        nodes.push(Grown {
            feature: node.feature,
            bin,
            default_left: u32::from(node.default_left),
            child: node.left,
            value: node.value,
            ..Grown::default()
        });
    }
    Ok(nodes)
}
