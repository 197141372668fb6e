//! The facts of one account in one piece of memory, so that they come near together and take no more room than they need.
//!
//! ```text
//! head │ networks │ devices │ other origins │ texts │ visits │ upper parts of event ids │ their lower parts │ room
//! ```
//! Every list is of items of fixed size, which stand at even bytes without a gap, and the head says how many. What changes
//! most stands last, because what is behind an item moves when it comes or goes.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use super::days::Days;
use super::device_fact::DeviceFact;
use super::moment::Moment;
use super::network_fact::NetworkFact;
use super::origin::Origin;
use super::recent_ids::{IdHigh, IdLow};
use super::visits::Visit;

/// What stands before the lists.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, packed(2))]
pub struct Head {
    /// Append time of the last record that changed the window.
    pub last_append: Moment,
    /// No fact but a visit was last seen before this, so none can expire before its time has come. A lower
    /// bound that is found again after a restore: it may only decide what is looked at, never what is kept.
    pub oldest: Moment,
    /// Append time of the younger generation's first event id.
    pub ids_since: Moment,
    /// Days with a located sign-in.
    pub located: Days,
    /// Of those, days with one near the claim (or from an allowed country).
    pub near: Days,
    /// Days with a located sign-in far from the claim and not on approved travel.
    pub away: Days,
    /// How often anything changed that a link tells of.
    pub news: u16,
    /// Items of each list, by [`List`].
    lens: [u16; LISTS],
    /// Index of the oldest event id once their ring is full; 0 before.
    pub ids_oldest: u16,
    /// How many event ids belong to the older generation.
    pub ids_older: u16,
    /// How many texts there are.
    pub texts: u16,
    /// How many words of them there were after the last clearing.
    pub texts_kept: u16,
}

/// A list of a block, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Networks the account used.
    Networks = 0,
    /// Devices the account used.
    Devices = 1,
    /// Origins of visits that are not those of networks.
    Others = 2,
    /// Words of texts.
    Texts = 3,
    /// Located sign-ins, in the order of event time.
    Visits = 4,
    /// Upper parts of hashes of event ids.
    IdsHigh = 5,
    /// Their lower parts, as many.
    Ids = 6,
}

const LISTS: usize = 7;
/// Items are made of cells of two bytes and begin at one.
type Cell = u16;
const CELL: usize = size_of::<Cell>();
const HEAD: usize = size_of::<Head>() / CELL;
/// Cells of an item of each list.
const WIDTHS: [usize; LISTS] = [
    size_of::<NetworkFact>() / CELL,
    size_of::<DeviceFact>() / CELL,
    size_of::<Origin>() / CELL,
    size_of::<TextWord>() / CELL,
    size_of::<Visit>() / CELL,
    size_of::<IdHigh>() / CELL,
    size_of::<IdLow>() / CELL,
];

/// An item of a list.
pub trait Item: Pod {
    /// Its list.
    const LIST: List;
}

/// A word of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, packed(2))]
pub struct TextWord(pub u64);

impl Item for NetworkFact {
    const LIST: List = List::Networks;
}
impl Item for DeviceFact {
    const LIST: List = List::Devices;
}
impl Item for Origin {
    const LIST: List = List::Others;
}
impl Item for TextWord {
    const LIST: List = List::Texts;
}
impl Item for Visit {
    const LIST: List = List::Visits;
}
impl Item for IdHigh {
    const LIST: List = List::IdsHigh;
}
impl Item for IdLow {
    const LIST: List = List::Ids;
}

/// Cells of a block at least: those of an account that was seen a few times on one network with one device.
const CELLS_MIN: usize = 384 / CELL;

/// Cells of a block that has room for so many: four sizes in a doubling, as allocators have.
fn size_for(cells: usize) -> usize {
    let cells = cells.max(CELLS_MIN);
    cells.next_multiple_of(cells.next_power_of_two() / 8)
}

/// Cells of room that are worth keeping: those of what comes and goes in a day.
const KEPT: usize = 96 / CELL;

