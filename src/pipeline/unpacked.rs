//! Packed observations read back.

use std::borrow::Cow;

use super::packed::{
    CLOCK, COUNT, HAS_ANONYMIZER, HAS_APP, HAS_DEVICE, HAS_DEVICES, HAS_HIRE_DAY, HAS_MANY_DEVICES, HAS_MFA,
    HAS_PERIPHERAL, HAS_SESSION, HAS_TOOL, HAS_USER_AGENT, SAME_DOMAIN, TEXTS, VERSION,
};
use super::packed_texts::TextReader;
use super::{CodecError, Fault};
use crate::model::account::ACCOUNT_BYTES_MAX;
use crate::model::claim::DeviceIdsRef;
use crate::model::codec::{Malformed, Reader};
use crate::model::event_id::EventId;
use crate::model::key::HashKey;
use crate::model::{
    Account, ClaimRef, Device, Edid, Event, EventKind, Key, Mfa, Observation, Outcome, Peripheral, Tool,
};
use crate::window::account_codec::tool_kind;
use crate::window::intern::Interner;
use crate::window::shared::{Dictionary, SharedReader};

/// What is read here, as errors name it.
const WHAT: &str = "packed observations";
/// Versions that releases have and that the next may get: below whatever text or a foreign encoding begins with. One that
/// would be 9, a tab, has to begin otherwise.
const VERSIONS: std::ops::Range<u8> = 1..9;
/// Bytes of an account's name at most: lower case takes up to half as many more than what was read. The domain of one
/// account is copied for each that has the same, so a forged one must not be long.
const NAME_BYTES_MAX: usize = 2 * ACCOUNT_BYTES_MAX;
/// Names whose room is kept for others: those of a batch of a replay's partition.
const ROOMS_MAX: usize = 8_192;
/// Bytes of every observation without its texts, at least.
const OBSERVATION_BYTES_MIN: usize = 12;

/// A packed record, of whose observations some were read. Taken a few at a time they stay in the nearest cache until they
/// are folded; read all at once they can be taken in any order.
#[derive(Debug)]
pub struct Unpacked<'a> {
    clock_ms: i64,
    count: usize,
    hash_key: HashKey,
    data_versions: &'a str,
    plain: Reader<'a>,
    texts: TextReader<'a>,
    known: Dictionary,
    /// Of the observation read last.
    order_ms: i64,
    /// Of the observation read last.
    product: &'a str,
    /// Of the account read last.
    domain: &'a str,
    /// Those read last come first; the room of others that were is used again.
    heads: Vec<Head<'a>>,
    /// How many were read last, and how many before them.
    last: usize,
    before: usize,
    /// What is wrong behind them.
    fault: Option<Malformed>,
}

impl<'a> Unpacked<'a> {
    /// Opens a record whose accounts are named under `hash_key`, and reads nothing of it yet.
    ///
    /// # Errors
    /// [`CodecError`] if the record is of another version, or does not begin as one of a [`Packer`](super::packed::Packer) does.
    pub fn open(record: &'a [u8], hash_key: HashKey) -> Result<Self, CodecError> {
        let version = record.first().copied().unwrap_or_default();
        if version != VERSION {
            let detail = format!(
                "version {version}, this release reads version {VERSION}: stop intake, let accounts of the release that wrote \
                 it read the topic to its end and run for one checkpoint period, then start this release"
            );
            let is_of_a_release = VERSIONS.contains(&version) && record.len() > TEXTS.end;
            let fault = if is_of_a_release {
                Fault::OtherRelease
            } else {
                Fault::Foreign
            };
            return Err(CodecError {
                fault,
                ..CodecError::new(WHAT, 0, detail)
            });
        }
        let (clock_ms, count, numbers, texts) = cut(record).map_err(malformed)?;
        let mut plain = Reader::new(numbers);
        let data_versions = plain.skip(TEXTS.end).and_then(|()| plain.str()).map_err(malformed)?;
        Ok(Self {
            clock_ms,
            count,
            hash_key,
            data_versions,
            plain,
            texts: TextReader::new(texts),
            known: Dictionary::default(),
            order_ms: 0,
            product: "",
            domain: "",
            heads: Vec::new(),
            last: 0,
            before: 0,
            fault: None,
        })
    }

