//! A list of which most windows have one item: that one stands in place, more lie on the heap.

use std::ops::{Deref, DerefMut};

/// A list in the room of one item.
#[derive(Clone, Debug, PartialEq)]
pub enum Few<T> {
    /// One item.
    One(T),
    /// None, or several.
    Many(Vec<T>),
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::One(item) => std::slice::from_ref(item),
            Self::Many(list) => list,
        }
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::One(item) => std::slice::from_mut(item),
            Self::Many(list) => list,
        }
    }
}

impl<T> Few<T> {
    /// Inserts an item at `index`. A full list makes room for one, or for a quarter: there are many lists.
    pub fn insert(&mut self, index: usize, item: T) {
        if self.is_empty() {
            *self = Self::One(item);
            return;
        }
        let list = self.several();
        if list.len() == list.capacity() {
            list.reserve_exact((list.len() / 4).max(1));
        }
        list.insert(index, item);
    }

    /// Takes the item at `index` out.
    pub fn remove(&mut self, index: usize) {
        self.several().remove(index);
    }

    /// Keeps what `is_kept` says.
    pub fn retain(&mut self, mut is_kept: impl FnMut(&T) -> bool) {
        if !self.iter().all(&mut is_kept) {
            self.several().retain(is_kept);
        }
    }

    /// Bytes on the heap, but for what the items hold.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Many(list) => list.capacity() * size_of::<T>(),
        }
    }

    fn several(&mut self) -> &mut Vec<T> {
        if let Self::One(_) = self {
            let one = std::mem::take(self);
            if let (Self::One(item), Self::Many(list)) = (one, &mut *self) {
                list.reserve_exact(2);
                list.push(item);
            }
        }
        match self {
            Self::Many(list) => list,
            Self::One(_) => unreachable!("it was moved to the heap"),
        }
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(mut list: Vec<T>) -> Self {
        match list.len() {
            1 => list.pop().map_or_else(Self::default, Self::One),
            _ => Self::Many(list),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_item_takes_no_heap_and_more_keep_their_order() {
        let mut few = Few::default();
        few.insert(0, 2);
        assert_eq!(few.bytes(), 0);
        few.insert(0, 1);
        few.insert(2, 3);
        assert_eq!(*few, [1, 2, 3]);
        few.remove(1);
        few.retain(|item| *item != 1);
        assert_eq!(*few, [3]);
        few[0] += 1;
        few.retain(|item| *item == 3);
        assert!(few.is_empty());
        assert_eq!(Few::from(vec![7]), Few::One(7));
    }
}
