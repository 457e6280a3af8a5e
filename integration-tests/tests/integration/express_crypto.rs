//! Sessions that connect-mongo encrypts, with connect-mongo itself at the other end.

use std::num::NonZeroU32;

use integration_tests::servers::{express_script, is_express_skipped};
use serde_json::{Value, json};
use session_mongo::crypto::{Algorithm, Crypto, Encoding, Kruptein, WebCrypto};

const SECRET: &str = "clé ☃";

/// Encryptions as npm names their options, and the same ones here.
fn both() -> Vec<(Value, Box<dyn Crypto>)> {
    let web = || WebCrypto::new(SECRET).expect("a secret");
    let quick = || web().iterations(NonZeroU32::MIN);
    let legacy = || Kruptein::new(SECRET).expect("a secret");
    vec![
        (
            json!({ "webcrypto": { "secret": SECRET } }),
            Box::new(web()),
        ),
        (
            json!({ "webcrypto": { "secret": SECRET, "iterations": 1, "ivLength": 16,
                "encoding": "base64url" } }),
            Box::new(
                quick()
                    .algorithm(Algorithm::AesGcm16)
                    .encoding(Encoding::Base64Url),
            ),
        ),
        (
            json!({ "webcrypto": { "secret": SECRET, "iterations": 1, "algorithm": "AES-CBC",
                "encoding": "hex", "salt": "sel" } }),
            Box::new(
                quick()
                    .algorithm(Algorithm::AesCbc)
                    .encoding(Encoding::Hex)
                    .salt("sel"),
            ),
        ),
        (
            json!({ "crypto": { "secret": SECRET } }),
            Box::new(legacy()),
        ),
        (
            json!({ "crypto": { "secret": SECRET, "encodeas": "hex" } }),
            Box::new(legacy().encoding(Encoding::Hex)),
        ),
    ]
}

fn texts() -> [String; 3] {
    let long = json!({ "long": "é☃🦀".repeat(20_000) }).to_string();
    [
        "{}".to_owned(),
        "{\"a\":\"\\u0000\\n\u{2028}\"}".to_owned(),
        long,
    ]
}

/// What Node makes of these, one by one.
fn in_node(direction: &str, requests: &[Value]) -> Vec<Value> {
    let lines = requests.iter().map(|request| format!("{request}\n"));
    let answers = express_script("crypto.js", direction, &lines.collect::<String>());
    let read = |line| serde_json::from_str(line).expect("JSON");
    answers.lines().map(read).collect()
}

fn with_text(options: &Value, text: &str) -> Value {
    let mut request = options.clone();
    request["text"] = text.into();
    request
}

#[tokio::test]
async fn what_is_encrypted_here_is_read_in_node() {
    if is_express_skipped() {
        return;
    }
    let (mut requests, mut expected) = (Vec::new(), Vec::new());
    for (options, crypto) in both() {
        for text in texts() {
            let stored = crypto.encrypt(&text).await.expect("encrypted");
            requests.push(with_text(&options, &stored));
            expected.push(json!({ "text": text }));
        }
    }
    assert!(in_node("decrypt", &requests) == expected);
}

#[tokio::test]
async fn what_is_encrypted_in_node_is_read_here() {
    if is_express_skipped() {
        return;
    }
    for (options, crypto) in both() {
        let texts = texts();
        let requests = texts.each_ref().map(|text| with_text(&options, text));
        let answers = in_node("encrypt", &requests);
        assert_eq!(answers.len(), texts.len());
        for (answer, text) in answers.iter().zip(&texts) {
            let stored = answer["text"].as_str();
            let stored = stored.unwrap_or_else(|| panic!("{options}: {answer}"));
            let decrypted = crypto.decrypt(stored).await.expect("decrypted");
            assert!(decrypted == *text, "{options}");
        }
    }
}

#[tokio::test]
async fn what_is_altered_is_refused_in_node_too() {
    if is_express_skipped() {
        return;
    }
    let (options, crypto) = both().swap_remove(3);
    let stored = crypto.encrypt("{}").await.expect("encrypted");
    let other = json!({ "crypto": { "secret": "another" } });
    let requests = [with_text(&options, &stored), with_text(&other, &stored)];
    let answers = in_node("decrypt", &requests);
    assert_eq!(answers[0], json!({ "text": "{}" }));
    assert!(answers[1]["error"].is_string(), "{}", answers[1]);
}
