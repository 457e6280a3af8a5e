//! Values: every number comes back, `null` is no value, what JSON has no text for is refused, and
//! what is equal is no change.

mod support;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use session_core::{ErrorKind, Session, Sessions};
use support::{Call, Faulty};

fn sessions() -> (Sessions, Arc<Faulty>) {
    let store = Arc::new(Faulty::default());
    (Sessions::new(store.clone()), store)
}

/// Saves a session with `value` under `x`, and opens it anew.
async fn stored(sessions: &Sessions, value: impl Serialize) -> Session {
    let session = sessions.start();
    session.insert("x", value).expect("JSON");
    session.save().await.expect("saved");
    again(sessions, &session).await
}

async fn again(sessions: &Sessions, session: &Session) -> Session {
    sessions.open(session.token().as_ref()).await.expect("up")
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON")
}

/// Reads a number by each way there is, and writes it back.
async fn comes_back(sessions: &Sessions, number: f64) {
    let bits = |read: Option<f64>| read.map(f64::to_bits);
    let expected = Some(number.to_bits());
    let session = stored(sessions, number).await;
    assert_eq!(bits(session.get("x").expect("a number")), expected);
    let updated = session
        .update("x", |old: Option<f64>| old.unwrap_or_default())
        .await;
    assert_eq!(Some(updated.expect("saved").to_bits()), expected);
    let session = again(sessions, &session).await;
    let nested: Option<Value> = session.get("x").expect("JSON");
    assert_eq!(bits(nested.and_then(|value| value.as_f64())), expected);
    assert_eq!(bits(session.take("x").expect("a number")), expected);
}

#[tokio::test]
async fn the_number_that_was_read_as_its_neighbour_comes_back() {
    let (sessions, _) = sessions();
    comes_back(&sessions, 0.975_326_292_508_770_3).await;
}

#[tokio::test]
async fn numbers_at_the_edges_come_back() {
    let (sessions, _) = sessions();
    for number in [
        0.0,
        -0.0,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::from_bits(0x000f_ffff_ffff_ffff),
        f64::MAX,
        f64::MIN,
        f64::EPSILON,
        0.1 + 0.2,
        9_007_199_254_740_993.0,
        1e23,
        2.225_073_858_507_201e-308,
    ] {
        comes_back(&sessions, number).await;
    }
    for number in [
        0.1_f32,
        f32::MAX,
        f32::MIN_POSITIVE,
        f32::from_bits(1),
        -0.0,
    ] {
        let session = stored(&sessions, number).await;
        let read: Option<f32> = session.get("x").expect("a number");
        assert_eq!(read.map(f32::to_bits), Some(number.to_bits()));
    }
    for number in [u128::MAX, u128::from(u64::MAX) + 1] {
        let session = stored(&sessions, number).await;
        assert_eq!(session.get("x").ok(), Some(Some(number)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_pattern_of_bits_that_is_a_number_comes_back(bits: u64, single: u32) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (sessions, _) = sessions();
            let number = f64::from_bits(bits);
            if number.is_finite() {
                comes_back(&sessions, number).await;
            } else {
                sessions.start().insert("x", number).expect_err("JSON has no text for it");
            }
            let single = f32::from_bits(single);
            if single.is_finite() {
                let session = stored(&sessions, single).await;
                let read: Option<f32> = session.get("x").expect("a number");
                assert_eq!(read.map(f32::to_bits), Some(single.to_bits()));
            }
        });
    }

    #[test]
    fn numbers_from_0_to_1_come_back(number in 0.0..1.0_f64) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (sessions, _) = sessions();
            comes_back(&sessions, number).await;
        });
    }
}

#[tokio::test]
async fn null_is_no_value() {
    let (sessions, _) = sessions();
    let session = stored(&sessions, raw("null")).await;
    assert_eq!(session.get::<String>("x").expect("no error"), None);
    assert_eq!(session.get::<Option<u32>>("x").expect("no error"), None);
    assert_eq!(session.get::<Value>("x").expect("no error"), None);
    assert!(session.contains_key("x"), "the key is there");
    let updated = session.update("x", |old: Option<String>| old.unwrap_or("new".to_owned()));
    assert_eq!(updated.await.ok().as_deref(), Some("new"));

    let session = stored(&sessions, None::<String>).await;
    assert_eq!(session.take::<String>("x").expect("no error"), None);
    assert!(!session.contains_key("x"), "it is taken");
    let session = stored(&sessions, ()).await;
    assert_eq!(session.get::<u8>("x").expect("no error"), None);
    // Within a value it is the value's own affair.
    let session = stored(&sessions, [Some(1), None]).await;
    let read: Option<Vec<Option<u8>>> = session.get("x").expect("a list");
    assert_eq!(read, Some(vec![Some(1), None]));
}

