//! Values as they are read from columns that keep the parsed value of JSON and not its text.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::value::RawValue;
use session_core::Sessions;

/// What a column keeps, besides every other double, whole number of 64 bits and text.
pub(crate) struct Keeps {
    /// The most levels of objects and lists in a value.
    pub(crate) levels: usize,
    /// Whether a text may contain a NUL.
    pub(crate) nul: bool,
    /// Whether `-0.0` keeps its sign.
    pub(crate) negative_zero: bool,
}

struct Values {
    doubles: Vec<f64>,
    whole: Vec<i128>,
    texts: Vec<String>,
}

const LEAST: i128 = i64::MIN as i128;
const MOST: i128 = u64::MAX as i128;

impl Keeps {
    /// Saves the values at the edges, then many others.
    pub(crate) async fn come_back(&self, sessions: &Sessions) {
        let edges = Values {
            doubles: vec![
                -0.0,
                f64::MIN,
                f64::MAX,
                f64::MIN_POSITIVE,
                f64::from_bits(1),
                0.975_326_292_508_770_3,
                9_007_199_254_740_993.0,
                18_446_744_073_709_551_616.0,
                1e21,
            ],
            whole: vec![LEAST, LEAST + 1, -1, 0, 1, (1 << 53) + 1, MOST - 1, MOST],
            texts: vec!["\0\u{1f}\"\\/\u{2028}\u{ffff}\u{10ffff}🦀".to_owned()],
        };
        self.save(sessions, edges).await;
        let any_double = any::<u64>().prop_map(f64::from_bits);
        let any_double = any_double.prop_filter("no JSON", |number| number.is_finite());
        let doubles = prop_oneof![any_double, 0.0..1.0_f64, -1e19..1e19_f64];
        let batch = (
            proptest::collection::vec(doubles, 2_000),
            proptest::collection::vec(LEAST..=MOST, 500),
            proptest::collection::vec(any::<String>(), 8),
        );
        let mut runner = TestRunner::default();
        for _ in 0..25 {
            let batch = batch.new_tree(&mut runner).expect("values").current();
            let (doubles, whole, texts) = batch;
            let values = Values {
                doubles,
                whole,
                texts,
            };
            self.save(sessions, values).await;
        }
    }

    /// Saves the values that are kept in one session, twice.
    async fn save(&self, sessions: &Sessions, mut values: Values) {
        let has_sign = |number: &f64| *number == 0.0 && number.is_sign_negative();
        let doubles = &mut values.doubles;
        doubles.retain(|number| self.negative_zero || !has_sign(number));
        if !self.nul {
            let without = |text: &mut String| *text = text.replace('\0', "");
            values.texts.iter_mut().for_each(without);
        }
        let session = sessions.start();
        session.insert("doubles", &values.doubles).expect("JSON");
        session.insert("whole", &values.whole).expect("JSON");
        session.insert("texts", &values.texts).expect("JSON");
        for text in &values.texts {
            session.insert(&format!("in {text}"), text).expect("JSON");
        }
        let deep = format!("{}{}", "[".repeat(self.levels), "]".repeat(self.levels));
        let deep = RawValue::from_string(deep).expect("JSON");
        session.insert("deep", &deep).expect("JSON");
        for again in 0..2 {
            session.insert("again", again).expect("JSON");
            session.save().await.expect("saved");
            let read = sessions.open(session.token().as_ref()).await.expect("read");
            let found: Vec<f64> = read.get("doubles").expect("numbers").expect("there");
            let bits = |numbers: &[f64]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found), bits(&values.doubles));
            let found: Vec<i128> = read.get("whole").expect("numbers").expect("there");
            assert_eq!(found, values.whole);
            let found: Vec<String> = read.get("texts").expect("texts").expect("there");
            assert_eq!(found, values.texts);
            for text in &values.texts {
                let found: Option<String> = read.get(&format!("in {text}")).expect("a text");
                assert_eq!(found.as_ref(), Some(text));
            }
            let found: Option<Box<RawValue>> = read.get("deep").expect("JSON");
            assert_eq!(found.expect("there").get(), deep.get());
        }
    }
}