    /// Opens a record and reads all of it.
    ///
    /// # Errors
    /// As [`Unpacked::open`] and [`Unpacked::advance`].
    #[inline]
    pub fn read(record: &'a [u8], hash_key: HashKey, interner: &mut Interner) -> Result<Self, CodecError> {
        let mut unpacked = Self::open(record, hash_key)?;
        unpacked.advance(usize::MAX, interner)?;
        match unpacked.fault.take() {
            Some(fault) => Err(malformed(fault)),
            None => Ok(unpacked),
        }
    }

    /// Reads the next observations, at most `count_max`, in place of those read before, and says which they are of the
    /// record's; an empty range once all were read.
    ///
    /// # Errors
    /// [`CodecError`] once all are read that stand ahead of what was not written by a [`Packer`](super::packed::Packer),
    /// or of fewer or more than were promised: how many are read does not depend on `count_max`.
    pub fn advance(&mut self, count_max: usize, interner: &mut Interner) -> Result<std::ops::Range<usize>, CodecError> {
        if self.before + self.last == 0 {
            self.known = std::mem::take(&mut interner.dictionary);
        }
        self.before += self.last;
        self.last = 0;
        if let Some(fault) = &self.fault {
            return Err(malformed(fault.clone()));
        }
        // An observation takes more bytes than these, so a count that is a lie makes room for no more than the record may hold.
        let left = self.count - self.before;
        let room = left.min(self.plain.rest().len() / OBSERVATION_BYTES_MIN).min(count_max);
        self.heads.reserve(room.saturating_sub(self.heads.len()));
        while self.heads.len() < room {
            self.heads.push(Head::blank(interner.names.pop().unwrap_or_default()));
        }
        let mut unpacker = Unpacker {
            reader: SharedReader::resuming(
                std::mem::take(&mut self.plain),
                std::mem::take(&mut self.known),
                interner,
            ),
            texts: &mut self.texts,
            number: 0,
            hash_key: self.hash_key,
            order_ms: self.order_ms,
            product: self.product,
            domain: self.domain,
        };
        while self.fault.is_none() && self.last < left.min(count_max) {
            if self.heads.len() == self.last {
                self.heads.push(Head::blank(String::new()));
            }
            unpacker.number = self.last;
            match unpacker.read(&mut self.heads[self.last]) {
                Ok(()) => self.last += 1,
                Err(fault) => self.fault = Some(fault),
            }
        }
        if let Err((number, fault)) = unpacker.reader.settle() {
            (self.last, self.fault) = (number, Some(fault));
        }
        (self.order_ms, self.product, self.domain) = (unpacker.order_ms, unpacker.product, unpacker.domain);
        (self.plain, self.known) = unpacker.reader.into_parts();
        let is_last = self.last == left && self.fault.is_none();
        if is_last && !(self.plain.is_at_end() && self.texts.is_at_end()) {
            self.fault = Some(self.plain.malformed("as many observations and texts as promised"));
        }
        match &self.fault {
            Some(fault) if self.last == 0 => Err(malformed(fault.clone())),
            _ => Ok(self.before..self.before + self.last),
        }
    }

    /// Gives back the room that was taken from what `interner` keeps.
    pub fn close(mut self, interner: &mut Interner) {
        self.known.clear();
        interner.dictionary = self.known;
        let rooms = self.heads.into_iter().filter_map(|head| head.event.account.into_room());
        let wanted = ROOMS_MAX.saturating_sub(interner.names.len());
        interner.names.extend(rooms.take(wanted));
    }

