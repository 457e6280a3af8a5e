//! The suite finds what it is for: stores that are each wrong in one way, and the case that says so.

mod store;

use std::sync::Arc;

use integration_tests::conformance::{CASES, Outcome, run_all, run_case};
use store::{BrokenFactory, Fault};

/// Runs one case on stores with this fault.
async fn outcome(fault: Fault, name: &str) -> Outcome {
    let case = CASES.iter().find(|case| case.name == name);
    let case = case.unwrap_or_else(|| panic!("there is no case {name}"));
    run_case(Arc::new(BrokenFactory::new(fault)), case)
        .await
        .outcome
}

/// One test a fault: the case meant for it fails with it, and passes without.
macro_rules! found_by {
    ($($test:ident: $fault:ident => $case:ident says $text:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $test() {
            let case = stringify!($case);
            let sound = outcome(Fault::None, case).await;
            assert_eq!(sound, Outcome::Passed, "{case} without a fault");
            // What depends on who is first may go well once.
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

found_by! {
    a_create_that_overwrites: CreateOverwrites
        => create_never_overwrites says "AlreadyExists";
    a_save_that_creates: SaveCreates
        => destroy_racing_save_is_final says "destroy";
    a_save_that_ignores_stamps: LastWriteWins
        => save_of_another_stamp_is_a_conflict says "Conflict";
    a_save_in_two_commands: CompareThenWrite
        => of_many_saves_of_one_stamp_one_is_done says "save";
    a_save_that_does_not_know_itself: ForgetsItsStamp
        => a_repeated_save_succeeds says "Conflict";
    a_save_that_moves_the_absolute_deadline: SaveRestarts
        => save_keeps_the_absolute_deadline says "absolute";
    a_create_that_begins_anew_when_repeated: RecreatesItsOwn
        => a_repeated_write_does_not_undo_a_touch says "created, touched, and sent again";
    a_save_that_begins_anew_when_repeated: ResavesItsOwn
        => a_repeated_write_does_not_begin_anew says "saved, touched, and sent again";
    a_load_that_shows_expired_sessions: NoExpiryFilter
        => an_unused_session_ends_at_its_idle_limit says "still visible";
    a_load_in_two_commands: TornLoad
        => readers_see_whole_writes says "beside the owner";
    a_clock_of_ones_own: OwnClock
        => instances_agree_about_a_deadline says "another instance";
    lifetimes_of_whole_seconds: WholeSeconds
        => a_lifetime_is_kept_to_the_millisecond says "limits as created";
    a_touch_that_writes_data: TouchWritesData
        => touches_between_saves_lose_nothing says "the last save";
    a_touch_that_revives: TouchRevives
        => touch_of_an_expired_session_finds_none says "touch after the deadline";
    a_touch_beyond_the_absolute_deadline: TouchPassesAbsolute
        => touch_never_passes_the_absolute_deadline says "told by touch";
    a_touch_that_shortens: TouchShortens
        => touch_never_shortens says "touch for less";
    ids_folded_by_case: FoldsCase
        => odd_ids_are_kept_apart says "AlreadyExists";
    ids_without_trailing_space: TrimsSpace
        => odd_ids_are_kept_apart says "AlreadyExists";
    blobs_of_64_kib_at_most: TruncatesBlobs
        => data_of_64_kib_is_kept says "65536";
    a_rename_that_leaves_the_old_id: RenameCopies
        => the_old_id_of_a_rename_is_absent_for_every_operation says "under the old id";
    a_destroy_that_forgets_the_owners_index: StaleOwners
        => an_owner_is_not_shown_what_has_ended says "ann's";
    a_listing_by_offset: OffsetCursor
        => a_listing_under_change_misses_nobody says "was not listed";
    a_listing_that_a_corrupt_session_stops: CorruptStopsListing
        => a_corrupt_session_hides_no_others says "list failed";
    a_clear_beyond_its_prefix: ClearsByPrefix
        => clear_leaves_other_namespaces_alone says "after the clear";
    a_reap_that_reports_twice: ReapsTwice
        => ten_instances_reap_each_session_once says "twice";
    a_reap_of_live_sessions: ReapsLive
        => reap_leaves_live_sessions says "reaped alive";
    a_lock_that_a_dropped_future_keeps: KeepsLock
        => a_dropped_save_harms_nobody says "keeps others waiting";
    a_password_in_debug: ShowsPassword
        => debug_and_errors_show_no_secrets says "shows a secret";
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_without_faults_passes() {
    let report = run_all(BrokenFactory::new(Fault::None)).await;
    report.assert_passed();
    assert_eq!(report.not_run().count(), 0, "{report}");
    assert_eq!(report.cases.len(), CASES.len());
}

/// A store that promises little is asked little, and the report says what was left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_store_does_not_declare_is_reported_as_not_run() {
    let report = run_all(BrokenFactory::new(Fault::PromisesNothing)).await;
    report.assert_passed();
    let not_run: Vec<_> = report.not_run().collect();
    let count = CASES.iter().filter(|case| !case.needs.is_empty()).count();
    assert_eq!(not_run.len(), count, "{report}");
    let text = report.to_string();
    assert!(text.contains("not run  directory::"), "{text}");
    assert!(text.contains("the store has no directory"), "{text}");
}
