//! A matrix in shared memory is the matrix it was made from, and nothing else passes for one.

use airlock_trainer::{Config, Gbdt, Matrix, MatrixInput, TrainError, start};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

fn input(rows: usize) -> MatrixInput {
    let column = |k: usize| -> Vec<f32> {
        let value = |row: usize| match (row * 7 + k * 13) % 11 {
            0 => f32::NAN,
            rest => rest as f32 / 3.0,
        };
        (0..rows).map(value).collect()
    };
    MatrixInput {
        columns: (0..19).map(|k| (format!("f{k}"), column(k))).collect(),
        label: Some(
            (0..rows)
                .map(|row| f32::from(u8::from((row * 7) % 11 > 4)))
                .collect(),
        ),
        weight: Some((0..rows).map(|row| 1.0 + (row % 3) as f32).collect()),
        max_bins: 16,
    }
}

fn model_of(matrix: Matrix) -> Vec<u8> {
    let config = Config::gbdt(Gbdt {
        rounds: 5,
        ..Gbdt::default()
    });
    let run = start(Arc::new(matrix), None, config, 2).unwrap();
    run.wait().unwrap();
    run.model().unwrap().to_bytes()
}

#[test]
fn a_shared_matrix_trains_the_same_model() {
    let own = Matrix::build(input(257)).unwrap();
    let shared = Matrix::build(input(257)).unwrap().into_shared().unwrap();
    assert_eq!(own.digest(), shared.digest());
    assert_eq!(own.memory(), shared.memory());
    assert_eq!(
        (own.label(), own.weight()),
        (shared.label(), shared.weight())
    );
    assert_eq!(model_of(own), model_of(shared));
}

#[test]
fn another_owner_of_the_file_sees_the_same_matrix_after_the_first_is_gone() {
    let first = Matrix::build(input(40)).unwrap().into_shared().unwrap();
    let digest = first.digest();
    let file = first.shared_file().unwrap().try_clone_to_owned().unwrap();
    drop(first);
    let second = Matrix::from_shared(file).unwrap();
    assert_eq!(second.digest(), digest);
    assert_eq!(second.feature_names().len(), 19);
}

#[test]
fn a_shared_matrix_cannot_be_written() {
    let shared = Matrix::build(input(40)).unwrap().into_shared().unwrap();
    let mut file = File::from(shared.shared_file().unwrap().try_clone_to_owned().unwrap());
    assert!(file.write_all(b"x").is_err());
    assert!(file.set_len(1).is_err());
    assert!(file.set_len(1 << 20).is_err());
}

fn memfd(bytes: &[u8], seals: rustix::fs::SealFlags) -> OwnedFd {
    use rustix::fs::MemfdFlags;
    let fd = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    let mut file = File::from(fd.unwrap());
    file.write_all(bytes).unwrap();
    rustix::fs::fcntl_add_seals(file.as_fd(), seals).unwrap();
    file.into()
}

fn bytes_of(matrix: &Matrix) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let file = File::from(matrix.shared_file().unwrap().try_clone_to_owned().unwrap());
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn every_missing_seal_is_refused() {
    use rustix::fs::SealFlags;
    let bytes = bytes_of(&Matrix::build(input(40)).unwrap().into_shared().unwrap());
    let all = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    for missing in [
        SealFlags::WRITE,
        SealFlags::SHRINK,
        SealFlags::GROW,
        SealFlags::SEAL,
    ] {
        let refused = Matrix::from_shared(memfd(&bytes, all - missing));
        assert!(matches!(refused, Err(TrainError::Data(text)) if text.contains("not sealed")));
    }
    Matrix::from_shared(memfd(&bytes, all)).unwrap();
}

#[test]
fn damaged_files_are_refused() {
    use rustix::fs::SealFlags;
    let all = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    let bytes = bytes_of(&Matrix::build(input(40)).unwrap().into_shared().unwrap());
    for cut in [0, 1, 15, 23, 24, 100, 600, bytes.len() - 1] {
        let refused = Matrix::from_shared(memfd(&bytes[..cut], all));
        assert!(
            matches!(refused, Err(TrainError::Data(_))),
            "cut at {cut}: {refused:?}"
        );
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(Matrix::from_shared(memfd(&longer, all)).is_err());
    let mut header = bytes;
    header[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(Matrix::from_shared(memfd(&header, all)).is_err());
}
