//! Encoding of what repeats in a packed record or a chunk: places, networks, what claims have in common, and travel.
//!
//! Each is written in full where it first occurs and by its number afterwards.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::claim::ClaimedPoint;
use super::codec::{Malformed, Reader, Writer};
use super::geo::Point;
use super::{AccountKind, Network, NetworkClass, Place, Scale, Terms, Travel};

/// Values that a [`DictionaryWriter`] has already written, by the address of the shared copy. An address only saves
/// bytes: two copies of one value are two entries. The table is never walked, so its order cannot reach the output.
#[derive(Debug, Default)]
struct Known {
    numbers: HashMap<usize, u64, FixedState>,
    entry: Writer,
}

impl Known {
    /// Whether the value at that address must be written; if not, its number was.
    #[inline]
    fn is_new(&mut self, writer: &mut Writer, address: usize) -> bool {
        let next = self.numbers.len() as u64;
        let number = *self.numbers.entry(address).or_insert(next);
        let is_new = number == next;
        writer.uint(if is_new { 0 } else { number + 1 });
        is_new
    }

    #[inline]
    fn entry(&mut self, writer: &mut Writer, entry: &Encoded) {
        if self.is_new(writer, std::ptr::from_ref(entry).addr()) {
            writer.raw(&entry.written);
        }
    }

    #[inline]
    fn reference<T>(&mut self, writer: &mut Writer, value: &T, write: impl FnOnce(&T, &mut Writer)) {
        if !self.is_new(writer, std::ptr::from_ref(value).addr()) {
            return;
        }
        self.entry.clear();
        write(value, &mut self.entry);
        writer.uint(self.entry.len() as u64);
        writer.raw(self.entry.as_bytes());
    }
}

/// A value as it is written, encoded once for all records that name it.
#[derive(Debug)]
pub struct Encoded {
    /// Its length and its bytes.
    written: Box<[u8]>,
}

impl Encoded {
    /// The encoded form of a place.
    #[must_use]
    pub fn of_place(place: &Place) -> Self {
        Self::of(place, write_place)
    }

    /// The encoded form of a network.
    #[must_use]
    pub fn of_network(network: &Network) -> Self {
        Self::of(network, write_network)
    }

    fn of<T>(value: &T, write: impl Fn(&T, &mut Writer)) -> Self {
        let (mut entry, mut writer) = (Writer::default(), Writer::default());
        write(value, &mut entry);
        writer.uint(entry.len() as u64);
        writer.raw(entry.as_bytes());
        Self {
            written: writer.into_bytes().into(),
        }
    }

    /// Reads a little of it, to bring it near.
    #[must_use]
    #[inline]
    pub fn touch(&self) -> u8 {
        // Most take up two lines of the cache.
        self.written[0] ^ self.written[self.written.len() - 1]
    }
}

/// Writes shared values. One per packed record or chunk. The values it was given must stay where they are until the
/// record is finished, or another value at the same address would be taken for them.
#[derive(Debug, Default)]
pub struct DictionaryWriter {
    places: Known,
    networks: Known,
    terms: Known,
    travels: Known,
}

impl DictionaryWriter {
    /// Forgets what was written and keeps the room.
    pub fn clear(&mut self) {
        for known in [&mut self.places, &mut self.networks, &mut self.terms, &mut self.travels] {
            known.numbers.clear();
        }
    }

    /// A place.
    #[inline]
    pub fn place(&mut self, writer: &mut Writer, place: &Place) {
        self.places.reference(writer, place, write_place);
    }
    /// A place, encoded.
    #[inline]
    pub fn place_entry(&mut self, writer: &mut Writer, entry: &Encoded) {
        self.places.entry(writer, entry);
    }
    /// A network.
    #[inline]
    pub fn network(&mut self, writer: &mut Writer, network: &Network) {
        self.networks.reference(writer, network, write_network);
    }
    /// A network, encoded.
    #[inline]
    pub fn network_entry(&mut self, writer: &mut Writer, entry: &Encoded) {
        self.networks.entry(writer, entry);
    }
    /// What claims have in common.
    #[inline]
    pub fn terms(&mut self, writer: &mut Writer, terms: &Terms) {
        self.terms.reference(writer, terms, write_terms);
    }
    /// Travel.
    pub fn travel(&mut self, writer: &mut Writer, travel: &Travel) {
        self.travels.reference(writer, travel, write_travel);
    }
}

/// A value in a record: its encoded bytes where it first occurs, else the number of that occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    /// First occurrence: the entry's bytes.
    Entry(&'a [u8]),
    /// The number of an earlier entry of the same kind.
    Number(usize),
}

/// Reads where a shared value stands.
///
/// # Errors
/// [`Malformed`] if the bytes are no reference.
#[inline]
pub fn read_reference<'a>(reader: &mut Reader<'a>) -> Result<Reference<'a>, Malformed> {
    match reader.uint()? {
        0 => Ok(Reference::Entry(reader.bytes()?)),
        number => usize::try_from(number - 1)
            .map(Reference::Number)
            .map_err(|_| reader.malformed("a dictionary number")),
    }
}

fn write_point(point: Point, writer: &mut Writer) {
    writer.f64(point.latitude);
    writer.f64(point.longitude);
}

