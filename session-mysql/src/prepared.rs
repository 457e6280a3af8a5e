//! Prepared statements, in sizes for batches.

use std::sync::Arc;

use sqlx::mysql::MySqlArguments;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, MySql};

/// The most sessions in one statement.
pub(crate) const MAX_BATCH: usize = 128;
/// The sizes that batch statements are prepared for; a shorter list is padded with its last item.
pub(crate) const SIZES: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, MAX_BATCH];

/// A statement with its binds.
pub(crate) type Bound = Query<'static, MySql, MySqlArguments>;

/// A statement on one table.
#[derive(Clone, Debug)]
pub(crate) struct Statement(Arc<str>);

impl Statement {
    /// The only user input in `text` is quoted names.
    pub(crate) fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The statement, without binds.
    pub(crate) fn query(&self) -> Bound {
        sqlx::query(AssertSqlSafe(Arc::clone(&self.0)))
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// A statement for a batch of sessions, in each of [`SIZES`].
#[derive(Clone, Debug)]
pub(crate) struct BatchStatement(pub(crate) [Statement; SIZES.len()]);

impl BatchStatement {
    /// The statement for `items`, of which there are at most [`MAX_BATCH`], and the padded items.
    pub(crate) fn query<'i, T>(&self, items: &'i [T]) -> (Bound, Padded<'i, T>) {
        let fits = SIZES.iter().position(|size| *size >= items.len());
        let fits = fits.unwrap_or(SIZES.len() - 1);
        let padded = Padded {
            items,
            size: SIZES[fits],
        };
        (self.0[fits].query(), padded)
    }
}

/// Items, with the last one repeated up to the size of a statement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Padded<'i, T> {
    pub(crate) items: &'i [T],
    pub(crate) size: usize,
}

impl<'i, T> Padded<'i, T> {
    /// Binds each item.
    pub(crate) fn bind(self, query: Bound, bind: impl Fn(Bound, &'i T) -> Bound) -> Bound {
        let last = self.items.last().into_iter().cycle();
        let padded = self.items.iter().chain(last).take(self.size);
        padded.fold(query, bind)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn lists_are_padded_to_the_next_size() {
        let many = BatchStatement(SIZES.map(|size| Statement::new(size.to_string())));
        for (items, size) in [(1, 1), (2, 2), (3, 4), (33, 64), (65, 128), (128, 128)] {
            let items: Vec<usize> = (0..items).collect();
            let (query, padded) = many.query(&items);
            let bound = RefCell::new(Vec::new());
            let _ = padded.bind(query, |query, item| {
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
