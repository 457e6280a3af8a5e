//! Data as it is stored.
//!
//! | first byte | what follows |
//! |---|---|
//! | 0xF8 | a zstd frame |
//! | 0xF9 | the data itself, which begins with one of these two bytes |
//! | any other | nothing: it is the first byte of the data |
//!
//! No text in UTF-8 begins with 0xF8 or 0xF9, and JSON is such a text: what was stored before there
//! was compression is read as it is.

use std::cell::RefCell;

use session_core::{Bytes, Error, Result};
use zstd::bulk::{Compressor, Decompressor};

const ZSTD: u8 = 0xF8;
const AS_IS: u8 = 0xF9;

/// How data is compressed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Codec {
    pub(crate) threshold: usize,
    pub(crate) level: i32,
    /// The most bytes that data may have.
    pub(crate) limit: usize,
}

// A context takes hundreds of KiB, and as long to make as to compress a session.
thread_local! {
    static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

impl Codec {
    /// What is stored for `data`: never more than one byte more than it.
    pub(crate) fn encode(&self, data: &Bytes) -> Bytes {
        if data.len() >= self.threshold
            && let Some(compressed) = self.compress(data)
        {
            return compressed;
        }
        match data.first() {
            Some(&(ZSTD | AS_IS)) => prefixed(AS_IS, data).into(),
            _ => data.clone(),
        }
    }

    /// The data of what is stored.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](session_core::ErrorKind::Corrupt) if it does not decompress, or to more
    /// than the limit.
    pub(crate) fn decode(&self, stored: Bytes) -> Result<Bytes> {
        match stored.first() {
            Some(&ZSTD) => self.decompress(&stored[1..]),
            Some(&AS_IS) => Ok(stored.slice(1..)),
            _ => Ok(stored),
        }
    }

    /// `None` if that saves nothing, or there is no memory for it.
    fn compress(&self, data: &[u8]) -> Option<Bytes> {
        COMPRESSOR.with_borrow_mut(|kept| {
            let (_, mut compressor) = match kept.take() {
                Some(kept) if kept.0 == self.level => kept,
                _ => (self.level, Compressor::new(self.level).ok()?),
            };
            let frame = compressor.compress(data).ok()?;
            *kept = Some((self.level, compressor));
            (frame.len() + 1 < data.len()).then(|| prefixed(ZSTD, &frame).into())
        })
    }

    /// The frame says how large its data is, and is believed up to the limit: the memory for more is
    /// never asked for, whatever a forged frame says or holds.
    fn decompress(&self, frame: &[u8]) -> Result<Bytes> {
        let limit = self.limit;
        let size = Decompressor::upper_bound(frame);
        if let Some(size) = size.filter(|size| *size > limit) {
            return Err(Error::corrupt(format!(
                "its data decompresses to {size} bytes, over the limit of {limit}"
            )));
        }
        let decompressed = DECOMPRESSOR.with_borrow_mut(|kept| {
            let mut decompressor = match kept.take() {
                Some(kept) => kept,
                None => Decompressor::new()?,
            };
            let decompressed = decompressor.decompress(frame, limit);
            *kept = Some(decompressor);
            decompressed
        });
        let decompressed = decompressed
            .map_err(|error| Error::corrupt(format!("its data does not decompress: {error}")))?;
        Ok(decompressed.into())
    }
}

fn prefixed(first: u8, rest: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(1 + rest.len());
    all.push(first);
    all.extend_from_slice(rest);
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use session_core::ErrorKind;

    use super::*;

    const CODEC: Codec = Codec {
        threshold: 64,
        level: 3,
        limit: 1 << 20,
    };

    fn text(size: usize) -> Bytes {
        b"{\"cart\":[1,2,3]}"
            .iter()
            .copied()
            .cycle()
            .take(size)
            .collect()
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            data in prop::collection::vec(any::<u8>(), 0..300),
            first in prop::sample::select(vec![None, Some(ZSTD), Some(AS_IS)]),
        ) {
            let data: Bytes = first.into_iter().chain(data).collect();
            let stored = CODEC.encode(&data);
            prop_assert!(stored.len() <= data.len() + 1);
            prop_assert_eq!(CODEC.decode(stored).expect("it is whole"), data);
        }

        #[test]
        fn damaged_bytes_are_an_error_and_nothing_worse(
            frame in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let stored: Bytes = prefixed(ZSTD, &frame).into();
            if let Ok(data) = CODEC.decode(stored) {
                prop_assert!(data.len() <= CODEC.limit);
            }
        }
    }

    #[test]
    fn data_from_the_threshold_on_is_stored_smaller() {
        let (below, at) = (text(63), text(64));
        assert_eq!(CODEC.encode(&below), below);
        assert!(CODEC.encode(&at).len() < at.len());
        let large = text(10_000);
        assert!(CODEC.encode(&large).len() < 100);
        assert_eq!(CODEC.decode(CODEC.encode(&large)).expect("whole"), large);
    }

    #[test]
    fn what_was_stored_before_is_read_as_it_is() {
        for before in ["", "{}", "{\"name\":\"é\"}"] {
            let stored = Bytes::from(before);
            assert_eq!(CODEC.decode(stored).expect("whole"), before);
        }
    }

    #[test]
    fn a_bomb_is_refused_whatever_its_header_says() {
        let bomb = zstd::bulk::compress(&vec![0; CODEC.limit + 1], 3).expect("compressed");
        assert!(bomb.len() < 200, "{} bytes", bomb.len());
        let error = CODEC
            .decode(prefixed(ZSTD, &bomb).into())
            .expect_err("a bomb");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let whole = "the stored session is corrupt: its data decompresses to 1048577 bytes, over \
                     the limit of 1048576";
        assert_eq!(error.to_string(), whole);
        // A frame of a stream does not say how large its data is.
        let mut stream = Vec::new();
        let source = vec![0; CODEC.limit + 1];
        zstd::stream::copy_encode(&source[..], &mut stream, 3).expect("compressed");
        assert_eq!(Decompressor::upper_bound(&stream), None);
        let error = CODEC
            .decode(prefixed(ZSTD, &stream).into())
            .expect_err("a bomb");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        // Two frames, each within the limit.
        let half = zstd::bulk::compress(&vec![0; CODEC.limit / 2 + 1], 3).expect("compressed");
        let two = [half.clone(), half].concat();
        let error = CODEC
            .decode(prefixed(ZSTD, &two).into())
            .expect_err("a bomb");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}
