//! The macro that turns the list of cases into tests.

/// Expands to one `#[test]` for each case of the suite, on stores of the given factory.
///
/// The tests are in a module, `conformance` unless another name is given, and in it in a module
/// for each group of cases, so `cargo test conformance::expiry` runs one group. The factory is an
/// expression; each test evaluates it for itself, in its own multi-threaded Tokio runtime, and it
/// may `.await`.
///
/// `without = [ExpiryReports, Corruption]` declares what the store or its factory does not have, as
/// named by [`Need`](crate::conformance::Need). The cases that need it are `#[ignore]`d, so that
/// every test runner counts them apart. A case that turns out to need something undeclared fails,
/// and so does the test `what_is_left_out_is_missing` if something declared is there.
///
/// ```
/// use session_conformance::conformance_tests;
/// use session_conformance::reference::ReferenceFactory;
///
/// conformance_tests!(ReferenceFactory::default());
///
/// // Another store, or another set-up of one, in the same file:
/// conformance_tests!(in_another_module, ReferenceFactory::default());
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($module:ident, $factory:expr, without = [$($need:ident),* $(,)?] $(,)?) => {
        $crate::__conformance_cases! {
            [$crate::__conformance_tests] [$module] [$factory] [$($need)*]
        }
    };
    ($factory:expr, without = [$($need:ident),* $(,)?] $(,)?) => {
        $crate::conformance_tests!(conformance, $factory, without = [$($need),*]);
    };
    ($module:ident, $factory:expr $(,)?) => {
        $crate::conformance_tests!($module, $factory, without = []);
    };
    ($factory:expr $(,)?) => {
        $crate::conformance_tests!(conformance, $factory, without = []);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    (
        [$module:ident] [$factory:expr] $without:tt
        $($group:ident { $($name:ident $invariant:ident $needs:tt)* })*
    ) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;

            async fn factory() -> impl $crate::StoreFactory {
                $factory
            }

            const WITHOUT: &[$crate::Need] = $crate::__conformance_needs!($without);

            #[test]
            fn what_is_left_out_is_missing() {
                $crate::check_left_out(WITHOUT, factory());
            }

            $(mod $group {
                $($crate::__conformance_test! { $name $needs $without $without })*
            })*
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_needs {
    ([$($need:ident)*]) => { &[$($crate::Need::$need),*] };
}

/// One test: its name, what it needs, and twice what the store is without. The first copy is what
/// is still to be compared with the first need.
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
        $crate::__conformance_ignored! { $name "the store declares no limit of data" }
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
        let path = ::core::module_path!();
        let name = ::core::stringify!($name);
        $crate::run_test(path, name, super::WITHOUT, super::factory());
    }};
}
