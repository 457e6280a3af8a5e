//! The conformance suite, on your store.

use my_store::MyStore;
use session_core::Result;

/// Opens your store on `namespace`, which keeps its sessions apart: a key prefix, a table.
async fn open(namespace: String) -> Result<MyStore> {
    MyStore::connect("db://127.0.0.1/test", &namespace).await
}

session_conformance::conformance_tests!(open, without = [Corruption]);

// Up to here, this file is what the README shows. From here on it stands for the crate of a store.

mod factory;

use my_store::Connect as _;

mod my_store {
    use std::collections::HashMap;
    use std::sync::{LazyLock, Mutex};

    pub(crate) use session_conformance::reference::ReferenceStore as MyStore;
    use session_core::Result;

    /// The sessions of each namespace, as a database has them.
    static DATABASE: LazyLock<Mutex<HashMap<String, MyStore>>> = LazyLock::new(Mutex::default);

    pub(crate) trait Connect {
        async fn connect(url: &str, prefix: &str) -> Result<MyStore>;
    }

    impl Connect for MyStore {
        async fn connect(url: &str, prefix: &str) -> Result<MyStore> {
            assert!(url.starts_with("db://"), "{url}");
            let mut database = DATABASE.lock().expect("no panic while it is held");
            Ok(database.entry(prefix.to_owned()).or_default().clone())
        }
    }
}

/// The first block of Rust in `document` after `heading`.
fn block<'a>(document: &'a str, heading: &str) -> &'a str {
    let (_, rest) = document.split_once(heading).expect("the heading");
    let (_, rest) = rest.split_once("```rust").expect("a block of Rust");
    let (_, rest) = rest.split_once('\n').expect("a block has lines");
    let (block, _) = rest.split_once("```").expect("its end");
    block
}

#[test]
fn the_readme_shows_what_is_run_here() {
    let this = include_str!("main.rs");
    let readme = include_str!("../../README.md");
    let first = block(readme, "## Ten lines");
    assert!(this.starts_with(first), "{first}");
    let factory = block(readme, "## A factory of your own");
    assert_eq!(factory, include_str!("factory.rs"));
}
