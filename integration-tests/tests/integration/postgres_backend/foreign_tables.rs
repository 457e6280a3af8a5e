//! Tables that are not the store's own are refused, and never written.

use integration_tests::servers::{self, Kind};
use session_core::{Draft, ErrorKind, Lifetime, SessionDirectory, SessionStore};
use session_postgres::{PostgresStore, schema};

use super::{drop_table, id, number, run, store, table, url};

const CONNECT_PG_SIMPLE: &str = "CREATE TABLE \"{t}\" (sid varchar NOT NULL COLLATE \"default\" PRIMARY KEY, \
    sess json NOT NULL, expire timestamp(6) NOT NULL)";
const TOWER_SESSIONS: &str = "CREATE TABLE \"{t}\" (id text PRIMARY KEY NOT NULL, \
    data bytea NOT NULL, expiry_date timestamptz NOT NULL)";
const LARAVEL: &str = "CREATE TABLE \"{t}\" (id varchar(255) NOT NULL PRIMARY KEY, \
    user_id bigint NULL, ip_address varchar(45) NULL, user_agent text NULL, \
    payload text NOT NULL, last_activity integer NOT NULL)";

/// The ways to a store on `name`: each must refuse it, and name what differs.
async fn refusals(name: &str) -> Vec<String> {
    let mut messages = Vec::new();
    for migrate in [true, false] {
        let builder = PostgresStore::builder().table(name).migrate(migrate);
        let error = builder.connect(url()).await.expect_err("not ours");
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        messages.push(error.to_string());
    }
    messages
}

async fn assert_refused(name: &str, what: &str, differs: &str) {
    for message in refusals(name).await {
        assert!(message.contains(name), "{what}: {message}");
        assert!(message.contains(differs), "{what}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_others_are_refused_when_connecting() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    for (create, kind, differs) in [
        (CONNECT_PG_SIMPLE, "TABLE", "\"id\""),
        (TOWER_SESSIONS, "TABLE", "\"id\" of type text"),
        (LARAVEL, "TABLE", "\"id\""),
        ("CREATE VIEW \"{t}\" AS SELECT 1 AS id", "VIEW", "view"),
        ("CREATE SEQUENCE \"{t}\"", "SEQUENCE", "is a sequence"),
        (
            "CREATE MATERIALIZED VIEW \"{t}\" AS SELECT 1 AS id",
            "MATERIALIZED VIEW",
            "is a materialized view",
        ),
    ] {
        run(&create.replace("{t}", &name)).await;
        assert_refused(&name, create, differs).await;
        run(&format!("DROP {kind} \"{name}\"")).await;
    }
}

/// Whatever differs from the table that the store makes is named.
#[tokio::test(flavor = "multi_thread")]
async fn each_column_and_index_of_our_own_table_is_checked() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    for (alter, differs) in [
        ("ALTER id TYPE text USING 'x'", "\"id\""),
        ("ALTER version TYPE integer", "\"version\""),
        ("ALTER stamp DROP NOT NULL", "\"stamp\""),
        ("DROP COLUMN credential", "\"credential\""),
        ("DROP COLUMN description", "\"description\""),
        ("ALTER description SET NOT NULL", "\"description\""),
        ("ALTER owner SET NOT NULL", "\"owner\""),
        ("ALTER born TYPE timestamp", "\"born\""),
        ("ALTER idle TYPE integer", "\"idle\""),
        ("ALTER absolute TYPE numeric", "\"absolute\""),
        ("ALTER due DROP EXPRESSION", "\"due\""),
        ("DROP COLUMN claimed", "\"claimed\""),
        ("ALTER claimed TYPE timestamp", "\"claimed\""),
        ("ALTER data TYPE text USING 'x'", "\"data\""),
        ("ADD more integer NOT NULL", "\"more\""),
        ("ADD UNIQUE (owner)", "unique"),
        (
            "DROP CONSTRAINT \"{t}_pkey\", ADD PRIMARY KEY (id) DEFERRABLE",
            "primary key",
        ),
        (
            "DROP due, ADD due bigint GENERATED ALWAYS AS (floor(date_part('epoch', deadline \
             - timestamptz '2000-01-01 00:00:00+00') / 3600)::bigint) STORED",
            "\"due\"",
        ),
    ] {
        run(&schema(&name)).await;
        let altered = alter.replace("{t}", &name);
        run(&format!("ALTER TABLE \"{name}\" {altered}")).await;
        if alter.starts_with("DROP due") {
            run(&format!("CREATE INDEX ON \"{name}\" (due)")).await;
        }
        assert_refused(&name, alter, differs).await;
        drop_table(&name).await;
    }
    for (index, differs) in [
        ("{t}_owner_id_idx", "no index on \"owner\""),
        ("{t}_due_idx", "no index on \"due\""),
    ] {
        run(&schema(&name)).await;
        run(&format!("DROP INDEX \"{}\"", index.replace("{t}", &name))).await;
        assert_refused(&name, index, differs).await;
        drop_table(&name).await;
    }
    // Indexes that don't serve, and one of other rows.
    for (change, differs) in [
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '\"{t}_due_idx\"'::regclass",
            "no index on \"due\"",
        ),
        (
            "DROP INDEX \"{t}_owner_id_idx\"; CREATE INDEX ON \"{t}\" (owner, id) WHERE owner > 'x'",
            "no index on \"owner\"",
        ),
    ] {
        run(&schema(&name)).await;
        run(&change.replace("{t}", &name)).await;
        assert_refused(&name, change, differs).await;
        drop_table(&name).await;
    }
    run(&schema(&name)).await;
    let alter = format!("ALTER TABLE \"{name}\" DROP CONSTRAINT \"{name}_pkey\"");
    run(&alter).await;
    assert_refused(&name, &alter, "primary key").await;
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_harms_nothing_is_let_be() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    run(&schema(&name)).await;
    let alter = "ADD note text, ADD more integer NOT NULL DEFAULT 0";
    run(&format!("ALTER TABLE \"{name}\" {alter}")).await;
    run(&format!("CREATE INDEX ON \"{name}\" (more)")).await;
    let store = store(&name).await;
    let draft = Draft::new("{}", Lifetime::default());
    let created = store.create(&id(), &draft).await;
    assert!(created.expect("up").is_done());
    drop_table(&name).await;
}

/// A table may come into the place of the one that was there when the store was made.
#[tokio::test(flavor = "multi_thread")]
async fn clear_leaves_the_table_of_another_alone() {
    if servers::is_skipped(Kind::Postgres) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    drop_table(&name).await;
    run(&TOWER_SESSIONS.replace("{t}", &name)).await;
    run(&format!("INSERT INTO \"{name}\" VALUES ('x', '', now())")).await;
    let error = store.clear().await.expect_err("not ours");
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    let count = format!("SELECT count(*) FROM \"{name}\"");
    assert_eq!(number(&count).await, 1);
    let error = store.migrate().await.expect_err("not ours");
    assert!(error.to_string().contains(&name), "{error}");
    drop_table(&name).await;
}
