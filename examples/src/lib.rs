//! Small programs that show how the session crates are used.
