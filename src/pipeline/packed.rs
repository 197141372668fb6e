//! Packed observations: many observations in one record of the `observations` topic.
//!
//! ```text
//! version │ clock │ count │ length of texts │ data versions │ observation │ observation │ … │ texts
//! ```
//! The clock is the latest append time of the sources' records inside, never later than the wall clock of intake: the only
//! time that may expire state. It travels in the record, because a backlog is re-keyed long after it was appended.
//! A place, network or claim is written where it first occurs and by number afterwards. All texts stand together at the
//! end, so that they are checked to be UTF-8 in one go; an observation holds their lengths only. What many events say alike,
//! a browser or an application, stands among them once. Ids of events stand in half the bytes of their text: nothing else in
//! an observation is as long and as hard to compress. Producing a Kafka message costs microseconds and folding an observation
//! a fraction of one, hence hundreds to a record.

use std::borrow::Cow;
use std::net::IpAddr;

use super::CodecError;
use super::packed_texts::{TextReader, TextWriter};
use crate::model::codec::{Malformed, Reader, Writer};
use crate::model::event_id::EventId;
use crate::model::{
    Account, Claim, Device, Edid, Event, EventKind, Key, Mfa, Network, Observation, Outcome, Peripheral, Place, Tool,
    ToolKind, Travel,
};
use crate::window::intern::Interner;
use crate::window::shared::{Dictionary, SharedReader, SharedWriter};

/// Version of the encoding.
pub const VERSION: u8 = 4;

/// What intake joined to an event, and what it put right.
#[derive(Clone, Copy, Debug)]
pub struct Joined<'a> {
    /// Id of the event; its position in the source where it has none.
    pub id: &'a EventId,
    /// Name of the account, as the roster spells it.
    pub account: &'a str,
    /// Source address, if it is a public one.
    pub source_ip: Option<IpAddr>,
    /// Where the source address is.
    pub place: Option<&'a Place>,
    /// Its network.
    pub network: &'a Network,
    /// What HR says.
    pub claim: &'a Claim,
    /// Travel approved for the day.
    pub travel: Option<&'a Travel>,
}

/// Packs the observations of one partition.
#[derive(Debug)]
pub struct Packer {
    writer: SharedWriter,
    texts: TextWriter,
    count: u32,
    clock_ms: i64,
    /// Of the observation before.
    order_ms: i64,
    /// Of the observation before, which most share.
    product: String,
    /// Event time of each, ms, where somebody asked for them.
    times_ms: Option<Vec<i64>>,
}

/// Where the clock stands in a record: behind the version.
const CLOCK: std::ops::Range<usize> = 1..9;
/// How many observations there are.
const COUNT: std::ops::Range<usize> = 9..13;
/// Bytes of the texts at the end.
const TEXTS: std::ops::Range<usize> = 13..17;

/// Bytes of most observations without their texts.
const OBSERVATION_BYTES: usize = 64;

impl Packer {
    /// An empty record of observations placed with these builds of the data.
    #[must_use]
    pub fn new(data_versions: &str) -> Self {
        let mut writer = SharedWriter::default();
        writer.plain.u8(VERSION);
        writer.plain.raw(&[0; TEXTS.end - CLOCK.start]);
        writer.plain.str(data_versions);
        Self {
            writer,
            texts: TextWriter::default(),
            count: 0,
            clock_ms: i64::MIN,
            order_ms: 0,
            product: String::new(),
            times_ms: None,
        }
    }

    /// Keeps the event time of each observation beside the record.
    pub fn keep_times(&mut self) {
        self.times_ms = Some(Vec::new());
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.writer.plain.len() + self.texts.len()
    }

    /// Observations so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether nothing was packed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Moves the clock to the append time of a source's record, ms. It never goes back.
    pub fn advance(&mut self, append_ms: i64) {
        self.clock_ms = self.clock_ms.max(append_ms);
    }

