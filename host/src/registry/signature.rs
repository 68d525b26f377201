//! Signatures in minisign's format: Ed25519 over the component's bytes, made and checked offline, by this program or by
//! `minisign` itself. It refuses signatures of the format's first version, and to say whose key is trusted.

use super::{RegistryError, refused};
use minisign::{KeyPair, PublicKey, PublicKeyBox, SecretKeyBox, SignatureBox};
use std::fs::OpenOptions;
use std::io::{Cursor, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What a signature's file is called: the component's name and this.
const EXTENSION: &str = ".minisig";

/// A signature or a key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No signature in minisign's format.
    #[error("the signature is not one that `airlock plugins sign` or minisign makes: {0}")]
    Broken(String),
    /// No public key.
    #[error("{0:?} is no public key of minisign's: it has 56 characters and begins with RW")]
    PublicKey(String),
    /// No secret key.
    #[error("{path} holds no secret key that can be used: {reason}")]
    SecretKey {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The bytes are not those that were signed, or somebody else signed them.
    #[error("the signature does not belong to these bytes and the key {key}: {reason}")]
    Mismatch {
        /// The public key that it was checked against.
        key: String,
        /// What was found.
        reason: String,
    },
}

/// A signature as text; whether it is right is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature(String);

impl Signature {
    /// Reads minisign's four lines.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignatureError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|_| SignatureError::Broken("it is not text".to_owned()))?;
        SignatureBox::from_string(text)
            .map_err(|error| SignatureError::Broken(error.to_string()))?;
        Ok(Self(text.to_owned()))
    }

    /// The four lines.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Where the signature of a file lies.
    pub fn path_beside(path: &Path) -> PathBuf {
        PathBuf::from(Self::name_beside(&path.to_string_lossy()))
    }

    pub(super) fn name_beside(name: &str) -> String {
        format!("{name}{EXTENSION}")
    }

    /// Whether the holder of this public key signed exactly these bytes.
    pub fn check(&self, bytes: &[u8], public_key: &str) -> Result<(), SignatureError> {
        let key = parse_public_key(public_key)?;
        let signature = SignatureBox::from_string(&self.0)
            .map_err(|error| SignatureError::Broken(error.to_string()))?;
        minisign::verify(&key, &signature, Cursor::new(bytes), true, false, false).map_err(
            |error| SignatureError::Mismatch {
                key: public_key.to_owned(),
                reason: error.to_string(),
            },
        )
    }
}

/// A public key in its one notation, from that notation or from the text of a `.pub` file.
pub(super) fn public_key(text: &str) -> Result<String, SignatureError> {
    parse_public_key(text).map(|key| key.to_base64())
}

fn parse_public_key(text: &str) -> Result<PublicKey, SignatureError> {
    let short = text.trim();
    let parsed = if short.contains('\n') {
        PublicKeyBox::from_string(text).and_then(PublicKeyBox::into_public_key)
    } else {
        PublicKey::from_base64(short)
    };
    parsed.map_err(|_| SignatureError::PublicKey(short.to_owned()))
}

/// Writes a new pair of keys as `NAME.key` (readable by its owner alone) and `NAME.pub`; yields the public key. Neither file may
/// be there.
pub fn keygen(name: &Path) -> Result<String, RegistryError> {
    let with = |extension: &str| PathBuf::from(format!("{}{extension}", name.display()));
    let (secret, public) = (with(".key"), with(".pub"));
    let failed = |error: minisign::PError| SignatureError::SecretKey {
        path: secret.clone(),
        reason: error.to_string(),
    };
    let pair = KeyPair::generate_unencrypted_keypair().map_err(failed)?;
    let key_box = pair.sk.to_box(None).map_err(failed)?;
    write_new(&secret, 0o600, &key_box.into_string())?;
    let public_box = pair.pk.to_box().map_err(failed)?;
    write_new(&public, 0o644, &public_box.into_string())?;
    Ok(pair.pk.to_base64())
}

/// Signs bytes with the key in a file; yields the signature and the public key that goes with it.
pub fn sign(bytes: &[u8], key_file: &Path) -> Result<(Signature, String), RegistryError> {
    let text = std::fs::read_to_string(key_file).map_err(refused("read", key_file))?;
    let failed = |error: minisign::PError| SignatureError::SecretKey {
        path: key_file.to_owned(),
        reason: error.to_string(),
    };
    let secret = SecretKeyBox::from_string(&text)
        .and_then(SecretKeyBox::into_unencrypted_secret_key)
        .map_err(failed)?;
    let public = PublicKey::from_secret_key(&secret).map_err(failed)?;
    let signed = minisign::sign(
        Some(&public),
        &secret,
        Cursor::new(bytes),
        None,
        Some("signature of an Airlock plugin"),
    )
    .map_err(failed)?;
    Ok((Signature(signed.into_string()), public.to_base64()))
}

fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), RegistryError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(refused("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> (tempfile::TempDir, PathBuf, String) {
        let folder = tempfile::tempdir().unwrap();
        let public = keygen(&folder.path().join("me")).unwrap();
        let secret = folder.path().join("me.key");
        (folder, secret, public)
    }

    #[test]
    fn a_signature_fits_its_bytes_and_its_key_alone() {
        let (folder, secret, public) = key();
        let (signature, by) = sign(b"component", &secret).unwrap();
        assert_eq!(by, public);
        signature.check(b"component", &public).unwrap();
        let (_other_folder, _, other) = key();
        for (bytes, key) in [
            (&b"componenT"[..], &public),
            (b"component", &other),
            (b"", &public),
        ] {
            let error = signature.check(bytes, key).unwrap_err();
            assert!(matches!(error, SignatureError::Mismatch { .. }), "{error}");
        }
        let file = std::fs::read_to_string(folder.path().join("me.pub")).unwrap();
        assert_eq!(public_key(&file).unwrap(), public);
        let again = Signature::parse(signature.text().as_bytes()).unwrap();
        assert_eq!(again, signature);
    }

    #[test]
    fn every_changed_byte_of_a_signature_is_noticed() {
        let (_folder, secret, public) = key();
        let (signature, _) = sign(b"component", &secret).unwrap();
        // The first line is a comment that nobody signs.
        let begin = signature.text().find('\n').unwrap() + 1;
        for at in begin..signature.text().trim_end().len() {
            let mut bytes = signature.text().as_bytes().to_vec();
            bytes[at] ^= 1;
            let is_good = Signature::parse(&bytes)
                .is_ok_and(|changed| changed.check(b"component", &public).is_ok());
            assert!(!is_good, "byte {at}");
        }
    }

    #[test]
    fn a_secret_key_is_its_owners_alone_and_is_never_written_over() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, secret, _) = key();
        let mode = std::fs::metadata(&secret).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = keygen(&folder.path().join("me")).unwrap_err();
        assert!(error.to_string().contains("me.key"), "{error}");
    }

    #[test]
    fn what_is_no_signature_or_key_is_refused() {
        for bytes in [&b""[..], b"hello", b"\xff\xfe", b"a\nb\nc\nd\n"] {
            assert!(Signature::parse(bytes).is_err());
        }
        for text in ["", "RW", "hello world", "untrusted comment: x\nRW\n"] {
            assert!(public_key(text).is_err(), "{text:?}");
        }
    }
}
