//! TCP keep-alive and user time-out: how a connection notices that its peer is gone.

use std::time::Duration;

use redis::Client;
use redis::io::tcp::{TcpSettings, socket2};

/// How many keep-alive probes may go unanswered.
const PROBES: u32 = 3;

/// The client with keep-alive (for idle connections) and user time-out (for unacknowledged data),
/// where its own settings have none.
pub(crate) fn with_keepalive(client: Client, timeout: Duration) -> Client {
    let info = client.get_connection_info();
    let settings = with_defaults(info.tcp_settings().clone(), timeout);
    let info = info.clone().set_tcp_settings(settings);
    // Opening succeeds: the client was made from the same information.
    Client::open(info).unwrap_or(client)
}

fn with_defaults(mut settings: TcpSettings, timeout: Duration) -> TcpSettings {
    // Operating systems count whole seconds.
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
    fn a_clients_connections_detect_a_silent_peer() {
        let with_keepalive = with_keepalive(client(TcpSettings::default()), LIMIT);
        let info = with_keepalive.get_connection_info();
        assert!(info.tcp_settings().keepalive().is_some());
        #[cfg(target_os = "linux")]
        assert_eq!(info.tcp_settings().user_timeout(), Some(LIMIT));
        let redis = info.redis_settings();
        assert_eq!((redis.username(), redis.db()), (Some("u"), 2));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_callers_settings_are_kept() {
        let own = TcpSettings::default().set_user_timeout(Duration::from_secs(77));
        let with_keepalive = with_keepalive(client(own.set_nodelay(false)), LIMIT);
        let settings = with_keepalive.get_connection_info().tcp_settings();
        assert_eq!(settings.user_timeout(), Some(Duration::from_secs(77)));
        assert!(settings.keepalive().is_some() && !settings.nodelay());
    }
}
