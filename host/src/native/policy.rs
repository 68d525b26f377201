//! The programs that may be started, by the one path that each really has. A path with a symbolic link or `..` in it, or one
//! that others may write to, is refused with the reason: what was allowed must be what is started.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The most programs that may be allowed.
const PROGRAMS_MAX: usize = 256;
/// Names that lead a program's loader or interpreter to other code: never a task's to set.
const NEVER: [&str; 8] = [
    "LD_",
    "DYLD_",
    "GCONV_PATH",
    "BASH_ENV",
    "ENV",
    "IFS",
    "PATH",
    "HOME",
];

/// What `airlock.toml` says of one program; what is absent is not limited, unless a default is named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProgramSettings {
    /// Environment variables that a task may set.
    pub env: Vec<String>,
    /// Environment variables with their values, for every start.
    pub set_env: BTreeMap<String, String>,
    /// Address space, bytes.
    pub memory_bytes: Option<u64>,
    /// The largest file that it may write, bytes.
    pub file_bytes: Option<u64>,
    /// Open files; 1,024 where nothing is said.
    pub open_files: Option<u64>,
    /// Processes of its user, the host's own among them.
    pub processes: Option<u64>,
    /// Seconds of processor time.
    pub cpu_seconds: Option<u64>,
}

/// One program that may be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Absolute, without links.
    pub path: PathBuf,
    /// Its limits and environment.
    pub settings: ProgramSettings,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NativePrograms(BTreeMap<PathBuf, Program>);

/// Why a program is not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NativeError {
    /// Its path is not the one that it really has, or cannot be looked at.
    #[error("{path:?} cannot be allowed: {why}")]
    Path {
        /// As written.
        path: PathBuf,
        /// What is wrong, and what to write.
        why: String,
    },
    /// Too many.
    #[error("over {PROGRAMS_MAX} programs are allowed; start them through one of your own")]
    TooMany,
    /// A variable that no task may set, or no variable.
    #[error("{path:?} may not let a task set {name:?}: {why}")]
    Variable {
        /// Which program.
        path: PathBuf,
        /// Which variable.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Not on the list.
    #[error(
        "native.command may not start {program:?}: airlock.toml allows {allowed}; [native.{program:?}] there would allow it"
    )]
    NotAllowed {
        /// As asked for.
        program: String,
        /// What is on the list.
        allowed: String,
    },
    /// A task sets a variable that is not its to set.
    #[error(
        "a task may not set {name:?} for {path:?}; `env = [{name:?}]` under [native.{path:?}] in airlock.toml would allow it"
    )]
    NotSettable {
        /// Which program.
        path: PathBuf,
        /// Which variable.
        name: String,
    },
}

impl NativePrograms {
    /// Allows one program more.
    pub fn allow(&mut self, path: &str, settings: ProgramSettings) -> Result<(), NativeError> {
        let path = PathBuf::from(path);
        check(&path)?;
        for name in settings.env.iter().chain(settings.set_env.keys()) {
            variable(name).map_err(|why| NativeError::Variable {
                path: path.clone(),
                name: name.clone(),
                why,
            })?;
        }
        for name in &settings.env {
            if NEVER.iter().any(|never| is_led_by(name, never)) {
                return Err(NativeError::Variable {
                    path,
                    name: name.clone(),
                    why: "it leads programs to other code; give it a value under `set_env`",
                });
            }
        }
        if self.0.len() >= PROGRAMS_MAX {
            return Err(NativeError::TooMany);
        }
        let program = Program {
            path: path.clone(),
            settings,
        };
        self.0.insert(path, program);
        Ok(())
    }

    /// Paths of the programs that may be started.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// The program with exactly this path, looked at once more: it may have been replaced since it was allowed.
    pub fn find(&self, program: &str) -> Result<&Program, NativeError> {
        // Texts are compared: `Path` would take `/bin//sh` and `/bin/./sh` for `/bin/sh`.
        let same = |known: &&Program| known.path.as_os_str() == program;
        let Some(known) = self.0.values().find(same) else {
            let paths: Vec<String> = self
                .paths()
                .map(|path| path.display().to_string())
                .collect();
            let allowed = if paths.is_empty() {
                "no program".to_owned()
            } else {
                paths.join(", ")
            };
            return Err(NativeError::NotAllowed {
                program: program.to_owned(),
                allowed,
            });
        };
        check(&known.path)?;
        Ok(known)
    }
}

impl Program {
    /// The whole environment of one start: `own` is of the host, `asked` of the task.
    pub fn environment(
        &self,
        own: Vec<(String, String)>,
        asked: Vec<(String, String)>,
    ) -> Result<Vec<(String, String)>, NativeError> {
        let mut all: BTreeMap<String, String> = own.into_iter().collect();
        for (name, value) in asked {
            let is_fixed = self.settings.set_env.contains_key(&name);
            if is_fixed || !self.settings.env.contains(&name) || value.contains('\0') {
                return Err(NativeError::NotSettable {
                    path: self.path.clone(),
                    name,
                });
            }
            all.insert(name, value);
        }
        all.extend(self.settings.set_env.clone());
        Ok(all.into_iter().collect())
    }
}

fn is_led_by(name: &str, never: &str) -> bool {
    if never.ends_with('_') {
        name.starts_with(never)
    } else {
        name == never
    }
}

fn variable(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.contains(['=', '\0']) || name.chars().any(char::is_control) {
        return Err("it is no name of a variable");
    }
    Ok(())
}

