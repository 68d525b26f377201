//! Kernels one by one.

use super::*;
use crate::cuda::card::Card;
use crate::cuda::emulator;
use crate::cuda::gpu::{fetch, store};
use crate::cuda::lanes::Batch;
use crate::cuda::layout::*;

#[test]
fn the_layout_is_that_of_the_kernels() {
    let Some(sizes) = emulator::layout() else {
        return;
    };
    let own = [
        size_of::<Settings>(),
        size_of::<State>(),
        size_of::<Node>(),
        size_of::<Item>(),
        usize::try_from(CANDIDATE_BYTES).unwrap(),
        size_of::<Job>(),
        size_of::<Sum>(),
        size_of::<Gradient>(),
        size_of::<Head>(),
        size_of::<ForestRow>(),
        size_of::<ForestNode>(),
        size_of::<ForestState>(),
        size_of::<crate::cuda::layout::Forest>(),
    ];
    assert_eq!(sizes.map(|size| size as usize), own);
    assert!(emulator::has_all_kernels());
}

/// Gradient and hessian of every row of a lane.
type Pairs = Vec<(i64, i64)>;

/// A card after the histogram of the root was built and searched, and what the processor computes of the same data.
fn at_the_root(data: &Arc<Matrix>, gbdt: &Gbdt) -> Option<(Card, Vec<Pairs>)> {
    let gpu = cards(&[3])?.pop()?;
    let plan = plan(data, None, config(gbdt.clone()));
    let batch = Batch::new(&[&plan], data).unwrap();
    let card = Card::new(gpu, &batch, data, None, 0..data.rows(), 1).unwrap();
    let lanes = batch.settings.len();
    let state = State {
        round: u64::MAX,
        ..State::default()
    };
    let base: Vec<f64> = plan.ensemble.base_margins(1);
    store(&*card.gpu, &card.arrays.states, 0, &vec![state; lanes]).unwrap();
    store(&*card.gpu, &card.arrays.active, 0, &vec![1_u32; lanes]).unwrap();
    for (lane, base) in base.iter().enumerate() {
        let margins = vec![*base; data.rows()];
        store(
            &*card.gpu,
            &card.arrays.margins,
            lane * data.rows(),
            &margins,
        )
        .unwrap();
    }
    card.launch_start().unwrap();
    card.launch_gradients().unwrap();
    card.launch_root().unwrap();
    card.launch_histogram().unwrap();
    let expected =
        crate::gbdt::gradients_at_base(gbdt, data, &plan.ensemble.base_margins(data.rows()));
    Some((card, expected))
}

#[test]
fn gradients_and_histograms_are_those_of_the_processor() {
    let softmax = Gbdt {
        objective: Objective::Softmax,
        classes: 3,
        ..settings()
    };
    let squared = Gbdt {
        objective: Objective::SquaredError,
        ..settings()
    };
    for (classes, gbdt) in [(2, settings()), (3, softmax), (0, squared)] {
        let data = Arc::new(Matrix::build(input(1_300, &ALL, classes, 7, true)).unwrap());
        let Some((card, expected)) = at_the_root(&data, &gbdt) else {
            return;
        };
        for (lane, expected) in expected.iter().enumerate() {
            let at = lane * data.rows();
            let own: Vec<Gradient> =
                fetch(&*card.gpu, &card.arrays.gradients, at, data.rows()).unwrap();
            let own: Pairs = own
                .iter()
                .map(|own| (i64::from(own.g), i64::from(own.h)))
                .collect();
            assert!(
                own == *expected,
                "gradients of lane {lane}, {:?}",
                gbdt.objective
            );
            let length = usize::try_from(card.shape.histogram()).unwrap();
            let slot = lane * usize::try_from(card.shape.slots).unwrap() * length;
            let sums: Vec<Sum> = fetch(&*card.gpu, &card.arrays.histograms, slot, length).unwrap();
            for feature in 0..data.features() {
                let mut bins = vec![Sum::default(); 256];
                for (bin, (g, h)) in data.column(feature).iter().zip(expected) {
                    bins[usize::from(*bin)].g += g;
                    bins[usize::from(*bin)].h += h;
                }
                assert!(
                    sums[feature * 256..][..256] == bins[..],
                    "histogram of lane {lane}, feature {feature}"
                );
            }
        }
    }
}

/// Every row ends once and on its side, in whatever order.
#[test]
fn rows_are_parted_without_loss() {
    let data = matrix(5_000, &ALL, 2, 8);
    let Some((card, _)) = at_the_root(&data, &settings()) else {
        return;
    };
    card.launch_plan().unwrap();
    card.launch_partition().unwrap();
    card.launch_children().unwrap();
    let nodes: Vec<Node> = fetch(&*card.gpu, &card.arrays.nodes, 0, 3).unwrap();
    let (root, left, right) = (nodes[0], nodes[1], nodes[2]);
    assert_eq!((left.begin, left.count + right.count), (0, 5_000));
    assert_eq!(right.begin, left.count);
    let mut rows: Vec<u32> =
        fetch(&*card.gpu, &card.arrays.rows, data.rows(), data.rows()).unwrap();
    let goes_left = |row: &u32| match data.column(root.feature as usize)[*row as usize] {
        255 => root.default_left != 0,
        bin => u32::from(bin) <= root.bin,
    };
    let (left_rows, right_rows) = rows.split_at(left.count as usize);
    assert!(left_rows.iter().all(goes_left) && !right_rows.iter().any(goes_left));
    rows.sort_unstable();
    assert!(rows.into_iter().eq(0..5_000));
}
