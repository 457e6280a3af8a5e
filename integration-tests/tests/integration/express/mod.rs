//! Live sessions shared with real Express programs, both ways, on all four databases.

mod both_ways;
mod cookies;
mod moving_mongo;
mod moving_mysql;
mod moving_postgres;
mod odd_values;
mod rust_app;
mod setup;
mod signing_in;
mod writers;

/// One test a store for each scenario.
macro_rules! on_every_store {
    ($($scenario:ident::{$($name:ident),* $(,)?})*) => {$(
        mod $scenario {
            mod redis { $(crate::express::on_every_store!(@ $scenario $name Redis);)* }
            mod unscripted { $(crate::express::on_every_store!(@ $scenario $name Unscripted);)* }
            mod mongo { $(crate::express::on_every_store!(@ $scenario $name Mongo);)* }
            mod mongo_documents { $(crate::express::on_every_store!(@ $scenario $name MongoDocuments);)* }
            mod mongo_hashed { $(crate::express::on_every_store!(@ $scenario $name MongoHashed);)* }
            mod mongo_web_crypto { $(crate::express::on_every_store!(@ $scenario $name MongoWebCrypto);)* }
            mod mongo_kruptein { $(crate::express::on_every_store!(@ $scenario $name MongoKruptein);)* }
            mod mysql { $(crate::express::on_every_store!(@ $scenario $name Mysql);)* }
            mod mysql_named { $(crate::express::on_every_store!(@ $scenario $name MysqlNamed);)* }
            mod mysql_json { $(crate::express::on_every_store!(@ $scenario $name MysqlJson);)* }
            mod postgres { $(crate::express::on_every_store!(@ $scenario $name Postgres);)* }
            mod postgres_zoned { $(crate::express::on_every_store!(@ $scenario $name PostgresZoned);)* }
            mod postgres_jsonb { $(crate::express::on_every_store!(@ $scenario $name PostgresJsonb);)* }
        }
    )*};
    (@ $scenario:ident $name:ident $store:ident) => {
        #[tokio::test]
        async fn $name() {
            let store = crate::express::setup::Store::$store;
            if !store.is_skipped() {
                crate::express::$scenario::$name(store).await;
            }
        }
    };
}
pub(crate) use on_every_store;

mod tests {
    crate::express::on_every_store! {
        both_ways::{
            a_user_who_signs_in_on_one_is_signed_in_on_the_other,
            what_one_adds_the_other_reads_and_keeps,
            values_of_every_kind_survive,
            a_session_of_200_kb_is_shared,
            a_logout_on_either_holds_on_both,
            a_new_id_on_either_kills_the_old_one_on_both,
            a_lifetime_set_by_one_counts_for_the_other,
            neither_shortens_the_others_sessions,
            a_session_in_use_here_is_not_ended_by_a_save_there,
            secrets_and_ids_of_other_kinds_are_shared,
        }
        odd_values::{
            what_only_javascript_writes_is_carried_and_stops_no_write,
            a_variable_of_the_apps_sets_no_owner,
        }
        signing_in::{
            another_users_sign_in_here_drops_what_is_the_owners_on_both,
            only_a_sign_in_here_is_a_recent_authentication,
        }
        writers::{
            writers_here_lose_nothing_and_bring_nothing_back,
        }
    }
}
