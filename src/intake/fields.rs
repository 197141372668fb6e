//! What is read of a record, declared by name: objects, lists, and the places of values.

use super::values::Place;
use super::walk::{Valid, Walk};

/// Items of a list that are read; an attacker may send more.
pub(super) const LIST_MAX: usize = 1000;

/// A field that the walk can read.
pub(super) trait Wire: Default {
    /// Reads the value at the cursor into `self`, which is its default. A value of another type leaves it so.
    fn fill(&mut self, walk: &mut Walk<'_, '_>) -> Valid<()>;

    /// Whether a value that begins so may stand in place of a list of one.
    fn is_item(first: u8) -> bool;

    /// Shows the place of every value below, and the length of every list, with their paths.
    #[cfg(test)]
    fn show(&self, path: &str, each: &mut dyn FnMut(&str, Shown));
}

/// An object whose fields are declared with [`wire!`].
pub(super) trait WireObject: Default {
    /// Reads the value of `key` into its field, or skips it. `seen` has a bit for each field that was read.
    fn member(&mut self, key: &[u8], seen: &mut u32, walk: &mut Walk<'_, '_>) -> Valid<()>;

    /// As [`Wire::show`].
    #[cfg(test)]
    fn show_fields(&self, path: &str, each: &mut dyn FnMut(&str, Shown));
}

/// What a test sees of a field.
#[cfg(test)]
pub(super) enum Shown {
    Place(Place),
    Length(usize),
}

impl Wire for Place {
    #[inline]
    fn fill(&mut self, walk: &mut Walk<'_, '_>) -> Valid<()> {
        if let b'{' | b'[' | b'n' = walk.peek()? {
            return walk.skip();
        }
        *self = walk.place()?;
        Some(())
    }

    fn is_item(first: u8) -> bool {
        !matches!(first, b'{' | b'[' | b'n')
    }

    #[cfg(test)]
    fn show(&self, path: &str, each: &mut dyn FnMut(&str, Shown)) {
        each(path, Shown::Place(*self));
    }
}

impl<T: WireObject> Wire for T {
    #[inline]
    fn fill(&mut self, walk: &mut Walk<'_, '_>) -> Valid<()> {
        if walk.peek()? == b'{' {
            walk.object(self)
        } else {
            walk.skip()
        }
    }

    fn is_item(first: u8) -> bool {
        first == b'{'
    }

    #[cfg(test)]
    fn show(&self, path: &str, each: &mut dyn FnMut(&str, Shown)) {
        self.show_fields(path, each);
    }
}

/// An object that few records hold, kept apart so that the others stay small.
impl<T: WireObject> Wire for Option<Box<T>> {
    fn fill(&mut self, walk: &mut Walk<'_, '_>) -> Valid<()> {
        self.insert(Box::default()).fill(walk)
    }

    fn is_item(first: u8) -> bool {
        T::is_item(first)
    }

    #[cfg(test)]
    fn show(&self, path: &str, each: &mut dyn FnMut(&str, Shown)) {
        self.as_deref().unwrap_or(&T::default()).show(path, each);
    }
}

/// A list; one value in its place reads as a list of one. One item more than [`LIST_MAX`] says that there are more.
impl<T: Wire> Wire for Vec<T> {
    fn fill(&mut self, walk: &mut Walk<'_, '_>) -> Valid<()> {
        let mut item = |walk: &mut Walk<'_, '_>| {
            if self.len() > LIST_MAX {
                return walk.skip();
            }
            let mut item = T::default();
            item.fill(walk)?;
            self.push(item);
            Some(())
        };
        match walk.peek()? {
            b'[' => walk.elements(item),
            first if T::is_item(first) => item(walk),
            _ => walk.skip(),
        }
    }

    fn is_item(_: u8) -> bool {
        false
    }

    #[cfg(test)]
    fn show(&self, path: &str, each: &mut dyn FnMut(&str, Shown)) {
        for (index, item) in self.iter().enumerate() {
            item.show(&format!("{path}/{index}"), each);
        }
        each(path, Shown::Length(self.len()));
    }
}

/// A number that tells the keys of one object apart: its ends and its length. Two keys with the same are told apart by
/// their bytes.
#[inline(always)]
pub(super) const fn fingerprint(key: &[u8]) -> u64 {
    let ends = match (key.first_chunk(), key.last_chunk()) {
        (Some(first), Some(last)) => (u32::from_le_bytes(*first) as u64) << 32 | u32::from_le_bytes(*last) as u64,
        _ => match key {
            [] => 0,
            [first, .., last] => (*first as u64) << 32 | (*last as u64) << 8 | key[1] as u64,
            [only] => *only as u64,
        },
    };
    ends ^ (key.len() as u64) << 56
}

/// Declares what is read of an object. A field has its own name on the wire, or the one in quotes before it; an absent
/// one reads as its default.
macro_rules! wire {
    ($($(#[$doc:meta])* struct $name:ident {
        $($($key:literal)? $field:ident: $kind:ty,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(in crate::intake) struct $name {
            $(pub(in crate::intake) $field: $kind,)*
        }

        impl $crate::intake::fields::WireObject for $name {
            #[inline]
            fn member(
                &mut self,
                key: &[u8],
                seen: &mut u32,
                walk: &mut $crate::intake::walk::Walk<'_, '_>,
            ) -> $crate::intake::walk::Valid<()> {
                #[allow(non_camel_case_types, reason = "a field's number, by its name")]
                enum Number { $($field),* }
                #[allow(non_upper_case_globals, reason = "named as the fields are")]
                mod print {
                    $(pub(super) const $field: u64 =
                        $crate::intake::fields::fingerprint($crate::intake::fields::key!($field $($key)?).as_bytes());)*
                }
                match $crate::intake::fields::fingerprint(key) {
                    $(print::$field if key == $crate::intake::fields::key!($field $($key)?).as_bytes() => {
                        let bit = 1 << (Number::$field as u32);
                        if *seen & bit != 0 {
                            return walk.repeated();
                        }
                        *seen |= bit;
                        $crate::intake::fields::Wire::fill(&mut self.$field, walk)
                    })*
                    _ => walk.skip(),
                }
            }

            #[cfg(test)]
            fn show_fields(&self, path: &str, each: &mut dyn FnMut(&str, $crate::intake::fields::Shown)) {
                $($crate::intake::fields::Wire::show(
                    &self.$field,
                    &format!("{path}/{}", $crate::intake::fields::key!($field $($key)?)),
                    each,
                );)*
            }
        }
    )*};
}

macro_rules! key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

pub(super) use {key, wire};
