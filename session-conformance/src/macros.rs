//! The macro that turns the list of cases into tests.

/// Expands to one `#[test]` for each case of the suite, on stores of the given factory.
///
/// The factory is an expression: the name of an `async fn open(namespace: String) ->
/// Result<MyStore>`, a call of [`in_memory`](crate::in_memory), or a value of your own type that is
/// a [`StoreFactory`](crate::StoreFactory). Each test evaluates the expression in its own
/// multi-threaded Tokio runtime; it may `.await`.
///
/// The module `conformance` contains a module for each group of cases, so `cargo test
/// conformance::expiry` runs one group.
///
/// Options, in any order after the factory:
///
/// * `without = [ExpiryReports, Corruption]` declares the [needs](crate::Need) that the store or its
///   factory does not meet. The cases with these needs are `#[ignore]`d with the reason. A case whose
///   need is neither met nor declared fails, and the test `needs_declared_as_missing_are_missing`
///   fails if a declared need is met.
/// * `own_cases = [a_copy_is_independent]` adds cases of your own: functions in scope, `async fn
///   a_copy_is_independent(fixture: Fixture)`, that panic if the store is wrong. Like the suite's
///   cases, each runs on its own namespace within [`CASE_LIMIT`](crate::CASE_LIMIT). They are in the
///   module `conformance::own`.
/// * `module = valkey` sets the module's name, for a second store in the same file.
///
/// ```
/// use session_conformance::reference::ReferenceStore; // your store
/// use session_conformance::{Fixture, conformance_tests, in_memory};
///
/// conformance_tests!(in_memory(ReferenceStore::new), without = [Corruption]);
///
/// // Another store, or the same store with other options, in the same file:
/// conformance_tests!(
///     session_conformance::reference::ReferenceFactory::default(),
///     module = in_another_module,
///     own_cases = [a_new_store_is_empty],
/// );
///
/// async fn a_new_store_is_empty(fixture: Fixture) {
///     let directory = fixture.store().shared();
///     let directory = directory.directory().expect("it has one");
///     assert_eq!(directory.count().await.expect("it is up"), 0);
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($factory:expr $(, $option:ident = $value:tt)* $(,)?) => {
        $crate::__conformance_options! { [conformance] [] [] [$factory] $($option $value)* }
    };
}

/// Reads the options into: the module's name, the needs that are not met, the author's cases, the
/// factory.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_options {
    ($module:tt $without:tt $own:tt $factory:tt without [$($need:ident),* $(,)?] $($rest:tt)*) => {
        $crate::__conformance_options! { $module [$($need)*] $own $factory $($rest)* }
    };
    ($module:tt $without:tt $own:tt $factory:tt own_cases [$($case:ident),* $(,)?] $($rest:tt)*) => {
        $crate::__conformance_options! { $module $without [$($case)*] $factory $($rest)* }
    };
    ($module:tt $without:tt $own:tt $factory:tt module $name:ident $($rest:tt)*) => {
        $crate::__conformance_options! { [$name] $without $own $factory $($rest)* }
    };
    ($module:tt $without:tt $own:tt $factory:tt) => {
        $crate::__conformance_cases! {
            [$crate::__conformance_tests] $module $factory $without $own
        }
    };
    ($module:tt $without:tt $own:tt $factory:tt $option:ident $value:tt $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "conformance_tests!: `", ::core::stringify!($option), " = ", ::core::stringify!($value),
            "` is not an option; the options are `without = [Need, …]`, `own_cases = [function, …]` \
             and `module = name`"
        ));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    (
        [$module:ident] [$factory:expr] $without:tt [$($own:ident)*]
        $($group:ident { $($name:ident $invariant:ident $needs:tt)* })*
    ) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;

            async fn __factory() -> impl $crate::StoreFactory {
                $factory
            }

            const WITHOUT: &[$crate::Need] = $crate::__conformance_needs!($without);

            #[test]
            fn needs_declared_as_missing_are_missing() {
                $crate::check_left_out(WITHOUT, __factory());
            }

            $(mod $group {
                $($crate::__conformance_test! { $name $needs $without $without })*
            })*

            mod own {
                $(#[test]
                fn $own() {
                    static CASE: $crate::Case = $crate::Case::own(
                        ::core::stringify!($own),
                        |fixture| ::std::boxed::Box::pin(super::super::$own(fixture)),
                    );
                    $crate::run_test(::core::module_path!(), &CASE, super::WITHOUT, super::__factory());
                })*
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_needs {
    ([$($need:ident)*]) => { &[$($crate::Need::$need),*] };
}

/// One test: its name, its needs, and two copies of the needs that are not met. The first copy
/// holds those that are still to be compared with the test's first need.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_test {
    ($name:ident [] $rest:tt $without:tt) => {
        #[test]
        fn $name() {
            $crate::__conformance_run! { $name }
        }
    };
    ($name:ident [Directory $($n:tt)*] [Directory $($w:tt)*] $without:tt) => {
        $crate::__conformance_ignored! { $name "the store has no directory" }
    };
    ($name:ident [ExpiryReports $($n:tt)*] [ExpiryReports $($w:tt)*] $without:tt) => {
        $crate::__conformance_ignored! { $name "the store does not report expiry" }
    };
    ($name:ident [MaxData $($n:tt)*] [MaxData $($w:tt)*] $without:tt) => {
        $crate::__conformance_ignored! { $name "the store declares no data limit" }
    };
    ($name:ident [Descriptions $($n:tt)*] [Descriptions $($w:tt)*] $without:tt) => {
        $crate::__conformance_ignored! { $name "the store keeps no descriptions" }
    };
    ($name:ident [Past $($n:tt)*] [Past $($w:tt)*] $without:tt) => {
        $crate::__conformance_ignored! { $name "the store begins every session anew" }
    };
    ($name:ident [Corruption $($n:tt)*] [Corruption $($w:tt)*] $without:tt) => {
        $crate::__conformance_ignored! { $name "the factory can't corrupt a session" }
    };
    ($name:ident $needs:tt [$other:ident $($w:tt)*] $without:tt) => {
        $crate::__conformance_test! { $name $needs [$($w)*] $without }
    };
    ($name:ident [$need:ident $($n:tt)*] [] $without:tt) => {
        $crate::__conformance_test! { $name [$($n)*] $without $without }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_ignored {
    ($name:ident $why:literal) => {
        #[test]
        #[ignore = $why]
        fn $name() {
            $crate::__conformance_run! { $name }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_run {
    ($name:ident) => {{
        let case = $crate::case_of(::core::stringify!($name));
        $crate::run_test(
            ::core::module_path!(),
            case,
            super::WITHOUT,
            super::__factory(),
        );
    }};
}
