//! Finds bytes eight at a time.

const ONES: u64 = 0x0101_0101_0101_0101;

/// The first byte from `at` on that `marks` marks.
#[inline(always)]
pub(super) fn first(bytes: &[u8], mut at: usize, marks: impl Fn(u64) -> u64) -> Option<usize> {
    loop {
        let rest = bytes.get(at..)?;
        let whole = rest.first_chunk().map(|eight| u64::from_le_bytes(*eight));
        let eight = whole.unwrap_or_else(|| padded(rest));
        // A byte that is not ASCII is none that is looked for, whatever its mark says.
        let found = marks(eight) & !eight & (ONES << 7);
        if found != 0 {
            return Some(at + (found.trailing_zeros() / 8) as usize);
        }
        whole?;
        at += 8;
    }
}

#[cold]
fn padded(rest: &[u8]) -> u64 {
    let mut eight = [u8::MAX; 8];
    eight[..rest.len()].copy_from_slice(rest);
    u64::from_le_bytes(eight)
}

/// Marks, in its high bit, each byte that is `wanted`, which is ASCII. A borrow may mark a byte behind the first that
/// is; nothing asks for those.
#[inline(always)]
pub(super) fn equal(eight: u64, wanted: u8) -> u64 {
    (eight ^ (ONES * u64::from(wanted))).wrapping_sub(ONES)
}

/// As [`equal`], each byte below `limit`, which is ASCII.
#[inline(always)]
pub(super) fn below(eight: u64, limit: u8) -> u64 {
    eight.wrapping_sub(ONES * u64::from(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_of_those_wanted_is_found() {
        for length in 0..20 {
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    for fill in [b'a', b'"' + 1, b'"' - 1, 0x7f, 0x80, 0xa2, 0xff] {
                        let mut bytes = vec![fill; length];
                        bytes[at] = byte;
                        let expected = bytes.iter().position(|b| *b == b'"' || *b < b' ');
                        let found = first(&bytes, 0, |eight| equal(eight, b'"') | below(eight, b' '));
                        assert_eq!(found, expected, "{bytes:?}");
                    }
                }
            }
        }
    }
}
