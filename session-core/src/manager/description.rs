//! What a description says, as bytes, and how a session gets one.
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version, 1 |
//! | 1 | which field: 1 label, 2 browser, 3 system, 4 address |
//! | 2 | length of its text, big-endian |
//! | the length | its text, UTF-8 |
//! | … | the other fields, in the order of their numbers |
//!
//! A reader skips fields that it does not know. Of another version it reads nothing, so servers of
//! different versions show less to each other's users, and sign no one out.

use std::net::IpAddr;

use crate::{Description, Error, Result, Session};

const VERSION: u8 = 1;

/// The network that a shortened address names: bits of IPv4 and of IPv6.
const PREFIX_V4: u32 = 24;
const PREFIX_V6: u32 = 48;

/// The fields, by their number.
#[derive(Clone, Copy)]
enum Field {
    Label = 1,
    Browser = 2,
    System = 3,
    Address = 4,
}

impl Description {
    /// The most bytes that a session can be described with; a store has room for more
    /// ([`MAX_BYTES`](Self::MAX_BYTES)), which a wrapper that encrypts descriptions needs.
    pub const MAX_CONTENT_BYTES: usize = 192;

    /// A description that says nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with a label: a text of the site's own, such as a name that the user has given the
    /// device. An empty one is none.
    #[must_use]
    pub fn with_label(self, label: impl AsRef<str>) -> Self {
        self.with(Field::Label, label.as_ref())
    }

    /// The same, with the name of a browser. An empty one is none.
    #[must_use]
    pub fn with_browser(self, browser: impl AsRef<str>) -> Self {
        self.with(Field::Browser, browser.as_ref())
    }

    /// The same, with the name of an operating system. An empty one is none.
    #[must_use]
    pub fn with_system(self, system: impl AsRef<str>) -> Self {
        self.with(Field::System, system.as_ref())
    }

    /// The same, with the whole address of a client. That is personal data in many countries:
    /// [`with_shortened_address`](Self::with_shortened_address) names the network only.
    #[must_use]
    pub fn with_address(self, address: impl Into<IpAddr>) -> Self {
        let address = address.into().to_canonical();
        self.with(Field::Address, &address.to_string())
    }

    /// The same, with the network of a client's address: its first 24 bits of IPv4, such as
    /// `203.0.113.0/24`, or its first 48 of IPv6, such as `2001:db8:7::/48`.
    #[must_use]
    pub fn with_shortened_address(self, address: impl Into<IpAddr>) -> Self {
        let network = match address.into().to_canonical() {
            IpAddr::V4(address) => {
                let network = address.to_bits() & (u32::MAX << (32 - PREFIX_V4));
                format!("{}/{PREFIX_V4}", std::net::Ipv4Addr::from_bits(network))
            }
            IpAddr::V6(address) => {
                let network = address.to_bits() & (u128::MAX << (128 - PREFIX_V6));
                format!("{}/{PREFIX_V6}", std::net::Ipv6Addr::from_bits(network))
            }
        };
        self.with(Field::Address, &network)
    }

    /// The site's own text.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.text(Field::Label)
    }

    /// The name of the browser.
    #[must_use]
    pub fn browser(&self) -> Option<&str> {
        self.text(Field::Browser)
    }

    /// The name of the operating system.
    #[must_use]
    pub fn system(&self) -> Option<&str> {
        self.text(Field::System)
    }

    /// The address or the network, as text.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.text(Field::Address)
    }

    fn text(&self, field: Field) -> Option<&str> {
        let (_, text) = self.fields().find(|(number, _)| *number == field as u8)?;
        std::str::from_utf8(text).ok()
    }

    /// The fields, by number, up to one that was cut.
    fn fields(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = match self.as_bytes() {
            [VERSION, rest @ ..] => rest,
            _ => &[],
        };
        std::iter::from_fn(move || {
            let ([number, high, low], after) = rest.split_first_chunk()?;
            let length = u16::from_be_bytes([*high, *low]);
            let (text, after) = after.split_at_checked(length.into())?;
            rest = after;
            Some((*number, text))
        })
    }

    fn with(self, field: Field, text: &str) -> Self {
        let number = field as u8;
        let others = self.fields().filter(|(other, _)| *other != number);
        let own = (!text.is_empty()).then_some((number, text.as_bytes()));
        let mut fields: Vec<(u8, &[u8])> = others.chain(own).collect();
        fields.sort_by_key(|(number, _)| *number);
        let mut bytes = Vec::new();
        if !fields.is_empty() {
            bytes.push(VERSION);
        }
        for (number, text) in fields {
            // What is cut here is far over the limit, and is refused.
            let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
            bytes.push(number);
            bytes.extend(length.to_be_bytes());
            bytes.extend(&text[..length.into()]);
        }
        Self::of_bytes(bytes)
    }
}

impl Session {
    /// What a user recognises the session by: as it was read, or as
    /// [`describe`](Self::describe) has set it since. No round trip.
    #[must_use]
    pub fn description(&self) -> Option<Description> {
        self.state().view.description.clone()
    }

