//! How sockets find out that their peer is gone.

use std::time::Duration;

use redis::Client;
use redis::io::tcp::{TcpSettings, socket2};

/// How often a connection over which nothing comes is asked for a sign of life before it is given up.
const PROBES: u32 = 3;

/// The client, with settings by which a peer that is gone without a word is found out, where it has
/// none of its own: by probes when nothing is sent, and by what the peer does not acknowledge.
pub(crate) fn watched(client: Client, timeout: Duration) -> Client {
    let info = client.get_connection_info();
    let settings = filled(info.tcp_settings().clone(), timeout);
    let info = info.clone().set_tcp_settings(settings);
    // It has connected by this information before.
    Client::open(info).unwrap_or(client)
}

fn filled(mut settings: TcpSettings, timeout: Duration) -> TcpSettings {
    // Whole seconds are what systems count in.
    let after = timeout.max(Duration::from_secs(1));
    if settings.keepalive().is_none() {
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(after)
            .with_interval(Duration::from_secs(1))
            .with_retries(PROBES);
        settings = settings.set_keepalive(keepalive);
    }
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    if settings.user_timeout().is_none() {
        settings = settings.set_user_timeout(after);
    }
    settings
}

#[cfg(test)]
mod tests {
    use redis::IntoConnectionInfo;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    fn client(settings: TcpSettings) -> Client {
        let info = "redis://u:secret@h:1/2".into_connection_info();
        let info = info.expect("a URL").set_tcp_settings(settings);
        Client::open(info).expect("a client")
    }

    #[test]
    fn a_given_client_finds_a_silent_peer_out() {
        let watched = watched(client(TcpSettings::default()), LIMIT);
        let info = watched.get_connection_info();
        assert!(info.tcp_settings().keepalive().is_some());
        #[cfg(target_os = "linux")]
        assert_eq!(info.tcp_settings().user_timeout(), Some(LIMIT));
        let redis = info.redis_settings();
        assert_eq!((redis.username(), redis.db()), (Some("u"), 2));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_the_caller_has_set_stays() {
        let own = TcpSettings::default().set_user_timeout(Duration::from_secs(77));
        let watched = watched(client(own.set_nodelay(false)), LIMIT);
        let settings = watched.get_connection_info().tcp_settings();
        assert_eq!(settings.user_timeout(), Some(Duration::from_secs(77)));
        assert!(settings.keepalive().is_some() && !settings.nodelay());
    }
}
