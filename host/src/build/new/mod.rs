//! `plugins new`: a folder that builds and passes its own test, with the SDK in it. What is in it comes from
//! `sdk-guest/LANGUAGE/template`, where `{{name}}` stands for the plugin's name. It overwrites nothing.

mod name;

use super::{BuildError, Language, sdk};
use std::path::{Path, PathBuf};

/// Where the SDK goes in a plugin's folder; under it, paths are those of Airlock's own repository. A folder `vendor` is one of Go's own.
pub(super) fn vendor(language: Language) -> &'static str {
    match language {
        Language::Go => "third_party/airlock",
        _ => "vendor/airlock",
    }
}

/// Makes the folder `name` in `parent` and yields its path.
///
/// # Errors
/// When the name is none that a DAG could write, and when there is something of that name.
pub fn create(name: &str, language: Language, parent: &Path) -> Result<PathBuf, BuildError> {
    name::check(name)?;
    let folder = parent.join(name);
    if std::fs::symlink_metadata(&folder).is_ok() {
        return Err(BuildError::Exists { path: folder });
    }
    let (template, parts) = contents(language);
    if !sdk::write_template(template, &folder, name)? {
        return Err(BuildError::NotBuiltIn { language });
    }
    let vendor = folder.join(vendor(language));
    for part in parts {
        sdk::write(part, &vendor)?;
    }
    if language == Language::Rust {
        // The versions that the SDK was tested with; cargo drops what is not used.
        sdk::copy("sdk-guest/rust/Cargo.lock", &folder.join("Cargo.lock"))?;
    }
    Ok(folder)
}

/// The folder of the template, and which parts of the repository a plugin needs.
fn contents(language: Language) -> (&'static str, &'static [&'static str]) {
    match language {
        Language::Rust => (
            "sdk-guest/rust/template/",
            &[
                "wit/",
                "sdk-guest/rust/Cargo.toml",
                "sdk-guest/rust/README.md",
                "sdk-guest/rust/airlock-sdk/",
                "sdk-guest/rust/airlock-sdk-macros/",
                "sdk-guest/rust/airlock-scorer/",
            ],
        ),
        Language::Python => ("sdk-guest/python/template/", &["wit/", "sdk-guest/python/"]),
        Language::TypeScript => (
            "sdk-guest/typescript/template/",
            &["wit/", "sdk-guest/typescript/"],
        ),
        Language::C => ("sdk-guest/c/template/", &["wit/", "sdk-guest/c/"]),
        Language::Go => ("sdk-guest/go/template/", &["wit/", "sdk-guest/go/"]),
    }
}
