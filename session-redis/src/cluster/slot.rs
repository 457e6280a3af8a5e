//! The slots of a cluster, and which one a key is in.

use redis::{Arg, Cmd};

/// How many slots a cluster has.
pub(crate) const SLOTS: u16 = 16_384;

/// Commands that name no key: any node runs them.
const WITHOUT_KEY: [&[u8]; 8] = [
    b"CLUSTER", b"INFO", b"PING", b"PUBLISH", b"SCAN", b"SCRIPT", b"TIME", b"ROLE",
];

/// The slot of `key`: CRC16 (XMODEM) of its hash tag, or of the whole key.
pub(crate) fn of_key(key: &[u8]) -> u16 {
    crc16(hashed(key)) % SLOTS
}

/// The slot of the first key of `command`; `None` if it names none.
pub(crate) fn of_command(command: &Cmd) -> Option<u16> {
    let simple = |at: usize| match command.args_iter().nth(at)? {
        Arg::Simple(bytes) => Some(bytes),
        _ => None,
    };
    let name = simple(0)?;
    if WITHOUT_KEY.contains(&name) {
        return None;
    }
    let key = match name {
        b"EVALSHA" | b"EVAL" => match simple(2)? {
            b"0" => return None,
            _ => simple(3)?,
        },
        _ => simple(1)?,
    };
    Some(of_key(key))
}

/// What is between the first `{` and the next `}`, unless that is nothing.
fn hashed(key: &[u8]) -> &[u8] {
    let tag = || {
        let open = key.iter().position(|&byte| byte == b'{')?;
        let rest = &key[open + 1..];
        let close = rest.iter().position(|&byte| byte == b'}')?;
        (close > 0).then(|| &rest[..close])
    };
    tag().unwrap_or(key)
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (crc << 8) ^ TABLE[usize::from((crc >> 8) ^ u16::from(*byte))]
    })
}

/// The remainder of each byte.
const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            let carry = crc & 0x8000 != 0;
            crc <<= 1;
            if carry {
                crc ^= 0x1021;
            }
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_standards() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(crc16(b""), 0);
        // What Redis says to `CLUSTER KEYSLOT`.
        assert_eq!(of_key(b"foo"), 12_182);
        assert_eq!(of_key(b"somekey"), 11_058);
    }

    #[test]
    fn only_the_first_tag_that_is_not_empty_is_hashed() {
        for (key, part) in [
            ("foo{hash_tag}", "hash_tag"),
            ("{user1000}.following", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("foo}bar{", "foo}bar{"),
            ("", ""),
        ] {
            assert_eq!(hashed(key.as_bytes()), part.as_bytes(), "{key}");
        }
    }

    #[test]
    fn a_command_goes_to_the_slot_of_its_first_key() {
        let command = |text: &str| {
            let mut words = text.split(' ');
            let mut command = redis::cmd(words.next().unwrap_or_default());
            for word in words {
                command.arg(word);
            }
            command
        };
        for (text, key) in [
            ("GET foo", Some("foo")),
            ("ZSCAN foo 0 COUNT 1", Some("foo")),
            ("EVALSHA abc 2 foo bar x", Some("foo")),
            ("EVALSHA abc 0 foo", None),
            ("PUBLISH foo bar", None),
            ("SCAN 0", None),
            ("TIME", None),
        ] {
            let slot = key.map(|key| of_key(key.as_bytes()));
            assert_eq!(of_command(&command(text)), slot, "{text}");
        }
    }
}
