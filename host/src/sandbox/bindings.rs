//! The Rust face of `wit/`, generated. Its plain types are the messages between the sandbox and the rest of the host.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "operator",
    imports: {
        // These have no error in WIT: when the host cannot answer, the attempt traps instead of seeing a made-up value.
        "airlock:operator/dataset.[method]table.rows": async | trappable,
        "airlock:operator/dataset.[method]table.schema": async | trappable,
        "airlock:operator/dataset.[method]table.digest": async | trappable,
        "airlock:operator/dataset.[method]matrix.rows": async | trappable,
        "airlock:operator/dataset.[method]matrix.features": async | trappable,
        "airlock:operator/dataset.[method]matrix.digest": async | trappable,
        "airlock:operator/dataset.[method]matrix.memory": async | trappable,
        default: async,
    },
    exports: { default: async },
    additional_derives: [PartialEq],
});