#[derive(Debug, Serialize)]
struct Measured {
    at: u32,
    value: Wrapped,
}

#[derive(Debug, Serialize)]
struct Wrapped(f64);

#[derive(Debug, Serialize)]
enum Shape {
    Newtype(f64),
    Tuple(u8, f32),
    Struct { side: f64 },
}

#[test]
fn what_is_no_number_is_refused_where_it_is_inserted() {
    let (sessions, _) = sessions();
    let session = sessions.start();
    let refused = |inserted: session_core::Result<()>| {
        let error = inserted.expect_err("JSON has no text for it");
        assert_eq!(error.kind(), ErrorKind::Value);
        assert!(error.to_string().contains("\"price\""), "{error}");
        assert!(error.to_string().contains("NaN"), "{error}");
    };
    refused(session.insert("price", f64::NAN));
    refused(session.insert("price", f64::INFINITY));
    refused(session.insert("price", f64::NEG_INFINITY));
    refused(session.insert("price", f32::NAN));
    refused(session.insert("price", Some(f64::NAN)));
    refused(session.insert("price", [1.0, f64::NAN]));
    refused(session.insert("price", (1, "a", f64::NAN)));
    refused(session.insert("price", vec![vec![f32::INFINITY]]));
    refused(session.insert("price", BTreeMap::from([("a", f64::NAN)])));
    let value = Wrapped(f64::NAN);
    refused(session.insert("price", Measured { at: 1, value }));
    refused(session.insert("price", Shape::Newtype(f64::NAN)));
    refused(session.insert("price", Shape::Tuple(1, f32::NAN)));
    refused(session.insert("price", Shape::Struct { side: f64::NAN }));
    assert!(session.is_empty() && !session.is_changed());
    // What has nulls for another reason is no matter.
    let nulls = BTreeMap::from([("none", None), ("some", Some(1.5))]);
    session.insert("price", nulls).expect("JSON");
    session.insert("text", "null and NaN").expect("JSON");
    session.insert("raw", raw("[null, {}]")).expect("JSON");
}

#[tokio::test]
async fn an_update_to_what_is_no_number_writes_nothing() {
    let (sessions, store) = sessions();
    let session = stored(&sessions, 1.5).await;
    store.take_calls();
    let update = session.update("x", |old: Option<f64>| old.unwrap_or(0.0) / 0.0);
    let error = update.await.expect_err("JSON has no text for it");
    assert_eq!(error.kind(), ErrorKind::Value);
    assert_eq!(store.take_calls(), []);
    assert_eq!(session.get::<f64>("x").ok(), Some(Some(1.5)));
}

