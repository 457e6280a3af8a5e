//! Stores with one fault each, and the case that finds it.

mod directory;
mod ends;
mod factory;
mod fault;
mod store;
mod writes;

use std::process::Command;
use std::sync::Arc;

use factory::BrokenFactory;
use fault::Fault;
use session_conformance::{CASES, Outcome, run_all, run_case};

/// Runs one case on stores with this fault.
async fn outcome(fault: Fault, name: &str) -> Outcome {
    let case = CASES.iter().find(|case| case.name == name);
    let case = case.unwrap_or_else(|| panic!("there is no case {name}"));
    run_case(Arc::new(BrokenFactory::new(fault)), case)
        .await
        .outcome
}

/// One test for each fault: its case fails with the fault and passes without.
macro_rules! found_by {
    ($($test:ident: $fault:ident => $case:ident says $text:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $test() {
            let case = stringify!($case);
            let sound = outcome(Fault::None, case).await;
            assert_eq!(sound, Outcome::Passed, "{case} without a fault");
            // A race may pass by chance.
            for _ in 0..5 {
                match outcome(Fault::$fault, case).await {
                    Outcome::Failed(why) => {
                        assert!(why.contains($text), "{case} fails, but says: {why}");
                        return;
                    }
                    Outcome::Passed => {}
                    Outcome::NotRun(why) => panic!("{case} is not run: {why}"),
                }
            }
            panic!("{case} passes on a store with {:?}", Fault::$fault);
        }
    )*};
}

// Create and save.
found_by! {
    a_create_that_overwrites: CreateOverwrites
        => create_never_overwrites says "taken";
    a_save_that_creates: SaveCreates
        => destroy_racing_save_is_final says "destroy";
    a_save_that_ignores_stamps: LastWriteWins
        => save_of_another_version_is_a_conflict says "Conflict";
    a_save_in_two_commands: CompareThenWrite
        => one_of_many_saves_of_one_version_is_done says "save";
    a_save_that_does_not_recognise_its_stamp: IgnoresOwnStamp
        => a_repeated_save_succeeds says "Conflict";
    a_save_that_moves_the_absolute_deadline: SaveRestarts
        => save_keeps_the_absolute_deadline says "absolute";
    a_save_that_requires_stored_bytes: NeedsStoredBytes
        => a_version_from_any_source_is_equally_good says "Conflict";
    a_repeated_create_that_writes_again: RepeatedCreateWrites
        => a_repeated_write_does_not_undo_a_touch says "created, touched, and sent again";
    a_repeated_save_that_writes_again: RepeatedSaveWrites
        => a_repeated_write_does_not_restart_the_age says "saved, touched, and sent again";
    an_overtaken_save_that_is_done: OvertakenSaveIsDone
        => a_repeated_save_does_not_undo_another says "overtaken";
    an_overtaken_save_that_writes_again: OvertakenSaveWrites
        => a_repeated_save_does_not_undo_another says "after the repeated save";
    blobs_of_64_kib_at_most: TruncatesBlobs
        => data_of_64_kib_is_kept says "65536";
    a_lock_that_a_dropped_future_keeps: KeepsLock
        => a_dropped_save_leaves_the_store_usable says "keeps other callers waiting";
}

// Credentials.
found_by! {
    no_credentials: DropsCredential
        => credentials_of_every_size_are_kept says "1 bytes, created: its credential";
    credentials_of_128_bytes_at_most: TruncatesCredential
        => credentials_of_every_size_are_kept says "133 bytes, created: its credential";
    credentials_without_trailing_space: TrimsCredential
        => credentials_of_every_byte_are_kept says "its credential";
    credentials_in_a_text_column: CredentialIsText
        => credentials_of_every_byte_are_kept says "its credential";
    a_credential_in_one_field_with_the_owner: JoinsCredentialAndOwner
        => a_credential_is_kept_apart_from_data_and_owner says "its credential";
    long_data_without_credential: LongDataDropsCredential
        => a_credential_is_kept_beside_data_of_every_size says "65536 of data";
    a_save_that_keeps_the_old_credential: KeepsFirstCredential
        => every_save_replaces_the_credential says "after save 0";
    a_save_without_credential_that_keeps_the_old: NeverClearsCredential
        => every_save_replaces_the_credential says "with a credential of 0 bytes";
    a_conflict_that_writes_the_credential: ConflictWritesCredential
        => a_write_that_fails_leaves_the_credential_alone says "after a conflict";
    a_touch_that_loses_the_credential: TouchLosesCredential
        => touch_leaves_the_credential_alone says "touched: its credential";
    a_batch_of_mixed_credentials: MixesCredentials
        => concurrent_credentials_are_not_mixed_up says "its credential";
    a_load_of_the_credential_in_two_commands: TornCredential
        => readers_see_whole_writes says "the credential beside the owner";
    a_touch_that_loses_the_credential_in_the_model: TouchLosesCredential
        => random_sequences_match_a_model says "CONFORMANCE_SEED=";
}

