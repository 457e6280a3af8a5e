//! The owner indexes of the lane without scripts.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_index_lives_as_long_as_the_last_of_its_sessions() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let keys = ask(&stage.server.url, &["KEYS", "*"]).await;
    assert_eq!(keys, Value::Array(vec![]), "connecting leaves none");
    let with = |idle: Timeout| Draft::new("{}", Lifetime::idle(idle)).with_owner(owner("ann"));
    let hour = Timeout::After(3_600 * SECOND);
    let (id, _) = stage.created(&with(hour)).await;
    let keys = ask(&stage.server.url, &["KEYS", "session:owner:*"]).await;
    let [index]: [String; 1] = redis::from_redis_value::<Vec<String>>(keys)
        .expect("keys")
        .try_into()
        .expect("one");
    let left = async || stage.number(&["PTTL", &index]).await;
    let near =
        |left: i64, hours: i64| (hours * 3_600_000 - 10_000..=hours * 3_600_000).contains(&left);
    assert!(near(left().await, 2), "an hour and the slack");
    stage.created(&with(Timeout::After(60 * SECOND))).await;
    assert!(near(left().await, 2), "never less");
    stage
        .store
        .touch(&id, Timeout::After(4 * 3_600 * SECOND))
        .await
        .expect("up");
    assert!(near(left().await, 5), "{}", left().await);
    assert_eq!(stage.number(&["PERSIST", &index]).await, 1);
    stage.created(&with(Timeout::After(60 * SECOND))).await;
    assert!(near(left().await, 5), "not of the new session");
    stage.created(&with(Timeout::Never)).await;
    let for_ever = left().await;
    assert!(for_ever > 1 << 52, "{for_ever}");
    stage
        .with_scripts()
        .await
        .touch(&id, Timeout::After(9 * 3_600 * SECOND))
        .await
        .expect("up");
    stage.created(&with(hour)).await;
    assert!(left().await > 1 << 52, "both lanes keep it");
    assert_eq!(owned(&stage.store, &owner("ann"), 10).await.len(), 5);
    assert_eq!(
        end_all(&stage.store, &owner("ann"), Some(&id)).await.len(),
        4
    );
    assert_eq!(owned(&stage.store, &owner("ann"), 10).await, [id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn passed_entries_go_with_new_ones_and_another_programs_value_stays() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let ann = draft().with_owner(owner("ann"));
    let (id, _) = stage.created(&ann).await;
    let keys = ask(&stage.server.url, &["KEYS", "session:owner:*"]).await;
    let index = redis::from_redis_value::<Vec<String>>(keys)
        .expect("keys")
        .remove(0);
    let now = stage.time().await;
    for n in 0..1_500 {
        let score = (now - 3_700_000 + n).to_string();
        ask(
            &stage.server.url,
            &["ZADD", &index, &score, &format!("old{n}")],
        )
        .await;
    }
    let fresh = (now - 3_500_000).to_string();
    ask(&stage.server.url, &["ZADD", &index, &fresh, "fresh"]).await;
    for left in [502 + 1, 2 + 2] {
        stage.created(&ann).await;
        let begun = Instant::now();
        while stage.number(&["ZCARD", &index]).await != left {
            assert!(begun.elapsed() < 10 * SECOND, "not {left}");
            tokio::time::sleep(10 * MILLI).await;
        }
    }
    ask(&stage.server.url, &["DEL", &index]).await;
    ask(&stage.server.url, &["SADD", &index, "of another"]).await;
    let (other, expected) = stage.created(&ann).await;
    let saved = stage.store.save(&other, &ann, &expected).await.expect("up");
    assert!(saved.is_done());
    let touched = stage
        .store
        .touch(&other, Timeout::After(90 * 60 * SECOND))
        .await;
    assert!(touched.expect("up").is_some());
    assert_eq!(stage.number(&["SISMEMBER", &index, "of another"]).await, 1);
    assert_eq!(
        stage.number(&["PTTL", &index]).await,
        -1,
        "it does not expire"
    );
    let all = owned(&stage.store, &owner("ann"), 10).await;
    assert!(all.contains(&id) && all.contains(&other), "{all:?}");
}
