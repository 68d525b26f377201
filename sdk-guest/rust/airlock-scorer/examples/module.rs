//! The scorer as a bare module with its memory: the caller writes the model and a row into it, and reads scores. It shows what the
//! scorer costs in WebAssembly, and lets a test compare its bits with the host's. Refuses nothing: its caller is a test.

#![cfg_attr(target_family = "wasm", no_std)]
#![expect(unsafe_code, reason = "a bare module's exports and memory are raw")]

use airlock_scorer::Scorer;

#[cfg(target_family = "wasm")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// Scores `rows` rows of as many values as the model has features, at `values`, with the model at `model`, into `scores`. `scratch` has
/// room for `room` numbers. Yields the number of outputs, or 0 where there is no score.
///
/// # Safety
/// The caller passes places in this module's memory that hold what they are said to hold.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn score(
    model: *const u8,
    length: usize,
    values: *const f32,
    rows: usize,
    scratch: *mut f32,
    room: usize,
    scores: *mut f32,
) -> usize {
    // SAFETY: as the caller promises.
    let (model, scratch) = unsafe {
        let model = core::slice::from_raw_parts(model, length);
        (model, core::slice::from_raw_parts_mut(scratch, room))
    };
    let Ok(found) = Scorer::new(model) else {
        return 0;
    };
    let (features, outputs) = (found.features(), found.outputs());
    for row in 0..rows {
        // SAFETY: as the caller promises.
        let (values, out) = unsafe {
            let values = core::slice::from_raw_parts(values.add(row * features), features);
            let out = core::slice::from_raw_parts_mut(scores.add(row * outputs), outputs);
            (values, out)
        };
        if found.score(values, scratch, out).is_err() {
            return 0;
        }
    }
    outputs
}
