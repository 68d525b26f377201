//! The attempt's own run, as far as its guest may know it. What is behind it can reach no other run.

use async_trait::async_trait;

/// The attempt's own run.
#[async_trait]
pub trait OwnRun: Send + Sync {
    /// `dag_id/run_id/task_id/map_index`: the same for every try.
    fn task_instance(&self) -> String;
    /// The DAG's time zone, an IANA name.
    fn timezone(&self) -> String;
    /// Whether the run's data interval is the newest. The error says why it is not known.
    fn is_latest_interval(&self) -> Result<bool, String>;
    /// Records a question to a person, once, durably; the answer where there is one. The error says why not.
    async fn ask(&self, question: String) -> Result<Option<String>, String>;
}
