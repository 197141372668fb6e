//! The order in which the keys of `key=value` lines come.
//!
//! A unit writes few sorts of lines, each with its keys in one order. A key that stands where it stood before need
//! neither be looked for nor recognized: comparing it with what is expected does both. What is expected decides
//! nothing else, so a wrong guess costs time only.

/// Sorts of lines remembered.
const ORDERS_MAX: usize = 8;
/// Keys of a line remembered; further ones are looked for.
const KEYS_MAX: usize = 64;
/// A longer key is not remembered.
const KEY_BYTES_MAX: usize = 64;

/// Orders of keys, each with what its reader makes of it.
#[derive(Debug)]
pub(super) struct KeyOrders<F> {
    orders: Vec<Vec<Known<F>>>,
    /// The order of the line before.
    current: usize,
    /// The order that is given up next.
    oldest: usize,
}

#[derive(Clone, Debug)]
struct Known<F> {
    key: Box<str>,
    field: F,
}

impl<F> Default for KeyOrders<F> {
    fn default() -> Self {
        Self {
            orders: Vec::new(),
            current: 0,
            oldest: 0,
        }
    }
}

/// A line that is being read.
pub(super) struct Keys<'k, F> {
    orders: &'k mut KeyOrders<F>,
    /// Keys read.
    count: usize,
    /// The line's own order, once it differs from all that are known.
    learned: Option<Vec<Known<F>>>,
}

impl<F: Copy> KeyOrders<F> {
    /// Begins a line.
    pub(super) fn line(&mut self) -> Keys<'_, F> {
        Keys {
            orders: self,
            count: 0,
            learned: None,
        }
    }
}

impl<F: Copy> Keys<'_, F> {
    /// The field of the next key and what stands behind its `=`, if one of the known orders expects that key here.
    #[inline]
    pub(super) fn expected<'a>(&mut self, rest: &'a str) -> Option<(F, &'a str)> {
        let rest = if self.count == 0 { rest } else { rest.strip_prefix(' ')? };
        let behind = |known: &Known<F>| rest.strip_prefix(&*known.key)?.strip_prefix('=');
        let KeyOrders { orders, current, .. } = self.orders;
        let known = orders.get(*current).and_then(|order| order.get(self.count));
        let found = known.and_then(|known| Some((known.field, behind(known)?)));
        let (field, value) = match found {
            Some(found) => found,
            None => {
                let mut others = orders.iter().enumerate();
                let (index, found) = others.find_map(|(index, order)| {
                    let known = order.get(self.count)?;
                    Some((index, (known.field, behind(known)?)))
                })?;
                *current = index;
                found
            }
        };
        if self.learned.is_some() {
            let key = &rest[..rest.len() - value.len() - 1];
            self.learn(key, field);
        }
        self.count += 1;
        Some((field, value))
    }

    /// The next key, which was looked for.
    #[cold]
    pub(super) fn found(&mut self, key: &str, field: F) {
        let KeyOrders { orders, current, .. } = &*self.orders;
        let order = orders.get(*current).map_or(&[][..], Vec::as_slice);
        // Behind a header or more than one space even an expected key is looked for.
        let is_known = order.get(self.count).is_some_and(|known| *known.key == *key);
        // An order with a gap would be learned again with every line, in place of others.
        let may_learn = self.count <= order.len() && self.count < KEYS_MAX && key.len() <= KEY_BYTES_MAX;
        if !is_known && self.learned.is_none() && may_learn {
            self.learned = Some(order[..self.count].to_vec());
        }
        if self.learned.is_some() {
            self.learn(key, field);
        }
        self.count += 1;
    }

    fn learn(&mut self, key: &str, field: F) {
        if let Some(learned) = &mut self.learned
            && learned.len() == self.count
            && learned.len() < KEYS_MAX
            && key.len() <= KEY_BYTES_MAX
        {
            learned.push(Known { key: key.into(), field });
        }
    }

    /// Ends the line: an order that was not known is, from the next line on.
    pub(super) fn end(self) {
        let Some(learned) = self.learned else { return };
        let KeyOrders {
            orders,
            current,
            oldest,
        } = self.orders;
        if orders.len() < ORDERS_MAX {
            *current = orders.len();
            orders.push(learned);
        } else {
            *current = *oldest;
            orders[*oldest] = learned;
            *oldest = (*oldest + 1) % ORDERS_MAX;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many keys were expected, of a line of these.
    fn read(orders: &mut KeyOrders<usize>, keys: &[&str]) -> usize {
        let text: Vec<String> = keys.iter().map(|key| format!("{key}=1")).collect();
        let text = text.join(" ");
        let mut line = orders.line();
        let (mut rest, mut expected) = (text.as_str(), 0);
        for key in keys {
            if let Some((field, behind)) = line.expected(rest) {
                assert_eq!(field, key.len());
                rest = &behind[1..];
                expected += 1;
            } else {
                line.found(key, key.len());
                rest = &rest.trim_start()[key.len() + 2..];
            }
        }
        line.end();
        expected
    }

    #[test]
    fn each_order_is_expected_from_its_second_line_on() {
        let mut orders = KeyOrders::default();
        let lines: [&[&str]; 3] = [&["a", "bb", "ccc"], &["a", "ccc", "bb"], &["a", "bb", "c"]];
        assert_eq!(lines.map(|line| read(&mut orders, line)), [0, 1, 2]);
        for _ in 0..3 {
            assert_eq!(lines.map(|line| read(&mut orders, line)), [3, 3, 3]);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut orders = KeyOrders::default();
        let many: Vec<String> = (0..200).map(|number| format!("k{number:03}")).collect();
        let long = "k".repeat(KEY_BYTES_MAX + 1);
        for first in 0..50 {
            let keys: Vec<&str> = many[first..]
                .iter()
                .map(String::as_str)
                .chain([long.as_str()])
                .collect();
            read(&mut orders, &keys);
        }
        assert_eq!(orders.orders.len(), ORDERS_MAX);
        assert!(orders.orders.iter().all(|order| order.len() <= KEYS_MAX));
        // A key that is too long is looked for each time; no order is given up for it again and again.
        assert_eq!(read(&mut orders, &[&long, "a"]), 0);
        let oldest = orders.oldest;
        assert_eq!(read(&mut orders, &[&long, "a"]), 1);
        assert_eq!(read(&mut orders, &["a", &long]), 0);
        assert_eq!(orders.oldest, (oldest + 1) % ORDERS_MAX);
        assert_eq!(read(&mut orders, &["a", &long]), 1);
        assert_eq!(orders.oldest, (oldest + 1) % ORDERS_MAX);
    }
}
