//! The suite on its own reference store.

use integration_tests::conformance_tests;
use integration_tests::reference::ReferenceFactory;

conformance_tests!(ReferenceFactory::default());