    /// Appends one observation.
    pub fn push(&mut self, event: &Event<'_>, key: Key, order_ms: i64, time_suspect: bool, joined: Joined<'_>) {
        let is_same_product = self.product == event.product;
        let mut writer = Texted {
            plain: &mut self.writer.plain,
            texts: &mut self.texts,
        };
        writer.plain.reserve(OBSERVATION_BYTES);
        writer.plain.u128(key.0);
        writer.plain.int(order_ms.wrapping_sub(self.order_ms));
        writer.plain.int(event.time_ms.wrapping_sub(order_ms));
        writer.plain.u8(event.kind as u8);
        writer.plain.u8(event.outcome as u8
            | u8::from(event.interactive) << 2
            | u8::from(time_suspect) << 3
            | u8::from(is_same_product) << 4
            | u8::from(joined.place.is_some()) << 5
            | u8::from(joined.travel.is_some()) << 6);
        joined.id.write(writer.plain);
        writer.str(joined.account);
        if !is_same_product {
            writer.str(&event.product);
            self.product.clear();
            self.product.push_str(&event.product);
        }
        writer.plain.ip(joined.source_ip);
        writer.plain.ip(event.vpn_ip);
        write_details(&mut writer, event);
        if let Some(place) = joined.place {
            self.writer.place(place);
        }
        self.writer.network(joined.network);
        self.writer.claim(joined.claim);
        if let Some(travel) = joined.travel {
            self.writer.travel(travel);
        }
        self.order_ms = order_ms;
        self.count += 1;
        if let Some(times) = &mut self.times_ms {
            times.push(event.time_ms);
        }
    }

    /// The record, how many observations it holds, and their times where they were kept.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, u32, Vec<i64>) {
        self.writer.plain.raw(self.texts.as_str().as_bytes());
        let mut bytes = self.writer.plain.into_bytes();
        bytes[CLOCK].copy_from_slice(&self.clock_ms.to_le_bytes());
        bytes[COUNT].copy_from_slice(&self.count.to_le_bytes());
        let texts = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        bytes[TEXTS].copy_from_slice(&texts.to_le_bytes());
        (bytes, self.count, self.times_ms.unwrap_or_default())
    }
}

/// Writes numbers to one place and texts to another.
struct Texted<'p> {
    plain: &'p mut Writer,
    texts: &'p mut TextWriter,
}

impl Texted<'_> {
    fn str(&mut self, text: &str) {
        self.texts.text(self.plain, text);
    }

    fn opt_str(&mut self, text: Option<&str>) {
        self.texts.opt_text(self.plain, text);
    }

    fn shared(&mut self, text: &str) {
        self.texts.shared(self.plain, text);
    }
}

const HAS_DEVICE: u8 = 1;
const HAS_SESSION: u8 = 1 << 1;
const HAS_APP: u8 = 1 << 2;
const HAS_MFA: u8 = 1 << 3;
const HAS_USER_AGENT: u8 = 1 << 4;
const HAS_ANONYMIZER: u8 = 1 << 5;
const HAS_TOOL: u8 = 1 << 6;
const HAS_PERIPHERAL: u8 = 1 << 7;

fn write_details(writer: &mut Texted<'_>, event: &Event<'_>) {
    let present = [
        (HAS_DEVICE, event.device.is_some()),
        (HAS_SESSION, event.session.is_some()),
        (HAS_APP, event.app.is_some()),
        (HAS_MFA, event.mfa.is_some()),
        (HAS_USER_AGENT, event.user_agent.is_some()),
        (HAS_ANONYMIZER, event.anonymizer.is_some()),
        (HAS_TOOL, event.tool.is_some()),
        (HAS_PERIPHERAL, event.peripheral.is_some()),
    ];
    let mask = present
        .iter()
        .filter(|(_, is)| *is)
        .fold(0, |mask, (bit, _)| mask | bit);
    writer.plain.u8(mask);
    if let Some(device) = &event.device {
        writer.str(&device.id);
        writer.opt_str(device.hostname.as_deref());
        writer
            .plain
            .u8(device.managed.map_or(2, u8::from) | u8::from(device.fingerprint) << 2);
    }
    if let Some(session) = &event.session {
        writer.str(session);
    }
    if let Some(app) = &event.app {
        writer.shared(app);
    }
    if let Some(mfa) = &event.mfa {
        writer.plain.bool(mfa.used);
        writer.opt_str(mfa.method.as_deref());
        writer.opt_str(mfa.factor.as_deref());
    }
    for text in [&event.user_agent, &event.anonymizer].into_iter().flatten() {
        writer.shared(text);
    }
    if let Some(tool) = &event.tool {
        writer.str(&tool.name);
        writer.plain.u8(tool.kind as u8);
        writer.opt_str(tool.indicator.as_deref());
        writer.plain.bool(tool.unattended);
    }
    if let Some(peripheral) = &event.peripheral {
        write_peripheral(writer, peripheral);
    }
}

