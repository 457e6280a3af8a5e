//! What a token is made of.

use super::*;

const TEXT: &str = "abcdefghijklmnopqrstuvwxyz0123456789-_ABCDEFGHIJKLMNOP";

#[test]
fn a_token_is_54_url_safe_characters_and_never_the_same() {
    let (a, b) = (SessionToken::generate(), SessionToken::generate());
    assert_ne!(a, b);
    assert_eq!(a.expose().len(), 54);
    assert_eq!(a.generation(), 0);
    assert_eq!(SessionToken::parse(a.expose()), Some(a));
}

#[test]
fn the_parts_of_a_token_are_where_they_were_promised() {
    let token = SessionToken::parse(TEXT).expect("shaped");
    assert_eq!(token.id().as_str(), "abcdefghijklmnop");
    assert!(!token.id().is_secret());
    // "23" in base64: 54 and 55.
    assert_eq!(token.generation(), 54 << 6 | 55);
    // printf abcdefghijklmnopqrstuvwxyz0123456789-_ABCDEFGHIJKLMNOP | sha256sum
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    };
    let verifier = "e5d24fd236d1c5da941a99afd7a4acde30bcb182e742c67d9047aa6e83b54872";
    assert_eq!(hex(&token.verifier()), verifier);
    // printf qrstuvwxyz01 | sha256sum | cut -c1-32
    assert_eq!(
        hex(&token.lineage().expect("native")),
        "be4544e5d57f38d0bc8219999ed72b78"
    );
}

#[test]
fn a_new_token_of_a_session_keeps_the_id_and_nothing_else() {
    let old = SessionToken::generate();
    let new = SessionToken::reissued(&old.id());
    assert_eq!(old.id(), new.id());
    assert_ne!(old.lineage(), new.lineage());
    assert_ne!(old.verifier(), new.verifier());
    assert_eq!(new.expose()[..ID], old.expose()[..ID]);
    assert_ne!(
        new.expose()[GENERATION_END..],
        old.expose()[GENERATION_END..]
    );
}

#[test]
fn a_successor_keeps_id_and_lineage_counts_on_and_can_be_derived_again() {
    let mut token = SessionToken::generate();
    for generation in 1..=3 {
        let next = token.successor(&[7; 16]);
        assert_eq!(next.id(), token.id());
        assert_eq!(next.lineage(), token.lineage());
        assert_eq!(next.generation(), generation);
        assert_ne!(next.verifier(), token.verifier());
        assert_eq!(next, token.successor(&[7; 16]), "derived again");
        assert_ne!(next, token.successor(&[8; 16]), "another salt");
        assert_eq!(SessionToken::parse(next.expose()), Some(next.clone()));
        token = next;
    }
}

#[test]
fn generations_begin_anew_after_4096() {
    let last = format!("{}__{}", &TEXT[..LINEAGE_END], &TEXT[GENERATION_END..]);
    let last = SessionToken::parse(&last).expect("shaped");
    assert_eq!(last.generation(), 4_095);
    let next = last.successor(&[0; 16]);
    assert_eq!(next.generation(), 0);
    assert!(is_later_generation(next.generation(), last.generation()));
    assert!(!is_later_generation(last.generation(), next.generation()));
    assert!(!is_later_generation(5, 5));
    assert!(is_later_generation(2_047, 0));
    assert!(!is_later_generation(2_048, 0), "as long ago as ahead");
}

#[test]
fn what_is_not_shaped_like_a_token_is_refused() {
    for presented in [
        "",
        "short",
        &TEXT[1..],
        &format!("{TEXT}Q"),
        &format!("{}=", &TEXT[1..]),
        &format!("{} ", &TEXT[1..]),
        &format!("ä{}", &TEXT[2..]),
    ] {
        assert_eq!(SessionToken::parse(presented), None, "{presented:?}");
    }
}

#[test]
fn tokens_of_others_have_an_id_of_16_characters_and_a_native_successor() {
    let uuid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
    for text in [uuid, "%", "a", "äpfel", &"x".repeat(255), TEXT] {
        let token = SessionToken::foreign(text).expect("any text");
        assert_eq!(token.expose(), text);
        let id = token.id();
        assert_eq!(id.as_str().len(), ID);
        assert_eq!(id.presented(), Some(text));
        assert!(!format!("{id:?}").contains(text) || text.len() == 1);
        assert!(!text.starts_with(id.as_str()));
        assert_eq!(token.lineage(), None);
        let next = token.successor(&[1; 16]);
        assert!(next.is_native());
        assert_eq!((next.id(), next.generation()), (id, 0));
        assert_eq!(next, token.successor(&[1; 16]));

        let plain = SessionToken::plain(text).expect("any text");
        assert_eq!(plain.id().as_str(), text);
        assert!(plain.id().is_secret());
        assert_eq!(token.verifier(), plain.verifier());
    }
    assert_eq!(SessionToken::foreign(""), None);
    assert_eq!(SessionToken::plain(&"x".repeat(256)), None);
    let native = SessionToken::parse(TEXT).expect("shaped");
    let foreign = SessionToken::foreign(TEXT).expect("any text");
    assert_ne!(native.verifier(), foreign.verifier());
    assert_ne!(
        SessionToken::generate_plain(),
        SessionToken::generate_plain()
    );
}

#[test]
fn secrets_do_not_show() {
    let token = SessionToken::generate();
    assert!(!format!("{token:?}").contains(&token.expose()[ID..]));
    let id = token.id();
    assert_eq!(
        format!("{id:?}"),
        format!("SessionId({})", &token.expose()[..ID])
    );
}
