//! The macro that turns the list of cases into tests.

/// Expands to one `#[test]` for each case of the suite, on stores of the given factory.
///
/// The tests are in a module, `conformance` unless another name is given, and in it in a module
/// for each group of cases, so `cargo test conformance::expiry` runs one group. The factory is an
/// expression; each test evaluates it for itself, in its own multi-threaded Tokio runtime, and it
/// may `.await`.
///
/// ```
/// use integration_tests::conformance_tests;
/// use integration_tests::reference::ReferenceFactory;
///
/// conformance_tests!(ReferenceFactory::default());
///
/// // Another store, or another set-up of one, in the same file:
/// conformance_tests!(in_another_module, ReferenceFactory::default());
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($module:ident, $factory:expr $(,)?) => {
        $crate::__conformance_cases! { [$crate::__conformance_tests] [$module] [$factory] }
    };
    ($factory:expr $(,)?) => {
        $crate::conformance_tests!(conformance, $factory);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    (
        [$module:ident] [$factory:expr]
        $($group:ident { $($name:ident $invariant:ident $needs:tt)* })*
    ) => {
        mod $module {
            #[allow(unused_imports)]
            use super::*;

            async fn factory() -> impl $crate::conformance::StoreFactory {
                $factory
            }

            $(mod $group {$(
                #[test]
                fn $name() {
                    let path = ::core::module_path!();
                    let name = ::core::stringify!($name);
                    $crate::conformance::run_test(path, name, super::factory());
                }
            )*})*
        }
    };
}
