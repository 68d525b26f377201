use super::layers::{ROW_GAP, place};
use super::*;
use crate::dag::parse;
use proptest::prelude::*;

fn dag(text: &str) -> Dag {
    parse(text).dag.unwrap()
}

fn fixed(_: Item) -> Size {
    Size {
        width: 100,
        height: 30,
    }
}

const GROUPED: &str = "
dag_id: grouped
tasks:
  - {task_id: begin, operator: probe}
  - {task_id: end, operator: probe, depends_on: work}
task_groups:
  - group_id: work
    depends_on: begin
    tasks:
      - {task_id: left, operator: probe}
      - {task_id: right, operator: probe, depends_on: left}
";

fn chain(groups: &str) -> Dag {
    dag(&format!("dag_id: chain\n{groups}"))
}

#[test]
fn a_chain_runs_from_left_to_right_on_one_line() {
    let picture = layout(
        &chain(
            "tasks:\n  - {task_id: a, operator: probe}\n  - {task_id: b, operator: probe, depends_on: a}\n  - {task_id: c, operator: probe, depends_on: b}\n",
        ),
        &BTreeSet::new(),
        &fixed,
    );
    let lefts: Vec<u32> = picture.placed.iter().map(|placed| placed.x).collect();
    assert_eq!(lefts, [0, 146, 292]);
    assert!(picture.placed.iter().all(|placed| placed.y == 0));
    assert_eq!(
        picture.size,
        Size {
            width: 392,
            height: 30
        }
    );
}

#[test]
fn an_open_group_is_a_box_round_its_tasks() {
    let picture = layout(&dag(GROUPED), &BTreeSet::new(), &fixed);
    let group = picture.placed.first().unwrap();
    assert!(group.is_open);
    let inside: Vec<_> = picture
        .placed
        .iter()
        .filter(|placed| placed.x > group.x && placed.x < group.x + group.size.width)
        .collect();
    assert_eq!(inside.len(), 2);
    for placed in inside {
        assert!(placed.y >= group.y + GROUP_HEAD);
        assert!(placed.y + placed.size.height + GROUP_PAD <= group.y + group.size.height);
        assert!(placed.x + placed.size.width + GROUP_PAD <= group.x + group.size.width);
    }
    // begin to the box, the box to end, and left to right inside.
    assert_eq!(picture.routes.len(), 3);
}

#[test]
fn a_folded_group_is_one_node() {
    let picture = layout(&dag(GROUPED), &BTreeSet::from([GroupIndex(0)]), &fixed);
    assert_eq!(picture.placed.len(), 3);
    assert_eq!(picture.routes.len(), 2);
    assert!(picture.placed.iter().all(|placed| !placed.is_open));
}

#[test]
fn a_circle_of_lifted_edges_is_laid_out_all_the_same() {
    let sizes = [Size {
        width: 10,
        height: 10,
    }; 2];
    let placement = place(&sizes, &[(0, 1), (1, 0)]);
    assert_eq!(placement.corners, [(0, 0), (56, 0)]);
    assert_eq!(placement.routes.len(), 2);
}

/// A random graph without circles: edges lead to higher numbers.
fn graphs() -> impl Strategy<Value = (Vec<Size>, Vec<(usize, usize)>)> {
    (1..40_usize).prop_flat_map(|nodes| {
        let size = (20..200_u32, 10..60_u32).prop_map(|(width, height)| Size { width, height });
        let edge = (0..nodes, 0..nodes).prop_map(|(one, other)| (one.min(other), one.max(other)));
        let edges = proptest::collection::btree_set(edge, 0..80);
        let edges = edges.prop_map(|all| all.into_iter().filter(|(from, to)| from != to).collect());
        (proptest::collection::vec(size, nodes), edges)
    })
}

proptest! {
    #[test]
    fn no_two_nodes_touch_and_edges_lead_to_the_right((sizes, edges) in graphs()) {
        let placement = place(&sizes, &edges);
        for (one, (x, y)) in placement.corners.iter().enumerate() {
            prop_assert!(x + sizes[one].width <= placement.size.width);
            prop_assert!(y + sizes[one].height <= placement.size.height + 1);
            for (other, (left, top)) in placement.corners.iter().enumerate().skip(one + 1) {
                let apart_x = x + sizes[one].width < *left || left + sizes[other].width < *x;
                // Middles are rounded to pixels.
                let gap = ROW_GAP - 2;
                let apart_y = y + sizes[one].height + gap <= *top || top + sizes[other].height + gap <= *y;
                prop_assert!(apart_x || apart_y, "{one} and {other} touch");
            }
        }
        for ((from, to), points) in edges.iter().zip(&placement.routes) {
            prop_assert!(points.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            prop_assert_eq!(points[0].0, placement.corners[*from].0 + sizes[*from].width);
            prop_assert_eq!(points[points.len() - 1].0, placement.corners[*to].0);
        }
        prop_assert_eq!(place(&sizes, &edges), placement);
    }

    #[test]
    fn any_edges_at_all_give_a_picture(nodes in 1..20_usize, edges in proptest::collection::vec((0..25_usize, 0..25_usize), 0..60)) {
        let sizes = vec![Size { width: 50, height: 20 }; nodes];
        let placement = place(&sizes, &edges);
        prop_assert_eq!(placement.corners.len(), nodes);
        prop_assert_eq!(placement.routes.len(), edges.len());
    }
}