/// The path must be absolute and the real one, of a program that only its owner may change.
fn check(path: &Path) -> Result<(), NativeError> {
    let wrong = |why: String| NativeError::Path {
        path: path.to_owned(),
        why,
    };
    if !path.is_absolute() {
        return Err(wrong("write its absolute path".to_owned()));
    }
    let unreadable = |error: io::Error| wrong(format!("it cannot be looked at: {error}"));
    let real = path.canonicalize().map_err(unreadable)?;
    if real.as_os_str() != path.as_os_str() {
        let why = format!(
            "it leads to {} by a link or a detour; write that path",
            real.display()
        );
        return Err(wrong(why));
    }
    let metadata = path.symlink_metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        return Err(wrong("it is no file that can be executed".to_owned()));
    }
    for place in path.ancestors() {
        let mode = place.symlink_metadata().map_err(unreadable)?.mode();
        // In a folder with the sticky bit others cannot replace what is not theirs.
        let is_sticky = mode & 0o1000 != 0 && place != path;
        if mode & 0o002 != 0 && !is_sticky {
            return Err(wrong(format!("everybody may write to {}", place.display())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::symlink;

    fn program(folder: &Path, name: &str) -> String {
        let path = folder.join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn allow(path: &str) -> Result<NativePrograms, NativeError> {
        let mut programs = NativePrograms::default();
        programs.allow(path, ProgramSettings::default())?;
        Ok(programs)
    }

    #[test]
    fn only_the_real_path_of_a_program_can_be_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        let good = program(&at, "good");
        allow(&good).unwrap();
        symlink("good", at.join("link")).unwrap();
        fs::create_dir(at.join("sub")).unwrap();
        symlink("sub", at.join("folder")).unwrap();
        program(&at.join("sub"), "inner");
        fs::write(at.join("text"), "x").unwrap();
        let shown = at.to_str().unwrap();
        for bad in [
            format!("{shown}/link"),
            format!("{shown}/folder/inner"),
            format!("{shown}/sub/../good"),
            format!("{shown}/./good"),
            format!("{shown}//good"),
            format!("{good}/"),
            format!("{shown}/text"),
            format!("{shown}/sub"),
            format!("{shown}/missing"),
            "good".to_owned(),
            "./good".to_owned(),
            String::new(),
        ] {
            let refused = allow(&bad);
            assert!(
                matches!(refused, Err(NativeError::Path { .. })),
                "{bad:?}: {refused:?}"
            );
        }
        fs::set_permissions(&good, Permissions::from_mode(0o757)).unwrap();
        let error = allow(&good).unwrap_err().to_string();
        assert!(error.contains("everybody may write"), "{error}");
        fs::set_permissions(&good, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&at, Permissions::from_mode(0o777)).unwrap();
        assert!(allow(&good).is_err(), "others could put another file there");
    }

    #[test]
    fn a_program_is_found_by_its_text_alone_and_looked_at_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().canonicalize().unwrap();
        let good = program(&at, "good");
        let other = program(&at, "other");
        let programs = allow(&good).unwrap();
        assert_eq!(programs.find(&good).unwrap().path, Path::new(&good));
        let shown = at.to_str().unwrap();
        for bad in [
            format!("{shown}//good"),
            format!("{shown}/./good"),
            format!("{shown}/sub/../good"),
            format!("{good}/"),
            format!("{good} "),
            format!("{good}\0"),
            "good".to_owned(),
            other.clone(),
        ] {
            let refused = programs.find(&bad);
            assert!(
                matches!(refused, Err(NativeError::NotAllowed { .. })),
                "{bad:?}"
            );
        }
        fs::remove_file(&good).unwrap();
        symlink(&other, &good).unwrap();
        assert!(matches!(
            programs.find(&good),
            Err(NativeError::Path { .. })
        ));
        let none = NativePrograms::default();
        let error = none.find("/bin/sh").unwrap_err().to_string();
        assert!(error.contains("allows no program"), "{error}");
    }

    #[test]
    fn a_task_sets_what_it_was_left_and_nothing_that_leads_to_other_code() {
        let folder = tempfile::tempdir().unwrap();
        let good = program(&folder.path().canonicalize().unwrap(), "good");
        let mut programs = NativePrograms::default();
        let settings = ProgramSettings {
            env: vec!["EPOCHS".into(), "FIXED".into()],
            set_env: [
                ("FIXED".into(), "1".into()),
                ("LD_LIBRARY_PATH".into(), "/opt".into()),
            ]
            .into(),
            ..ProgramSettings::default()
        };
        programs.allow(&good, settings).unwrap();
        let program = programs.find(&good).unwrap();
        let set = |name: &str, value: &str| {
            let own = vec![("PATH".to_owned(), "/bin".to_owned())];
            program.environment(own, vec![(name.to_owned(), value.to_owned())])
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = vec![
            pair("EPOCHS", "3"),
            pair("FIXED", "1"),
            pair("LD_LIBRARY_PATH", "/opt"),
            pair("PATH", "/bin"),
        ];
        assert_eq!(set("EPOCHS", "3").unwrap(), expected);
        for (name, value) in [
            ("FIXED", "2"),
            ("PATH", "/x"),
            ("LD_PRELOAD", "x"),
            ("EPOCHS", "a\0b"),
            ("", ""),
        ] {
            assert!(set(name, value).is_err(), "{name}");
        }
        for never in [
            "LD_PRELOAD",
            "LD_AUDIT",
            "PATH",
            "BASH_ENV",
            "A=B",
            "",
            "A\0",
        ] {
            let settings = ProgramSettings {
                env: vec![never.to_owned()],
                ..ProgramSettings::default()
            };
            assert!(
                NativePrograms::default().allow(&good, settings).is_err(),
                "{never:?}"
            );
        }
    }
}
