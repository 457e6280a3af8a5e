//! The session store trait, the session record and the session manager: no I/O, no HTTP, no database.
