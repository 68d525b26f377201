//! Scores rows with a trained Airlock model, inside a guest and without the host: from the bytes of the format `airlock`, where they
//! lie, with the bits that `model.score` gives in the host.
//!
//! It owns the reading of those bytes and the arithmetic; it needs no std, no allocator and no capability, and refuses to train,
//! to load, and to score more than one row at a time.
//!
//! ```no_run
//! # fn model() -> &'static [u8] { &[] }
//! use airlock_scorer::Scorer;
//!
//! let scorer = Scorer::new(model())?;
//! let mut scratch = [0.0; 256];
//! let mut score = [0.0];
//! scorer.score(&[0.5, f32::NAN, 3.0], &mut scratch, &mut score)?;
//! # Ok::<(), airlock_scorer::Error>(())
//! ```

#![no_std]

mod bytes;
mod math;
mod nets;
mod trees;

use bytes::Bytes;
use core::fmt;
use nets::{Linear, Mlp};
use trees::Trees;

/// Most outputs of a model.
pub const OUTPUTS_MAX: usize = 256;

/// Most features of a model.
const FEATURES_MAX: usize = 16_384;
const MAGIC: &[u8] = b"airlock\x01";
const FORMAT: u32 = 2;
/// Magic, format, kind, bytes of the header, features, bytes of the body.
const HEAD_BYTES: usize = 32;

/// Why there is no score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The bytes do not begin as a model of format 2 does. Save the model again with a host of this version.
    NoModel,
    /// The bytes contradict themselves or end early. Fetch the model again.
    Damaged,
    /// The row has another number of features than the model. They come in the order of its training.
    Row,
    /// A value is infinite. Pass NaN for a missing one.
    Infinite,
    /// `scratch` or `out` is too short: see [`Scorer::scratch`] and [`Scorer::outputs`].
    Room,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NoModel => {
                "the bytes are no model of format 2; save it again with this version of the host"
            }
            Self::Damaged => "the model's bytes are damaged; fetch it again",
            Self::Row => "the row has another number of features than the model",
            Self::Infinite => "a value of the row is infinite; pass NaN for a missing one",
            Self::Room => "scratch or out is too short for the model",
        })
    }
}

impl core::error::Error for Error {}

/// What scores mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// One probability.
    BinaryLogistic,
    /// One value.
    SquaredError,
    /// The probability of each class.
    Softmax,
}

impl Objective {
    fn of(number: u32) -> Result<Self, Error> {
        match number {
            1 => Ok(Self::BinaryLogistic),
            2 => Ok(Self::SquaredError),
            3 => Ok(Self::Softmax),
            _ => Err(Error::Damaged),
        }
    }

    /// From margins to scores.
    fn link(self, margins: &mut [f64]) {
        match self {
            Self::SquaredError => {}
            Self::Softmax => math::softmax(margins),
            Self::BinaryLogistic => {
                for margin in margins {
                    *margin = math::sigmoid(*margin);
                }
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Body<'a> {
    Trees(Trees<'a>),
    Linear(Linear<'a>),
    Mlp(Mlp<'a>),
}

/// A model that was checked and scores.
#[derive(Debug, Clone, Copy)]
pub struct Scorer<'a> {
    features: usize,
    header: &'a [u8],
    body: Body<'a>,
}

impl<'a> Scorer<'a> {
    /// Checks `model`, the bytes of an artifact in the format `airlock`; they are borrowed and never copied. What follows a
    /// checkpoint's model is passed over.
    ///
    /// # Errors
    /// [`Error::NoModel`] and [`Error::Damaged`].
    pub fn new(model: &'a [u8]) -> Result<Self, Error> {
        let bytes = Bytes(model);
        if !model.starts_with(MAGIC) || bytes.u32(8) != FORMAT {
            return Err(Error::NoModel);
        }
        let (kind, length, features) = (bytes.u32(12), bytes.count(16), bytes.count(20));
        let size = usize::try_from(bytes.u64(24)).map_err(|_| Error::Damaged)?;
        let header = bytes.part(HEAD_BYTES, length).ok_or(Error::Damaged)?;
        let body = bytes
            .part(HEAD_BYTES + length, size)
            .ok_or(Error::Damaged)?;
        if features == 0 || features > FEATURES_MAX {
            return Err(Error::Damaged);
        }
        let body = match kind {
            1 => Body::Trees(Trees::new(body, features)?),
            2 => Body::Linear(Linear::new(body, features)?),
            3 => Body::Mlp(Mlp::new(body, features)?),
            _ => return Err(Error::NoModel),
        };
        Ok(Self {
            features,
            header: header.0,
            body,
        })
    }

    /// Features that a row needs.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The model's header, a JSON object with the names of the features under `features`, for those who read JSON.
    pub fn header(&self) -> &'a [u8] {
        self.header
    }

    /// What scores mean.
    pub fn objective(&self) -> Objective {
        match self.body {
            Body::Trees(trees) => trees.objective,
            Body::Linear(_) => Objective::BinaryLogistic,
            Body::Mlp(mlp) => mlp.objective,
        }
    }

    /// Numbers that the model says of a row.
    pub fn outputs(&self) -> usize {
        match self.body {
            Body::Trees(trees) => trees.outputs,
            Body::Linear(_) => 1,
            Body::Mlp(mlp) => mlp.outputs,
        }
    }

    /// Numbers that [`Scorer::score`] needs to work with: 0 but for a multi-layer perceptron.
    pub fn scratch(&self) -> usize {
        match self.body {
            Body::Mlp(mlp) => 2 * mlp.width,
            _ => 0,
        }
    }

    /// Scores one row, its values in the order of the features and NaN where one is missing, into the first [`Scorer::outputs`] of
    /// `out`.
    ///
    /// # Errors
    /// [`Error::Row`], [`Error::Infinite`] and [`Error::Room`]; `out` is as it was then.
    pub fn score(&self, row: &[f32], scratch: &mut [f32], out: &mut [f32]) -> Result<(), Error> {
        if row.len() != self.features {
            return Err(Error::Row);
        }
        if row.iter().any(|x| x.abs() >= f32::MAX) {
            return Err(Error::Infinite);
        }
        let scratch = scratch.get_mut(..self.scratch()).ok_or(Error::Room)?;
        let out = out.get_mut(..self.outputs()).ok_or(Error::Room)?;
        match &self.body {
            Body::Trees(trees) => trees.score(row, out),
            Body::Linear(linear) => linear.score(row, out),
            Body::Mlp(mlp) => mlp.score(row, scratch, out),
        }
        Ok(())
    }
}