fn read_point(reader: &mut Reader<'_>) -> Result<Point, Malformed> {
    let (latitude, longitude) = (reader.f64()?, reader.f64()?);
    Point::new(latitude, longitude).ok_or_else(|| reader.malformed("a point on the globe"))
}

fn scale(code: u8, reader: &Reader<'_>) -> Result<Scale, Malformed> {
    match code {
        0 => Ok(Scale::City),
        1 => Ok(Scale::Region),
        2 => Ok(Scale::Country),
        _ => Err(reader.malformed("a scale from 0 to 2")),
    }
}

fn write_place(place: &Place, writer: &mut Writer) {
    writer.str(&place.country);
    writer.str(&place.region);
    writer.str(&place.region_name);
    writer.str(&place.city);
    write_point(place.point, writer);
    writer.uint(u64::from(place.radius_km));
    writer.u8(place.scale as u8);
}

/// Decodes a place entry.
///
/// # Errors
/// [`Malformed`] if the bytes are no place.
pub fn read_place(bytes: &[u8]) -> Result<Place, Malformed> {
    let reader = &mut Reader::new(bytes);
    Ok(Place {
        country: reader.str()?.to_owned(),
        region: reader.str()?.to_owned(),
        region_name: reader.str()?.to_owned(),
        city: reader.str()?.to_owned(),
        point: read_point(reader)?,
        radius_km: reader.u16()?,
        scale: reader.u8().and_then(|code| scale(code, reader))?,
    })
}

/// Appends a network entry.
pub fn write_network(network: &Network, writer: &mut Writer) {
    writer.u8(network.class as u8);
    writer.str(&network.label);
    writer.uint(u64::from(network.asn));
    writer.str(&network.organization);
}

/// Decodes a network entry.
///
/// # Errors
/// [`Malformed`] if the bytes are no network.
pub fn read_network(bytes: &[u8]) -> Result<Network, Malformed> {
    let reader = &mut Reader::new(bytes);
    let class = NetworkClass::from_code(reader.u8()?).ok_or_else(|| reader.malformed("a network class"))?;
    Ok(Network {
        class,
        label: reader.str()?.to_owned(),
        asn: reader.u32()?,
        organization: reader.str()?.to_owned(),
    })
}

/// Appends an entry of terms.
pub fn write_terms(terms: &Terms, writer: &mut Writer) {
    writer.u8(terms.kind as u8);
    for text in [
        &terms.employer,
        &terms.country,
        &terms.region,
        &terms.city,
        &terms.time_zone,
    ] {
        writer.str(text);
    }
    writer.bool(terms.point.is_some());
    if let Some(claimed) = terms.point {
        write_point(claimed.point, writer);
        writer.uint(u64::from(claimed.radius_km));
        writer.u8(claimed.scale as u8);
    }
    writer.uint(terms.allowed_countries.len() as u64);
    terms.allowed_countries.iter().for_each(|text| writer.str(text));
}

/// Decodes an entry of terms.
///
/// # Errors
/// [`Malformed`] if the bytes are none.
pub fn read_terms(bytes: &[u8]) -> Result<Terms, Malformed> {
    let reader = &mut Reader::new(bytes);
    let kind = match reader.u8()? {
        0 => AccountKind::Unknown,
        1 => AccountKind::Employee,
        2 => AccountKind::Contractor,
        3 => AccountKind::Service,
        _ => return Err(reader.malformed("an account kind")),
    };
    let mut texts = [const { String::new() }; 5];
    for text in &mut texts {
        reader.str()?.clone_into(text);
    }
    let [employer, country, region, city, time_zone] = texts;
    let point = if reader.bool()? {
        let (point, radius_km) = (read_point(reader)?, reader.u16()?);
        Some(ClaimedPoint {
            point,
            radius_km,
            scale: reader.u8().and_then(|code| scale(code, reader))?,
        })
    } else {
        None
    };
    let count = reader.count()?;
    let allowed = (0..count).map(|_| Ok(reader.str()?.to_owned()));
    let allowed_countries = allowed.collect::<Result<_, _>>()?;
    Ok(Terms {
        kind,
        employer,
        country,
        region,
        city,
        point,
        time_zone,
        allowed_countries,
    })
}

fn write_travel(travel: &Travel, writer: &mut Writer) {
    writer.int(i64::from(travel.from_day));
    writer.int(i64::from(travel.to_day));
    for text in [&travel.country, &travel.city, &travel.ticket] {
        writer.str(text);
    }
    writer.bool(travel.point.is_some());
    if let Some(point) = travel.point {
        write_point(point, writer);
    }
}

/// Decodes a travel entry.
///
/// # Errors
/// [`Malformed`] if the bytes are no travel.
pub fn read_travel(bytes: &[u8]) -> Result<Travel, Malformed> {
    let reader = &mut Reader::new(bytes);
    Ok(Travel {
        from_day: reader.i32()?,
        to_day: reader.i32()?,
        country: reader.str()?.to_owned(),
        city: reader.str()?.to_owned(),
        ticket: reader.str()?.to_owned(),
        point: if reader.bool()? {
            Some(read_point(reader)?)
        } else {
            None
        },
    })
}
