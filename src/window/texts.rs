//! The short texts that the facts of one account share, devices and products: each is kept once.

/// Number of a text in its account's table; 0 is the empty text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextId(u16);

/// Texts, one behind the other, each behind its length as two characters.
///
/// An account has two or three, so finding one is a walk over some dozen bytes. Numbers stand until
/// [`Texts::keep`] gives new ones. Equal texts have equal numbers.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    all: Box<str>,
    count: u16,
    /// How many there were after the last [`Texts::keep`].
    kept: u16,
}

/// Texts whose facts are gone that are not worth a clearing.
const UNUSED_MAX: u16 = 16;
/// Bits of a length per character: any such number is a character, and a small one takes a byte.
const LENGTH_BITS: u32 = 15;

impl Texts {
    /// The number of a text, which is added if it is not there.
    pub fn number(&mut self, text: &str) -> TextId {
        if text.is_empty() {
            return TextId::default();
        }
        if let Some(found) = self.find(text) {
            return found;
        }
        // Facts that share the table are a few hundred at most, so it is cleared long before numbers run out.
        let Some(number) = self.count.checked_add(1) else {
            return TextId::default();
        };
        let mut all = String::with_capacity(self.all.len() + text.len() + 2);
        all.push_str(&self.all);
        for part in [text.len() >> LENGTH_BITS, text.len() & ((1 << LENGTH_BITS) - 1)] {
            let length = u32::try_from(part).ok().and_then(char::from_u32);
            all.push(length.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        all.push_str(text);
        self.all = all.into();
        self.count = number;
        TextId(number)
    }

    /// The number of a text, if it is there.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<TextId> {
        if text.is_empty() {
            return Some(TextId::default());
        }
        let numbered = (1..).zip(self.iter());
        numbered
            .filter(|(_, known)| *known == text)
            .map(|(number, _)| TextId(number))
            .next()
    }

    /// The text of that number; empty if there is none.
    #[must_use]
    pub fn text(&self, id: TextId) -> &str {
        match id.0.checked_sub(1) {
            Some(before) => self.iter().nth(usize::from(before)).unwrap_or(""),
            None => "",
        }
    }

    /// Whether so many texts may be unused that a clearing pays.
    #[must_use]
    pub fn is_cluttered(&self) -> bool {
        self.count > self.kept.saturating_mul(2).saturating_add(UNUSED_MAX)
    }

    /// Gives up every text but those of `used`, in that order. Gives the number that each of them has afterwards.
    #[must_use]
    pub fn keep(&mut self, used: impl Iterator<Item = TextId>) -> Renumbered {
        let mut fresh = Self::default();
        let mut numbers = vec![TextId::default(); usize::from(self.count) + 1];
        for id in used {
            if let Some(number) = numbers.get_mut(usize::from(id.0)) {
                *number = fresh.number(self.text(id));
            }
        }
        fresh.kept = fresh.count;
        *self = fresh;
        Renumbered(numbers)
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.all.len()
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let mut rest = &*self.all;
        std::iter::from_fn(move || {
            let mut chars = rest.chars();
            let (high, low) = (u32::from(chars.next()?), u32::from(chars.next()?));
            let behind = chars.as_str();
            let length = usize::try_from(high << LENGTH_BITS | low).ok()?;
            let (text, after) = behind.split_at_checked(length)?;
            rest = after;
            Some(text)
        })
    }
}

/// The numbers after a clearing.
#[derive(Debug)]
pub struct Renumbered(Vec<TextId>);

impl Renumbered {
    /// The number that a text has instead.
    #[must_use]
    pub fn of(&self, id: TextId) -> TextId {
        self.0.get(usize::from(id.0)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_found_again() {
        let mut texts = Texts::default();
        let long = "ü".repeat(40_000);
        let known = ["okta", "lt-0001", "", &long, "a\0b"];
        let numbers = known.map(|text| texts.number(text));
        assert_eq!(known.map(|text| texts.number(text)), numbers);
        assert_eq!(known.map(|text| texts.find(text)), numbers.map(Some));
        assert_eq!(numbers.map(|id| texts.text(id)), known);
        assert_eq!(texts.find("lt-000"), None);
    }

    #[test]
    fn a_clearing_leaves_what_is_used() {
        let mut texts = Texts::default();
        let ids: Vec<TextId> = (0..40).map(|n| texts.number(&format!("lt-{n}"))).collect();
        assert!(texts.is_cluttered());
        let renumbered = texts.keep([ids[7], ids[3], ids[7]].into_iter());
        assert!(!texts.is_cluttered());
        assert_eq!(texts.text(renumbered.of(ids[7])), "lt-7");
        assert_eq!(texts.text(renumbered.of(ids[3])), "lt-3");
        assert_eq!(texts.find("lt-5"), None);
    }
}
