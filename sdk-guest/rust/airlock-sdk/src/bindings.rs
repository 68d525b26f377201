//! The Rust face of `wit/`, generated. Plain types come from here on every target; the imports only work in a component.

wit_bindgen::generate!({
    path: "../../../wit",
    world: "operator",
    pub_export_macro: true,
    export_macro_name: "export_operator",
    default_bindings_module: "airlock_sdk::bindings",
    additional_derives: [PartialEq],
    generate_unused_types: true,
});