    /// Describes the session, for a page of "my devices": [`Sessions::owned_by`] and the other
    /// listings give the description with each session, without loading its data. `None`, or a
    /// description that [says nothing](Description::is_empty), removes it.
    ///
    /// Nothing is written until [`save`](Self::save), [`sign_in`](Self::sign_in) or another write.
    /// A description that is there already is no change, so a site may describe each request. Of
    /// two requests that describe the session at the same time, the later save counts; other
    /// changes of both are kept. Describing a new session that is otherwise empty stores nothing.
    ///
    /// A description stays until it is replaced: saves, renewals, [`cycle_id`](Self::cycle_id),
    /// [`clear`](Self::clear) and `sign_in` keep it, because the client is the same one. Describe
    /// the session in the request that signs in, so that it is that request's.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) over 192 bytes
    /// ([`Description::MAX_CONTENT_BYTES`]), of which the version takes 1 and each field 3 besides
    /// its text; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the store has no room
    /// for descriptions ([`Capabilities::descriptions`]). The description is then as it was.
    ///
    /// [`Capabilities::descriptions`]: crate::Capabilities::descriptions
    /// [`Sessions::owned_by`]: crate::Sessions::owned_by
    pub fn describe(&self, description: impl Into<Option<Description>>) -> Result<()> {
        let description = description.into();
        let description = description.filter(|description| !description.is_empty());
        if let Some(description) = &description {
            let size = description.as_bytes().len();
            Error::check_size("description", size, Description::MAX_CONTENT_BYTES)?;
            if !self.0.manager.store.capabilities().descriptions {
                return Err(Error::unsupported("descriptions of sessions"));
            }
        }
        self.state().set_description(description);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn stored(bytes: &[u8]) -> Description {
        let read = Description::from_stored(bytes).expect("it fits");
        read.expect("it has bytes")
    }

    /// Servers of other versions read these bytes: they change only with [`VERSION`].
    #[test]
    fn a_description_has_exactly_these_bytes() {
        let description = Description::new()
            .with_shortened_address([203, 0, 113, 7])
            .with_system("macOS")
            .with_label("Bü")
            .with_browser("Safari");
        let golden: &[u8] = b"\x01\
            \x01\0\x03B\xc3\xbc\
            \x02\0\x06Safari\
            \x03\0\x05macOS\
            \x04\0\x0e203.0.113.0/24";
        assert_eq!(description.as_bytes(), golden);
        let read = stored(golden);
        assert_eq!(read.label(), Some("Bü"));
        assert_eq!(read.browser(), Some("Safari"));
        assert_eq!(read.system(), Some("macOS"));
        assert_eq!(read.address(), Some("203.0.113.0/24"));
    }

    #[test]
    fn a_field_that_is_set_again_is_replaced_and_an_empty_one_is_none() {
        let description = Description::new().with_label("a").with_browser("b");
        let again = description.with_label("c");
        assert_eq!((again.label(), again.browser()), (Some("c"), Some("b")));
        let less = again.with_label("");
        assert_eq!((less.label(), less.browser()), (None, Some("b")));
        assert!(less.with_browser("").is_empty());
        assert!(Description::new().is_empty());
    }

    #[test]
    fn unknown_fields_are_skipped_and_kept_and_another_version_says_nothing() {
        let newer = stored(b"\x01\x02\0\x01b\x09\0\x02xx");
        assert_eq!((newer.label(), newer.browser()), (None, Some("b")));
        let labelled = newer.with_label("a");
        assert_eq!(
            labelled.as_bytes(),
            b"\x01\x01\0\x01a\x02\0\x01b\x09\0\x02xx"
        );
        let other = stored(b"\x02\x02\0\x01b");
        assert_eq!(other.browser(), None);
        assert_eq!(other.with_label("a"), Description::new().with_label("a"));
        for cut in [
            &b"\x01"[..],
            b"\x01\x02",
            b"\x01\x02\0\x02b",
            b"\x01\x02\0\x01\xff",
        ] {
            assert_eq!(stored(cut).browser(), None, "{cut:?}");
        }
    }

    #[test]
    fn a_shortened_address_is_the_network_of_the_whole_one() {
        let v4 = Ipv4Addr::new(203, 0, 113, 255);
        let v6: Ipv6Addr = "2001:db8:7:8::9".parse().expect("an address");
        for (address, whole, short) in [
            (IpAddr::from(v4), "203.0.113.255", "203.0.113.0/24"),
            (
                v4.to_ipv6_mapped().into(),
                "203.0.113.255",
                "203.0.113.0/24",
            ),
            (v6.into(), "2001:db8:7:8::9", "2001:db8:7::/48"),
            (Ipv6Addr::LOCALHOST.into(), "::1", "::/48"),
        ] {
            let described = Description::new().with_address(address);
            assert_eq!(described.address(), Some(whole));
            let described = described.with_shortened_address(address);
            assert_eq!(described.address(), Some(short));
        }
    }

    #[test]
    fn a_text_of_any_length_is_over_the_limit_or_whole() {
        for length in [0, 188, 189, 65_535, 65_536, 70_000] {
            let text = "x".repeat(length);
            let described = Description::new().with_label(&text);
            let fits = described.as_bytes().len() <= Description::MAX_CONTENT_BYTES;
            assert_eq!(fits, length <= 188, "{length}");
            let whole = (length > 0).then_some(&*text);
            assert!(!fits || described.label() == whole, "{length}");
        }
    }
}
