//! The Rust face of `wit/`, generated. Its plain types are the messages between the sandbox and the rest of the host.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "operator",
    imports: { default: async },
    exports: { default: async },
    additional_derives: [PartialEq],
});
