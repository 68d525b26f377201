//! The model registry.

pub use crate::bindings::airlock::operator::models::{ModelVersion, Stage};
pub use crate::sys::models::{
    get_latest_versions, get_version, register, rollback, set_alias, transition_stage,
};
use crate::{CapabilityError, sys};
use std::io;

/// The most bytes that one host call moves.
const CHUNK_BYTES: u32 = 1 << 20;

/// The newest version of `name` in `stage`.
pub fn latest(name: &str, stage: Stage) -> Result<Option<ModelVersion>, CapabilityError> {
    Ok(sys::models::get_latest_versions(name, &[stage])?
        .into_iter()
        .next())
}

/// The bytes of a version's artifact, as `Read`.
pub struct ArtifactReader {
    name: String,
    version: u32,
    offset: u64,
}

/// Reads the artifact of a version from its beginning.
pub fn open_artifact(name: &str, version: u32) -> ArtifactReader {
    ArtifactReader {
        name: name.to_owned(),
        version,
        offset: 0,
    }
}

impl io::Read for ArtifactReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = u32::try_from(buffer.len()).unwrap_or(CHUNK_BYTES);
        let wanted = wanted.min(CHUNK_BYTES);
        let bytes = sys::models::read_artifact(&self.name, self.version, self.offset, wanted)
            .map_err(io::Error::other)?;
        let place = buffer
            .get_mut(..bytes.len())
            .ok_or_else(|| io::Error::other("the host gave more bytes than asked for"))?;
        place.copy_from_slice(&bytes);
        self.offset += bytes.len() as u64;
        Ok(bytes.len())
    }
}
