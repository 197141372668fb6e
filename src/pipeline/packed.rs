//! Packed observations: many observations in one record of the `observations` topic.
//!
//! ```text
//! version │ clock │ data versions │ observation │ observation │ …  (to the end of the record)
//! ```
//! The clock is the latest append time of the sources' records inside, never later than the wall clock of intake: the only
//! time that may expire state. It travels in the record, because a backlog is re-keyed long after it was appended.
//! A place, network or claim is written where it first occurs and by number afterwards. Producing a Kafka message
//! costs microseconds and folding an observation a fraction of one, hence hundreds to a record.

use std::borrow::Cow;

use super::CodecError;
use crate::model::codec::{Malformed, Reader, Writer};
use crate::model::{
    Account, Claim, Device, Edid, Event, EventKind, Key, Mfa, Network, Observation, Outcome, Peripheral, Place, Tool,
    ToolKind, Travel,
};
use crate::window::intern::Interner;
use crate::window::shared::{Dictionary, SharedReader, SharedWriter};

/// Version of the encoding.
pub const VERSION: u8 = 1;

/// What enrichment joined to an event.
#[derive(Clone, Copy, Debug)]
pub struct Joined<'a> {
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
    count: u32,
    clock_ms: i64,
}

/// Where the clock stands in a record: behind the version.
const CLOCK: std::ops::Range<usize> = 1..9;

impl Packer {
    /// An empty record of observations placed with these builds of the data.
    #[must_use]
    pub fn new(data_versions: &str) -> Self {
        let mut writer = SharedWriter::default();
        writer.plain.u8(VERSION);
        writer.plain.raw(&[0; CLOCK.end - CLOCK.start]);
        writer.plain.str(data_versions);
        Self {
            writer,
            count: 0,
            clock_ms: i64::MIN,
        }
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.writer.plain.len()
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
        let writer = &mut self.writer;
        writer.plain.u128(key.0);
        writer.plain.int(order_ms);
        writer.plain.int(event.time_ms - order_ms);
        writer.plain.u8(event.kind as u8);
        writer
            .plain
            .u8(event.outcome as u8 | u8::from(event.interactive) << 2 | u8::from(time_suspect) << 3);
        writer.plain.str(&event.id);
        writer.plain.str(event.account.as_str());
        writer.plain.str(&event.product);
        writer.plain.ip(event.source_ip);
        writer.plain.ip(event.vpn_ip);
        write_details(&mut writer.plain, event);
        writer.opt_place(joined.place);
        writer.network(joined.network);
        writer.claim(joined.claim);
        writer.opt_travel(joined.travel);
        self.count += 1;
    }

    /// The record, and how many observations it holds.
    #[must_use]
    pub fn finish(self) -> (Vec<u8>, u32) {
        let mut bytes = self.writer.plain.into_bytes();
        bytes[CLOCK].copy_from_slice(&self.clock_ms.to_le_bytes());
        (bytes, self.count)
    }
}

const HAS_DEVICE: u16 = 1;
const HAS_SESSION: u16 = 1 << 1;
const HAS_APP: u16 = 1 << 2;
const HAS_MFA: u16 = 1 << 3;
const HAS_USER_AGENT: u16 = 1 << 4;
const HAS_ANONYMIZER: u16 = 1 << 5;
const HAS_TOOL: u16 = 1 << 6;
const HAS_PERIPHERAL: u16 = 1 << 7;

fn write_details(writer: &mut Writer, event: &Event<'_>) {
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
    writer.uint(u64::from(mask));
    if let Some(device) = &event.device {
        writer.str(&device.id);
        writer.opt_str(device.hostname.as_deref());
        writer.u8(device.managed.map_or(2, u8::from));
        writer.bool(device.fingerprint);
    }
    for text in [&event.session, &event.app].into_iter().flatten() {
        writer.str(text);
    }
    if let Some(mfa) = &event.mfa {
        writer.bool(mfa.used);
        writer.opt_str(mfa.method.as_deref());
        writer.opt_str(mfa.factor.as_deref());
    }
    for text in [&event.user_agent, &event.anonymizer].into_iter().flatten() {
        writer.str(text);
    }
    if let Some(tool) = &event.tool {
        writer.str(&tool.name);
        writer.u8(tool.kind as u8);
        writer.opt_str(tool.indicator.as_deref());
        writer.bool(tool.unattended);
    }
    if let Some(peripheral) = &event.peripheral {
        write_peripheral(writer, peripheral);
    }
}

