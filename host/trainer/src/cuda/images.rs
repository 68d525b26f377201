//! The compiled kernels: one image a generation of chips and one text that the driver compiles for any later one. Made by
//! `cargo xtask kernels`, committed, and part of the program, so that a machine with a GPU needs its driver and nothing else.

use super::Compute;

/// What a module is loaded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Image {
    /// Machine code.
    Cubin(&'static [u8]),
    /// PTX, which the driver compiles.
    Ptx(&'static str),
}

/// Machine code by compute capability, rising.
const CUBINS: &[(Compute, &[u8])] = &[
    ((7, 0), include_bytes!("../../kernels/bin/sm_70.cubin")),
    ((7, 5), include_bytes!("../../kernels/bin/sm_75.cubin")),
    ((8, 0), include_bytes!("../../kernels/bin/sm_80.cubin")),
    ((8, 6), include_bytes!("../../kernels/bin/sm_86.cubin")),
    ((8, 9), include_bytes!("../../kernels/bin/sm_89.cubin")),
    ((9, 0), include_bytes!("../../kernels/bin/sm_90.cubin")),
    ((10, 0), include_bytes!("../../kernels/bin/sm_100.cubin")),
    ((12, 0), include_bytes!("../../kernels/bin/sm_120.cubin")),
];
const PTX: (Compute, &str) = ((7, 0), include_str!("../../kernels/bin/sm_70.ptx"));

/// The lowest compute capability that the kernels run on: Volta's.
pub(crate) const COMPUTE_MIN: Compute = PTX.0;

/// What to try on a card, best first: its own machine code, that of the same major version with a lower minor one (which the
/// hardware runs too), then PTX. Empty for a card that is too old.
pub(crate) fn for_card(compute: Compute) -> Vec<Image> {
    let mut images: Vec<Image> = CUBINS
        .iter()
        .rev()
        .filter(|(built, _)| built.0 == compute.0 && built.1 <= compute.1)
        .map(|(_, image)| Image::Cubin(image))
        .collect();
    if compute >= PTX.0 {
        images.push(Image::Ptx(PTX.1));
    }
    images
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use sha2::{Digest, Sha256};
    use std::path::{Path, PathBuf};

    fn names(compute: Compute) -> Vec<Compute> {
        let name = |image: Image| match image {
            Image::Cubin(bytes) => CUBINS.iter().find(|(_, own)| *own == bytes).unwrap().0,
            Image::Ptx(_) => (0, 0),
        };
        for_card(compute).into_iter().map(name).collect()
    }

    #[test]
    fn a_card_gets_its_own_code_then_that_of_older_sisters_then_the_text() {
        assert_eq!(names((9, 0)), [(9, 0), (0, 0)]);
        assert_eq!(names((8, 6)), [(8, 6), (8, 0), (0, 0)]);
        assert_eq!(names((8, 7)), [(8, 6), (8, 0), (0, 0)]);
        assert_eq!(names((7, 2)), [(7, 0), (0, 0)]);
        assert_eq!(names((12, 1)), [(12, 0), (0, 0)]);
        assert_eq!(names((13, 0)), [(0, 0)]);
        assert!(names((6, 1)).is_empty());
    }

    fn sha(path: &Path) -> String {
        let bytes = std::fs::read(path);
        let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        digest.map(|byte| format!("{byte:02x}")).concat()
    }

    #[test]
    fn the_images_were_made_from_the_sources_that_are_here() {
        let kernels = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("kernels");
        let manifest = std::fs::read_to_string(kernels.join("bin/manifest.json")).unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        let sources: Vec<String> = std::fs::read_dir(&kernels)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| {
                let end = Path::new(name).extension();
                end.is_some_and(|end| end == "cu" || end == "cuh")
            })
            .collect();
        let known = manifest["sources"].as_object().unwrap();
        assert_eq!(known.len(), sources.len());
        for name in sources {
            let stale = "the kernels were changed and not compiled: run `cargo xtask kernels`";
            assert_eq!(
                known.get(&name),
                Some(&Value::from(sha(&kernels.join(&name)))),
                "{name}: {stale}"
            );
        }
        let images = manifest["images"].as_object().unwrap();
        assert_eq!(images.len(), CUBINS.len() + 1);
        for (name, image) in images {
            assert_eq!(
                image["sha256"],
                sha(&kernels.join("bin").join(name)),
                "{name}"
            );
        }
    }
}
