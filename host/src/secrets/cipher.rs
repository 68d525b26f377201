//! The seal of a row: XChaCha20-Poly1305 with a random nonce. The row's table and key are bound into the tag, so that a sealed value
//! put into another row does not open. `format | key id | nonce | ciphertext and tag`.

use crate::store::hex;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

/// The format of sealed values.
const FORMAT: u8 = 1;
const KEY_ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;
/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;

/// A key, with the short name that sealed values carry so that a ring of keys is not tried one by one.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    id: [u8; KEY_ID_BYTES],
    bytes: [u8; KEY_BYTES],
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Key({:02x?})", self.id)
    }
}

impl Key {
    pub(super) fn new(bytes: [u8; KEY_BYTES]) -> Self {
        let hash = blake3::derive_key("airlock 2026 secrets: the short name of a key", &bytes);
        let mut id = [0; KEY_ID_BYTES];
        for (to, from) in id.iter_mut().zip(hash) {
            *to = from;
        }
        Self { id, bytes }
    }

    /// From 64 hex digits.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 2 * KEY_BYTES || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; KEY_BYTES];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
        }
        Some(Self::new(bytes))
    }

    pub(super) fn hex(&self) -> String {
        hex(&self.bytes)
    }
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let source = rustls::crypto::ring::default_provider().secure_random;
    source.fill(&mut bytes).ok().map(|()| bytes)
}

/// Seals `plain` for the row that `bound` names; none where the system gives no random bytes.
pub(super) fn seal(key: &Key, bound: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let nonce: [u8; NONCE_BYTES] = random()?;
    let payload = Payload {
        msg: plain,
        aad: bound,
    };
    let cipher = XChaCha20Poly1305::new(&key.bytes.into());
    let sealed = cipher.encrypt(&XNonce::from(nonce), payload).ok()?;
    Some([&[FORMAT], &key.id[..], &nonce[..], &sealed[..]].concat())
}

/// Opens what one of `keys` sealed for the row that `bound` names; none for everything else.
pub(super) fn open(keys: &[Key], bound: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (format, rest) = sealed.split_first()?;
    let (id, rest) = rest.split_first_chunk::<KEY_ID_BYTES>()?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
    if *format != FORMAT {
        return None;
    }
    let payload = || Payload {
        msg: sealed,
        aad: bound,
    };
    keys.iter().filter(|key| key.id == *id).find_map(|key| {
        let cipher = XChaCha20Poly1305::new(&key.bytes.into());
        cipher.decrypt(&XNonce::from(*nonce), payload()).ok()
    })
}