fn write_peripheral(writer: &mut Writer, peripheral: &Peripheral<'_>) {
    for id in [peripheral.vendor_id, peripheral.product_id] {
        writer.uint(id.map_or(0, |id| u64::from(id) + 1));
    }
    for text in [&peripheral.manufacturer, &peripheral.product, &peripheral.serial] {
        writer.opt_str(text.as_deref());
    }
    writer.u8(u8::from(peripheral.keyboard) | u8::from(peripheral.mouse) << 1 | u8::from(peripheral.storage) << 2);
    writer.bool(peripheral.edid.is_some());
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
        let mut unpacker = Unpacker {
            reader: SharedReader::new(record, interner),
        };
        let version = unpacker.reader.plain.u8().map_err(malformed)?;
        if version != VERSION {
            let detail =
                format!("version {version}, this program reads version {VERSION}: run the version that wrote it");
            return Err(CodecError {
                what: "packed observations",
                at: 0,
                detail,
            });
        }
        let clock_ms = unpacker.reader.plain.i64().map_err(malformed)?;
        let data_versions = unpacker.reader.plain.str().map_err(malformed)?;
        let mut heads = Vec::new();
        while !unpacker.reader.plain.is_at_end() {
            heads.push(unpacker.read().map_err(malformed)?);
        }
        Ok(Self {
            clock_ms,
            known: unpacker.reader.into_dictionary(),
            data_versions,
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

/// Reads observations one after the other.
struct Unpacker<'a, 'i> {
    reader: SharedReader<'a, 'i>,
}

impl<'a> Unpacker<'a, '_> {
    fn read(&mut self) -> Result<Head<'a>, Malformed> {
        let plain = &mut self.reader.plain;
        let key = Key(plain.u128()?);
        let order_ms = plain.int()?;
        let time_ms = order_ms.wrapping_add(plain.int()?);
        let kind = event_kind(plain)?;
        let flags = plain.u8()?;
        let outcome = match flags & 3 {
            0 => Outcome::Success,
            1 => Outcome::Failure,
            _ => Outcome::Unknown,
        };
        let id = Cow::Borrowed(plain.str()?);
        let account = Account::canonical(plain.str()?).map_err(|_| plain.malformed("a canonical account"))?;
        let product = Cow::Borrowed(plain.str()?);
        let (source_ip, vpn_ip) = (plain.ip()?, plain.ip()?);
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
            product,
        };
        read_details(plain, &mut event)?;
        Ok(Head {
            event,
            key,
            order_ms,
            time_suspect: flags & 8 != 0,
            place: if self.reader.plain.bool()? {
                Some(self.reader.place_number()?)
            } else {
                None
            },
            network: self.reader.network_number()?,
            claim: self.reader.claim_number()?,
            travel: if self.reader.plain.bool()? {
                Some(self.reader.travel_number()?)
            } else {
                None
            },
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

fn read_details<'a>(reader: &mut Reader<'a>, event: &mut Event<'a>) -> Result<(), Malformed> {
    let mask = reader.u16()?;
    if mask & HAS_DEVICE != 0 {
        event.device = Some(Device {
            id: Cow::Borrowed(reader.str()?),
            hostname: reader.opt_str()?.map(Cow::Borrowed),
            managed: match reader.u8()? {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            },
            fingerprint: reader.bool()?,
        });
    }
    if mask & HAS_SESSION != 0 {
        event.session = Some(Cow::Borrowed(reader.str()?));
    }
    if mask & HAS_APP != 0 {
        event.app = Some(Cow::Borrowed(reader.str()?));
    }
    if mask & HAS_MFA != 0 {
        event.mfa = Some(Mfa {
            used: reader.bool()?,
            method: reader.opt_str()?.map(Cow::Borrowed),
            factor: reader.opt_str()?.map(Cow::Borrowed),
        });
    }
    if mask & HAS_USER_AGENT != 0 {
        event.user_agent = Some(Cow::Borrowed(reader.str()?));
    }
    if mask & HAS_ANONYMIZER != 0 {
        event.anonymizer = Some(Cow::Borrowed(reader.str()?));
    }
    if mask & HAS_TOOL != 0 {
        event.tool = Some(Tool {
            name: Cow::Borrowed(reader.str()?),
            kind: tool_kind(reader)?,
            indicator: reader.opt_str()?.map(Cow::Borrowed),
            unattended: reader.bool()?,
        });
    }
    if mask & HAS_PERIPHERAL != 0 {
        event.peripheral = Some(read_peripheral(reader)?);
    }
    Ok(())
}

fn tool_kind(reader: &mut Reader<'_>) -> Result<ToolKind, Malformed> {
    crate::window::account_codec::tool_kind(reader)
}

fn read_peripheral<'a>(reader: &mut Reader<'a>) -> Result<Peripheral<'a>, Malformed> {
    let id = |reader: &mut Reader<'a>| -> Result<Option<u16>, Malformed> {
        let code = reader.uint_below(u64::from(u16::MAX) + 1, "a USB id")?;
        Ok(code.checked_sub(1).and_then(|id| u16::try_from(id).ok()))
    };
    let (vendor_id, product_id) = (id(reader)?, id(reader)?);
    let manufacturer = reader.opt_str()?.map(Cow::Borrowed);
    let product = reader.opt_str()?.map(Cow::Borrowed);
    let serial = reader.opt_str()?.map(Cow::Borrowed);
    let shown = reader.u8()?;
    let edid = if reader.bool()? {
        Some(Edid {
            manufacturer: reader.opt_str()?.map(Cow::Borrowed),
            model: reader.opt_str()?.map(Cow::Borrowed),
            serial: reader.opt_str()?.map(Cow::Borrowed),
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
