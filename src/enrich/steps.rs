//! Step functions over the address space: the one shape every source of addresses is brought into before merging.

/// An address as a number: `u32` for IPv4, `u128` for IPv6.
pub trait Address: Copy + Ord + std::fmt::Debug {
    /// The first address.
    const ZERO: Self;
    /// The next address; `None` after the last.
    fn next(self) -> Option<Self>;
    /// The address before; `None` before the first.
    fn before(self) -> Option<Self>;
}

impl Address for u32 {
    const ZERO: Self = 0;
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

impl Address for u128 {
    const ZERO: Self = 0;
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
    fn before(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

/// No value.
pub const NOTHING: u32 = u32::MAX;

/// A value for every address: `values[i]` holds from `starts[i]` to the address before `starts[i + 1]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps<A> {
    starts: Vec<A>,
    values: Vec<u32>,
    /// First address after the last range; `None` once the space is full.
    end: Option<A>,
}

impl<A: Address> Default for Steps<A> {
    fn default() -> Self {
        Self {
            starts: vec![A::ZERO],
            values: vec![NOTHING],
            end: Some(A::ZERO),
        }
    }
}

/// A range that begins before the end of the one before it, or ends before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfOrder;

impl<A: Address> Steps<A> {
    /// Adds `value` from `first` to `last`, inclusive. Ranges come in ascending order and do not overlap.
    ///
    /// # Errors
    /// [`OutOfOrder`]; nothing was added then.
    pub fn push(&mut self, first: A, last: A, value: u32) -> Result<(), OutOfOrder> {
        if last < first || self.end.is_none_or(|end| first < end) {
            return Err(OutOfOrder);
        }
        self.step(first, value);
        self.end = last.next();
        if let Some(after) = self.end {
            self.step(after, NOTHING);
        }
        Ok(())
    }

    /// Lets `value` hold from `start` on. `start` is never before the last step.
    fn step(&mut self, start: A, value: u32) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.values.pop();
        }
        if self.values.last() != Some(&value) {
            self.starts.push(start);
            self.values.push(value);
        }
    }

    /// How many steps there are; at least 1.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether no address has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.iter().all(|value| *value == NOTHING)
    }

    /// Value of the step `index`.
    fn value(&self, index: usize) -> u32 {
        self.values.get(index).copied().unwrap_or(NOTHING)
    }

    /// First address of the step `index`.
    fn start(&self, index: usize) -> Option<A> {
        self.starts.get(index).copied()
    }

    /// Value at `address`, by plain binary search; for tests and for the few addresses without an index.
    #[must_use]
    pub fn at(&self, address: A) -> u32 {
        let after = self.starts.partition_point(|start| *start <= address);
        self.value(after.saturating_sub(1))
    }
}

/// Walks several step functions at once. Calls `each` with every address at which one of them changes, and the
/// value each of them has from there on, in the order of `layers`.
pub fn sweep<A: Address>(layers: &[&Steps<A>], mut each: impl FnMut(A, &[u32])) {
    let mut next = vec![0_usize; layers.len()];
    let mut values = vec![NOTHING; layers.len()];
    let mut at = A::ZERO;
    loop {
        let mut following: Option<A> = None;
        for ((layer, next), value) in layers.iter().zip(&mut next).zip(&mut values) {
            if layer.start(*next) == Some(at) {
                *value = layer.value(*next);
                *next += 1;
            }
            if let Some(start) = layer.start(*next) {
                following = Some(following.map_or(start, |earlier| earlier.min(start)));
            }
        }
        each(at, &values);
        let Some(start) = following else { return };
        at = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_of_equal_value_become_one_step() {
        let mut steps = Steps::<u32>::default();
        steps.push(10, 19, 1).unwrap();
        steps.push(20, 29, 1).unwrap();
        steps.push(30, 30, 2).unwrap();
        steps.push(32, u32::MAX, 3).unwrap();
        assert_eq!(steps.starts, [0, 10, 30, 31, 32]);
        assert_eq!(steps.values, [NOTHING, 1, 2, NOTHING, 3]);
        assert_eq!(steps.push(u32::MAX, u32::MAX, 4), Err(OutOfOrder));
        assert_eq!((steps.at(9), steps.at(29), steps.at(u32::MAX)), (NOTHING, 1, 3));
    }

    #[test]
    fn disorder_is_refused_and_changes_nothing() {
        let mut steps = Steps::<u32>::default();
        steps.push(10, 19, 1).unwrap();
        let before = steps.clone();
        assert_eq!(steps.push(19, 20, 2), Err(OutOfOrder));
        assert_eq!(steps.push(30, 29, 2), Err(OutOfOrder));
        assert_eq!(steps, before);
    }

    #[test]
    fn a_sweep_visits_every_change_once() {
        let (mut a, mut b) = (Steps::<u32>::default(), Steps::<u32>::default());
        a.push(0, 9, 1).unwrap();
        b.push(5, 9, 2).unwrap();
        let mut seen = Vec::new();
        sweep(&[&a, &b], |at, values| seen.push((at, values.to_vec())));
        assert_eq!(
            seen,
            [(0, vec![1, NOTHING]), (5, vec![1, 2]), (10, vec![NOTHING, NOTHING])]
        );
    }
}
