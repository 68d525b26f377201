//! The sandbox against real components, well-behaved and hostile. After each hostile one a neighbour that runs beside it must
//! end well.

mod bench;
mod hostile;
mod interrupt;
mod load;
mod outcomes;
mod support;
