//! Packed observations: many observations in one record of the `observations` topic.
//!
//! ```text
//! version │ clock │ count │ length of texts │ data versions │ observation │ observation │ … │ texts
//! ```
//! The clock is the latest append time of the sources' records inside, never later than the wall clock of intake: the only
//! time that may expire state. It travels in the record, because a backlog is re-keyed long after it was appended.
//! A place, a network or the terms of a claim are written where they first occur and by number afterwards. All texts
//! stand together at the end, so that they are checked to be UTF-8 in one go; an observation holds their lengths only.
//! What many events say alike, a browser or an application, stands among them once, and so does the domain of accounts. Ids
//! of events stand in half the bytes of their text, and keys of accounts are hashed anew from their names: nothing else in an
//! observation is as long and as hard to compress. So a record is sent as it is. Producing a Kafka message costs microseconds
//! and folding an observation a fraction of one, hence hundreds to a record.

use std::net::IpAddr;

use super::packed_texts::TextWriter;
use crate::model::claim::DeviceIds;
use crate::model::codec::Writer;
use crate::model::dictionary::Encoded;
use crate::model::event_id::EventId;
use crate::model::{Claim, Event, Peripheral, Travel};
use crate::window::shared::SharedWriter;

/// Version of the encoding.
pub const VERSION: u8 = 7;

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
    pub place: Option<&'a Encoded>,
    /// Its network.
    pub network: &'a Encoded,
    /// What HR says.
    pub claim: &'a Claim,
    /// Travel approved for the day.
    pub travel: Option<&'a Travel>,
}

/// Packs the observations of one partition, record after record. The room of one is used for the next.
#[derive(Debug)]
pub struct Packer {
    data_versions: String,
    /// Bytes of the record before.
    bytes_before: usize,
    writer: SharedWriter,
    texts: TextWriter,
    count: u32,
    clock_ms: i64,
    /// Of the observation before.
    order_ms: i64,
    /// Of the observation before, which most share.
    product: String,
    /// Of the account before, from its last `@` on: most share the domain of their company.
    domain: String,
    /// What was kept of each beside the record.
    beside: Vec<i64>,
}

/// Where the clock stands in a record: behind the version.
pub(super) const CLOCK: std::ops::Range<usize> = 1..9;
/// How many observations there are.
pub(super) const COUNT: std::ops::Range<usize> = 9..13;
/// Bytes of the texts at the end.
pub(super) const TEXTS: std::ops::Range<usize> = 13..17;

/// Bytes of most observations without their texts.
const OBSERVATION_BYTES: usize = 48;

impl Packer {
    /// Of observations placed with these builds of the data.
    #[must_use]
    pub fn new(data_versions: &str) -> Self {
        Self {
            data_versions: data_versions.to_owned(),
            bytes_before: 0,
            writer: SharedWriter::default(),
            texts: TextWriter::default(),
            count: 0,
            clock_ms: i64::MIN,
            order_ms: 0,
            product: String::new(),
            domain: String::new(),
            beside: Vec::new(),
        }
    }

    /// Begins a record.
    fn begin(&mut self) {
        let plain = &mut self.writer.plain;
        plain.reserve(self.bytes_before);
        plain.u8(VERSION);
        plain.raw(&[0; TEXTS.end - CLOCK.start]);
        plain.str(&self.data_versions);
        (self.clock_ms, self.order_ms) = (i64::MIN, 0);
        self.product.clear();
        self.domain.clear();
    }

