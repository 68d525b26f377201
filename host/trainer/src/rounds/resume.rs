//! Whether a checkpoint may be gone on with: only by a run of the same data and settings.

use crate::config::Config;
use crate::data::Matrix;
use crate::error::TrainError;
use crate::model::{Model, Origin};

/// The model and the state of the checkpoint that the settings name, if they do.
///
/// # Errors
/// [`TrainError::Data`] for damaged bytes and other features, [`TrainError::Invalid`] that says what else differs.
pub(crate) fn resumed<'a>(
    config: &'a Config,
    train: &Matrix,
) -> Result<Option<(Model, &'a [u8])>, TrainError> {
    let Some(bytes) = &config.resume_from else {
        return Ok(None);
    };
    let (model, state) = Model::from_checkpoint(bytes)?;
    model.fits(train)?;
    let Some(origin) = &model.origin else {
        return Err(TrainError::Invalid(
            "the model in resume_from does not say what it was trained on, so it cannot be resumed; leave it out".to_owned(),
        ));
    };
    origin.resumes_as(&Origin::of(config, train))?;
    Ok(Some((model, state)))
}
