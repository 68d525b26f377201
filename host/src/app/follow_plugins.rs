//! Folders of plugins: a component that is saved is taken up at once, as `airlock plugins update` would. Runs that began keep
//! what they began with. A file that cannot be used is told in the log, and to whoever uses it.

use super::App;
use super::folders::{Watch, saved};
use crate::error::{ErrorKind, UserError};
use notify::{RecursiveMode, Watcher};
use std::sync::Arc;
use std::sync::mpsc::channel;

impl App {
    /// Takes up what is saved in a folder of plugins, until the `Watch` is dropped.
    pub fn follow_plugins(self: &Arc<Self>) -> Result<Watch, UserError> {
        let (send, changes) = channel();
        let failed = |error: notify::Error| {
            let message = format!("the folders of plugins cannot be watched: {error}");
            UserError::new(ErrorKind::Usage, message)
                .hint("raise fs.inotify.max_user_watches, or name fewer folders with --plugins")
        };
        let tell = move |event: notify::Result<notify::Event>| {
            // The other end is gone when the service stops.
            let _ = send.send(event);
        };
        let mut watcher = notify::recommended_watcher(tell).map_err(failed)?;
        for folder in &self.plugins.sources().folders {
            watcher
                .watch(folder, RecursiveMode::NonRecursive)
                .map_err(failed)?;
        }
        let app = Arc::downgrade(self);
        let work = move || {
            while let Some(paths) = saved(&changes) {
                let Some(app) = app.upgrade() else { return };
                if paths
                    .iter()
                    .any(|path| path.extension().is_some_and(|ending| ending == "wasm"))
                {
                    app.take_up_plugins();
                }
            }
        };
        std::thread::Builder::new()
            .name("plugin-folders".to_owned())
            .spawn(work)
            .map_err(|error| UserError::new(ErrorKind::Usage, error))?;
        Ok(Watch::over(watcher))
    }

    fn take_up_plugins(&self) {
        let changed = match self.plugins.reload() {
            Ok(changed) if changed.is_empty() => return,
            Ok(changed) => changed.join(", "),
            Err(error) => {
                tracing::warn!(%error, "a plugin that was saved cannot be used");
                return;
            }
        };
        match self.renew_dags() {
            Ok(dags) => tracing::info!(plugins = changed, dags, "plugins were taken up"),
            Err(error) => tracing::error!(plugins = changed, %error, "no DAG takes up a plugin"),
        }
    }
}