// Descriptions.
found_by! {
    no_descriptions: DropsDescription
        => descriptions_of_every_size_are_kept says "1 bytes, created: its description";
    a_save_that_keeps_the_old_description: KeepsFirstDescription
        => every_save_replaces_the_description says "after save 0";
    a_save_without_description_that_keeps_the_old: NeverClearsDescription
        => every_save_replaces_the_description says "with a description of 0 bytes";
    a_conflict_that_writes_the_description: ConflictWritesDescription
        => a_write_that_fails_leaves_the_description_alone says "after a conflict";
    a_touch_that_loses_the_description: TouchLosesDescription
        => touch_leaves_the_description_alone says "touched: its description";
    a_listing_without_descriptions: ListsNoDescription
        => listings_give_the_description says "listed: the description";
    an_account_page_without_descriptions: ListsNoDescription
        => a_described_session_is_recognised says "listed";
    a_description_that_a_renewal_loses: DropsDescription
        => a_description_survives_renewals_and_new_tokens says "after a sign-in";
    a_description_that_a_conflict_loses: DropsDescription
        => a_description_and_another_change_are_both_kept says "the description";
}

// Load, touch and time.
found_by! {
    a_create_that_begins_a_copied_session_anew: ForgetsPast
        => a_create_continues_the_past_of_a_session says "of a copy";
    a_create_that_lets_a_copied_session_live_too_long: ForgetsPast
        => a_continued_session_ends_at_its_absolute_limit says "still visible";
    a_create_that_revives_what_has_ended: ForgetsPast
        => a_session_whose_time_has_passed_is_not_copied_alive says "its time had passed";
    a_load_that_shows_expired_sessions: NoExpiryFilter
        => an_unused_session_ends_at_its_idle_limit says "still visible";
    a_load_in_two_commands: TornLoad
        => readers_see_whole_writes says "beside the owner";
    a_clock_for_each_instance: OwnClock
        => instances_agree_about_a_deadline says "another instance";
    lifetimes_of_whole_seconds: WholeSeconds
        => a_lifetime_is_kept_to_the_millisecond says "limits as created";
    a_touch_that_writes_data: TouchWritesData
        => touches_between_saves_lose_nothing says "save";
    a_touch_that_revives: TouchRevives
        => touch_of_an_expired_session_finds_none says "touch after the deadline";
    a_touch_beyond_the_absolute_deadline: TouchPassesAbsolute
        => touch_never_passes_the_absolute_deadline says "returned by touch";
    a_touch_that_shortens: TouchShortens
        => touch_never_shortens says "touch for less";
}

// Destroy.
found_by! {
    a_destroy_without_the_owner: DestroyOmitsOwner
        => destroy_returns_owner_and_age says "the owner returned";
    a_destroy_without_the_age: DestroyOmitsAge
        => destroy_returns_owner_and_age says "the age is known";
    a_destroy_that_ignores_the_version: DestroyIgnoresVersion
        => destroy_of_another_version_ends_nothing says "destroy of another version";
    a_destroy_of_no_version: DestroysNoVersion
        => destroy_of_the_version_in_place_ends_it says "destroy of the version in place";
    a_destroy_of_a_version_in_two_commands: DestroyInTwoCommands
        => a_save_or_a_destroy_of_its_version_wins says "one wins";
    a_destroy_that_loses_to_a_save: DestroyComparesStamps
        => destroy_ends_a_session_that_keeps_changing says "found none";
    a_destroy_that_marks_only: DestroyMarks
        => a_destroyed_id_stays_absent_for_every_version says "after destroy";
}

// Notices.
found_by! {
    notices_of_sessions_that_live: FalseNotices
        => notices_tell_of_ended_sessions_and_of_no_others says "was told to have ended";
    notices_that_tell_nothing: NoNotices
        => notices_tell_of_ended_sessions_and_of_no_others says "notices go on";
}

// Ids, namespaces and what is shown.
found_by! {
    ids_folded_by_case: FoldsCase
        => odd_ids_are_kept_apart says "Conflict";
    ids_without_trailing_space: TrimsSpace
        => odd_ids_are_kept_apart says "Conflict";
    ids_declared_to_be_tokens: DeclaresPlainIds
        => an_id_opens_nothing says "public";
    a_clear_beyond_its_prefix: ClearsByPrefix
        => clear_leaves_other_namespaces_alone says "after the clear";
    a_password_in_debug: ShowsPassword
        => debug_and_errors_show_no_secrets says "shows a secret";
}