    /// Latest append time of the sources' records inside, ms.
    #[must_use]
    pub fn clock_ms(&self) -> i64 {
        self.clock_ms
    }

    /// How many observations the record says there are; it has no more.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[inline]
    fn last_read(&self) -> &[Head<'a>] {
        &self.heads[..self.last]
    }

    /// Event time of each that was read last, ms.
    pub fn times_ms(&self) -> impl Iterator<Item = i64> {
        self.last_read().iter().map(|head| head.event.time_ms)
    }

    /// Keys of the accounts of those that were read last.
    #[inline]
    pub fn keys(&self) -> impl Iterator<Item = Key> + Clone {
        self.last_read().iter().map(|head| head.key)
    }

    /// Key of the account of the observation at `index` of the record, one of those that were read last.
    #[must_use]
    #[inline]
    pub fn key(&self, index: usize) -> Key {
        self.last_read()[index - self.before].key
    }

    /// The observation at `index` of the record, one of those that were read last.
    #[must_use]
    #[inline]
    pub fn observation(&self, index: usize) -> Observation<'_> {
        let head = &self.last_read()[index - self.before];
        Observation {
            event: &head.event,
            key: head.key,
            order_ms: head.order_ms,
            time_suspect: head.time_suspect,
            place: head.place.map(|number| self.known.place(number)),
            network: self.known.network(head.network),
            claim: ClaimRef {
                terms: self.known.terms(head.terms),
                hire_day: head.hire_day,
                devices: head.devices,
            },
            travel: head.travel.map(|number| self.known.travel(number)),
            data_versions: self.data_versions,
        }
    }
}

/// The clock, the number of observations, everything before the texts, and the texts.
fn cut(record: &[u8]) -> Result<(i64, usize, &[u8], &str), Malformed> {
    let malformed = |at, what| Malformed { at, what };
    let number = |at: std::ops::Range<usize>| {
        let bytes = record.get(at.clone()).and_then(|bytes| bytes.first_chunk());
        bytes
            .map(|bytes| u32::from_le_bytes(*bytes) as usize)
            .ok_or(malformed(at.start, "a number of 32 bits"))
    };
    let clock = record.get(CLOCK).and_then(|bytes| bytes.first_chunk());
    let clock_ms = i64::from_le_bytes(*clock.ok_or(malformed(CLOCK.start, "the clock"))?);
    let (count, length) = (number(COUNT)?, number(TEXTS)?);
    let start = record.len().checked_sub(length).filter(|start| *start >= TEXTS.end);
    let start = start.ok_or(malformed(TEXTS.start, "texts that fit the record"))?;
    let (numbers, texts) = record.split_at(start);
    let texts = simdutf8::compat::from_utf8(texts).map_err(|error| malformed(start + error.valid_up_to(), "UTF-8"))?;
    Ok((clock_ms, count, numbers, texts))
}

/// Reads observations one after the other.
struct Unpacker<'a, 'i> {
    reader: SharedReader<'a, 'i>,
    texts: &'i mut TextReader<'a>,
    /// Of the observation among those that are read together.
    number: usize,
    hash_key: HashKey,
    /// Of the observation before.
    order_ms: i64,
    /// Of the observation before.
    product: &'a str,
    /// Of the account before.
    domain: &'a str,
}

