//! Values shared by many endpoints, stored once and freed with their last user.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// Counts the users of each value.
#[derive(Debug)]
pub(super) struct Interner<T: ?Sized> {
    ids: HashMap<Arc<T>, u32>,
    entries: Vec<Option<(Arc<T>, u32)>>,
    free: Vec<u32>,
}

impl<T: ?Sized> Default for Interner<T> {
    fn default() -> Self {
        Self { ids: HashMap::new(), entries: Vec::new(), free: Vec::new() }
    }
}

impl<T: ?Sized + Hash + Eq> Interner<T> {
    /// The value's number, for one more user; `share` is called for a new value.
    pub(super) fn acquire(&mut self, value: &T, share: impl FnOnce() -> Arc<T>) -> u32 {
        if let Some(&id) = self.ids.get(value) {
            if let Some((_, users)) = &mut self.entries[id as usize] {
                *users += 1;
            }
            return id;
        }
        let shared = share();
        let id = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            (self.entries.len() - 1) as u32
        });
        self.entries[id as usize] = Some((Arc::clone(&shared), 1));
        self.ids.insert(shared, id);
        id
    }

    /// Removes one user.
    pub(super) fn release(&mut self, id: u32) {
        let Some(entry) = self.entries.get_mut(id as usize) else { return };
        let Some((value, users)) = entry else { return };
        *users -= 1;
        if *users == 0 {
            self.ids.remove::<T>(Borrow::borrow(value));
            *entry = None;
            self.free.push(id);
        }
    }

    /// The number of a value that has users.
    pub(super) fn find(&self, value: &T) -> Option<u32> {
        self.ids.get(value).copied()
    }

    pub(super) fn get(&self, id: u32) -> Option<&T> {
        self.entries.get(id as usize)?.as_ref().map(|(value, _)| value.as_ref())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }
}