/// Items of a list at most.
pub const ITEMS_MAX: usize = u16::MAX as usize;

/// See the module.
#[derive(Clone, Debug)]
pub struct Block(Box<[Cell]>);

impl Default for Block {
    fn default() -> Self {
        let mut block = Self(vec![0; CELLS_MIN].into_boxed_slice());
        block.head_mut().oldest = Moment::LAST;
        block
    }
}

impl Block {
    /// The head.
    #[must_use]
    #[inline]
    pub fn head(&self) -> &Head {
        bytemuck::from_bytes(bytemuck::cast_slice(&self.0[..HEAD]))
    }

    /// The head, to be changed.
    pub fn head_mut(&mut self) -> &mut Head {
        bytemuck::from_bytes_mut(bytemuck::cast_slice_mut(&mut self.0[..HEAD]))
    }

    /// A list.
    #[must_use]
    #[inline]
    pub fn list<T: Item>(&self) -> &[T] {
        const { assert!(align_of::<T>() <= CELL, "an item begins at any cell") };
        bytemuck::cast_slice(&self.0[self.range(T::LIST)])
    }

    /// A list, to be changed.
    #[inline]
    pub fn list_mut<T: Item>(&mut self) -> &mut [T] {
        let range = self.range(T::LIST);
        bytemuck::cast_slice_mut(&mut self.0[range])
    }

    /// How many items a list has.
    #[must_use]
    pub fn len(&self, list: List) -> usize {
        usize::from(self.head().lens[list as usize])
    }

    /// Inserts an item at `index`. A list of [`ITEMS_MAX`] stays as it is.
    pub fn insert<T: Item>(&mut self, index: usize, item: &T) {
        let width = WIDTHS[T::LIST as usize];
        if self.len(T::LIST) == ITEMS_MAX {
            return;
        }
        let (at, used) = (self.range(T::LIST).start + index * width, self.used());
        self.make_room(used + width);
        self.0.copy_within(at..used, at + width);
        self.0[at..at + width].copy_from_slice(bytemuck::cast_slice(std::slice::from_ref(item)));
        self.head_mut().lens[T::LIST as usize] += 1;
    }

    /// Appends so many words of texts, all zeros.
    pub fn extend_texts(&mut self, words: usize) {
        let (at, used) = (self.range(List::Texts).end, self.used());
        let cells = words * WIDTHS[List::Texts as usize];
        self.make_room(used + cells);
        self.0.copy_within(at..used, at + cells);
        self.0[at..at + cells].fill(0);
        let len = self.len(List::Texts) + words;
        self.head_mut().lens[List::Texts as usize] = u16::try_from(len).unwrap_or(u16::MAX);
    }

    /// Appends an item and gives its index.
    pub fn push<T: Item>(&mut self, item: &T) -> usize {
        let index = self.len(T::LIST);
        self.insert(index, item);
        index
    }

    /// Removes items.
    pub fn remove<T: Item>(&mut self, items: Range<usize>) {
        let width = WIDTHS[T::LIST as usize];
        let (start, used) = (self.range(T::LIST).start, self.used());
        self.0
            .copy_within(start + items.end * width..used, start + items.start * width);
        self.head_mut().lens[T::LIST as usize] -= u16::try_from(items.len()).unwrap_or(0);
    }

    /// Gives room back where there is much more than is used: as many items come again, and each change is an allocation.
    pub fn give_room_back(&mut self) {
        let used = self.used();
        if self.0.len() > used + used / 4 + 2 * KEPT {
            self.resize(size_for(used + KEPT));
        }
    }

    /// Reads a cell of every line of the block, to bring them near: of most all, of the largest what is asked for first.
    #[must_use]
    pub fn touch(&self) -> u64 {
        /// Cells of a line of the cache.
        const LINE: usize = 64 / CELL;
        /// Lines of most accounts: where there are fewer the last is read again, without a choice in between.
        const LINES: usize = 9;
        const LINES_MAX: usize = 32;
        let last = self.0.len() - 1;
        let first = (0..LINES).fold(0, |all, line| all ^ self.0[last.min(line * LINE)]);
        let rest = (LINES * LINE..=last.min(LINES_MAX * LINE)).step_by(LINE);
        rest.fold(first, |all, at| all ^ self.0[at]).into()
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }

