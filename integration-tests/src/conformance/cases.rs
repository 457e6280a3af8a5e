//! The one list of cases. What it lists, every store that runs the suite gets as a test.

use super::{Case, Invariant, Need};

/// Hands the list to another macro, after its own arguments. An entry reads: name, invariant,
/// needs, what the case does.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    ([$($then:tt)*] $($arguments:tt)*) => { $($then)*! { $($arguments)*
crud {
    a_created_session_is_loaded_as_it_was_created Contract []
        "load gives the data, stamp, owner and lifetime that create was given"
    an_unknown_id_is_absent Contract []
        "load gives None, touch None, destroy false, save and rename Gone"
    create_never_overwrites Contract []
        "create on a live id is AlreadyExists and leaves the session as it was"
    save_replaces_everything Contract []
        "data, owner and lifetime are those of the draft, the stamp too"
    save_of_another_stamp_is_a_conflict I3 []
        "a save that expects a stamp that is not there writes nothing"
    destroy_ends_the_session Contract []
        "destroy gives true once, then the session is absent for every operation"
}
    }};
}

macro_rules! table {
    ($($group:ident { $($name:ident $invariant:ident [$($need:ident)*] $doc:literal)* })*) => {
        /// Every case of the suite.
        pub static CASES: &[Case] = &[$($(Case {
            group: stringify!($group),
            name: stringify!($name),
            invariant: Invariant::$invariant,
            needs: &[$(Need::$need),*],
            doc: $doc,
            run: |stage| Box::pin(super::$group::$name(stage)),
        },)*)*];
    };
}

crate::__conformance_cases! { [table] }
