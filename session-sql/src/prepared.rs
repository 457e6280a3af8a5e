//! Prepared statements, in sizes for batches.

use std::marker::PhantomData;
use std::sync::Arc;

use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Database};

use crate::Dialect;

/// The most sessions in one statement.
pub const MAX_BATCH: usize = 128;
/// The sizes that batch statements are prepared for; a shorter list is padded with one of its items.
pub const SIZES: [usize; 8] = [1, 2, 4, 8, 16, 32, 64, MAX_BATCH];

/// A statement with its binds.
pub type Bound<D> =
    Query<'static, <D as Dialect>::Database, <<D as Dialect>::Database as Database>::Arguments>;

/// A statement on one table.
#[derive(Debug)]
pub struct Statement<D>(Arc<str>, PhantomData<fn() -> D>);

impl<D> Clone for Statement<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0), PhantomData)
    }
}

impl<D> Statement<D> {
    /// The only user input in `text` is quoted names.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text.into(), PhantomData)
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl<D: Dialect> Statement<D> {
    /// The statement, without binds.
    pub fn query(&self) -> Bound<D> {
        sqlx::query(AssertSqlSafe(Arc::clone(&self.0)))
    }
}

/// A statement for a batch of sessions, in each of [`SIZES`].
#[derive(Debug)]
pub struct BatchStatement<D>(Arc<[Statement<D>; SIZES.len()]>);

impl<D> Clone for BatchStatement<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D> BatchStatement<D> {
    /// The statement that `sized` makes for each size.
    pub fn new(sized: impl Fn(usize) -> Statement<D>) -> Self {
        Self(Arc::new(SIZES.map(sized)))
    }
}

impl<D: Dialect> BatchStatement<D> {
    /// The statement for `items`, of which there are at most [`MAX_BATCH`], and the padded items.
    pub fn query<'i, T>(&self, items: &'i [T]) -> (Bound<D>, Padded<'i, T>) {
        self.filled(items, items.last())
    }

    /// The same, padded with the smallest by `bytes`: items are bound with their data, each time
    /// anew.
    pub fn query_sized<'i, T>(
        &self,
        items: &'i [T],
        bytes: impl Fn(&T) -> usize,
    ) -> (Bound<D>, Padded<'i, T>) {
        self.filled(items, items.iter().min_by_key(|item| bytes(item)))
    }

    fn filled<'i, T>(&self, items: &'i [T], filler: Option<&'i T>) -> (Bound<D>, Padded<'i, T>) {
        let fits = SIZES.iter().position(|size| *size >= items.len());
        let fits = fits.unwrap_or(SIZES.len() - 1);
        let padded = Padded {
            items,
            size: SIZES[fits],
            filler,
        };
        (self.0[fits].query(), padded)
    }
}

/// Items, with one of them repeated up to the size of a statement.
#[derive(Debug)]
pub struct Padded<'i, T> {
    /// The items.
    pub items: &'i [T],
    /// The size of the statement.
    pub size: usize,
    /// The item that is repeated: the last one, or the smallest.
    filler: Option<&'i T>,
}

impl<T> Clone for Padded<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Padded<'_, T> {}

impl<'i, T> Padded<'i, T> {
    /// Binds each item.
    pub fn bind<Q>(self, query: Q, bind: impl FnMut(Q, &'i T) -> Q) -> Q {
        let filler = self.filler.into_iter().cycle();
        let padded = self.items.iter().chain(filler).take(self.size);
        padded.fold(query, bind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_padded_to_the_next_size() {
        for (items, size) in [(1, 1), (2, 2), (3, 4), (33, 64), (65, 128), (128, 128)] {
            let items: Vec<usize> = (0..items).collect();
            let padded = Padded {
                items: &items,
                size,
                filler: items.first(),
            };
            let bound = padded.bind(Vec::new(), |mut bound, item| {
                bound.push(*item);
                bound
            });
            assert_eq!(bound.len(), size);
            assert_eq!(bound[..items.len()], items);
            assert!(bound[items.len()..].iter().all(|n| *n == 0));
        }
    }
}
