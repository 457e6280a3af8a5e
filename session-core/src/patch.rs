//! What a handler changed: replayed on a fresh load when somebody else was faster.

use indexmap::IndexMap;

use crate::Lifetime;
use crate::data::{Data, Raw};

/// Changes to a session, not a new whole. Of several changes to one key the last counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patch {
    cleared: bool,
    values: IndexMap<Box<str>, Option<Raw>>,
    lifetime: Option<Lifetime>,
}

impl Patch {
    pub(crate) fn set(&mut self, key: &str, value: Raw) {
        self.values.insert(key.into(), Some(value));
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.values.insert(key.into(), None);
    }

    pub(crate) fn clear(&mut self) {
        self.cleared = true;
        self.values.clear();
    }

    pub(crate) fn set_lifetime(&mut self, lifetime: Lifetime) {
        self.lifetime = Some(lifetime);
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.cleared && self.values.is_empty() && self.lifetime.is_none()
    }

    /// Adds `later`'s changes to these.
    pub(crate) fn append(&mut self, later: Self) {
        if later.cleared {
            self.clear();
        }
        self.values.extend(later.values);
        self.lifetime = later.lifetime.or(self.lifetime);
    }

    /// Makes these changes to a session's parts.
    pub(crate) fn apply(&self, data: &mut Data, lifetime: &mut Lifetime) {
        if self.cleared {
            data.clear();
        }
        for (key, value) in &self.values {
            match value {
                Some(value) => data.set(key, value.clone()),
                None => drop(data.remove(key)),
            }
        }
        if let Some(changed) = self.lifetime {
            *lifetime = changed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::to_raw;

    fn raw(value: u32) -> Raw {
        to_raw("", &value).expect("a number")
    }

    fn applied(patch: &Patch, to: &str) -> String {
        let mut data = Data::decode(&to.to_owned().into()).expect("valid");
        patch.apply(&mut data, &mut Lifetime::default());
        String::from_utf8(data.encode().to_vec()).expect("JSON")
    }

    #[test]
    fn changes_replay_on_what_others_wrote() {
        let mut patch = Patch::default();
        patch.set("mine", raw(1));
        patch.remove("old");
        assert_eq!(
            applied(&patch, r#"{"old":0,"theirs":2}"#),
            r#"{"theirs":2,"mine":1}"#
        );
    }

    #[test]
    fn a_clear_takes_what_others_wrote_and_what_was_set_before_it() {
        let mut patch = Patch::default();
        patch.set("before", raw(1));
        patch.clear();
        patch.set("after", raw(2));
        assert_eq!(applied(&patch, r#"{"theirs":3}"#), r#"{"after":2}"#);
    }

    #[test]
    fn appended_changes_come_later() {
        let mut first = Patch::default();
        first.set("a", raw(1));
        first.set("b", raw(1));
        let mut second = Patch::default();
        second.remove("a");
        first.append(second);
        assert_eq!(applied(&first, "{}"), r#"{"b":1}"#);

        let mut cleared = Patch::default();
        cleared.clear();
        first.append(cleared);
        assert_eq!(applied(&first, r#"{"c":1}"#), "{}");
        assert!(!first.is_empty());
    }
}
