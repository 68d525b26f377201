//! Components that bring DAGs, made of one that was built: what they bring is written into its bytes.

use crate::GUESTS;
use std::path::Path;
use std::sync::LazyLock;

/// Where the text begins that a test may overwrite, and how much room it has; see tests/guests/dags.
const MARK: &[u8] = b"AIRLOCK TEST DAGS BEGIN HERE";
const ROOM: usize = 8192;

static COMPONENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    // All guests are built at once.
    LazyLock::force(&GUESTS);
    let file = "../target/guests-test/wasm32-wasip2/release/guest_dags.wasm";
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a built guest")
});

/// A component called `name` that brings `dags`, with one operator `say` whose value is `said`. Called `loops` or `raises` it
/// does that when it is described.
///
/// # Panics
/// If the text has no room.
pub fn dag_component(name: &str, said: &serde_json::Value, dags: &[serde_json::Value]) -> Vec<u8> {
    let mut text = format!("{name}\n{said}\n");
    for dag in dags {
        text.push_str(&format!("{dag}\n"));
    }
    assert!(text.len() <= ROOM, "the DAGs need {} bytes", text.len());
    let mut bytes = COMPONENT.clone();
    let at = bytes
        .windows(MARK.len())
        .position(|window| window == MARK)
        .expect("the mark");
    let room = bytes.get_mut(at..at + ROOM).expect("the room");
    room.fill(b' ');
    for (place, byte) in room.iter_mut().zip(text.bytes()) {
        *place = byte;
    }
    bytes
}