fn write_peripheral(writer: &mut Texted<'_>, peripheral: &Peripheral<'_>) {
    for id in [peripheral.vendor_id, peripheral.product_id] {
        writer.plain.uint(id.map_or(0, |id| u64::from(id) + 1));
    }
    for text in [&peripheral.manufacturer, &peripheral.product, &peripheral.serial] {
        writer.opt_str(text.as_deref());
    }
    writer
        .plain
        .u8(u8::from(peripheral.keyboard) | u8::from(peripheral.mouse) << 1 | u8::from(peripheral.storage) << 2);
    writer.plain.bool(peripheral.edid.is_some());
    if let Some(edid) = &peripheral.edid {
        for text in [&edid.manufacturer, &edid.model, &edid.serial] {
            writer.opt_str(text.as_deref());
        }
    }
}

/// A packed record, read whole, so that its observations can be taken in any order.
#[derive(Debug)]
pub struct Unpacked<'a> {
    clock_ms: i64,
    known: Dictionary,
    data_versions: &'a str,
    heads: Vec<Head<'a>>,
}

impl<'a> Unpacked<'a> {
    /// Reads a record.
    ///
    /// # Errors
    /// [`CodecError`] if the record is of another version or was not written by a [`Packer`].
    pub fn read(record: &'a [u8], interner: &mut Interner) -> Result<Self, CodecError> {
        let version = record.first().copied().unwrap_or_default();
        if version != VERSION {
            let detail =
                format!("version {version}, this program reads version {VERSION}: run the version that wrote it");
            return Err(CodecError {
                what: "packed observations",
                at: 0,
                detail,
            });
        }
        let (clock_ms, count, numbers, texts) = cut(record).map_err(malformed)?;
        let mut reader = SharedReader::new(numbers, interner);
        let data_versions = reader.plain.skip(TEXTS.end).and_then(|()| reader.plain.str());
        let mut unpacker = Unpacker {
            reader,
            texts: TextReader::new(texts),
            order_ms: 0,
            product: "",
        };
        // An observation takes more bytes than this, so a count that is a lie reserves no more than the record is long.
        let mut heads = Vec::with_capacity(count.min(numbers.len() / size_of::<Key>()));
        while !unpacker.reader.plain.is_at_end() {
            heads.push(unpacker.read().map_err(malformed)?);
        }
        if heads.len() != count || !unpacker.texts.is_at_end() {
            return Err(malformed(
                unpacker
                    .reader
                    .plain
                    .malformed("as many observations and texts as promised"),
            ));
        }
        Ok(Self {
            clock_ms,
            known: unpacker.reader.into_dictionary(),
            data_versions: data_versions.map_err(malformed)?,
            heads,
        })
    }

    /// Latest append time of the sources' records inside, ms.
    #[must_use]
    pub fn clock_ms(&self) -> i64 {
        self.clock_ms
    }

    /// How many observations there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Event time of each, ms.
    pub fn times_ms(&self) -> impl Iterator<Item = i64> {
        self.heads.iter().map(|head| head.event.time_ms)
    }

    /// Key of the account of the observation at `index`.
    #[must_use]
    pub fn key(&self, index: usize) -> Key {
        self.heads[index].key
    }

