//! Readers and writers of bytes that name shared values: packed records and checkpoint chunks.

use std::ops::Range;
use std::sync::Arc;

use super::intern::{self, Interner, Table};
use super::spots::Spots;
use crate::model::codec::{Malformed, Reader, Writer};
use crate::model::dictionary::{self, DictionaryWriter, Encoded, Reference};
use crate::model::{Network, Place, Terms, Travel};

/// Writes values, shared ones once.
#[derive(Debug, Default)]
pub struct SharedWriter {
    /// Plain values.
    pub plain: Writer,
    dictionary: DictionaryWriter,
}

impl SharedWriter {
    /// A writer that appends to `bytes`.
    #[must_use]
    #[inline]
    pub fn appending(bytes: Vec<u8>) -> Self {
        Self {
            plain: Writer::appending(bytes),
            dictionary: DictionaryWriter::default(),
        }
    }

    /// What was written; what comes next knows nothing of it.
    pub fn take(&mut self) -> Vec<u8> {
        self.dictionary.clear();
        std::mem::take(&mut self.plain).into_bytes()
    }

    /// A place.
    #[inline]
    pub fn place(&mut self, place: &Place) {
        self.dictionary.place(&mut self.plain, place);
    }
    /// A place, encoded.
    #[inline]
    pub fn place_entry(&mut self, entry: &Encoded) {
        self.dictionary.place_entry(&mut self.plain, entry);
    }
    /// A place or its absence.
    #[inline]
    pub fn opt_place(&mut self, place: Option<&Place>) {
        self.plain.bool(place.is_some());
        if let Some(place) = place {
            self.place(place);
        }
    }
    /// A network.
    #[inline]
    pub fn network(&mut self, network: &Network) {
        self.dictionary.network(&mut self.plain, network);
    }
    /// A network, encoded.
    #[inline]
    pub fn network_entry(&mut self, entry: &Encoded) {
        self.dictionary.network_entry(&mut self.plain, entry);
    }
    /// What claims have in common.
    #[inline]
    pub fn terms(&mut self, terms: &Terms) {
        self.dictionary.terms(&mut self.plain, terms);
    }
    /// Approved travel.
    #[inline]
    pub fn travel(&mut self, travel: &Travel) {
        self.dictionary.travel(&mut self.plain, travel);
    }
}

/// Shared values of one record, in the order of their first occurrence.
#[derive(Debug, Default)]
pub struct Dictionary {
    places: Vec<Arc<Place>>,
    networks: Vec<Arc<Network>>,
    /// Those behind them that are only to be looked up yet.
    late_places: Vec<Late>,
    late_networks: Vec<Late>,
    terms: Vec<Arc<Terms>>,
    travels: Vec<Arc<Travel>>,
}

/// A value in a record that is to be looked up.
#[derive(Debug)]
struct Late {
    /// Its bytes among those of the record.
    entry: Range<usize>,
    hash: u64,
    /// Whom it is of, as the reader was told.
    of: usize,
}

/// Values that are looked up side by side.
const LATE_TOGETHER: usize = 32;

/// Looks values up behind those that are `known`.
fn settle<T>(
    record: &[u8],
    late: &mut Vec<Late>,
    known: &mut Vec<Arc<T>>,
    table: &mut Table<T>,
    touch: impl Fn(&T) -> u16,
    decode: impl Fn(&[u8]) -> Result<T, Malformed>,
) -> Result<(), (usize, Malformed)> {
    for together in late.chunks(LATE_TOGETHER) {
        table.bring_near(together.iter().map(|late| late.hash), &touch);
        for Late { entry, hash, of } in together {
            let entry = &record[entry.clone()];
            let value = table.intern(*hash, entry, || decode(entry));
            known.push(value.map_err(|malformed| (*of, malformed))?);
        }
    }
    late.clear();
    Ok(())
}

impl Dictionary {
    /// Forgets all and keeps their room.
    pub fn clear(&mut self) {
        let Self {
            places,
            networks,
            late_places,
            late_networks,
            terms,
            travels,
        } = self;
        places.clear();
        networks.clear();
        late_places.clear();
        late_networks.clear();
        terms.clear();
        travels.clear();
    }

    /// The place with that number.
    #[must_use]
    #[inline]
    pub fn place(&self, number: usize) -> &Arc<Place> {
        &self.places[number]
    }
    /// The network with that number.
    #[must_use]
    #[inline]
    pub fn network(&self, number: usize) -> &Arc<Network> {
        &self.networks[number]
    }
    /// The terms with that number.
    #[must_use]
    #[inline]
    pub fn terms(&self, number: usize) -> &Terms {
        &self.terms[number]
    }
    /// The travel with that number.
    #[must_use]
    #[inline]
    pub fn travel(&self, number: usize) -> &Arc<Travel> {
        &self.travels[number]
    }
}

/// Reads what [`SharedWriter`] wrote, interning shared values.
#[derive(Debug)]
pub struct SharedReader<'a, 'i> {
    /// Plain values.
    pub plain: Reader<'a>,
    interner: &'i mut Interner,
    known: Dictionary,
}

