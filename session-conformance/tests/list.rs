//! The suite's list of cases, and a store that declares nothing. The reference store runs the suite
//! in `readme`, as the README shows.

use std::collections::{BTreeMap, BTreeSet};

use session_conformance::conformance_tests;
use session_conformance::reference::{ReferenceFactory, ReferenceStore};
use session_conformance::{
    CASES, Case, Invariant, Need, StoreFactory, TestStore, case_of, check_left_out, in_memory,
    run_test,
};
use session_core::{
    Capabilities, Draft, Lifetime, Result, SessionStore, SessionToken, StoreWrapper, async_trait,
};

/// The README's table of groups matches the list of cases and their rules.
#[test]
fn the_readme_lists_every_group_and_its_rules() {
    let readme = include_str!("../README.md");
    let mut groups: BTreeMap<&str, BTreeSet<Invariant>> = BTreeMap::new();
    for case in CASES {
        groups.entry(case.group).or_default().insert(case.invariant);
    }
    let count = format!("{} cases in {} groups", CASES.len(), groups.len());
    assert!(readme.contains(&count), "the README says {count}");
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

/// A factory that can't corrupt sessions, of stores without a directory or expiry reports.
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
        without = [
            Directory,
            ExpiryReports,
            MaxData,
            Descriptions,
            Past,
            Corruption
        ]
    );
}

/// The text of the panic of `run`.
fn panic_of(run: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(run).expect_err("it fails");
    let text = panic.downcast_ref::<String>();
    text.expect("a text").clone()
}

#[test]
fn a_case_whose_need_is_missing_and_undeclared_fails() {
    let bare = async || Bare(ReferenceFactory::default());
    for (name, reason) in [
        ("counts_follow_creates_and_ends", "no directory"),
        ("reap_keeps_to_its_limit", "no directory"),
        ("data_of_the_declared_limit_is_kept", "no data limit"),
        ("every_save_replaces_the_description", "no descriptions"),
        ("a_corrupt_session_can_be_destroyed", "can't corrupt"),
    ] {
        let text = panic_of(|| run_test("", case_of(name), &[], bare()));
        assert!(text.contains(reason) && text.contains("without"), "{text}");
    }
    let declared = [Need::Corruption];
    let case = case_of("a_corrupt_session_can_be_destroyed");
    run_test("", case, &declared, bare());
}

/// A case of a store's author, which passes on a store with a directory only.
static COUNTS: Case = Case::own("a_new_store_is_empty", |fixture| {
    Box::pin(async move {
        let store = fixture.store();
        let directory = store.directory().expect("a store that counts");
        assert_eq!(directory.count().await.expect("it is up"), 0);
        assert_ne!(fixture.seed(), 0, "what is drawn at random");
    })
});

#[test]
fn a_case_of_the_stores_author_runs_like_those_of_the_suite() {
    run_test("own", &COUNTS, &[], async { ReferenceFactory::default() });
    let bare = async { Bare(ReferenceFactory::default()) };
    let text = panic_of(|| run_test("own", &COUNTS, &[], bare));
    let rule = "a_new_store_is_empty (Own: what this store promises beyond the suite)";
    assert!(text.starts_with(rule), "{text}");
    assert!(text.contains("a store that counts"), "{text}");
    assert!(
        !text.contains("CONFORMANCE_SEED"),
        "it drew nothing: {text}"
    );
}

/// The message contains the seed if the case has used it, so that its author can repeat it.
#[test]
fn a_random_case_of_the_stores_author_prints_its_seed() {
    static FAILS: Case = Case::own("drawing_fails", |fixture| {
        Box::pin(async move { panic!("with {}", fixture.seed()) })
    });
    let text = panic_of(|| run_test("own", &FAILS, &[], async { in_memory(ReferenceStore::new) }));
    assert!(text.contains("[CONFORMANCE_SEED="), "{text}");
}

/// Two namespaces of a store in memory share nothing, and two instances on one share everything.
#[tokio::test]
async fn a_store_in_memory_is_one_for_each_namespace() {
    let factory = in_memory(ReferenceStore::new);
    let open = async |namespace| factory.open(namespace).await.expect("it opens").store;
    let (store, other, elsewhere) = (open("a").await, open("a").await, open("b").await);
    let id = SessionToken::generate().id();
    let draft = Draft::new("{}", Lifetime::default());
    let created = store.create(&id, &draft).await.expect("it is up");
    assert!(created.is_done());
    assert!(other.load(&id).await.expect("it is up").is_some());
    assert!(elsewhere.load(&id).await.expect("it is up").is_none());
}

#[test]
fn a_need_declared_as_missing_that_is_met_fails() {
    const WITHOUT: &[Need] = &[Need::MaxData, Need::Corruption];
    let reference = async { ReferenceFactory::default() };
    let text = panic_of(|| check_left_out(WITHOUT, reference));
    assert!(text.contains("[MaxData, Corruption]"), "{text}");
    check_left_out(WITHOUT, async { Bare(ReferenceFactory::default()) });
}
