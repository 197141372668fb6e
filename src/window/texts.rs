//! The short texts that the facts of one account share, devices and products: each is kept once.

/// Number of a text in its account's table; 0 is the empty text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextId(u16);

/// Texts, one behind the other, each behind its length.
///
/// An account has two or three, so finding one is a walk over some dozen bytes. Numbers stand until
/// [`Texts::keep`] gives new ones. Equal texts have equal numbers.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    all: Held,
    count: u16,
    /// How many there were after the last [`Texts::keep`].
    kept: u16,
}

/// Bytes held in place: a product and a device, unless their names are long.
const INLINE: usize = 30;

/// Most accounts need no more than stands in place.
#[derive(Clone, Debug)]
enum Held {
    Short(u8, [u8; INLINE]),
    Long(Box<[u8]>),
}

/// Texts whose facts are gone that are not worth a clearing.
const UNUSED_MAX: u16 = 16;
/// A length in one byte; a longer text has this byte, then its length in four.
const LONG: u8 = u8::MAX;

impl Default for Held {
    fn default() -> Self {
        Self::Short(0, [0; INLINE])
    }
}

impl Held {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }

    fn append(&mut self, length: &[u8], text: &[u8]) {
        let all = [self.bytes(), length, text];
        let total: usize = all.iter().map(|part| part.len()).sum();
        *self = match u8::try_from(total) {
            Ok(total) if usize::from(total) <= INLINE => {
                let mut inline = [0; INLINE];
                let mut at = 0;
                for part in all {
                    inline[at..at + part.len()].copy_from_slice(part);
                    at += part.len();
                }
                Self::Short(total, inline)
            }
            _ => Self::Long(all.concat().into()),
        };
    }
}

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
        let (Some(number), Ok(length)) = (self.count.checked_add(1), u32::try_from(text.len())) else {
            return TextId::default();
        };
        match u8::try_from(length) {
            Ok(short) if short < LONG => self.all.append(&[short], text.as_bytes()),
            _ => {
                let [a, b, c, d] = length.to_le_bytes();
                self.all.append(&[LONG, a, b, c, d], text.as_bytes());
            }
        }
        self.count = number;
        TextId(number)
    }

    /// The number of a text, if it is there.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<TextId> {
        if text.is_empty() {
            return Some(TextId::default());
        }
        let mut numbered = (1..).zip(self.iter());
        let found = numbered.find(|(_, known)| *known == text.as_bytes());
        found.map(|(number, _)| TextId(number))
    }

    /// The text of that number; empty if there is none.
    #[must_use]
    pub fn text(&self, id: TextId) -> &str {
        match id.0.checked_sub(1) {
            Some(before) => {
                let bytes = self.iter().nth(usize::from(before)).unwrap_or_default();
                std::str::from_utf8(bytes).unwrap_or_default()
            }
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
        match &self.all {
            Held::Short(..) => 0,
            Held::Long(bytes) => bytes.len(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.all.bytes();
        std::iter::from_fn(move || {
            let (first, behind) = rest.split_first()?;
            let (length, behind) = if *first == LONG {
                let (length, behind) = behind.split_first_chunk::<4>()?;
                (usize::try_from(u32::from_le_bytes(*length)).ok()?, behind)
            } else {
                (usize::from(*first), behind)
            };
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
