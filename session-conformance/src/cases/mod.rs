//! The list of cases. Each becomes a test of every store that runs the suite.

mod anchor;
mod cancellation;
mod corruption;
mod credential;
mod crud;
mod described;
mod description;
mod destroy;
mod directory;
mod expiry;
mod keys;
mod manager;
mod many;
mod model;
mod owners;
mod past;
mod races;
mod reaping;
mod retries;
mod secrets;
mod signing_out;
mod sizes;
mod streams;
mod tokens;
mod touch;
mod updates;

use crate::{Case, Invariant, Need};

/// Passes the list to another macro, after that macro's own arguments. An entry is: name,
/// invariant, needs.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    ([$($then:tt)*] $($arguments:tt)*) => { $($then)*! { $($arguments)*
crud {
    a_created_session_is_loaded_as_it_was_created Contract []
    an_unknown_id_is_absent I5 []
    create_never_overwrites I5 []
    save_replaces_everything Contract []
    save_of_another_version_is_a_conflict I3 []
    a_version_from_any_source_is_equally_good Contract []
}
credential {
    credentials_of_every_size_are_kept Contract []
    credentials_of_every_byte_are_kept Contract []
    every_save_replaces_the_credential Contract []
    touch_leaves_the_credential_alone I7 []
    a_write_that_fails_leaves_the_credential_alone I3 []
    a_credential_is_kept_apart_from_data_and_owner Contract []
    a_credential_is_kept_beside_data_of_every_size Contract []
    concurrent_credentials_are_not_mixed_up I8 []
}
description {
    descriptions_of_every_size_are_kept Contract [Descriptions]
    longer_descriptions_are_kept_whole_or_refused I8 [Descriptions]
    descriptions_of_every_byte_are_kept Contract [Descriptions]
    every_save_replaces_the_description Contract [Descriptions]
    touch_leaves_the_description_alone I7 [Descriptions]
    a_write_that_fails_leaves_the_description_alone I3 [Descriptions]
    a_description_is_kept_apart_from_its_neighbours Contract [Descriptions]
    listings_give_the_description Contract [Directory Descriptions]
    concurrent_descriptions_are_not_mixed_up I8 [Descriptions]
}
described {
    a_described_session_is_recognised Contract [Directory Descriptions]
    a_description_survives_renewals_and_new_tokens Contract [Descriptions]
    a_description_and_another_change_are_both_kept I3 [Descriptions]
    too_long_a_description_is_refused I8 [Descriptions]
    a_description_costs_no_call_of_its_own I12 [Descriptions]
}
destroy {
    destroy_ends_the_session I4 []
    destroy_returns_owner_and_age Contract []
    destroy_of_another_version_ends_nothing Contract []
    destroy_of_the_version_in_place_ends_it Contract []
    destroy_of_an_expired_session_finds_none I1 []
    a_destroyed_id_stays_absent_for_every_version I4 []
}
expiry {
    an_unused_session_ends_at_its_idle_limit I1 []
    a_session_ends_at_its_absolute_limit I1 []
    the_earlier_of_both_limits_ends_a_session I1 []
    a_session_without_limits_has_no_deadline I1 []
    a_lifetime_of_one_millisecond_ends I1 []
    a_lifetime_of_zero_is_over_or_refused I1 []
    a_lifetime_of_400_days_is_kept_whole I1 []
    an_enormous_lifetime_is_long_or_refused I8 []
    a_lifetime_is_kept_to_the_millisecond I1 []
    fractions_of_a_millisecond_are_cut_off I1 []
    no_session_is_visible_a_millisecond_too_long I1 []
    instances_agree_about_a_deadline I2 []
    instances_agree_that_a_session_has_ended I2 []
    touch_of_an_expired_session_finds_none I4 []
    save_of_an_expired_session_is_gone I4 []
    create_on_an_expired_id_works I1 []
    an_expired_session_is_in_no_listing I1 [Directory]
    save_changes_when_a_session_ends I1 []
}
anchor {
    save_restarts_the_idle_limit I1 []
    save_keeps_the_absolute_deadline I1 []
    a_saves_absolute_limit_counts_from_the_beginning I1 []
    a_restarted_anchor_moves_the_absolute_deadline I1 []
    create_begins_now_whatever_its_anchor I1 []
    a_save_whose_time_is_over_ends_the_session I1 []
    age_counts_from_the_beginning I2 []
    a_session_may_lose_its_limits_and_get_them_back I1 []
}
past {
    a_create_continues_the_past_of_a_session I1 [Past]
    a_copied_record_is_the_same_session Contract [Past]
    a_continued_session_ends_at_its_absolute_limit I1 [Past]
    a_continued_session_may_have_no_limits I1 [Past]
    a_session_whose_time_has_passed_is_not_copied_alive I1 [Past]
    a_repeated_create_of_a_continued_session_succeeds I6 [Past]
    a_sign_in_restarts_the_age_of_a_continued_session I1 [Past]
    pasts_are_not_mixed_up I8 [Past]
}
touch {
    touch_extends_the_idle_limit I7 []
    touch_returns_the_time_left I7 []
    touch_never_passes_the_absolute_deadline I7 []
    touch_again_and_again_never_passes_the_absolute_deadline I7 []
    touch_never_shortens I7 []
    touch_changes_nothing_else I7 []
    touch_causes_no_conflict_for_a_save I7 []
    save_after_touch_starts_from_its_own_idle_limit I7 []
    touch_without_limits_stays_without I7 []
}
retries {
    a_repeated_create_succeeds I6 []
    a_repeated_create_does_not_undo_a_save I6 []
    a_repeated_save_succeeds I6 []
    a_repeated_save_does_not_undo_another I6 []
    a_save_repeated_after_destroy_is_gone I4 []
    a_repeated_write_does_not_undo_a_touch I6 []
    a_repeated_write_does_not_restart_the_age I6 []
    a_write_sent_twice_at_once_succeeds_twice I6 []
}
updates {
    no_update_of_64_concurrent_writers_is_lost I3 []
    increments_by_many_tasks_add_up I3 []
    one_of_many_saves_of_one_version_is_done I3 []
    one_of_200_creators_of_one_id_wins I5 []
    readers_see_whole_writes I3 []
    touches_between_saves_lose_nothing I7 []
    another_instance_sees_a_write_at_once Contract []
}
races {
    destroy_racing_save_is_final I4 []
    destroy_racing_touch_is_final I4 []
    destroy_racing_destroy_ends_it_once Contract []
    a_save_or_a_destroy_of_its_version_wins I3 []
    destroy_ends_a_session_that_keeps_changing I4 []
    save_at_the_deadline_is_done_or_gone I1 []
    touch_at_the_deadline_finds_it_or_not I1 []
    concurrent_operations_keep_every_invariant I3 []
}
sizes {
    data_of_0_bytes_is_kept I8 []
    data_of_1_byte_is_kept I8 []
    data_of_64_kib_less_1_is_kept I8 []
    data_of_64_kib_is_kept I8 []
    data_of_64_kib_and_1_is_kept I8 []
    data_of_1_mib_is_kept I8 []
    data_of_the_declared_limit_is_kept I8 [MaxData]
    data_over_the_declared_limit_is_refused I8 [MaxData]
    data_of_every_byte_is_kept I8 []
    data_may_grow_and_shrink I8 []
}
keys {
    odd_ids_are_kept_apart I11 []
    odd_ids_work_in_every_operation I11 []
    odd_ids_are_listed_as_they_are I11 [Directory]
    odd_owners_are_kept_apart I11 [Directory]
    odd_namespaces_work_or_are_refused I11 []
    the_shortest_namespace_works_or_is_refused I11 []
    clear_leaves_other_namespaces_alone I11 [Directory]
    owners_of_other_namespaces_are_others I11 [Directory]
}
directory {
    a_store_without_sessions_lists_none Contract [Directory]
    pages_of_every_size_list_everything Contract [Directory]
    a_listing_by_pages_of_0_ends Contract [Directory]
    another_instance_continues_a_listing Contract [Directory]
    a_foreign_cursor_is_refused Contract [Directory]
    a_listing_describes_each_session Contract [Directory]
    a_listing_during_changes_misses_no_session Contract [Directory]
    clear_ends_every_session Contract [Directory]
    counts_follow_creates_and_ends I1 [Directory]
}
owners {
    an_owner_is_shown_their_own_sessions_only Contract [Directory]
    pages_of_every_size_list_an_owners_sessions Contract [Directory]
    an_owners_listing_during_changes_misses_no_session Contract [Directory]
    a_change_of_owner_moves_the_session Contract [Directory]
    a_session_that_returns_to_its_owner_is_in_the_index I4 [Directory]
    an_owners_listing_omits_ended_sessions Contract [Directory]
    logging_out_everywhere_ends_all Contract [Directory]
    logging_out_everywhere_else_keeps_one Contract [Directory]
    logging_out_in_steps_ends_each_once Contract [Directory]
    logging_out_in_steps_is_not_stopped_by_stale_entries I4 [Directory]
    logging_out_2000_sessions_is_done_in_time I4 [Directory]
    logging_out_everywhere_is_final I4 [Directory]
}
reaping {
    ten_instances_reap_each_session_once I10 [Directory ExpiryReports]
    reap_returns_id_owner_and_age I10 [Directory ExpiryReports]
    reap_leaves_live_sessions I10 [Directory]
    reap_keeps_to_its_limit I10 [Directory ExpiryReports]
    a_destroyed_session_is_not_reaped I10 [Directory ExpiryReports]
    a_touched_session_is_not_reaped I10 [Directory]
    a_reused_id_is_not_reaped I10 [Directory]
    reap_leaves_other_namespaces_alone I10 [Directory ExpiryReports]
    a_report_that_is_not_confirmed_comes_again I10 [Directory ExpiryReports]
    a_session_that_is_being_reported_stays_ended I4 [Directory ExpiryReports]
    a_corrupt_session_does_not_stop_reaping I8 [Directory ExpiryReports Corruption]
}
many {
    each_of_many_concurrent_creates_has_its_own_outcome I8 []
    each_of_many_concurrent_loads_has_its_own_outcome I8 []
    each_of_many_concurrent_saves_has_its_own_outcome I8 []
    each_of_many_concurrent_touches_has_its_own_outcome I8 []
    each_of_many_concurrent_destroys_has_its_own_outcome I8 []
    a_corrupt_session_among_many_affects_no_other I8 [Corruption]
}
corruption {
    a_corrupt_session_is_an_error_for_its_reader I8 [Corruption]
    a_corrupt_session_can_be_destroyed I8 [Corruption]
    writes_to_a_corrupt_session_affect_no_other I8 [Corruption]
    a_corrupt_session_hides_no_others I8 [Directory Corruption]
    corrupt_sessions_do_not_stop_logging_out_in_steps I8 [Directory Corruption]
    corrupt_sessions_do_not_stop_a_limit_on_sessions I8 [Directory Corruption]
}
cancellation {
    a_dropped_create_leaves_the_store_usable I9 []
    a_dropped_load_leaves_the_store_usable I9 []
    a_dropped_save_leaves_the_store_usable I9 []
    a_dropped_touch_leaves_the_store_usable I9 []
    a_dropped_destroy_leaves_the_store_usable I9 []
    a_dropped_listing_leaves_the_store_usable I9 [Directory]
    a_dropped_logout_everywhere_leaves_the_store_usable I9 [Directory]
    a_dropped_clear_leaves_the_store_usable I9 [Directory]
    a_dropped_reap_leaves_the_store_usable I9 [Directory]
    many_dropped_requests_keep_no_caller_waiting I9 []
}
secrets {
    debug_and_errors_show_no_secrets Contract []
}
signing_out {
    a_sign_out_beside_renewals_is_final I4 []
    a_sign_out_beside_new_tokens_is_final I4 []
    a_sign_out_beside_a_sign_in_of_the_same_session_is_final I4 []
    logging_out_everywhere_is_final_beside_a_thief_who_makes_new_tokens I4 [Directory]
    a_limit_on_sessions_is_not_evaded_by_new_tokens I4 [Directory]
    a_listed_id_ends_its_session_after_any_number_of_new_tokens I4 [Directory]
}
tokens {
    two_sign_ins_with_one_session_are_both_signed_in I4 []
    another_users_sign_in_gets_nothing_of_the_owners Contract []
    a_guests_save_beside_a_sign_in_is_kept_or_gone I3 []
    a_sign_in_on_a_session_that_expires_works I1 []
    a_renewal_is_on_time_after_a_sign_in Contract []
    many_requests_at_a_renewal_get_one_token_and_lose_nothing I3 []
    a_renewed_token_is_fetched_again_until_it_is_used I12 []
    a_reused_old_token_ends_the_session_and_is_reported I4 []
    earlier_and_made_up_tokens_open_nothing_and_end_nothing I5 []
    an_id_opens_nothing I5 []
    a_handle_knows_when_its_session_ends_or_is_signed_in I4 []
}
manager {
    requests_that_set_different_keys_lose_none I3 []
    updates_add_up I3 []
    a_request_makes_as_few_calls_as_it_needs I12 []
    a_slow_request_does_not_undo_a_logout I4 []
    signing_in_changes_the_token_and_keeps_the_data Contract []
    values_come_back_as_they_were_written Contract []
    a_corrupt_session_is_reported_and_treated_as_absent I8 [Corruption]
    an_expiry_is_reported_to_observers I10 [Directory ExpiryReports]
    a_token_that_was_never_issued_is_not_adopted I5 []
}
streams {
    a_stream_closes_when_its_session_is_destroyed I4 []
    a_stream_closes_when_another_instance_destroys_its_session I4 []
    a_stream_closes_when_its_owner_is_logged_out_everywhere I4 [Directory]
    a_stream_closes_when_its_session_expires I1 []
    a_stream_closes_when_its_session_is_signed_in_anew Contract []
    a_stream_is_open_while_its_session_is_used Contract []
    a_dropped_stream_is_forgotten I9 []
    notices_tell_of_ended_sessions_and_of_no_others Contract []
}
model {
    random_sequences_match_a_model Contract []
}
    }};
}

macro_rules! table {
    ($($group:ident { $($name:ident $invariant:ident [$($need:ident)*])* })*) => {
        /// Every case of the suite.
        pub static CASES: &[Case] = &[$($(Case {
            group: stringify!($group),
            name: stringify!($name),
            invariant: Invariant::$invariant,
            needs: &[$(Need::$need),*],
            run: |fixture| Box::pin($group::$name(fixture)),
        },)*)*];
    };
}

crate::__conformance_cases! { [table] }
