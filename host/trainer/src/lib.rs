//! Airlock trainer.