impl<'a> Unpacker<'a, '_> {
    /// Reads the next observation in place of another: a copy of its few hundred bytes would take as long as reading it.
    #[inline]
    fn read(&mut self, head: &mut Head<'a>) -> Result<(), Malformed> {
        let plain = &mut self.reader.plain;
        head.order_ms = self.order_ms.wrapping_add(plain.int()?);
        self.order_ms = head.order_ms;
        let event = &mut head.event;
        event.time_ms = head.order_ms.wrapping_add(plain.int()?);
        let kind = plain.u8()?;
        event.kind = event_kind(kind & !SAME_DOMAIN, plain)?;
        let flags = plain.u8()?;
        let has = |flag: u8| flags & flag != 0;
        event.outcome = match flags & 3 {
            0 => Outcome::Success,
            1 => Outcome::Failure,
            _ => Outcome::Unknown,
        };
        event.interactive = has(1 << 2);
        head.time_suspect = has(1 << 3);
        event.id = EventId::read(plain)?;
        let name = self.str()?;
        if kind & SAME_DOMAIN == 0 {
            self.domain = self.texts.shared(&mut self.reader.plain)?;
        }
        if name.len() + self.domain.len() > NAME_BYTES_MAX {
            return Err(self.reader.plain.malformed("the length of an account's name"));
        }
        event.account.set_canonical([name, self.domain]);
        head.key = self.hash_key.account(event.account.as_str());
        if !has(1 << 4) {
            self.product = self.str()?;
        }
        event.product = Cow::Borrowed(self.product);
        event.source_ip = self.reader.plain.ip()?;
        event.vpn_ip = if has(1 << 7) { self.reader.plain.ip()? } else { None };
        self.details(event)?;
        head.place = if has(1 << 5) {
            Some(self.reader.late_place_number(self.number)?)
        } else {
            None
        };
        head.network = self.reader.late_network_number(self.number)?;
        head.terms = self.reader.terms_number()?;
        self.own(head)?;
        head.travel = if has(1 << 6) {
            Some(self.reader.travel_number()?)
        } else {
            None
        };
        Ok(())
    }

    /// What a claim has of its own.
    #[inline]
    fn own(&mut self, head: &mut Head<'a>) -> Result<(), Malformed> {
        let plain = &mut self.reader.plain;
        let mask = plain.u8()?;
        if mask > HAS_HIRE_DAY | HAS_MANY_DEVICES
            || mask & (HAS_DEVICES | HAS_MANY_DEVICES) == HAS_DEVICES | HAS_MANY_DEVICES
        {
            return Err(plain.malformed("what a claim has of its own"));
        }
        head.hire_day = if mask & HAS_HIRE_DAY != 0 {
            Some(plain.i32()?)
        } else {
            None
        };
        let devices = match mask & (HAS_DEVICES | HAS_MANY_DEVICES) {
            HAS_DEVICES => self.str()?,
            HAS_MANY_DEVICES => self.texts.shared(&mut self.reader.plain)?,
            _ => "",
        };
        head.devices = DeviceIdsRef::of_joined(devices);
        Ok(())
    }

    #[inline]
    fn str(&mut self) -> Result<&'a str, Malformed> {
        self.texts.text(&mut self.reader.plain)
    }

    #[inline]
    fn text(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.str().map(Cow::Borrowed)
    }

    #[inline]
    fn opt_text(&mut self) -> Result<Option<Cow<'a, str>>, Malformed> {
        let text = self.texts.opt_text(&mut self.reader.plain)?;
        Ok(text.map(Cow::Borrowed))
    }

    #[inline]
    fn shared(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.texts.shared(&mut self.reader.plain).map(Cow::Borrowed)
    }

    #[inline]
    fn details(&mut self, event: &mut Event<'a>) -> Result<(), Malformed> {
        let mask = self.reader.plain.u8()?;
        let has = |flag: u8| mask & flag != 0;
        event.device = if has(HAS_DEVICE) { Some(self.device()?) } else { None };
        event.session = if has(HAS_SESSION) { Some(self.text()?) } else { None };
        event.app = if has(HAS_APP) { Some(self.shared()?) } else { None };
        event.mfa = if has(HAS_MFA) { Some(self.mfa()?) } else { None };
        event.user_agent = if has(HAS_USER_AGENT) {
            Some(self.shared()?)
        } else {
            None
        };
        event.anonymizer = if has(HAS_ANONYMIZER) {
            Some(self.shared()?)
        } else {
            None
        };
        event.tool = if has(HAS_TOOL) {
            Some(Box::new(self.tool()?))
        } else {
            None
        };
        event.peripheral = if has(HAS_PERIPHERAL) {
            Some(Box::new(self.peripheral()?))
        } else {
            None
        };
        Ok(())
    }

    #[inline]
    fn device(&mut self) -> Result<Device<'a>, Malformed> {
        let (id, hostname) = (self.text()?, self.opt_text()?);
        let flags = self.reader.plain.u8()?;
        Ok(Device {
            id,
            hostname,
            managed: match flags & 3 {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            },
            fingerprint: flags & 4 != 0,
        })
    }

    fn mfa(&mut self) -> Result<Mfa<'a>, Malformed> {
        Ok(Mfa {
            used: self.reader.plain.bool()?,
            method: self.opt_text()?,
            factor: self.opt_text()?,
        })
    }

    fn tool(&mut self) -> Result<Tool<'a>, Malformed> {
        Ok(Tool {
            name: self.text()?,
            kind: tool_kind(&mut self.reader.plain)?,
            indicator: self.opt_text()?,
            unattended: self.reader.plain.bool()?,
        })
    }

    fn usb_id(&mut self) -> Result<Option<u16>, Malformed> {
        let code = self.reader.plain.uint_below(u64::from(u16::MAX) + 1, "a USB id")?;
        Ok(code.checked_sub(1).and_then(|id| u16::try_from(id).ok()))
    }

    fn peripheral(&mut self) -> Result<Peripheral<'a>, Malformed> {
        let (vendor_id, product_id) = (self.usb_id()?, self.usb_id()?);
        let (manufacturer, product, serial) = (self.opt_text()?, self.opt_text()?, self.opt_text()?);
        let shown = self.reader.plain.u8()?;
        let edid = if self.reader.plain.bool()? {
            Some(Edid {
                manufacturer: self.opt_text()?,
                model: self.opt_text()?,
                serial: self.opt_text()?,
            })
        } else {
            None
        };
        Ok(Peripheral {
            vendor_id,
            product_id,
            manufacturer,
            product,
            serial,
            keyboard: shown & 1 != 0,
            mouse: shown & 2 != 0,
            storage: shown & 4 != 0,
            edid,
        })
    }
}

