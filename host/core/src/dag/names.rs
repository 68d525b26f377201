//! What a name in a DAG file means: a task or a group, by its full id or, inside a group, by its short one.
//! It refuses two things of one name, and knows nothing of edges.

use super::diagnostic::{Sink, quoted};
use super::read_group::GroupDraft;
use super::read_task::Draft;
use super::suggest;
use crate::ids::{GroupIndex, TaskIndex};
use std::collections::HashMap;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Task(TaskIndex),
    Group(GroupIndex),
}

/// All names of a DAG.
pub(super) struct Names {
    by_id: HashMap<String, (Name, u32)>,
    /// Of each group, its full id and the group that it is in.
    groups: Vec<(String, Option<GroupIndex>)>,
    /// Whether every name is a full id, also inside a group.
    full_ids: bool,
}

impl Names {
    /// Groups come first: a task is told when a group already has its id.
    pub(super) fn new(
        groups: &[GroupDraft<'_, '_>],
        drafts: &[Draft<'_, '_>],
        full_ids: bool,
        sink: &mut Sink,
    ) -> Self {
        let parent = |one: &GroupDraft<'_, '_>| (one.id_text.clone(), one.group.parent);
        let mut names = Self {
            by_id: HashMap::with_capacity(groups.len() + drafts.len()),
            groups: groups.iter().map(parent).collect(),
            full_ids,
        };
        for (place, one) in (0_u32..).zip(groups) {
            names.add(&one.id_text, Name::Group(GroupIndex(place)), one.span, sink);
        }
        for (place, one) in (0_u32..).zip(drafts) {
            names.add(&one.id_text, Name::Task(TaskIndex(place)), one.span, sink);
        }
        names
    }

    fn add(&mut self, id: &str, name: Name, span: super::diagnostic::Span, sink: &mut Sink) {
        let Some((earlier, line)) = self.by_id.get(id) else {
            self.by_id.insert(id.to_owned(), (name, span.line));
            return;
        };
        if id.is_empty() {
            return;
        }
        let id = quoted(id);
        let (code, message, first) = match (name, earlier) {
            (Name::Task(_), Name::Task(_)) => (
                "duplicate-task",
                format!("a second task is called {id}"),
                "the first",
            ),
            (Name::Task(_), Name::Group(_)) => (
                "duplicate-task",
                format!("a task is called {id}, and so is a group"),
                "the group",
            ),
            (Name::Group(_), _) => (
                "duplicate-group",
                format!("a second group is called {id}"),
                "the first",
            ),
        };
        let hint = format!("{first} is at line {line}; rename one");
        sink.error_hint(span, code, message, hint);
    }

    /// What `text` means inside the group `scope`: the nearest group that has something of that name wins; `except`,
    /// the one who asks, only where nothing else fits.
    pub(super) fn find(
        &self,
        text: &str,
        scope: Option<GroupIndex>,
        except: Option<Name>,
    ) -> Option<Name> {
        let mut itself = None;
        for id in self.spellings(text, scope) {
            match self.by_id.get(&id) {
                Some(&(name, _)) if Some(name) == except => itself = itself.or(Some(name)),
                Some(&(name, _)) => return Some(name),
                None => {}
            }
        }
        itself
    }

    /// `text` with the ids of the groups round it before it, innermost first, and last as it is.
    fn spellings<'s>(
        &'s self,
        text: &'s str,
        scope: Option<GroupIndex>,
    ) -> impl Iterator<Item = String> + 's {
        let scope = scope.filter(|_| !self.full_ids);
        self.enclosing(scope)
            .filter_map(|group| self.groups.get(group.get()))
            .map(move |(prefix, _)| format!("{prefix}.{text}"))
            .chain(std::iter::once(text.to_owned()))
    }

    /// `scope` and the groups that it is in, innermost first.
    pub(super) fn enclosing(&self, scope: Option<GroupIndex>) -> impl Iterator<Item = GroupIndex> {
        std::iter::successors(scope, |group| self.parent(*group))
    }

    /// The group that `group` is in.
    pub(super) fn parent(&self, group: GroupIndex) -> Option<GroupIndex> {
        self.groups.get(group.get()).and_then(|(_, parent)| *parent)
    }

    /// What a file of this DAG may name, in words.
    pub(super) fn kinds(&self) -> &'static str {
        if self.groups.is_empty() {
            "no task of this DAG"
        } else {
            "no task or group of this DAG"
        }
    }

    /// The hint for a name that means nothing.
    pub(super) fn hint(
        &self,
        text: &str,
        scope: Option<GroupIndex>,
        sink: &Sink,
    ) -> Option<String> {
        if !sink.wants_searches() {
            return None;
        }
        let elsewhere = || {
            let inside = |id: &&String| {
                let short = id.strip_suffix(text);
                short.is_some_and(|prefix| prefix.ends_with('.'))
            };
            let found = self.by_id.keys().filter(inside).min()?;
            Some(format!("did you mean {}?", quoted(found)))
        };
        let near = |id: String| {
            suggest::nearest(&id, self.by_id.keys().map(String::as_str))
                .map(|near| format!("did you mean {}?", quoted(near)))
        };
        elsewhere().or_else(|| self.spellings(text, scope).find_map(near))
    }
}
