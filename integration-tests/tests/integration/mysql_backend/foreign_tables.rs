//! Tables that are not the store's own are refused, and never written.

use integration_tests::servers::{self, Kind};
use session_core::{Draft, ErrorKind, Lifetime, SessionDirectory, SessionStore};
use session_mysql::express::{Express, ExpressStore};
use session_mysql::sqlx::{self, AssertSqlSafe};
use session_mysql::{MysqlStore, schema};

use super::{drop_table, id, pool, store, table, url};

const EXPRESS: &str = "CREATE TABLE `{t}` (session_id varchar(128) COLLATE utf8mb4_bin NOT NULL, \
    expires int(11) unsigned NOT NULL, data mediumtext COLLATE utf8mb4_bin, PRIMARY KEY (session_id))";
const LARAVEL: &str = "CREATE TABLE `{t}` (id varchar(255) NOT NULL PRIMARY KEY, \
    user_id bigint unsigned NULL, ip_address varchar(45) NULL, user_agent text NULL, \
    payload longtext NOT NULL, last_activity int NOT NULL, KEY (user_id), KEY (last_activity))";
const RAILS: &str = "CREATE TABLE `{t}` (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, \
    session_id varchar(255) NOT NULL, data text, created_at datetime(6) NOT NULL, \
    updated_at datetime(6) NOT NULL, UNIQUE KEY (session_id), KEY (updated_at))";

async fn run(statement: &str, name: &str) {
    let statement = statement.replace("{t}", name);
    let done = sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&pool().await)
        .await;
    done.expect("valid");
}

/// The ways to a store on `name`: each must refuse it, and name what differs.
async fn refusals(name: &str) -> Vec<String> {
    let mut messages = Vec::new();
    for migrate in [true, false] {
        let builder = MysqlStore::builder().table(name).migrate(migrate);
        let error = builder.connect(url()).await.expect_err("not ours");
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        messages.push(error.to_string());
    }
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_others_are_refused_when_connecting() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    for (create, differs) in [
        (EXPRESS, "id"),
        (LARAVEL, "id"),
        (RAILS, "id"),
        ("CREATE VIEW `{t}` AS SELECT 1 AS id", "view"),
    ] {
        run(create, &name).await;
        for message in refusals(&name).await {
            assert!(message.contains(&name), "{message}");
            assert!(message.contains(differs), "{message}");
        }
        let kind = if create.contains("VIEW") {
            "VIEW"
        } else {
            "TABLE"
        };
        run(&format!("DROP {kind} `{{t}}`"), &name).await;
    }
}

/// Whatever differs from the table that the store makes is named.
#[tokio::test(flavor = "multi_thread")]
async fn each_column_and_index_of_our_own_table_is_checked() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    for (alter, differs) in [
        ("MODIFY id VARBINARY(64) NOT NULL", "`id`"),
        ("MODIFY id VARCHAR(255) NOT NULL", "`id`"),
        ("MODIFY version INT NOT NULL", "`version`"),
        ("MODIFY stamp BINARY(8) NOT NULL", "`stamp`"),
        ("DROP COLUMN credential", "`credential`"),
        ("DROP COLUMN description", "`description`"),
        (
            "MODIFY description VARBINARY(255) NOT NULL",
            "`description`",
        ),
        ("MODIFY owner VARCHAR(255) NULL", "`owner`"),
        ("MODIFY owner VARBINARY(1024) NOT NULL", "`owner`"),
        ("MODIFY born DATETIME NOT NULL", "`born`"),
        ("MODIFY idle INT NULL", "`idle`"),
        ("MODIFY absolute VARCHAR(20) NULL", "`absolute`"),
        (
            "DROP INDEX due, DROP COLUMN due, ADD due BIGINT NULL, ADD KEY due (due)",
            "`due`",
        ),
        ("DROP COLUMN claimed", "`claimed`"),
        ("MODIFY claimed DATETIME(6) NOT NULL", "`claimed`"),
        ("MODIFY data BLOB NOT NULL", "`data`"),
        ("MODIFY data LONGTEXT NOT NULL", "`data`"),
        ("ADD more INT NOT NULL", "`more`"),
        ("DROP INDEX owner", "index"),
        ("DROP INDEX due", "index"),
        ("DROP PRIMARY KEY, ADD KEY (id)", "primary key"),
        ("ADD UNIQUE KEY one (owner)", "unique"),
        ("ENGINE = MyISAM, MODIFY owner VARBINARY(900)", "InnoDB"),
    ] {
        run(&schema(&name), &name).await;
        run(&format!("ALTER TABLE `{{t}}` {alter}"), &name).await;
        for message in refusals(&name).await {
            assert!(message.contains(&name), "{alter}: {message}");
            assert!(message.contains(differs), "{alter}: {message}");
        }
        drop_table(&name).await;
    }
    // What harms nothing is let be.
    run(&schema(&name), &name).await;
    let alter = "ADD note TEXT NULL, ADD more INT NOT NULL DEFAULT 0, ADD KEY more (more)";
    run(&format!("ALTER TABLE `{{t}}` {alter}"), &name).await;
    let store = store(&name).await;
    let draft = Draft::new("{}", Lifetime::default());
    let created = store.create(&id(), &draft).await;
    assert!(created.expect("up").is_done());
    drop_table(&name).await;
}