/// An observation whose place, network, terms and travel are still numbers.
#[derive(Debug)]
struct Head<'a> {
    event: Event<'a>,
    key: Key,
    order_ms: i64,
    time_suspect: bool,
    place: Option<usize>,
    network: usize,
    terms: usize,
    hire_day: Option<i32>,
    devices: DeviceIdsRef<'a>,
    travel: Option<usize>,
}

impl Head<'_> {
    /// Room to read an observation into.
    fn blank(name: String) -> Self {
        let account = Account::blank(name);
        Self {
            event: Event {
                account,
                ..Event::blank()
            },
            key: Key(0),
            order_ms: 0,
            time_suspect: false,
            place: None,
            network: 0,
            terms: 0,
            hire_day: None,
            devices: DeviceIdsRef::default(),
            travel: None,
        }
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the shape `map_err` wants")]
fn malformed(error: Malformed) -> CodecError {
    CodecError::new(WHAT, error.at, format!("expected {}", error.what))
}

fn event_kind(code: u8, reader: &Reader<'_>) -> Result<EventKind, Malformed> {
    const KINDS: [EventKind; 11] = [
        EventKind::Login,
        EventKind::Logout,
        EventKind::VpnOpen,
        EventKind::VpnRenew,
        EventKind::VpnClose,
        EventKind::RdpLogon,
        EventKind::ToolSeen,
        EventKind::PeripheralAttached,
        EventKind::FactorEnrolled,
        EventKind::ProfileChanged,
        EventKind::Activity,
    ];
    KINDS
        .get(usize::from(code))
        .copied()
        .ok_or_else(|| reader.malformed("an event kind"))
}
