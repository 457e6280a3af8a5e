//! Roles: the least rights that are enough, and what is said of one that is missing.

use integration_tests::servers::{self, Kind};
use session_core::{ErrorKind, SessionStore};
use session_postgres::PostgresStore;

use super::{drop_table, id, run, store, table, url};
use crate::mysql_backend::operations::{ANY, OWNED, call};

const ALL: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];

/// A role that may log in, with rights on one table.
struct Role(String);

impl Role {
    async fn with(rights: &[&str], table_name: &str) -> Self {
        let role = Self(table());
        run(&format!("CREATE ROLE \"{}\" LOGIN", role.0)).await;
        let rights = rights.join(", ");
        run(&format!(
            "GRANT {rights} ON \"{table_name}\" TO \"{}\"",
            role.0
        ))
        .await;
        role
    }

    fn url(&self) -> String {
        url().replace("//postgres@", &format!("//{}@", self.0))
    }

    async fn remove(self) {
        run(&format!("DROP OWNED BY \"{0}\"; DROP ROLE \"{0}\"", self.0)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named_when_connecting() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    drop(store(&name).await);
    for missing in ALL {
        let others: Vec<&str> = ALL.into_iter().filter(|right| *right != missing).collect();
        let role = Role::with(&others, &name).await;
        let builder = PostgresStore::builder().table(&name);
        let error = builder.connect(&role.url()).await.expect_err(missing);
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{missing}: {error}");
        assert!(error.to_string().contains(missing), "{missing}: {error}");
        assert!(error.to_string().contains(&name), "{missing}: {error}");
        role.remove().await;
    }
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_rights_are_enough_for_a_table_that_is_there() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let near = store(&name).await;
    let role = Role::with(&ALL, &name).await;
    let far = PostgresStore::builder().table(&name);
    let far = far.connect(&role.url()).await.expect("enough");
    for operation in ANY.into_iter().chain(OWNED) {
        let done = call(operation, &far, &near).await;
        done.unwrap_or_else(|error| panic!("{operation}: {error}"));
    }
    far.migrate().await.expect("there is nothing to create");
    // From version 15 on, the default schema is not for everyone to create tables in; before, that
    // right may have been taken away.
    run("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    let absent = PostgresStore::builder().table(table());
    let error = absent.connect(&role.url()).await.expect_err("no CREATE");
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.to_string().contains("CREATE"), "{error}");
    drop(far);
    role.remove().await;
    drop_table(&name).await;
}

/// Rows that a policy hides would be sessions that are gone, and sessions that could be created again.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_rows_are_hidden_from_the_role_is_refused() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    drop(store(&name).await);
    let role = Role::with(&ALL, &name).await;
    run(&format!("ALTER TABLE \"{name}\" ENABLE ROW LEVEL SECURITY")).await;
    let builder = || PostgresStore::builder().table(&name);
    let error = builder().connect(&role.url()).await.expect_err("hidden");
    assert!(error.to_string().contains("row-level security"), "{error}");
    let owner = builder().connect(url()).await.expect("not for a superuser");
    assert_eq!(owner.load(&id()).await.expect("up"), None);
    role.remove().await;
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_or_database_that_is_refused_is_misconfigured() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let role = url().replace("//postgres@", "//nobody-known:hunter2@");
    let database = url().replace("/test", "/no_such_database");
    for (url, cause) in [
        (role, "user name, password"),
        (database, "no such database"),
    ] {
        let error = PostgresStore::connect(&url).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        let shown = format!("{error:?} {error}");
        assert!(shown.contains(cause), "{shown}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("nobody-known"),
            "{shown}"
        );
    }
}
