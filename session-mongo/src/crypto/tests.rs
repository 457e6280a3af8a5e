//! Both encryptions, against records of the npm packages and arbitrary input.

use std::num::NonZeroU32;

use proptest::prelude::*;
use serde_json::Value;
use session_core::{ErrorKind, Result};

use super::{Algorithm, Crypto, Encoding, Kruptein, WebCrypto, der};

/// Made by `integration-tests/express/golden.js`.
const GOLDEN: &str = include_str!("../../../integration-tests/express/golden.json");

fn golden() -> Vec<Value> {
    let golden: Value = serde_json::from_str(GOLDEN).expect("JSON");
    golden["encrypted"].as_array().expect("a list").clone()
}

/// The encryption that has these options in npm, with `secret` for its own.
fn of(options: &Value, secret: impl Fn(&str) -> String) -> Box<dyn Crypto> {
    let text = |options: &Value, name: &str| options[name].as_str().unwrap_or_default().to_owned();
    let encoding = |name: &str| match name {
        "base64url" => Encoding::Base64Url,
        "hex" => Encoding::Hex,
        _ => Encoding::Base64,
    };
    if let options @ Value::Object(_) = &options["crypto"] {
        let crypto = Kruptein::new(secret(&text(options, "secret"))).expect("a secret");
        return Box::new(crypto.encoding(encoding(&text(options, "encodeas"))));
    }
    let options = &options["webcrypto"];
    let algorithm = match (text(options, "algorithm").as_str(), &options["ivLength"]) {
        ("AES-CBC", _) => Algorithm::AesCbc,
        (_, length) if length == 16 => Algorithm::AesGcm16,
        _ => Algorithm::AesGcm,
    };
    let mut crypto = WebCrypto::new(secret(&text(options, "secret")))
        .expect("a secret")
        .algorithm(algorithm)
        .encoding(encoding(&text(options, "encoding")));
    if let Some(salt) = options["salt"].as_str() {
        crypto = crypto.salt(salt);
    }
    if let Some(iterations) = options["iterations"].as_u64() {
        let iterations = u32::try_from(iterations).ok().and_then(NonZeroU32::new);
        crypto = crypto.iterations(iterations.expect("some"));
    }
    Box::new(crypto)
}

/// A cipher of each algorithm and encoding, with one iteration.
fn quick_ciphers() -> Vec<WebCrypto> {
    let mut all = Vec::new();
    for algorithm in [Algorithm::AesGcm, Algorithm::AesGcm16, Algorithm::AesCbc] {
        for encoding in [Encoding::Base64, Encoding::Base64Url, Encoding::Hex] {
            let crypto = WebCrypto::new("squirrel").expect("a secret");
            let crypto = crypto.algorithm(algorithm).encoding(encoding);
            all.push(crypto.iterations(NonZeroU32::MIN));
        }
    }
    all
}

fn is_corrupt(decrypted: Result<String>) -> bool {
    let reason = "the stored session is corrupt: it does not decrypt";
    decrypted.is_err_and(|error| error.to_string().starts_with(reason))
}

#[tokio::test]
async fn records_encrypted_by_npm_are_decrypted() {
    let golden = golden();
    assert!(golden.len() >= 6);
    for vector in &golden {
        let (text, stored) = (vector["text"].as_str(), vector["stored"].as_str());
        let (text, stored) = (text.expect("a text"), stored.expect("a text"));
        let crypto = of(vector, str::to_owned);
        assert_eq!(crypto.decrypt(stored).await.expect(text), text, "{vector}");
        let again = crypto.encrypt(text).await.expect("encrypted");
        assert_ne!(again, stored, "what is random differs");
        assert_eq!(again.len(), stored.len(), "and has the same size");
        assert_eq!(crypto.decrypt(&again).await.expect(text), text);
        let other = of(vector, |secret| format!("{secret}."));
        assert!(is_corrupt(other.decrypt(stored).await), "another secret");
    }
}

