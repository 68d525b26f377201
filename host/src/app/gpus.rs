//! The machine's GPUs and who holds them.

use super::App;
use crate::error::UserError;
use crate::scheduler::GpuUse;

impl App {
    /// Every card, with what task instances of this process hold of it.
    pub async fn gpus(&self) -> Result<Vec<GpuUse>, UserError> {
        let cards = self.gpus.gpus()?.to_vec();
        let handle = self.scheduler.handle();
        handle.set_gpus(cards).await?;
        Ok(handle.gpus().await?)
    }
}
