//! How records are stored: one byte of format version, then JSON. Refuses to read a newer format.

use super::TrackingError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The format this program writes.
const FORMAT: u8 = 1;

pub(super) fn encode<T: Serialize + ?Sized>(record: &T) -> Result<Vec<u8>, TrackingError> {
    let mut bytes = vec![FORMAT];
    serde_json::to_writer(&mut bytes, record)
        .map_err(|error| TrackingError::Invalid(format!("cannot be stored: {error}")))?;
    Ok(bytes)
}

pub(super) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, TrackingError> {
    let damaged = |reason: String| TrackingError::Damaged {
        what: what.to_owned(),
        reason,
    };
    match bytes.split_first() {
        Some((&FORMAT, json)) => {
            serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))
        }
        Some((version, _)) => Err(damaged(format!(
            "it has format {version}, this Airlock reads {FORMAT}"
        ))),
        None => Err(damaged("it is empty".to_owned())),
    }
}

/// Floats as their shortest exact text: JSON numbers have no NaN and are not read back to the last bit.
pub(super) mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(value: &f64, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&format!("{value:?}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_a_newer_format_and_an_empty_record() {
        let bytes = encode(&vec![1, 2]).unwrap();
        assert_eq!(decode::<Vec<i32>>("it", &bytes).unwrap(), [1, 2]);
        let error = decode::<Vec<i32>>("it", b"\x02[1]")
            .unwrap_err()
            .to_string();
        assert!(error.contains("format 2"), "{error}");
        assert!(decode::<Vec<i32>>("it", b"").is_err());
    }

    #[test]
    fn floats_keep_every_bit() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Holder(#[serde(with = "exact")] f64);
        for value in [0.1 + 0.2, -0.0, f64::MIN_POSITIVE, f64::INFINITY, f64::MAX] {
            let back: Holder = decode("it", &encode(&Holder(value)).unwrap()).unwrap();
            assert_eq!(back.0.to_bits(), value.to_bits());
        }
        let back: Holder = decode("it", &encode(&Holder(f64::NAN)).unwrap()).unwrap();
        assert!(back.0.is_nan());
    }
}
