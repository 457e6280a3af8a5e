//! The keys of a session under which this library keeps values of its own.
//!
//! Applications don't list them: they are left out of `keys`, `is_empty` and `Debug`. They are
//! stored as all others are.

/// One of these keys.
pub(crate) struct ReservedKey {
    pub(crate) name: &'static str,
    /// Whether its value belongs to the session's lineage: a token of a new one drops it, and
    /// nothing else does. An attacker who planted the session may have read it.
    is_bound_to_lineage: bool,
    /// Whether [`Session::clear`](crate::Session::clear) leaves it.
    is_kept_by_clear: bool,
}

/// The secrets of form tokens.
pub(crate) const CSRF: ReservedKey = ReservedKey {
    name: "_csrf",
    is_bound_to_lineage: true,
    is_kept_by_clear: true,
};

/// The messages for the next page.
pub(crate) const FLASH: ReservedKey = ReservedKey {
    name: "_flash",
    is_bound_to_lineage: false,
    is_kept_by_clear: false,
};

/// Whether the client keeps its cookie when it closes, as the lifetime, which a clear leaves too.
pub(crate) const PERSISTENT: ReservedKey = ReservedKey {
    name: "_persistent",
    is_bound_to_lineage: false,
    is_kept_by_clear: true,
};

const ALL: [ReservedKey; 3] = [CSRF, FLASH, PERSISTENT];

/// Whether `key` is one of them.
pub(crate) fn is_reserved(key: &str) -> bool {
    ALL.iter().any(|reserved| reserved.name == key)
}

/// The keys whose values a new lineage drops.
pub(crate) fn bound_to_lineage() -> impl Iterator<Item = &'static str> {
    let bound = ALL.into_iter().filter(|key| key.is_bound_to_lineage);
    bound.map(|key| key.name)
}

/// Whether a clear leaves the value of `key`.
pub(crate) fn is_kept_by_clear(key: &str) -> bool {
    ALL.iter()
        .any(|reserved| reserved.is_kept_by_clear && reserved.name == key)
}
