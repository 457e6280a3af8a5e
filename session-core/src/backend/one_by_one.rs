//! Operations that a database takes one at a time.

use std::future::Future;

/// What `work` makes of each of `items`, one after the other: for operations that are not batched,
/// whose slices have one item.
pub async fn one_by_one<'i, I, T, W>(items: &'i [I], work: impl Fn(&'i I) -> W) -> Vec<T>
where
    W: Future<Output = T>,
{
    let mut answers = Vec::with_capacity(items.len());
    for item in items {
        answers.push(work(item).await);
    }
    answers
}
