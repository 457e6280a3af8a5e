//! The conformance suite for session stores, and the servers it runs against.