#[tokio::test]
async fn an_equal_value_in_another_order_is_no_change() {
    let (sessions, store) = sessions();
    let map: HashMap<u32, String> = (0..40).map(|n| (n, format!("n{n}"))).collect();
    let session = stored(&sessions, &map).await;
    store.take_calls();
    for _ in 0..20 {
        // Each map has an order of its own.
        let map: HashMap<u32, String> = (0..40).map(|n| (n, format!("n{n}"))).collect();
        session.insert("x", &map).expect("JSON");
        session.save().await.expect("saved");
    }
    assert_eq!(store.take_calls(), []);

    let same = [
        (
            r#"{"a":1,"b":{"c":[1,2],"d":null}}"#,
            r#"{"b":{"d":null,"c":[1,2]},"a":1}"#,
        ),
        (r#"{"a": 1, "b": [1, 2]}"#, r#"{"a":1,"b":[1,2]}"#),
        (r#"["\u00e9","\/"]"#, r#"["é","/"]"#),
        (r#""\u00e9""#, r#""é""#),
        (r#"[{"a":1,"b":2}]"#, r#"[{"b":2,"a":1}]"#),
        ("[ ]", "[]"),
    ];
    for (was, is) in same {
        let session = stored(&sessions, raw(was)).await;
        session.insert("x", raw(is)).expect("JSON");
        assert!(!session.is_changed(), "{was} is {is}");
    }
    let different = [
        (r#"{"a":1,"b":2}"#, r#"{"a":2,"b":1}"#),
        (r#"{"ab":"ba"}"#, r#"{"ba":"ab"}"#),
        ("[1,2]", "[2,1]"),
        // As numbers of Rust's they are different, and past 2^64 a float would not tell them apart.
        ("1", "1.0"),
        ("[1]", "[1.0]"),
        ("[-0.0]", "[0.0]"),
        (
            "[340282366920938463463374607431768211455]",
            "[340282366920938463463374607431768211454]",
        ),
        (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
        (r#"{"a":1}"#, r#"{"a":1,"a":1}"#),
        ("\"1\"", "1"),
        ("[]", "{}"),
        (r#"["\ud800"]"#, r#"["\ud801"]"#),
    ];
    for (was, is) in different {
        let session = stored(&sessions, raw(was)).await;
        session.insert("x", raw(is)).expect("JSON");
        assert!(session.is_changed(), "{was} is not {is}");
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Item {
    name: String,
    qty: u32,
}

#[derive(Debug, Deserialize)]
enum Color {
    #[allow(dead_code)]
    Red,
}

#[tokio::test]
async fn errors_say_what_the_library_says_and_show_no_data() {
    let (sessions, _) = sessions();
    let check = async |json: &str, read: fn(&Session) -> String, reason: &str| {
        let session = stored(&sessions, raw(json)).await;
        let error = read(&session);
        let beginning = "cannot read session key \"x\" as ";
        assert!(error.starts_with(beginning), "{error}");
        assert!(error.contains(&format!(": {reason}")), "{error}");
        assert!(!error.contains("hunter"), "{error}");
    };
    fn read<T: serde::de::DeserializeOwned + std::fmt::Debug>(session: &Session) -> String {
        session
            .get::<T>("x")
            .expect_err("no such value")
            .to_string()
    }
    let item = read::<Item>;
    check(r#"{"name":"hunter2"}"#, item, "missing field \"qty\"").await;
    check(
        r#"{"name":"hunter2","qty":"hunter2, expected hunter3"}"#,
        item,
        "invalid type: string, expected u32",
    )
    .await;
    check(
        r#"{"name":"hunter2","qty":-71}"#,
        item,
        "invalid value: integer, expected u32",
    )
    .await;
    check(
        r#"{"name":"a","qty":1,"qty":2}"#,
        item,
        "duplicate field \"qty\"",
    )
    .await;
    check(
        r#""hunter2""#,
        read::<Color>,
        "unknown variant, expected \"Red\"",
    )
    .await;
    check(
        r#""hunter2""#,
        read::<u32>,
        "invalid type: string, expected u32",
    )
    .await;
    check(r#"[1]"#, read::<(u8, u8)>, "invalid length 1, expected ").await;
    check(
        r#"["hunter2"]"#,
        read::<[u8; 1]>,
        "invalid type: string, expected u8",
    )
    .await;
    check("1e400", read::<f64>, "number out of range").await;
    check(r#""\ud800""#, read::<String>, "").await;
    check(r#""hunter2""#, read::<std::net::IpAddr>, "").await;
    check(
        &format!("{}{}", "[".repeat(127), "]".repeat(127)),
        read::<u32>,
        "invalid type: sequence, expected u32",
    )
    .await;
    // 71 is data too.
    let session = stored(&sessions, raw("-71")).await;
    assert!(!read::<u32>(&session).contains("71"));
    assert!(
        read::<u32>(&session).starts_with(
            "cannot read session key \"x\" as u32: invalid value: integer, expected u32"
        )
    );
    // Keys of a map are data; it can't be written with such ones.
    let odd = BTreeMap::from([(vec![1], 1)]);
    let error = session.insert("y", odd).expect_err("no text").to_string();
    assert!(
        error.starts_with("cannot write session key \"y\" as "),
        "{error}"
    );
    assert!(error.contains("key must be a string"), "{error}");
}

/// What `docs/changing-values.md` says of an enum that has lost a variant.
#[tokio::test]
async fn a_variant_that_is_gone_is_another_one_if_it_carried_nothing_or_has_a_tag() {
    #[derive(Debug, PartialEq, Deserialize)]
    enum Plain {
        #[serde(other)]
        Other,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        #[serde(other)]
        Other,
    }
    let (sessions, _) = sessions();
    let session = stored(&sessions, raw(r#""Gone""#)).await;
    assert_eq!(session.get("x").expect("a variant"), Some(Plain::Other));
    let session = stored(&sessions, raw(r#"{"Gone":{"a":1}}"#)).await;
    session.get::<Plain>("x").expect_err("it carried something");
    let session = stored(&sessions, raw(r#"{"kind":"Gone","a":1}"#)).await;
    assert_eq!(session.get("x").expect("a variant"), Some(Tagged::Other));
}

#[tokio::test]
async fn a_write_follows_only_a_change() {
    let (sessions, store) = sessions();
    let session = stored(&sessions, 1).await;
    store.take_calls();
    session.insert("x", 1).expect("JSON");
    session.save().await.expect("saved");
    assert_eq!(store.take_calls(), []);
    session.insert("x", 2).expect("JSON");
    session.save().await.expect("saved");
    assert_eq!(store.take_calls(), [Call::Save]);
}
