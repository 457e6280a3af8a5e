//! The suite on its own reference store.

use std::collections::{BTreeMap, BTreeSet};

use integration_tests::conformance::{CASES, Invariant};
use integration_tests::conformance_tests;
use integration_tests::reference::ReferenceFactory;

conformance_tests!(ReferenceFactory::default());

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
