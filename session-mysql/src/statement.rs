//! Statements on a table, for their binds.

use std::sync::Arc;

use sqlx::mysql::MySqlArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, MySql};

/// The most sessions that one statement is about.
pub(crate) const MOST: usize = 128;
/// Statements on many sessions are prepared for so many; a list in between is filled up with its
/// last one.
pub(crate) const SIZES: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, MOST];

/// A statement with its binds.
pub(crate) type Bound = Query<'static, MySql, MySqlArguments>;

/// A statement on one table.
#[derive(Clone, Debug)]
pub(crate) struct Statement(Arc<str>);

impl Statement {
    /// `text`, of which only quoted names come from outside.
    pub(crate) fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The statement, for its binds.
    pub(crate) fn query(&self) -> Bound {
        sqlx::query(AssertSqlSafe(Arc::clone(&self.0)))
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// A statement on many sessions, in the sizes it is prepared for.
#[derive(Clone, Debug)]
pub(crate) struct Many(pub(crate) [Statement; SIZES.len()]);

impl Many {
    /// The statement for `items`, at most [`MOST`], and the items to bind, filled up.
    pub(crate) fn query<'i, T>(&self, items: &'i [T]) -> (Bound, Filled<'i, T>) {
        let fits = SIZES.iter().position(|size| *size >= items.len());
        let fits = fits.unwrap_or(SIZES.len() - 1);
        let filled = Filled {
            items,
            size: SIZES[fits],
        };
        (self.0[fits].query(), filled)
    }
}

/// Items, and the last one again until there are as many as a statement takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled<'i, T> {
    pub(crate) items: &'i [T],
    pub(crate) size: usize,
}

impl<'i, T> Filled<'i, T> {
    /// Binds something of each.
    pub(crate) fn bind(self, query: Bound, bind: impl Fn(Bound, &'i T) -> Bound) -> Bound {
        let last = self.items.last().into_iter().cycle();
        let filled = self.items.iter().chain(last).take(self.size);
        filled.fold(query, bind)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn lists_are_filled_up_to_the_next_size() {
        let many = Many(SIZES.map(|size| Statement::new(size.to_string())));
        for (items, size) in [(1, 1), (2, 2), (3, 4), (33, 64), (65, 128), (128, 128)] {
            let items: Vec<usize> = (0..items).collect();
            let (query, filled) = many.query(&items);
            let bound = RefCell::new(Vec::new());
            let _ = filled.bind(query, |query, item| {
                bound.borrow_mut().push(*item);
                query
            });
            let bound = bound.into_inner();
            assert_eq!(bound.len(), size);
            assert_eq!(bound[..items.len()], items);
            assert!(bound[items.len()..].iter().all(|n| *n == items.len() - 1));
        }
    }
}
