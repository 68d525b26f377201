//! The cards that the driver knows.

use super::driver::{compute_of, context, fault, is_present};
use crate::device::Card;
use crate::error::TrainError;
use cudarc::driver::sys::CUresult;
use cudarc::driver::{DriverError, result};
use std::fmt::Write;

/// See [`crate::device::list`].
pub(crate) fn list() -> Result<Vec<Card>, TrainError> {
    if !is_present() {
        return Ok(Vec::new());
    }
    match result::init() {
        Ok(()) => {}
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => return Ok(Vec::new()),
        Err(error) => return Err(fault("start the driver")(error)),
    }
    let count = result::device::get_count().map_err(fault("count the GPUs"))?;
    (0..usize::try_from(count).unwrap_or(0)).map(card).collect()
}

fn card(ordinal: usize) -> Result<Card, TrainError> {
    let context = context(ordinal)?;
    let uuid = context.uuid().map_err(fault("ask for the UUID"))?;
    let (free, total) = context
        .mem_get_info()
        .map_err(fault("ask for free memory"))?;
    Ok(Card {
        ordinal,
        uuid: uuid_text(uuid.bytes.map(i8::cast_unsigned)),
        name: context.name().map_err(fault("ask for the name"))?,
        memory_total: total as u64,
        memory_free: free as u64,
        compute: compute_of(&context)?,
    })
}

/// As `nvidia-smi -L` writes it.
fn uuid_text(bytes: [u8; 16]) -> String {
    let mut text = "GPU".to_owned();
    for (place, byte) in bytes.into_iter().enumerate() {
        if [0, 4, 6, 8, 10].contains(&place) {
            text.push('-');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_written_as_the_driver_reads_it() {
        let bytes = std::array::from_fn(|n| u8::try_from(n * 17).unwrap());
        assert_eq!(uuid_text(bytes), "GPU-00112233-4455-6677-8899-aabbccddeeff");
    }
}