/// A table may come into the place of the one that was there when the store was made.
#[tokio::test(flavor = "multi_thread")]
async fn clear_leaves_the_table_of_another_alone() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    let store = store(&name).await;
    drop_table(&name).await;
    run(RAILS, &name).await;
    let insert =
        "INSERT INTO `{t}` (session_id, created_at, updated_at) VALUES ('x', NOW(), NOW())";
    run(insert, &name).await;
    let error = store.clear().await.expect_err("not ours");
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    let count = format!("SELECT COUNT(*) FROM `{name}`");
    let count = sqlx::query_scalar::<_, i64>(AssertSqlSafe(count));
    assert_eq!(count.fetch_one(&pool().await).await.expect("up"), 1);
    let error = store.migrate().await.expect_err("not ours");
    assert!(error.to_string().contains(&name), "{error}");
    drop_table(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_express_store_refuses_tables_of_another_shape() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let name = table();
    for (create, differs) in [
        (LARAVEL, "`session_id`"),
        (RAILS, "`expires`"),
        ("CREATE VIEW `{t}` AS SELECT 1 AS session_id", "view"),
        (
            "CREATE TABLE `{t}` (session_id varchar(128) NOT NULL, expires int unsigned NOT NULL, \
             data mediumtext)",
            "unique",
        ),
        (
            "CREATE TABLE `{t}` (session_id varchar(20) NOT NULL PRIMARY KEY, \
             expires int unsigned NOT NULL, data mediumtext)",
            "`session_id`",
        ),
        (
            "CREATE TABLE `{t}` (session_id varchar(128) NOT NULL PRIMARY KEY, \
             expires datetime NOT NULL, data mediumtext)",
            "`expires`",
        ),
        (
            "CREATE TABLE `{t}` (session_id varchar(128) NOT NULL PRIMARY KEY, \
             expires smallint NOT NULL, data mediumtext)",
            "`expires`",
        ),
        (
            "CREATE TABLE `{t}` (session_id varchar(128) NOT NULL PRIMARY KEY, \
             expires int unsigned NOT NULL, data varchar(255))",
            "`data`",
        ),
        (
            "CREATE TABLE `{t}` (session_id varchar(128) NOT NULL PRIMARY KEY, \
             expires int unsigned NOT NULL, data tinytext)",
            "`data`",
        ),
        (
            "CREATE TABLE `{t}` (session_id varchar(128) NOT NULL PRIMARY KEY, \
             expires int unsigned NOT NULL, data int)",
            "`data`",
        ),
        (
            "CREATE TABLE `{t}` (session_id varchar(128) NOT NULL PRIMARY KEY, \
             expires int unsigned NOT NULL, data mediumtext, more int NOT NULL)",
            "`more`",
        ),
    ] {
        run(create, &name).await;
        for migrate in [true, false] {
            let builder = ExpressStore::builder(Express::new("secret"));
            let builder = builder.table(&name).migrate(migrate);
            let error = builder.connect(url()).await.expect_err(create);
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
            let message = error.to_string();
            assert!(message.contains(&name), "{create}: {message}");
            assert!(message.contains(differs), "{create}: {message}");
        }
        let kind = if create.contains("VIEW") {
            "VIEW"
        } else {
            "TABLE"
        };
        run(&format!("DROP {kind} `{{t}}`"), &name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_layouts_have_default_names_of_their_own() {
    if servers::is_skipped(Kind::Mysql) {
        return;
    }
    let database = table();
    run("CREATE DATABASE `{t}`", &database).await;
    let url = url().replace("/test", &format!("/{database}"));
    let express = ExpressStore::builder(Express::new("secret"));
    let express = express.connect(&url).await.expect("up");
    let native = MysqlStore::connect(&url).await.expect("up");
    let draft = Draft::new("{}", Lifetime::default());
    let stores: [&dyn SessionStore; 2] = [&express, &native];
    for store in stores {
        let created = store.create(&id(), &draft).await.expect("up");
        assert!(created.is_done());
    }
    assert_eq!(native.clear().await.expect("up"), 1);
    assert_eq!(
        express.directory().expect("one").count().await.expect("up"),
        1
    );
    run("DROP DATABASE `{t}`", &database).await;
}
