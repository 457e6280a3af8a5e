//! Server-side sessions with a backend chosen by feature and by URL.
