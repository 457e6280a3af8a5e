//! The suite's list of cases, and a store that can do little. The reference store itself runs the
//! suite in `own_store`, as the README shows it.

use std::collections::{BTreeMap, BTreeSet};

use integration_tests::conformance::{
    CASES, Invariant, Need, StoreFactory, TestStore, check_left_out, run_test,
};
use integration_tests::conformance_tests;
use integration_tests::reference::{ReferenceFactory, ReferenceStore};
use session_core::{Capabilities, Result, StoreWrapper, async_trait};

/// The table of groups in the README is the list of cases, and its rules are theirs.
#[test]
fn the_readme_lists_every_group_and_its_rules() {
    let readme = include_str!("../README.md");
    let mut groups: BTreeMap<&str, BTreeSet<Invariant>> = BTreeMap::new();
    for case in CASES {
        groups.entry(case.group).or_default().insert(case.invariant);
    }
    for (group, invariants) in &groups {
        let row = readme
            .lines()
            .find(|line| line.starts_with(&format!("| `{group}` |")));
        let row = row.unwrap_or_else(|| panic!("the README has no row for {group}"));
        let rules = row
            .trim_end_matches('|')
            .rsplit('|')
            .next()
            .unwrap_or_default();
        let listed: Vec<&str> = rules.split_whitespace().collect();
        let expected: Vec<String> = invariants
            .iter()
            .filter(|&&invariant| invariant != Invariant::Contract)
            .map(ToString::to_string)
            .collect();
        assert_eq!(listed, expected, "the rules of {group} in the README");
    }
    for invariant in groups
        .values()
        .flatten()
        .filter(|&&i| i != Invariant::Contract)
    {
        let row = format!("| {invariant} | {} |", invariant.rule());
        assert!(readme.contains(&row), "the README lacks the row {row:?}");
    }
}

#[test]
fn every_rule_has_a_case_and_every_name_is_used_once() {
    let invariants: BTreeSet<_> = CASES.iter().map(|case| case.invariant).collect();
    assert_eq!(
        invariants.len(),
        13,
        "I1 to I12 and the contract: {invariants:?}"
    );
    let names: BTreeSet<_> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), CASES.len(), "names are unique");
}

/// A store without a directory that reports no expiry, of a factory that corrupts nothing.
struct Bare(ReferenceFactory);

#[derive(Debug)]
struct BareStore(ReferenceStore);

#[async_trait]
impl StoreFactory for Bare {
    async fn open(&self, namespace: &str) -> Result<TestStore> {
        Ok(TestStore::new(BareStore(self.0.store(namespace))))
    }
}

impl StoreWrapper for BareStore {
    type Inner = ReferenceStore;

    fn inner(this: &Self) -> &ReferenceStore {
        &this.0
    }

    fn capabilities(_: &Self) -> Capabilities {
        Capabilities::new()
    }

    fn has_directory(_: &Self) -> bool {
        false
    }
}

mod bare {
    use super::*;

    conformance_tests!(
        Bare(ReferenceFactory::default()),
        without = [Directory, ExpiryReports, MaxData, Corruption]
    );
}

/// The text of the panic of `run`.
fn panic_of(run: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(run).expect_err("it fails");
    let text = panic.downcast_ref::<String>();
    text.expect("a text").clone()
}

#[test]
fn a_case_that_needs_what_is_not_declared_as_missing_fails() {
    let bare = async || Bare(ReferenceFactory::default());
    for (name, reason) in [
        ("counts_follow_beginnings_and_ends", "no directory"),
        ("reap_takes_its_limit", "no directory"),
        ("data_of_the_declared_limit_is_kept", "no limit of data"),
        ("a_corrupt_session_can_be_destroyed", "can't corrupt"),
    ] {
        let text = panic_of(|| run_test("", name, &[], bare()));
        assert!(text.contains(reason) && text.contains("without"), "{text}");
    }
    let declared = [Need::Corruption];
    run_test("", "a_corrupt_session_can_be_destroyed", &declared, bare());
}

#[test]
fn what_is_declared_as_missing_and_is_there_fails() {
    const WITHOUT: &[Need] = &[Need::MaxData, Need::Corruption];
    let reference = async { ReferenceFactory::default() };
    let text = panic_of(|| check_left_out(WITHOUT, reference));
    assert!(text.contains("[MaxData, Corruption]"), "{text}");
    check_left_out(WITHOUT, async { Bare(ReferenceFactory::default()) });
}
