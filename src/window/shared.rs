//! Readers and writers of bytes that name shared values: packed records and checkpoint chunks.

use std::sync::Arc;

use super::intern::Interner;
use super::spots::Spots;
use crate::model::codec::{Malformed, Reader, Writer};
use crate::model::dictionary::{self, DictionaryWriter, Reference};
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
    terms: Vec<Arc<Terms>>,
    travels: Vec<Arc<Travel>>,
}

impl Dictionary {
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