    #[inline]
    fn range(&self, list: List) -> Range<usize> {
        let (list, lens) = (list as usize, &self.head().lens);
        let cells = |at: usize| usize::from(lens[at]) * WIDTHS[at];
        let start = HEAD + (0..list).map(cells).sum::<usize>();
        start..start + cells(list)
    }

    fn used(&self) -> usize {
        self.range(List::Ids).end
    }

    fn make_room(&mut self, cells: usize) {
        if cells > self.0.len() {
            self.resize(size_for(cells));
        }
    }

    fn resize(&mut self, cells: usize) {
        // Anew: an allocator that is asked for less in the same place may leave it all there.
        let mut all = vec![0; cells].into_boxed_slice();
        let kept = cells.min(self.0.len());
        all[..kept].copy_from_slice(&self.0[..kept]);
        self.0 = all;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lists of a block, one by one.
    #[derive(Default)]
    struct Model {
        networks: Vec<NetworkFact>,
        devices: Vec<DeviceFact>,
        others: Vec<Origin>,
        visits: Vec<Visit>,
        ids_high: Vec<IdHigh>,
        ids: Vec<IdLow>,
    }

    /// Numbers from a seed: a linear congruential generator (Knuth's constants).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % limit
        }
    }

    /// Inserts an item of any bytes into both, or removes a few from both.
    fn change<T: Item + PartialEq + std::fmt::Debug>(block: &mut Block, list: &mut Vec<T>, numbers: &mut Numbers) {
        if numbers.below(5) < 3 {
            let index = numbers.below(list.len() + 1);
            let mut item = T::zeroed();
            let byte = u8::try_from(numbers.below(256)).unwrap();
            bytemuck::bytes_of_mut(&mut item).fill(byte);
            block.insert(index, &item);
            list.insert(index, item);
        } else {
            let start = numbers.below(list.len() + 1);
            let end = start + numbers.below(list.len() + 1 - start);
            block.remove::<T>(start..end);
            list.drain(start..end);
        }
    }

    #[test]
    fn lists_beside_each_other_are_as_lists_apart() {
        for seed in 0..20 {
            let (mut block, mut model, mut numbers) = (Block::default(), Model::default(), Numbers(seed));
            for round in 0..500_i64 {
                match numbers.below(7) {
                    0 => change(&mut block, &mut model.networks, &mut numbers),
                    1 => change(&mut block, &mut model.devices, &mut numbers),
                    2 => change(&mut block, &mut model.others, &mut numbers),
                    3 => change(&mut block, &mut model.visits, &mut numbers),
                    4 => change(&mut block, &mut model.ids, &mut numbers),
                    5 => change(&mut block, &mut model.ids_high, &mut numbers),
                    _ => {
                        block.give_room_back();
                        let used = block.used();
                        let most = (used + used / 4 + 2 * KEPT).max(CELLS_MIN);
                        assert!(
                            block.bytes() <= most * CELL,
                            "{used} used of {} cells",
                            block.bytes() / CELL
                        );
                    }
                }
                block.head_mut().last_append = Moment::of(round);
                assert_eq!(block.head().last_append.ms(), round);
                assert_eq!(block.list::<NetworkFact>(), model.networks);
                assert_eq!(block.list::<DeviceFact>(), model.devices);
                assert_eq!(block.list::<Origin>(), model.others);
                assert_eq!(block.list::<Visit>(), model.visits);
                assert_eq!(block.list::<IdHigh>(), model.ids_high);
                assert_eq!(block.list::<IdLow>(), model.ids);
                let _ = block.touch();
                assert!(block.used() * CELL <= block.bytes());
            }
        }
    }
}