#[tokio::test]
async fn an_object_that_kruptein_had_written_as_json_once_is_read() {
    let crypto = Kruptein::new("squirrel").expect("a secret");
    let stored = crypto.seal(br#"{"n":1}"#).expect("sealed");
    let text = crypto.decrypt(&stored).await.expect("decrypted");
    assert_eq!(text, r#"{"n":1}"#);
}

#[tokio::test]
async fn an_altered_or_truncated_record_is_corrupt() {
    for crypto in quick_ciphers() {
        let stored = crypto.encrypt(r#"{"a":"é"}"#).await.expect("encrypted");
        let bytes = crypto.encoding.decode(&stored).expect("encoded");
        for n in 0..bytes.len() {
            let cut = crypto.encoding.encode(&bytes[..n]);
            assert!(is_corrupt(crypto.decrypt(&cut).await), "cut at {n}");
            let mut altered = bytes.clone();
            altered[n] ^= 0x81;
            let altered = crypto.decrypt(&crypto.encoding.encode(&altered)).await;
            // In CBC the first block is as it was altered; the caller finds no JSON there.
            let is_found = crypto.algorithm != Algorithm::AesCbc || n >= 16;
            assert!(is_corrupt(altered) || !is_found, "altered at {n}");
        }
    }
}

#[tokio::test]
async fn each_part_of_a_kruptein_record_counts() {
    let crypto = Kruptein::new("squirrel").expect("a secret");
    let stored = crypto.encrypt("{}").await.expect("encrypted");
    let sequence = crypto.encoding.decode(&stored).expect("encoded");
    let parts: [&[u8]; 6] = der::decode(&sequence).expect("six strings");
    assert_eq!(parts.map(<[u8]>::len), [8, 88, 12, 128, 16, 88]);
    for n in 0..6 {
        let mut altered = parts.map(<[u8]>::to_vec);
        // From one character of base64 to another.
        altered[n][1] = if altered[n][1] == b'A' { b'B' } else { b'A' };
        let altered: Vec<&[u8]> = altered.iter().map(Vec::as_slice).collect();
        let encode = |parts: &[&[u8]]| crypto.encoding.encode(&der::encode(parts));
        assert!(is_corrupt(crypto.decrypt(&encode(&altered)).await), "{n}");
        let mut short = parts;
        short[n] = &short[n][1..];
        assert!(is_corrupt(crypto.decrypt(&encode(&short)).await), "{n}");
    }
    let five = crypto.encoding.encode(&der::encode(&parts[..5]));
    assert!(is_corrupt(crypto.decrypt(&five).await), "no AAD");
}

#[tokio::test]
async fn a_changed_option_is_another_key() {
    let one = WebCrypto::new("squirrel").expect("a secret");
    let one = one.iterations(NonZeroU32::MIN);
    let stored = one.encrypt("{}").await.expect("encrypted");
    assert!(is_corrupt(one.clone().salt("sel").decrypt(&stored).await));
    let two = NonZeroU32::MIN.saturating_add(1);
    let two = one.clone().iterations(two).decrypt(&stored).await;
    assert!(is_corrupt(two));
    assert_eq!(one.decrypt(&stored).await.expect("decrypted"), "{}");
}

#[test]
fn an_empty_secret_is_refused_and_none_is_shown() {
    for error in [WebCrypto::new("").err(), Kruptein::new("").err()] {
        assert_eq!(error.expect("empty").kind(), ErrorKind::Misconfigured);
    }
    let web = WebCrypto::new("squirrel").expect("a secret").salt("nutty");
    let shown = format!("{web:?} {:?}", Kruptein::new("squirrel").expect("one"));
    for secret in ["squirrel", "115, 113", "nutty", "110, 117"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(work)
}

proptest! {
    #[test]
    fn any_text_is_no_record(text: String, bytes: Vec<u8>) {
        block_on(async {
            for crypto in quick_ciphers() {
                // In CBC a padding may happen to be right.
                let may_decrypt = crypto.algorithm == Algorithm::AesCbc;
                let encoded = crypto.encoding.encode(&bytes);
                prop_assert!(may_decrypt || is_corrupt(crypto.decrypt(&encoded).await));
                prop_assert!(may_decrypt || is_corrupt(crypto.decrypt(&text).await));
            }
            Ok(())
        })?;
        let crypto = Kruptein::new("squirrel").expect("a secret");
        prop_assert!(crypto.open(&text).is_none());
        prop_assert!(crypto.open(&Encoding::Base64.encode(&bytes)).is_none());
    }

    #[test]
    fn any_text_is_read_back(text: String) {
        block_on(async {
            for crypto in quick_ciphers() {
                let stored = crypto.encrypt(&text).await.expect("encrypted");
                prop_assert_eq!(crypto.decrypt(&stored).await.expect("decrypted"), text.as_str());
            }
            Ok(())
        })?;
    }
}

proptest! {
    // Each takes a derivation.
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn any_text_is_read_back_by_kruptein(text: String) {
        let crypto = Kruptein::new("squirrel").expect("a secret");
        let stored = block_on(crypto.encrypt(&text)).expect("encrypted");
        prop_assert_eq!(block_on(crypto.decrypt(&stored)).expect("decrypted"), text);
    }

    #[test]
    fn any_six_strings_are_no_record(
        (ct, hmac, salt, aad) in any::<(Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>)>(),
        iv in any::<[u8; 12]>(),
        tag in any::<[u8; 16]>(),
    ) {
        let text = |bytes: &[u8]| Encoding::Base64.encode(bytes).into_bytes();
        let (ct, hmac, aad) = (text(&ct), text(&hmac), text(&aad));
        let sequence = der::encode(&[&ct, &hmac, &iv, &salt, &tag, &aad]);
        let crypto = Kruptein::new("squirrel").expect("a secret");
        prop_assert!(crypto.open(&Encoding::Base64.encode(&sequence)).is_none());
    }
}
