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
}

/// The secrets of form tokens.
pub(crate) const CSRF: ReservedKey = ReservedKey {
    name: "_csrf",
    is_bound_to_lineage: true,
};

/// The messages for the next page.
pub(crate) const FLASH: ReservedKey = ReservedKey {
    name: "_flash",
    is_bound_to_lineage: false,
};

const ALL: [ReservedKey; 2] = [CSRF, FLASH];

/// Whether `key` is one of them.
pub(crate) fn is_reserved(key: &str) -> bool {
    ALL.iter().any(|reserved| reserved.name == key)
}

/// The keys whose values a new lineage drops, and a clear does not.
pub(crate) fn bound_to_lineage() -> impl Iterator<Item = &'static str> {
    let bound = ALL.into_iter().filter(|key| key.is_bound_to_lineage);
    bound.map(|key| key.name)
}

/// Whether `key` is one of those.
pub(crate) fn is_bound_to_lineage(key: &str) -> bool {
    bound_to_lineage().any(|bound| bound == key)
}
