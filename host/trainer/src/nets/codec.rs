//! The bodies of nets in a model's bytes: 32-bit counts, then 64-bit numbers, then 32-bit ones, little-endian. A guest's scorer
//! reads the same bytes where they lie. Refuses numbers that are not finite and shapes over the named limits.

use super::check_widths;
use super::linear::Linear;
use super::mlp::{Mlp, layers};
use super::scaler::Scaler;
use crate::config::Objective;
use crate::error::TrainError;
use crate::model::{Reader, broken};

fn finite(reader: &mut Reader<'_>) -> Result<f64, TrainError> {
    let number = f64::from_bits(reader.u64()?);
    if number.is_finite() {
        Ok(number)
    } else {
        Err(broken("a number is not finite"))
    }
}

impl Scaler {
    fn append(&self, bytes: &mut Vec<u8>) {
        for number in self.mean.iter().chain(&self.scale) {
            bytes.extend(number.to_le_bytes());
        }
    }

    fn read(reader: &mut Reader<'_>, features: usize) -> Result<Self, TrainError> {
        let scaler = Self {
            mean: reader.many(features, finite)?,
            scale: reader.many(features, finite)?,
        };
        if scaler.scale.iter().all(|scale| *scale > 0.0) {
            Ok(scaler)
        } else {
            Err(broken("a scale is not over 0"))
        }
    }
}

impl Linear {
    /// Rounds, a zero, the intercept, means, scales, coefficients.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.rounds.to_le_bytes().to_vec();
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend(self.intercept.to_le_bytes());
        self.scaler.append(&mut bytes);
        for coefficient in &self.coefficients {
            bytes.extend(coefficient.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn read(reader: &mut Reader<'_>, features: usize) -> Result<Self, TrainError> {
        let (rounds, _) = (reader.u32()?, reader.u32()?);
        Ok(Self {
            rounds,
            intercept: finite(reader)?,
            scaler: Scaler::read(reader, features)?,
            coefficients: reader.many(features, finite)?,
        })
    }
}

impl Mlp {
    /// Objective, rounds, number of widths, the widths, a zero where that makes the count even; the target's offset and unit,
    /// means, scales; then the parameters.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let mut head = vec![
            self.objective.number(),
            self.rounds,
            count(self.widths.len()),
        ];
        head.extend(self.widths.iter().map(|width| count(*width)));
        head.resize(head.len().next_multiple_of(2), 0);
        let mut bytes: Vec<u8> = head.into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.extend(self.target.0.to_le_bytes());
        bytes.extend(self.target.1.to_le_bytes());
        self.scaler.append(&mut bytes);
        for parameter in &self.parameters {
            bytes.extend(parameter.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn read(reader: &mut Reader<'_>, features: usize) -> Result<Self, TrainError> {
        let objective = Objective::of(reader.u32()?)?;
        let (rounds, count) = (reader.u32()?, reader.u32()? as usize);
        let widths: Vec<usize> = reader.many(count, |reader| Ok(reader.u32()? as usize))?;
        if count.is_multiple_of(2) {
            reader.u32()?;
        }
        if widths.first() != Some(&features) {
            return Err(broken("its layers are for another number of features"));
        }
        check_widths(&widths, objective).map_err(|why| broken(&why))?;
        let target = (finite(reader)?, finite(reader)?);
        let scaler = Scaler::read(reader, features)?;
        let parameters = layers(&widths).last().map_or(0, |layer| layer.bias().end);
        let parameters = reader.many(parameters, Reader::f32)?;
        if parameters.iter().any(|weight| !weight.is_finite()) {
            return Err(broken("a weight is not finite"));
        }
        Ok(Self {
            objective,
            rounds,
            scaler,
            widths,
            parameters,
            target,
        })
    }
}