    /// The observation at `index`.
    #[must_use]
    pub fn observation(&self, index: usize) -> Observation<'_> {
        let head = &self.heads[index];
        Observation {
            event: &head.event,
            key: head.key,
            order_ms: head.order_ms,
            time_suspect: head.time_suspect,
            place: head.place.map(|number| self.known.place(number)),
            network: self.known.network(head.network),
            claim: self.known.claim(head.claim),
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
    texts: TextReader<'a>,
    /// Of the observation before.
    order_ms: i64,
    /// Of the observation before.
    product: &'a str,
}

impl<'a> Unpacker<'a, '_> {
    fn read(&mut self) -> Result<Head<'a>, Malformed> {
        let plain = &mut self.reader.plain;
        let key = Key(plain.u128()?);
        let order_ms = self.order_ms.wrapping_add(plain.int()?);
        let time_ms = order_ms.wrapping_add(plain.int()?);
        let kind = event_kind(plain)?;
        let flags = plain.u8()?;
        let outcome = match flags & 3 {
            0 => Outcome::Success,
            1 => Outcome::Failure,
            _ => Outcome::Unknown,
        };
        let id = EventId::read(plain)?;
        let account = Account::of_canonical(self.str()?);
        if flags & 1 << 4 == 0 {
            self.product = self.str()?;
        }
        let (source_ip, vpn_ip) = (self.reader.plain.ip()?, self.reader.plain.ip()?);
        let mut event = Event {
            id,
            time_ms,
            kind,
            account,
            account_aliases: Vec::new(),
            source_ip,
            outcome,
            device: None,
            session: None,
            app: None,
            mfa: None,
            user_agent: None,
            vpn_ip,
            anonymizer: None,
            tool: None,
            peripheral: None,
            interactive: flags & 4 != 0,
            product: Cow::Borrowed(self.product),
        };
        self.details(&mut event)?;
        self.order_ms = order_ms;
        Ok(Head {
            event,
            key,
            order_ms,
            time_suspect: flags & 8 != 0,
            place: if flags & 1 << 5 != 0 {
                Some(self.reader.place_number()?)
            } else {
                None
            },
            network: self.reader.network_number()?,
            claim: self.reader.claim_number()?,
            travel: if flags & 1 << 6 != 0 {
                Some(self.reader.travel_number()?)
            } else {
                None
            },
        })
    }

    fn str(&mut self) -> Result<&'a str, Malformed> {
        self.texts.text(&mut self.reader.plain)
    }

    fn text(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.str().map(Cow::Borrowed)
    }

    fn opt_text(&mut self) -> Result<Option<Cow<'a, str>>, Malformed> {
        let text = self.texts.opt_text(&mut self.reader.plain)?;
        Ok(text.map(Cow::Borrowed))
    }

    fn shared(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.texts.shared(&mut self.reader.plain).map(Cow::Borrowed)
    }

    fn details(&mut self, event: &mut Event<'a>) -> Result<(), Malformed> {
        let mask = self.reader.plain.u8()?;
        if mask & HAS_DEVICE != 0 {
            let (id, hostname) = (self.text()?, self.opt_text()?);
            let flags = self.reader.plain.u8()?;
            event.device = Some(Device {
                id,
                hostname,
                managed: match flags & 3 {
                    0 => Some(false),
                    1 => Some(true),
                    _ => None,
                },
                fingerprint: flags & 4 != 0,
            });
        }
        if mask & HAS_SESSION != 0 {
            event.session = Some(self.text()?);
        }
        if mask & HAS_APP != 0 {
            event.app = Some(self.shared()?);
        }
        if mask & HAS_MFA != 0 {
            event.mfa = Some(Mfa {
                used: self.reader.plain.bool()?,
                method: self.opt_text()?,
                factor: self.opt_text()?,
            });
        }
        if mask & HAS_USER_AGENT != 0 {
            event.user_agent = Some(self.shared()?);
        }
        if mask & HAS_ANONYMIZER != 0 {
            event.anonymizer = Some(self.shared()?);
        }
        if mask & HAS_TOOL != 0 {
            event.tool = Some(Box::new(Tool {
                name: self.text()?,
                kind: tool_kind(&mut self.reader.plain)?,
                indicator: self.opt_text()?,
                unattended: self.reader.plain.bool()?,
            }));
        }
        if mask & HAS_PERIPHERAL != 0 {
            event.peripheral = Some(Box::new(self.peripheral()?));
        }
        Ok(())
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

/// An observation whose shared values are still numbers.
#[derive(Debug)]
struct Head<'a> {
    event: Event<'a>,
    key: Key,
    order_ms: i64,
    time_suspect: bool,
    place: Option<usize>,
    network: usize,
    claim: usize,
    travel: Option<usize>,
}

#[allow(clippy::needless_pass_by_value, reason = "the shape `map_err` wants")]
fn malformed(error: Malformed) -> CodecError {
    CodecError {
        what: "packed observations",
        at: error.at,
        detail: format!("expected {}", error.what),
    }
}

fn event_kind(reader: &mut Reader<'_>) -> Result<EventKind, Malformed> {
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
    let code = reader.u8()?;
    KINDS
        .get(usize::from(code))
        .copied()
        .ok_or_else(|| reader.malformed("an event kind"))
}

fn tool_kind(reader: &mut Reader<'_>) -> Result<ToolKind, Malformed> {
    crate::window::account_codec::tool_kind(reader)
}
