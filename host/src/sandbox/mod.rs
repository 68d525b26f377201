//! The sandbox: runs one operator as a component in a fresh store. It owns wasmtime, limits and the component cache.
//! It refuses to know the store, the scheduler or the API: input is a `TaskRequest`, output an `Outcome`, everything
//! between goes through `ports`.

#[expect(
    missing_docs,
    clippy::pedantic,
    reason = "generated from wit/, which is documented"
)]
pub mod bindings;
pub mod ports;
