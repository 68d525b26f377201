//! Files that pages load: one style sheet, one module, one picture. Their names hold a digest of what is in them, so that browsers
//! keep them for ever and never use an old one. It refuses every other name.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

/// The most bytes of the module and of the style sheet, each: a page is there at once or it is not.
pub const PAGE_BYTES: usize = 60 << 10;
/// Hexadecimal digits of a digest in a name.
const DIGITS: usize = 16;

/// A file in the program.
pub(super) struct Asset {
    stem: &'static str,
    extension: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    digest: LazyLock<String>,
}

macro_rules! asset {
    ($name:ident, $stem:literal, $extension:literal, $kind:literal) => {
        pub(super) static $name: Asset = Asset {
            stem: $stem,
            extension: $extension,
            kind: $kind,
            bytes: include_bytes!(concat!("static/", $stem, ".", $extension)),
            digest: LazyLock::new(|| {
                digest(include_bytes!(concat!("static/", $stem, ".", $extension)))
            }),
        };
    };
}

asset!(STYLE, "app", "css", "text/css; charset=utf-8");
asset!(SCRIPT, "app", "js", "text/javascript; charset=utf-8");
asset!(ICON, "icon", "svg", "image/svg+xml");

fn digest(bytes: &[u8]) -> String {
    let mut text = crate::app::hex(&Sha256::digest(bytes));
    text.truncate(DIGITS);
    text
}

impl Asset {
    /// Where it is.
    pub(super) fn path(&self) -> String {
        format!("/assets/{}-{}.{}", self.stem, *self.digest, self.extension)
    }

    pub(super) fn respond(&self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(self.kind)),
            (
                header::CACHE_CONTROL,
                HeaderValue::from_static("public, max-age=31536000, immutable"),
            ),
        ];
        (headers, self.bytes).into_response()
    }
}

/// The file at exactly this path.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    let mut all = [&STYLE, &SCRIPT, &ICON].into_iter();
    all.find(|asset| asset.path() == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_what_is_in_them_and_files_are_small() {
        for asset in [&STYLE, &SCRIPT] {
            assert!(asset.bytes.len() < PAGE_BYTES, "{}", asset.path());
            assert!(std::ptr::eq(find(&asset.path()).unwrap(), asset));
        }
        assert!(find("/assets/app.js").is_none());
        assert!(find("/assets/app-0000000000000000.js").is_none());
    }
}
