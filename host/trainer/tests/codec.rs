//! The model's bytes: the same after a round trip, and nothing that is damaged makes a reader panic, loop or take memory without end.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod common;

use airlock_trainer::{Algorithm, Config, Forest, Gbdt, Matrix, Model, Objective, start};
use common::{matrix, table};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

/// A matrix of three classes, and models of each kind over it.
static TRAINED: LazyLock<(Arc<Matrix>, Vec<Vec<u8>>)> = LazyLock::new(|| {
    let columns = table(300, 4, 12);
    let label = (0..300_u16).map(|row| f32::from(row % 3)).collect();
    let data = matrix(columns, label, None);
    let softmax = Gbdt {
        objective: Objective::Softmax,
        classes: 3,
        rounds: 2,
        max_depth: 3,
        ..Gbdt::default()
    };
    let squared = Gbdt {
        objective: Objective::SquaredError,
        classes: 0,
        ..softmax.clone()
    };
    let forest = Forest {
        trees: 2,
        max_depth: 4,
        classes: 3,
        ..Forest::default()
    };
    let configs = [
        Config::gbdt(softmax),
        Config::gbdt(squared),
        Config::of(Algorithm::RandomForest(forest)),
    ];
    let bytes = configs.map(|config| {
        let run = start(data.clone(), None, config, 1).unwrap();
        run.wait().unwrap();
        run.model().unwrap().to_bytes()
    });
    (data, bytes.to_vec())
});

/// Whatever is read can be scored, asked and written again.
fn read(bytes: &[u8]) {
    if let Ok(model) = Model::from_bytes(bytes) {
        if let Ok(scores) = model.score(&TRAINED.0) {
            assert_eq!(scores.len(), TRAINED.0.rows() * model.outputs());
        }
        model.importance();
        assert!(Model::from_bytes(&model.to_bytes()).is_ok());
    }
}

#[test]
fn every_kind_of_model_survives_its_bytes() {
    for bytes in &TRAINED.1 {
        let model = Model::from_bytes(bytes).unwrap();
        assert_eq!(model.to_bytes(), *bytes);
        for cut in 0..bytes.len().min(600) {
            assert!(Model::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Model::from_bytes(&bytes[..bytes.len() - 1]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn flipped_and_cut_bytes_are_refused_or_harmless(
        kind in 0_usize..3, flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = TRAINED.1[kind].clone();
        for (place, byte) in flips {
            let length = bytes.len();
            bytes[place.index(length)] = byte;
        }
        read(&bytes);
        read(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn a_flipped_preamble_or_body_is_refused_or_harmless(
        kind in 0_usize..3, place in 8_usize..32, bit in 0_u32..8, after in 0_usize..64,
    ) {
        let original = &TRAINED.1[kind];
        let mut bytes = original.clone();
        bytes[place] ^= 1 << bit;
        read(&bytes);
        // The body begins after the preamble of 32 bytes and the header.
        let header = u32::from_le_bytes(original[16..20].try_into().unwrap()) as usize;
        let mut bytes = original.clone();
        bytes[32 + header + after] ^= 1 << bit;
        read(&bytes);
    }

    #[test]
    fn random_bytes_are_no_model(mut bytes in prop::collection::vec(any::<u8>(), 0..400), with_magic in any::<bool>()) {
        if with_magic {
            let start = &TRAINED.1[0][..16];
            bytes.splice(0..0, start.iter().copied());
        }
        prop_assert!(Model::from_bytes(&bytes).is_err());
    }
}
