//! All DAGs: the list, and the files that could not be read.

pub(super) mod errors;
pub(super) mod list;
