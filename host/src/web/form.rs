//! Forms: what comes in, and what every form carries. It refuses a form that is too long, and more fields than any of ours has.

use super::answer::Refusal;
use super::visit::Visit;
use maud::{Markup, html};

/// Fields of a form or a query that are read.
const FIELDS_MAX: usize = 2_000;

/// Names and values, in their order; a name may come several times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Of a query, or of a form that was sent.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let mut pairs = Vec::new();
        for (name, value) in url::form_urlencoded::parse(text) {
            if pairs.len() == FIELDS_MAX {
                return Err(Refusal::usage(
                    format!("there are more than {FIELDS_MAX} fields"),
                    "send fewer",
                ));
            }
            // Browsers end lines with CR LF.
            pairs.push((name.into_owned(), value.replace("\r\n", "\n")));
        }
        Ok(Self(pairs))
    }

    /// The first value of a name; empty where there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(found, _)| found == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// Whether a name is there, as a box that was ticked is.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _)| found == name)
    }

    /// Every value of a name that is not empty.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self
            .0
            .iter()
            .filter(move |(found, value)| found == name && !value.is_empty());
        named.map(|(_, value)| value.as_str())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A form that changes something: it carries the session's CSRF token.
pub(super) fn post(visit: &Visit, action: &str, class: &str, fields: &Markup) -> Markup {
    html! {
        form method="post" action=(action) class=(class) {
            input type="hidden" name="csrf" value=(visit.csrf);
            (fields)
        }
    }
}

/// A form with one button and nothing to fill in.
pub(super) fn button(visit: &Visit, action: &str, label: &str, hidden: &[(&str, &str)]) -> Markup {
    let fields = html! {
        @for (name, value) in hidden { input type="hidden" name=(name) value=(value); }
        button type="submit" { (label) }
    };
    post(visit, action, "inline", &fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_may_come_several_times() {
        let pairs = Pairs::parse(b"a=1%2B1&b=x+y&a=2&c=%0D%0A&d").unwrap();
        assert_eq!(pairs.get("a"), "1+1");
        assert_eq!(pairs.all("a").collect::<Vec<_>>(), ["1+1", "2"]);
        assert_eq!(pairs.get("b"), "x y");
        assert_eq!(pairs.get("c"), "\n");
        assert!(pairs.has("d") && !pairs.has("e"));
    }

    #[test]
    fn too_many_fields_are_refused() {
        let text = "a=1&".repeat(FIELDS_MAX + 1);
        assert!(Pairs::parse(text.as_bytes()).is_err());
    }
}