// Listings, owners and reaping.
found_by! {
    a_listing_by_offset: OffsetCursor
        => a_listing_during_changes_misses_no_session says "was not listed";
    a_listing_that_a_corrupt_session_stops: CorruptStopsListing
        => a_corrupt_session_hides_no_others says "list failed";
    a_logout_that_a_corrupt_session_stops: CorruptStopsLogout
        => corrupt_sessions_do_not_stop_logging_out_in_steps says "destroy_owned_by failed";
    an_owners_listing_that_a_corrupt_session_ends: CorruptEndsPages
        => corrupt_sessions_do_not_stop_a_limit_on_sessions says "two were newer";
    a_destroy_that_forgets_the_owners_index: StaleOwners
        => an_owners_listing_omits_ended_sessions says "ann's";
    an_owners_listing_by_offset: OwnerOffset
        => an_owners_listing_during_changes_misses_no_session says "was not listed";
    an_owners_pages_that_overlap: OwnerPagesOverlap
        => pages_of_every_size_list_an_owners_sessions says "once each";
    an_owner_on_one_page: OwnerOnOnePage
        => logging_out_2000_sessions_is_done_in_time says "on a page";
    an_index_that_is_not_checked: TrustsIndex
        => a_change_of_owner_moves_the_session says "ended of ann's";
    an_index_that_removes_entries_late: LosesIndexEntry
        => a_session_that_returns_to_its_owner_is_in_the_index says "ann's again";
    a_logout_that_the_exception_stops: LogoutStopsAtException
        => logging_out_in_steps_ends_each_once says "ended by 1, sparing the first";
    a_logout_that_stale_entries_stop: LogoutStopsAtStaleEntries
        => logging_out_in_steps_is_not_stopped_by_stale_entries says "ended by 2";
    a_logout_that_reports_twice: LogoutReportsTwice
        => logging_out_in_steps_ends_each_once says "reported once";
    a_logout_that_destroys_one_by_one: LogoutOneByOne
        => logging_out_2000_sessions_is_done_in_time says "destroy_owned_by failed";
    a_logout_that_loses_to_a_save: LogoutComparesStamps
        => logging_out_everywhere_is_final says "logged out everywhere while it changed";
    a_reap_that_reports_twice: ReapsTwice
        => ten_instances_reap_each_session_once says "twice";
    a_reap_of_live_sessions: ReapsLive
        => reap_leaves_live_sessions says "reaped alive";
    a_reap_that_removes_what_is_not_reported: ReapsUnconfirmed
        => a_report_that_is_not_confirmed_comes_again says "reported again after the claims had lapsed";
    a_reap_of_what_was_confirmed: ReapsConfirmed
        => a_report_that_is_not_confirmed_comes_again says "reported without the confirmed";
    a_confirmation_that_removes_a_live_session: ConfirmsLive
        => a_session_that_is_being_reported_stays_ended says "expected a live session";
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_without_faults_passes() {
    let report = run_all(BrokenFactory::new(Fault::None)).await;
    report.assert_passed();
    assert_eq!(report.not_run().count(), 0, "{report}");
    assert_eq!(report.cases.len(), CASES.len());
}

/// For a store that declares nothing, the report lists the cases that were not run.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cases_with_undeclared_needs_are_reported_as_not_run() {
    let report = run_all(BrokenFactory::new(Fault::DeclaresNothing)).await;
    report.assert_passed();
    let not_run: Vec<_> = report.not_run().collect();
    let count = CASES.iter().filter(|case| !case.needs.is_empty()).count();
    assert_eq!(not_run.len(), count, "{report}");
    let text = report.to_string();
    assert!(text.contains("not run  directory::"), "{text}");
    assert!(text.contains("the store has no directory"), "{text}");
}

/// The test below runs this in separate processes, each with a seed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "fails on purpose"]
async fn the_model_on_a_broken_store() {
    let outcome = outcome(
        Fault::TouchLosesCredential,
        "random_sequences_match_a_model",
    );
    assert_eq!(outcome.await, Outcome::Passed);
}

/// The steps that the model shrinks a failure of this seed to.
fn failing_steps(seed: &str) -> String {
    let this = std::env::current_exe().expect("a test has a file");
    let output = Command::new(this)
        .args(["--exact", "the_model_on_a_broken_store", "--ignored"])
        .env("CONFORMANCE_SEED", seed)
        .output()
        .expect("a test can be run");
    let output = String::from_utf8_lossy(&output.stdout);
    let expected = format!("[CONFORMANCE_SEED={seed} repeats these operations]");
    assert!(output.contains(&expected), "the seed is missing: {output}");
    let (_, steps) = output.split_once("after the steps").expect("the steps");
    let (steps, _) = steps.split_once("\n]").expect("they end");
    steps.to_owned()
}

/// Every random case prints its seed, not only the model.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_race_that_fails_prints_its_seed() {
    for _ in 0..5 {
        let outcome = outcome(Fault::SaveCreates, "destroy_racing_save_is_final").await;
        if let Outcome::Failed(why) = outcome {
            assert!(why.contains("[CONFORMANCE_SEED="), "{why}");
            return;
        }
    }
    panic!("a save that creates is not found");
}

#[test]
fn a_seed_repeats_the_same_operations() {
    let first = failing_steps("1769");
    assert_eq!(first, failing_steps("1769"));
    assert!(first.contains("Touch"), "what is wrong is a touch: {first}");
    let others = ["1", "2", "3"].map(failing_steps);
    assert!(
        others.iter().any(|other| *other != first),
        "every seed is the same"
    );
}
