//! What takes part in a comparison.

use std::future::Future;

/// A store, one way or another, of sessions numbered from 0. Their data is a text that begins
/// with the number of the write, in 16 hexadecimal digits.
pub(crate) trait Contender: Send + Sync + 'static {
    /// Makes the session `n`.
    fn create(&self, n: usize, text: String) -> impl Future<Output = ()> + Send;

    /// Reads the session `n`: the number of the write, and the length of the text.
    fn load(&self, n: usize) -> impl Future<Output = (u64, usize)> + Send;

    /// Writes the session `n`.
    fn save(&self, n: usize, text: String) -> impl Future<Output = ()> + Send;
}

/// The text of the write `number`, `length` bytes long.
pub(crate) fn text(number: u64, length: usize) -> String {
    let mut text = String::with_capacity(length.max(16));
    for digit in (0..16).rev() {
        let digit = char::from_digit((number >> (4 * digit) & 15) as u32, 16);
        text.push(digit.expect("a digit"));
    }
    // By a copy, not letter by letter: contenders are measured, not this.
    const FILL: &str = match str::from_utf8(&[b's'; 1024]) {
        Ok(fill) => fill,
        Err(_) => unreachable!(),
    };
    while text.len() < length {
        text.push_str(&FILL[..(length - text.len()).min(FILL.len())]);
    }
    text
}

/// What a text says of itself.
pub(crate) fn read(text: &str) -> (u64, usize) {
    let number = text
        .get(..16)
        .and_then(|digits| u64::from_str_radix(digits, 16).ok());
    (number.expect("a text of ours"), text.len())
}

/// A session as JSON, as the stores that keep bytes keep it.
pub(crate) fn json(text: &str) -> String {
    const FRAME: [&str; 2] = [r#"{"data":""#, r#""}"#];
    let mut json = String::with_capacity(FRAME[0].len() + text.len() + FRAME[1].len());
    json.push_str(FRAME[0]);
    json.push_str(text);
    json.push_str(FRAME[1]);
    json
}

/// What the JSON says, without a parser: contenders are measured, not serde.
pub(crate) fn read_json(json: &[u8]) -> (u64, usize) {
    let json = std::str::from_utf8(json).expect("UTF-8");
    let text = json.get(9..json.len() - 2).expect("JSON of ours");
    read(text)
}
