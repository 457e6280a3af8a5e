//! A session's variables, as a handler reads and changes them: plain memory.

use std::any::type_name;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::manager::data::Raw;
use crate::manager::patch::{Change, has_value, is_empty_list, is_list, joined, list_of};
use crate::manager::reserved::is_kept_by_clear;
use crate::manager::same::is_same;
use crate::manager::session::State;
use crate::manager::value::{from_raw, is_null, to_raw};
use crate::{Error, Result, Session};

impl Session {
    /// The value of `key`, or `None` if there is no such key or `null` is there.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) if what is there is no `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let raw = self.state().view.data.get(key).cloned();
        raw.map_or(Ok(None), |raw| from_raw(key, &raw))
    }

    /// As [`get`](Self::get), and removes a value that is no `T`, whose error is given all the
    /// same: for what can be made again. If another request replaces that value meanwhile, the new
    /// one stays.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_or_remove<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let raw = self.state().view.data.get(key).cloned();
        let Some(raw) = raw else {
            return Ok(None);
        };
        // Its type's own code runs without the lock.
        let value = from_raw(key, &raw);
        if value.is_err() {
            self.state().remove_if(key, raw);
        }
        value
    }

    /// Sets `key` to `value`, replacing what was there. Nothing is written until
    /// [`save`](Self::save). A value that equals the one there, whatever the order of its keys, is
    /// no change.
    ///
    /// `None` is stored as `null`, as Express does it: the key is there, and has no value.
    /// [`remove`](Self::remove) leaves no key.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) if `value` can't be written as JSON, or would
    /// not be read again: it has a number that is NaN or infinite, or is nested over 127 deep.
    /// [`ErrorKind::TooLarge`](crate::ErrorKind::TooLarge) if the key is longer than
    /// [`Limits::key_bytes`](crate::Limits::key_bytes).
    pub fn insert(&self, key: &str, value: impl Serialize) -> Result<()> {
        let raw = self.raw(key, &value)?;
        self.state().set(key, raw);
        Ok(())
    }

    /// Sets `key` to `value` if it has no value; whether it did. For what is made at its first use.
    ///
    /// If another request has set it meanwhile, its value stays: [`get`](Self::get) gives that once
    /// this session is saved.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn insert_if_absent(&self, key: &str, value: impl Serialize) -> Result<bool> {
        let raw = self.raw(key, &value)?;
        Ok(self.state().offer(key, raw))
    }

    /// Adds `value` to the end of the list that `key` has; a list of that alone if it has no value.
    ///
    /// If another request adds to it meanwhile, the list gets the values of both. A list that was
    /// read, changed and [inserted](Self::insert) would replace the other's.
    ///
    /// # Errors
    /// As [`insert`](Self::insert), and [`ErrorKind::Value`](crate::ErrorKind::Value) if what is
    /// there is no list.
    pub fn push(&self, key: &str, value: impl Serialize) -> Result<()> {
        let raw = self.raw(key, &value)?;
        self.state().push(key, &raw)
    }

    /// As [`push`](Self::push) if `key` has no value, or an empty list; whether it did. If another
    /// request does so meanwhile, the list gets the values of both.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_if_absent(&self, key: &str, value: impl Serialize) -> Result<bool> {
        let raw = self.raw(key, &value)?;
        let mut state = self.state();
        let is_absent = state.view.data.get(key).is_none_or(is_nothing);
        if is_absent {
            state.push(key, &raw)?;
        }
        Ok(is_absent)
    }

    /// Takes the elements of the list that `key` has: messages shown once, for example. If another
    /// request [adds](Self::push) to the list meanwhile, what it adds stays there.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) if what is there is no list of `T`; it stays
    /// there.
    pub fn drain<T: DeserializeOwned>(&self, key: &str) -> Result<Vec<T>> {
        loop {
            let list = self.state().view.data.get(key).cloned();
            let Some(list) = list else {
                return Ok(Vec::new());
            };
            // Its type's own code runs without the lock.
            let elements: Option<Vec<T>> = from_raw(key, &list)?;
            if self.state().drain(key, &list) {
                return Ok(elements.unwrap_or_default());
            }
        }
    }

    fn raw<T: Serialize>(&self, key: &str, value: &T) -> Result<Raw> {
        self.0.manager.limits.check_key(key)?;
        to_raw(key, value)
    }

    /// Removes `key`. `false` if there was no such key.
    pub fn remove(&self, key: &str) -> bool {
        self.state().remove(key).is_some()
    }

    /// Removes `key` and gives its value: a message shown once, for example.
    ///
    /// # Errors
    /// [`ErrorKind::Value`](crate::ErrorKind::Value) if what was there is no `T`; it stays there.
    pub fn take<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let value = self.get(key)?;
        self.remove(key);
        Ok(value)
    }

    /// Whether there is a key `key`, with a value or `null`.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.state().view.data.get(key).is_some()
    }

    /// The keys of the application, in the order they were first set: without `_csrf` and `_flash`,
    /// under which [`csrf_token`](Self::csrf_token) and [`flash`](Self::flash) keep what they need.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let state = self.state();
        state.view.data.own_keys().map(str::to_owned).collect()
    }

    /// Whether the application has no keys. What the library keeps in the session for it, such as
    /// the secret of form tokens, is saved all the same: [`is_changed`](Self::is_changed) says
    /// whether there is something to save.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let state = self.state();
        let data = &state.view.data;
        data.own_keys().next().is_none() && !data.has_unnamed()
    }

    /// Removes all keys of the application, and the messages of [`flash`](Self::flash). The session
    /// lives on; [`destroy`](Self::destroy) ends it.
    ///
    /// The secret of [`csrf_token`](Self::csrf_token) stays, so that forms in the client's other
    /// windows can still be sent. It belongs to the client's token: a sign-in, or
    /// [`cycle_id`](Self::cycle_id), ends both.
    pub fn clear(&self) {
        self.state().clear();
    }
}

