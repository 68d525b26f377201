//! Brings the DAGs that a test wrote into its bytes: a component can be made of this one without building anything.

wit_bindgen::generate!({
    path: "../../../wit",
    world: "operator",
});

use airlock::operator::types::{OperatorInfo, OperatorKind};
use exports::airlock::operator::guest::{Guest, Outcome, PluginInfo, TaskContext, TaskError};

/// Bytes that a test may overwrite, the mark included.
const ROOM: usize = 8192;
/// Where they begin: the component's name, what its operator says, and one line for each DAG; spaces follow.
#[used]
static TEXT: [u8; ROOM] = {
    let mark = b"AIRLOCK TEST DAGS BEGIN HERE";
    let mut text = [b' '; ROOM];
    let mut at = 0;
    while at < mark.len() {
        text[at] = mark[at];
        at += 1;
    }
    text
};

/// What stands there now; read so that the compiler cannot know it.
fn text() -> String {
    let bytes: Vec<u8> = (0..ROOM)
        .map(|at| unsafe { std::ptr::read_volatile(TEXT.as_ptr().add(at)) })
        .collect();
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

struct Dags;

impl Guest for Dags {
    fn describe() -> PluginInfo {
        let text = text();
        let mut lines = text.lines();
        let name = lines.next().unwrap_or_default().to_owned();
        match name.as_str() {
            "loops" => loop {
                std::hint::black_box(());
            },
            "raises" => panic!("the DAG function raised"),
            _ => {}
        }
        PluginInfo {
            name,
            version: "1.0.0".into(),
            operators: vec![OperatorInfo {
                name: "say".into(),
                summary: "Says what its component says.".into(),
                kind: OperatorKind::Operator,
                config_schema: "{}".into(),
            }],
            dags: lines.skip(1).map(str::to_owned).collect(),
        }
    }

    fn run(_: TaskContext) -> Result<Outcome, TaskError> {
        let said = text().lines().nth(1).unwrap_or_default().to_owned();
        Ok(Outcome::Success(Some(said)))
    }
}

export!(Dags);