macro_rules! shared {
    ($name:ident, $type:ty, $list:ident, $intern:ident, $decode:path, $what:literal) => {
        /// A shared value, as its number in the order of first occurrence.
        ///
        /// # Errors
        /// [`Malformed`] if the bytes are no such value, or name one that was not written before.
        pub fn $name(&mut self) -> Result<usize, Malformed> {
            match dictionary::read_reference(&mut self.plain)? {
                Reference::Number(number) if number < self.known.$list.len() => Ok(number),
                Reference::Number(_) => Err(self.plain.malformed($what)),
                Reference::Entry(bytes) => {
                    self.known
                        .$list
                        .push(self.interner.$intern(bytes, || $decode(bytes))?);
                    Ok(self.known.$list.len() - 1)
                }
            }
        }
    };
}

macro_rules! late {
    ($name:ident, $list:ident, $late:ident, $what:literal) => {
        /// A shared value, as its number, that is there once [`SharedReader::settle`] was called: many are looked up together
        /// in a fraction of the time, because each lies somewhere else. `of` is told if the bytes are no such value.
        ///
        /// # Errors
        /// [`Malformed`] if there is neither a value nor the number of one that was written before.
        #[inline]
        pub fn $name(&mut self, of: usize) -> Result<usize, Malformed> {
            let known = self.known.$list.len() + self.known.$late.len();
            match dictionary::read_reference(&mut self.plain)? {
                Reference::Number(number) if number < known => Ok(number),
                Reference::Number(_) => Err(self.plain.malformed($what)),
                Reference::Entry(entry) => {
                    let hash = intern::hash(entry);
                    let end = self.plain.at();
                    let entry = end - entry.len()..end;
                    self.known.$late.push(Late { entry, hash, of });
                    Ok(known)
                }
            }
        }
    };
}

impl<'a, 'i> SharedReader<'a, 'i> {
    /// A reader over `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8], interner: &'i mut Interner) -> Self {
        Self {
            plain: Reader::new(bytes),
            interner,
            known: Dictionary::default(),
        }
    }

    shared!(
        place_number,
        Place,
        places,
        place,
        dictionary::read_place,
        "the number of a place written before"
    );
    shared!(
        network_number,
        Network,
        networks,
        network,
        dictionary::read_network,
        "the number of a network written before"
    );
    shared!(
        terms_number,
        Terms,
        terms,
        terms,
        dictionary::read_terms,
        "the number of terms written before"
    );
    shared!(
        travel_number,
        Travel,
        travels,
        travel,
        dictionary::read_travel,
        "the number of a travel written before"
    );

    late!(
        late_place_number,
        places,
        late_places,
        "the number of a place written before"
    );
    late!(
        late_network_number,
        networks,
        late_networks,
        "the number of a network written before"
    );

    /// Looks up what was left for later.
    ///
    /// # Errors
    /// [`Malformed`] for the first that is no such value, and whom it is of: those before are there.
    #[inline]
    pub fn settle(&mut self) -> Result<(), (usize, Malformed)> {
        let (known, interner, record) = (&mut self.known, &mut *self.interner, self.plain.all());
        let places = settle(
            record,
            &mut known.late_places,
            &mut known.places,
            &mut interner.places,
            |place| place.radius_km,
            dictionary::read_place,
        );
        let networks = settle(
            record,
            &mut known.late_networks,
            &mut known.networks,
            &mut interner.networks,
            |network| network.class as u16,
            dictionary::read_network,
        );
        match (places, networks) {
            (Err(place), Err(network)) => Err(if network.0 < place.0 { network } else { place }),
            (places, networks) => places.and(networks),
        }
    }

    /// A reader that goes on where another stopped, as [`SharedReader::into_parts`] left it.
    #[inline]
    pub fn resuming(plain: Reader<'a>, known: Dictionary, interner: &'i mut Interner) -> Self {
        Self { plain, interner, known }
    }

    /// The plain values not read yet, and the shared ones read so far.
    #[must_use]
    #[inline]
    pub fn into_parts(self) -> (Reader<'a>, Dictionary) {
        (self.plain, self.known)
    }

    /// A place.
    ///
    /// # Errors
    /// As [`SharedReader::place_number`].
    #[inline]
    pub fn place(&mut self) -> Result<Arc<Place>, Malformed> {
        let number = self.place_number()?;
        Ok(Arc::clone(self.known.place(number)))
    }

    /// A place or its absence.
    ///
    /// # Errors
    /// As [`SharedReader::place_number`].
    #[inline]
    pub fn opt_place(&mut self) -> Result<Option<Arc<Place>>, Malformed> {
        if self.plain.bool()? {
            self.place().map(Some)
        } else {
            Ok(None)
        }
    }

    /// The numbers of networks with their places.
    #[inline]
    pub fn spots(&mut self) -> &mut Spots {
        &mut self.interner.spots
    }

    /// A network.
    ///
    /// # Errors
    /// As [`SharedReader::network_number`].
    #[inline]
    pub fn network(&mut self) -> Result<Arc<Network>, Malformed> {
        let number = self.network_number()?;
        Ok(Arc::clone(self.known.network(number)))
    }
}