    /// Keeps a number of the observation appended last beside the record.
    #[inline]
    pub fn keep(&mut self, beside: i64) {
        self.beside.push(beside);
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

    /// Appends one observation, from a source's record that was appended at `append_ms`: the clock moves there and never
    /// goes back.
    pub fn push(&mut self, event: &Event<'_>, append_ms: i64, order_ms: i64, time_suspect: bool, joined: Joined<'_>) {
        if self.is_empty() {
            self.begin();
        }
        self.clock_ms = self.clock_ms.max(append_ms);
        let is_same_product = self.product == event.product;
        let (name, other_domain) = match joined.account.strip_suffix(self.domain.as_str()) {
            Some(name) if !self.domain.is_empty() => (name, None),
            _ => self.other_domain(joined.account),
        };
        let mut writer = Texted {
            plain: &mut self.writer.plain,
            texts: &mut self.texts,
        };
        writer.plain.reserve(OBSERVATION_BYTES);
        writer.plain.int(order_ms.wrapping_sub(self.order_ms));
        writer.plain.int(event.time_ms.wrapping_sub(order_ms));
        writer
            .plain
            .u8(event.kind as u8 | (u8::from(other_domain.is_none()) * SAME_DOMAIN));
        writer.plain.u8(event.outcome as u8
            | u8::from(event.interactive) << 2
            | u8::from(time_suspect) << 3
            | u8::from(is_same_product) << 4
            | u8::from(joined.place.is_some()) << 5
            | u8::from(joined.travel.is_some()) << 6
            | u8::from(event.vpn_ip.is_some()) << 7);
        joined.id.write(writer.plain);
        writer.str(name);
        if let Some(domain) = other_domain {
            writer.shared(domain);
            domain.clone_into(&mut self.domain);
        }
        if !is_same_product {
            writer.str(&event.product);
            event.product.as_ref().clone_into(&mut self.product);
        }
        writer.plain.ip(joined.source_ip);
        if event.vpn_ip.is_some() {
            writer.plain.ip(event.vpn_ip);
        }
        write_details(&mut writer, event);
        if let Some(place) = joined.place {
            self.writer.place_entry(place);
        }
        self.writer.network_entry(joined.network);
        let claim = joined.claim;
        self.writer.terms(&claim.terms);
        let mut writer = Texted {
            plain: &mut self.writer.plain,
            texts: &mut self.texts,
        };
        write_own(&mut writer, claim);
        if let Some(travel) = joined.travel {
            self.writer.travel(travel);
        }
        self.order_ms = order_ms;
        self.count += 1;
    }

    /// An account's name without its domain, and that if it is not the one before.
    fn other_domain<'n>(&self, account: &'n str) -> (&'n str, Option<&'n str>) {
        let (name, domain) = account.split_at(account.rfind('@').unwrap_or(account.len()));
        (name, Some(domain).filter(|domain| *domain != self.domain))
    }

    /// The record, how many observations it holds, and what was kept beside. The next is empty.
    #[must_use]
    pub fn finish(&mut self) -> (Vec<u8>, u32, Vec<i64>) {
        if self.is_empty() {
            self.begin();
        }
        self.writer.plain.raw(self.texts.as_str().as_bytes());
        let mut bytes = self.writer.take();
        self.bytes_before = bytes.len();
        bytes[CLOCK].copy_from_slice(&self.clock_ms.to_le_bytes());
        bytes[COUNT].copy_from_slice(&self.count.to_le_bytes());
        let texts = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        bytes[TEXTS].copy_from_slice(&texts.to_le_bytes());
        self.texts.clear();
        (bytes, std::mem::take(&mut self.count), std::mem::take(&mut self.beside))
    }
}

/// Beside the kind of an event: its account has the domain of the one before.
pub(super) const SAME_DOMAIN: u8 = 1 << 4;

pub(super) const HAS_HIRE_DAY: u8 = 1;
pub(super) const HAS_DEVICES: u8 = 1 << 1;
pub(super) const HAS_MANY_DEVICES: u8 = 1 << 2;

/// What a claim has of its own. Devices that take much room stand once for all observations of the account.
fn write_own(writer: &mut Texted<'_>, claim: &Claim) {
    let has_hire_day = u8::from(claim.hire_day.is_some()) * HAS_HIRE_DAY;
    let devices = claim.devices.as_joined();
    let has_devices = match devices.len() {
        0 => 0,
        1..=DeviceIds::SHORT => HAS_DEVICES,
        _ => HAS_MANY_DEVICES,
    };
    writer.plain.u8(has_hire_day | has_devices);
    if let Some(day) = claim.hire_day {
        writer.plain.int(i64::from(day));
    }
    match has_devices {
        HAS_DEVICES => writer.str(devices),
        HAS_MANY_DEVICES => writer.shared(devices),
        _ => {}
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

pub(super) const HAS_DEVICE: u8 = 1;
pub(super) const HAS_SESSION: u8 = 1 << 1;
pub(super) const HAS_APP: u8 = 1 << 2;
pub(super) const HAS_MFA: u8 = 1 << 3;
pub(super) const HAS_USER_AGENT: u8 = 1 << 4;
pub(super) const HAS_ANONYMIZER: u8 = 1 << 5;
pub(super) const HAS_TOOL: u8 = 1 << 6;
pub(super) const HAS_PERIPHERAL: u8 = 1 << 7;

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
