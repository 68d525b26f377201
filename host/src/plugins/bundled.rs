//! The plugins inside the binary: every component that was in `target/guests` when the host was built.

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));
