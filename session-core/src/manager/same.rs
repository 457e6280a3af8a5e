//! Whether two JSON texts are the same value.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::manager::data::{Data, Raw};
use crate::manager::value::MAX_DEPTH;

/// Whether two values are the same: objects in whatever order, texts in whatever spelling. Numbers
/// are compared by their text: `1` and `1.0` are read by different types of Rust, and a number may
/// have more digits than any type.
///
/// Of values that differ, nearly all are told apart by one look at their bytes.
pub(crate) fn is_same(a: &Raw, b: &Raw) -> bool {
    a == b || (may_be_same(a, b) && is_equal(a, b, MAX_DEPTH))
}

/// Whether the values can be the same for all that is known without taking them apart.
fn may_be_same(a: &[u8], b: &[u8]) -> bool {
    let is_spelled = |json: &[u8]| json.contains(&b'\\');
    match (kind(a), kind(b)) {
        (Some(a_kind), Some(b_kind)) if a_kind == b_kind => {
            // Without other spellings the same value has the same characters, in some order.
            is_spelled(a) || is_spelled(b) || characters(a) == characters(b)
        }
        _ => false,
    }
}

/// What begins a value that can be written in more than one way.
fn kind(json: &[u8]) -> Option<u8> {
    let first = json.trim_ascii_start().first();
    first.copied().filter(|first| b"{[\"".contains(first))
}

/// How many characters there are besides blanks, and their sum.
fn characters(json: &[u8]) -> (u64, u64) {
    json.iter().fold((0, 0), |(count, sum), byte| {
        let is_counted = u64::from(*byte > b' ');
        (count + is_counted, sum + is_counted * u64::from(*byte))
    })
}

fn is_equal(a: &Raw, b: &Raw, depth: usize) -> bool {
    if a == b {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else {
        return false;
    };
    match (kind(a), kind(b)) {
        (Some(b'{'), Some(b'{')) => are_equal_objects(a, b, depth),
        (Some(b'['), Some(b'[')) => are_equal_lists(a, b, depth),
        (Some(b'"'), Some(b'"')) => {
            let text = |json| serde_json::from_slice::<Cow<'_, str>>(json).ok();
            text(a).is_some_and(|a| text(b) == Some(a))
        }
        _ => false,
    }
}

fn are_equal_objects(a: &Raw, b: &Raw, depth: usize) -> bool {
    let (Ok(a), Ok(b)) = (Data::decode(a), Data::decode(b)) else {
        return false;
    };
    let is_in_b = |(key, value): (&str, &Raw)| {
        b.get(key)
            .is_some_and(|there| is_equal(value, there, depth))
    };
    a.len() == b.len() && a.unnamed() == b.unnamed() && a.iter().all(is_in_b)
}

fn are_equal_lists(a: &Raw, b: &Raw, depth: usize) -> bool {
    let elements = |json| serde_json::from_slice::<Vec<&RawValue>>(json).ok();
    let (Some(these), Some(those)) = (elements(a), elements(b)) else {
        return false;
    };
    let raw = |of: &Raw, element: &RawValue| of.slice_ref(element.get().as_bytes());
    these.len() == those.len()
        && these
            .iter()
            .zip(&those)
            .all(|(this, that)| is_equal(&raw(a, this), &raw(b, that), depth))
}
