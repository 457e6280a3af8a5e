//! The participants of a comparison.

use std::future::Future;

/// A store of sessions with numbers from 0. Their data is a text that begins with the number of the
/// write in 16 hexadecimal digits.
pub(crate) trait Contender: Send + Sync + 'static {
    /// Creates the session `n`.
    fn create(&self, n: usize, text: String) -> impl Future<Output = ()> + Send;

    /// Loads the session `n`. Returns the number of the write and the length of the text.
    fn load(&self, n: usize) -> impl Future<Output = (u64, usize)> + Send;

    /// Saves the session `n`.
    fn save(&self, n: usize, text: String) -> impl Future<Output = ()> + Send;
}

/// The text of the write `number`, `length` bytes long.
pub(crate) fn text(number: u64, length: usize) -> String {
    let mut text = String::with_capacity(length.max(16));
    for digit in (0..16).rev() {
        let digit = char::from_digit((number >> (4 * digit) & 15) as u32, 16);
        text.push(digit.expect("a digit"));
    }
    // Copied in blocks, so that this takes little of the measured time.
    const FILL: &str = match str::from_utf8(&[b's'; 1024]) {
        Ok(fill) => fill,
        Err(_) => unreachable!(),
    };
    while text.len() < length {
        text.push_str(&FILL[..(length - text.len()).min(FILL.len())]);
    }
    text
}

/// The number of the write, and the length of a text.
pub(crate) fn read(text: &str) -> (u64, usize) {
    let number = text
        .get(..16)
        .and_then(|digits| u64::from_str_radix(digits, 16).ok());
    (number.expect("a text of ours"), text.len())
}

/// A session's JSON for stores of bytes.
pub(crate) fn json(text: &str) -> String {
    const FRAME: [&str; 2] = [r#"{"data":""#, r#""}"#];
    let mut json = String::with_capacity(FRAME[0].len() + text.len() + FRAME[1].len());
    json.push_str(FRAME[0]);
    json.push_str(text);
    json.push_str(FRAME[1]);
    json
}

/// Reads the text in the JSON without a parser, so that serde is not measured.
pub(crate) fn read_json(json: &[u8]) -> (u64, usize) {
    let json = std::str::from_utf8(json).expect("UTF-8");
    let text = json.get(9..json.len() - 2).expect("JSON of ours");
    read(text)
}
