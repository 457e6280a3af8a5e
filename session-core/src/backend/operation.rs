//! The operations of a store, by name.

/// An operation of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each is the method of the same name")]
pub enum Operation {
    Create,
    Load,
    Save,
    Touch,
    Destroy,
    Count,
    List,
    OwnedBy,
    DestroyOwnedBy,
    Clear,
    Reap,
    Connect,
    Migrate,
    Notices,
    Invalidations,
    Inspect,
    Remove,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Create,
        Self::Load,
        Self::Save,
        Self::Touch,
        Self::Destroy,
        Self::Count,
        Self::List,
        Self::OwnedBy,
        Self::DestroyOwnedBy,
        Self::Clear,
        Self::Reap,
        Self::Connect,
        Self::Migrate,
        Self::Notices,
        Self::Invalidations,
        Self::Inspect,
        Self::Remove,
    ];

    /// The name, as in errors and spans: `destroy_owned_by`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Load => "load",
            Self::Save => "save",
            Self::Touch => "touch",
            Self::Destroy => "destroy",
            Self::Count => "count",
            Self::List => "list",
            Self::OwnedBy => "owned_by",
            Self::DestroyOwnedBy => "destroy_owned_by",
            Self::Clear => "clear",
            Self::Reap => "reap",
            Self::Connect => "connect",
            Self::Migrate => "migrate",
            Self::Notices => "notices",
            Self::Invalidations => "invalidations",
            Self::Inspect => "inspect",
            Self::Remove => "remove",
        }
    }
}
