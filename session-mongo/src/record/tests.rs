//! Reading valid and corrupt documents.

use mongodb::bson::{Bson, Document};
use session_core::ErrorKind;

use super::*;
use crate::schema::bytes;

/// A document as a create leaves it. `integration-tests` compares what a server has stored.
const GOLDEN: [&[u8]; 14] = [
    b"\xd7\0\0\0",
    b"\x02_id\0\x11\0\0\0abcdefghijklmnop\0",
    b"\x05stamp\0\x10\0\0\0\0\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",
    b"\x10v\0\x04\0\0\0",
    b"\x05data\0\x07\0\0\0\0{\"a\":1}",
    b"\x05credential\0\x07\0\0\0\0\x01secret",
    b"\x02owner\0\x04\0\0\0ann\0",
    b"\x05description\0\x05\0\0\0\0phone",
    b"\x12idle\0\x80\xee\x36\0\0\0\0\0",
    b"\x0aabsolute\0",
    b"\x09born\0\x00\xa8\xda\x76\x9b\x01\0\0",
    b"\x09deadline\0\x80\x96\x11\x77\x9b\x01\0\0",
    b"\x09due\0\x80\x96\x11\x77\x9b\x01\0\0",
    b"\0",
];
/// 2026-01-01T00:10:00Z, ten minutes after it was born.
const NOW: DateTime = DateTime::from_millis(1_767_226_200_000);

fn golden() -> Document {
    let bytes = GOLDEN.concat();
    Document::from_reader(&bytes[..]).expect("a document")
}

fn read<T>(document: &Document, read: impl Fn(StoredSession<'_>) -> Result<T>) -> Result<T> {
    let session = document.to_vec().expect("bytes");
    let session = RawDocument::from_bytes(&session).expect("a document");
    read(StoredSession { session, now: NOW })
}

#[test]
fn the_golden_document_is_read() {
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let record = read(&golden(), |found| found.record()).expect("readable");
    let stamp = Stamp::from_bytes(std::array::from_fn(|n| n as u8));
    assert_eq!(record.version, Version::new(stamp));
    assert_eq!(record.data, r#"{"a":1}"#);
    assert_eq!(
        record.credential,
        Credential::from_stored(b"\x01secret").expect("fits")
    );
    let description = Description::from_stored(b"phone").expect("fits");
    assert_eq!(record.description, description);
    assert_eq!(record.owner, Owner::new("ann").ok());
    assert_eq!(record.lifetime, Lifetime::idle(minutes(60)));
    assert_eq!(record.ttl, Ttl::Left(minutes(50)));
    assert_eq!(record.age, minutes(10));
    let ended = read(&golden(), |found| found.ended()).expect("readable");
    assert_eq!(ended.id.as_str(), "abcdefghijklmnop");
    assert_eq!((ended.owner, ended.age), (record.owner, Some(minutes(10))));
}

#[test]
fn an_empty_credential_and_a_missing_description_are_none() {
    let mut document = golden();
    document.insert("credential", bytes(b""));
    document.remove("description");
    let record = read(&document, |found| found.record()).expect("readable");
    assert_eq!((record.credential, record.description), (None, None));
}

#[test]
fn a_description_of_another_type_or_too_long_is_corrupt_for_loads_and_listings() {
    for description in [Bson::from("text"), Bson::Null, bytes(&[7; 256]).into()] {
        let mut document = golden();
        document.insert("size", 7);
        read(&document, |found| found.info()).expect("whole");
        document.insert("description", description);
        let record = read(&document, |found| found.record().map(drop));
        let info = read(&document, |found| found.info().map(drop));
        for kind in [record, info].map(|read| read.expect_err("corrupt").kind()) {
            assert_eq!(kind, ErrorKind::Corrupt);
        }
    }
}

#[test]
fn extreme_dates_are_read() {
    for (born, age) in [(DateTime::MIN, true), (DateTime::MAX, false)] {
        let mut document = golden();
        document.insert("born", born);
        let record = read(&document, |found| found.record()).expect("readable");
        assert_eq!(record.age > Duration::from_secs(1), age);
        let ended = read(&document, |found| found.ended()).expect("readable");
        assert_eq!(ended.age, Some(record.age));
    }
    for (deadline, ttl) in [
        (DateTime::MIN, Ttl::Left(Duration::ZERO)),
        (DateTime::MAX, Ttl::Never),
    ] {
        let mut document = golden();
        document.insert("deadline", deadline);
        assert_eq!(read(&document, |found| found.ttl()).expect("readable"), ttl);
    }
}

#[test]
fn a_document_of_another_layout_is_corrupt() {
    for version in [Bson::Int32(3), Bson::Int32(5), "4".into(), Bson::Null] {
        let mut document = golden();
        document.insert("v", version);
        let live = read(&document, |found| found.is_live());
        let info = read(&document, |found| found.info().map(drop));
        for kind in [live.map(drop), info].map(|read| read.expect_err("corrupt").kind()) {
            assert_eq!(kind, ErrorKind::Corrupt);
        }
    }
}

#[test]
fn a_document_that_lacks_a_field_is_corrupt_and_can_be_ended() {
    for field in ["stamp", "data", "credential", "born", "deadline"] {
        let mut document = golden();
        document.remove(field);
        let error = read(&document, |found| found.record()).expect_err(field);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{field}");
        let ended = read(&document, |found| found.ended()).expect(field);
        assert_eq!(ended.age.is_some(), field != "born");
    }
    let mut document = golden();
    document.insert("owner", 5);
    let ended = read(&document, |found| found.ended()).expect("its id is known");
    assert_eq!(ended.owner, None);
}