/// Whether it is `null` or a list of nothing.
fn is_nothing(value: &Raw) -> bool {
    is_null(value) || is_empty_list(value)
}

impl State {
    fn set(&mut self, key: &str, raw: Raw) {
        // Setting what is there already is no change, and costs no write.
        let there = self.view.data.get(key);
        if !there.is_some_and(|there| is_same(there, &raw)) {
            self.view.data.set(key, raw.clone());
            self.change(key, Change::Set(raw));
        }
    }

    fn offer(&mut self, key: &str, raw: Raw) -> bool {
        let is_set = !is_null(&raw) && !has_value(&self.view.data, key);
        if is_set {
            self.replace_nothing(key, raw.clone());
            self.change(key, Change::Offer(raw));
        }
        is_set
    }

    fn push(&mut self, key: &str, element: &Raw) -> Result<()> {
        let there = self.view.data.get(key);
        if !is_list(there) {
            return Err(Error::unreadable(
                key,
                type_name::<Vec<()>>(),
                "it is no list to add to",
            ));
        }
        let added = list_of(element);
        match there.filter(|there| !is_nothing(there)) {
            Some(there) => {
                let list = joined(there, &added);
                self.view.data.set(key, list);
            }
            None => self.replace_nothing(key, added.clone()),
        }
        self.change(key, Change::Push(added));
        Ok(())
    }

    /// Sets a key without a value to `raw`, of which the change is still to be told. If `null` or
    /// an empty list is there, that goes by a change of its own, so that no key is left when `raw`
    /// is taken again before it is saved.
    fn replace_nothing(&mut self, key: &str, raw: Raw) {
        if let Some(nothing) = self.view.data.get(key).cloned() {
            self.change(key, Change::RemoveIf(nothing));
        }
        self.view.data.set(key, raw);
    }

    /// Takes the elements of `list` if that is what is there; whether it was.
    fn drain(&mut self, key: &str, list: &Raw) -> bool {
        let is_there = self.view.data.get(key) == Some(list);
        if is_there {
            self.view.data.remove(key);
            let change = match is_nothing(list) {
                true => Change::RemoveIf(list.clone()),
                false => Change::Drain(list.clone()),
            };
            self.change(key, change);
        }
        is_there
    }

    fn remove(&mut self, key: &str) -> Option<Raw> {
        let removed = self.view.data.remove(key)?;
        self.change(key, Change::Remove);
        Some(removed)
    }

    /// Removes `key` if `raw` is what is there.
    fn remove_if(&mut self, key: &str, raw: Raw) {
        if self.view.data.get(key) == Some(&raw) {
            self.view.data.remove(key);
            self.change(key, Change::RemoveIf(raw));
        }
    }

    fn change(&mut self, key: &str, change: Change) {
        self.patch.put(key, change);
        self.tally.change();
    }

    fn clear(&mut self) {
        let data = &mut self.view.data;
        let is_clear = data.iter().all(|(key, _)| is_kept_by_clear(key));
        if !is_clear || data.has_unnamed() {
            data.clear();
            self.patch.clear();
            self.tally.change();
        }
    }
}
