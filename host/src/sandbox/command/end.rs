//! The result of a program that ended: `return.json` in its folder, else the last line of its stdout. It refuses to follow a
//! link that the program left there.

use super::run::Scratch;
use crate::sandbox::config::AttemptLimits;
use crate::sandbox::exit::{exit_outcome, too_large};
use crate::sandbox::last_line::Told;
use crate::sandbox::plugin::json;
use airlock_core::run::event::{AttemptError, AttemptErrorKind, Outcome};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;
use std::io::{self, ErrorKind, Read};

/// The file that a program may leave its result in.
const RETURN_FILE: &str = "return.json";

/// The outcome, and the bytes of its value.
pub(super) fn judge(
    code: i32,
    last_line: Option<&Told>,
    stderr: &str,
    scratch: Option<&Scratch>,
    limits: &AttemptLimits,
) -> (Outcome, u64) {
    let returned = match scratch {
        Some(scratch) if code == 0 => returned(scratch, limits.output_bytes),
        _ => Ok(None),
    };
    let outcome = match returned {
        Ok(Some(value)) => Outcome::Success(Some(value)),
        Ok(None) => exit_outcome(code, last_line, stderr, limits.output_bytes),
        Err(error) => Outcome::Error(error),
    };
    let bytes = match &outcome {
        Outcome::Success(Some(value)) => value.len() as u64,
        _ => 0,
    };
    (outcome, bytes)
}

fn returned(scratch: &Scratch, max: u64) -> Result<Option<String>, AttemptError> {
    let wrong = |why: String| AttemptError {
        kind: AttemptErrorKind::Permanent,
        message: format!("the program left a {RETURN_FILE} that {why}"),
    };
    let bytes = match read(scratch, max) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(format!("cannot be read: {error}"))),
    };
    if bytes.len() as u64 > max {
        return Err(too_large(bytes.len() as u64, max));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("is no UTF-8 text".to_owned()))?;
    json(&text).map_err(|error| wrong(format!("is no JSON: {error}")))?;
    Ok(Some(text.trim().to_owned()))
}

/// One byte more than allowed tells that it is too large.
fn read(scratch: &Scratch, max: u64) -> io::Result<Vec<u8>> {
    let dir = Dir::open_ambient_dir(&scratch.folder, ambient_authority())?;
    let mut options = OpenOptions::new();
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.read(true).custom_flags(flags.bits().cast_signed());
    let file = dir.open_with(RETURN_FILE, &options)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}
