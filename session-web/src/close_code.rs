//! What a WebSocket is closed with when its session ends.

use session_core::SessionEnd;

/// The status code of the close frame for a socket whose session has [ended](crate::Session::ended):
/// 1008 (policy violation), or 1013 (try again later) if the store could not be asked (RFC 6455
/// §7.4.1 and IANA's registry of WebSocket close codes).
#[must_use]
pub const fn close_code(end: SessionEnd) -> u16 {
    match end {
        SessionEnd::Unconfirmed => 1013,
        _ => 1008,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_whose_session_may_live_is_to_try_again() {
        let ends = [
            SessionEnd::Ended,
            SessionEnd::NewToken,
            SessionEnd::Unconfirmed,
        ];
        assert_eq!(ends.map(close_code), [1008, 1008, 1013]);
    }
}
