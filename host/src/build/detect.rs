//! Which language a path holds. A manifest decides; where there is none, the endings of the files do. It refuses to guess
//! between two.

use super::{BuildError, Language};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a component is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its language.
    pub language: Language,
    /// The folder, absolute.
    pub folder: PathBuf,
    /// The one file that was named, absolute; none where a folder was.
    pub file: Option<PathBuf>,
    /// What a DAG will call the plugin: the folder's or the file's name.
    pub name: String,
}

impl Source {
    /// Where the component goes if nobody says so: beside the source.
    pub fn component(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.name))
    }
}

/// Finds out what `path` holds.
///
/// # Errors
/// When there is nothing, nothing known, or more than one language.
pub fn detect(path: &Path) -> Result<Source, BuildError> {
    let path = std::path::absolute(path).map_err(|error| BuildError::io(path, error))?;
    let data = std::fs::metadata(&path).map_err(|error| BuildError::io(&path, error))?;
    if data.is_dir() {
        let language = of_folder(&path)?;
        return Ok(Source {
            language,
            name: name_of(&path),
            folder: path,
            file: None,
        });
    }
    let folder = path.parent().unwrap_or(&path).to_path_buf();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for language in Language::ALL {
        if language
            .manifests()
            .iter()
            .any(|manifest| *manifest == name)
        {
            return Ok(Source {
                language,
                name: name_of(&folder),
                folder,
                file: None,
            });
        }
        if has_ending(&path, language) {
            return Ok(Source {
                language,
                name: name_of(&path.with_extension("")),
                folder,
                file: Some(path),
            });
        }
    }
    Err(BuildError::UnknownLanguage { path })
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn has_ending(path: &Path, language: Language) -> bool {
    path.extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| language.endings().contains(&ending))
}

fn of_folder(folder: &Path) -> Result<Language, BuildError> {
    let io = |error| BuildError::io(folder, error);
    // The first file, by name, that speaks for a language: what an error shows must not depend on the disk.
    let mut manifests: BTreeMap<Language, String> = BTreeMap::new();
    let mut loose: BTreeMap<Language, String> = BTreeMap::new();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.path().is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    for name in names {
        for language in Language::ALL {
            if language.manifests().contains(&name.as_str()) {
                manifests.entry(language).or_insert_with(|| name.clone());
            } else if has_ending(Path::new(&name), language) {
                loose.entry(language).or_insert_with(|| name.clone());
            }
        }
    }
    let found = if manifests.is_empty() {
        loose
    } else {
        manifests
    };
    let mut languages = found.iter();
    match (languages.next(), languages.next()) {
        (None, _) => Err(BuildError::UnknownLanguage {
            path: folder.to_owned(),
        }),
        (Some((language, _)), None) => Ok(*language),
        (Some((first, first_file)), Some((second, second_file))) => Err(BuildError::TwoLanguages {
            path: folder.to_owned(),
            first: *first,
            first_file: first_file.clone(),
            second: *second,
            second_file: second_file.clone(),
        }),
    }
}
