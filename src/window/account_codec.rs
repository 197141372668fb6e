//! The account window as bytes of a checkpoint chunk.

use std::sync::Arc;

use super::account::{AccountFacts, DeviceFact, NetworkFact, Told};
use super::block::ITEMS_MAX;
use super::days::Days;
use super::episode::Episodes;
use super::intern::Interner;
use super::moment::Moment;
use super::origin::{Address, Origin};
use super::rare::{PeripheralFact, Rare, RdpFact, SessionFact, ToolFact};
use super::recent_ids::Id;
use super::shared::{SharedReader, SharedWriter};
use super::texts::TextId;
use super::visits::Visit;
use crate::model::codec::{Malformed, Reader};
use crate::model::event_id::EventId;
use crate::model::{Network, ToolKind};

impl AccountFacts {
    /// Appends the window. `shared` has the values that it names.
    pub fn write(&self, shared: &Interner, writer: &mut SharedWriter) {
        let head = self.block.head();
        writer.plain.int(head.last_append.ms());
        writer.plain.uint(u64::from(head.news));
        for days in [head.located, head.near, head.away] {
            days.write(&mut writer.plain);
        }
        list(writer, self.networks(), |writer, fact| {
            self.write_network(shared, writer, fact);
        });
        list(writer, self.visits(), |writer, visit| {
            self.write_visit(shared, writer, visit);
        });
        list(writer, self.devices(), |writer, fact| self.write_device(writer, fact));
        writer.plain.int(head.ids_since.ms());
        writer.plain.uint(u64::from(head.ids_older));
        writer.plain.uint(self.event_ids() as u64);
        writer.plain.reserve(self.event_ids() * size_of::<u64>());
        for id in self.block.ids() {
            writer.plain.raw(&id.bits().to_le_bytes());
        }
        writer.plain.bool(!self.rare().is_empty());
        if !self.rare().is_empty() {
            write_rare(writer, self.rare());
        }
    }

    /// Reads a window.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are no window.
    pub fn read(reader: &mut SharedReader<'_, '_>) -> Result<Self, Malformed> {
        let mut facts = Self::default();
        let head = facts.block.head_mut();
        head.last_append = moment(&mut reader.plain)?;
        head.news = read_news(&mut reader.plain)?;
        head.located = Days::read(&mut reader.plain)?;
        head.near = Days::read(&mut reader.plain)?;
        head.away = Days::read(&mut reader.plain)?;
        for _ in 0..count(reader)? {
            let network = facts.read_network(reader)?;
            facts.block.push(&network);
        }
        for _ in 0..count(reader)? {
            let visit = facts.read_visit(reader)?;
            facts.block.push(&visit);
        }
        for _ in 0..count(reader)? {
            let device = facts.read_device(reader)?;
            facts.block.push(&device);
        }
        facts.read_event_ids(reader)?;
        if reader.plain.bool()? {
            facts.rare = Some(Box::new(read_rare(reader)?));
        }
        facts.block.head_mut().oldest = facts.find_oldest();
        facts.block.give_room_back();
        Ok(facts)
    }

    fn read_event_ids(&mut self, reader: &mut SharedReader<'_, '_>) -> Result<(), Malformed> {
        let (since, older) = (moment(&mut reader.plain)?, reader.plain.u32()?);
        let count = reader.plain.count()?;
        // A program that kept more may have written them: the latest are kept.
        let too_many = count.saturating_sub(ITEMS_MAX);
        for index in 0..count {
            let id = Id::of(reader.plain.i64()?.cast_unsigned());
            if index >= too_many {
                self.block.push_id(id);
            }
        }
        let older = usize::try_from(older).unwrap_or(usize::MAX).saturating_sub(too_many);
        let head = self.block.head_mut();
        head.ids_since = since;
        head.ids_older = u16::try_from(older).unwrap_or(u16::MAX);
        Ok(())
    }

    fn write_network(&self, shared: &Interner, writer: &mut SharedWriter, fact: &NetworkFact) {
        write_origin(shared, writer, fact.origin());
        fact.days.write(&mut writer.plain);
        fact.away.write(&mut writer.plain);
        writer.plain.int(fact.first.ms());
        writer.plain.int(fact.last.ms());
        writer.plain.str(self.text(fact.device));
        self.event_id(fact.event_id, fact.packing).write(&mut writer.plain);
        writer.plain.str(self.text(fact.product));
        write_told(writer, fact.told);
    }

    fn read_network(&mut self, reader: &mut SharedReader<'_, '_>) -> Result<NetworkFact, Malformed> {
        let (origin, network) = read_origin(reader)?;
        let plain = &mut reader.plain;
        let (days, away) = (Days::read(plain)?, Days::read(plain)?);
        let (first, last) = (moment(plain)?, moment(plain)?);
        let device = self.read_text(plain)?;
        let (event_id, packing) = self.block.short_id(&EventId::read(plain)?);
        Ok(NetworkFact {
            days,
            away,
            first,
            last,
            device,
            event_id,
            packing,
            product: self.read_text(plain)?,
            told: read_told(plain)?,
            ..NetworkFact::new(origin, network.class.is_shared_by_design())
        })
    }

    fn write_visit(&self, shared: &Interner, writer: &mut SharedWriter, visit: &Visit) {
        writer.plain.int(visit.at.ms());
        self.event_id(visit.event_id, visit.packing).write(&mut writer.plain);
        writer.plain.str(self.text(visit.product));
        write_origin(shared, writer, self.origin(visit.origin));
        writer.plain.str(self.text(visit.device));
        writer.plain.bool(visit.mfa != 0);
    }

    /// Reads a visit. Its origin is that of one of the account's networks, or becomes one of the others.
    fn read_visit(&mut self, reader: &mut SharedReader<'_, '_>) -> Result<Visit, Malformed> {
        let at = moment(&mut reader.plain)?;
        let (event_id, packing) = self.block.short_id(&EventId::read(&mut reader.plain)?);
        let product = self.read_text(&mut reader.plain)?;
        let (origin, _) = read_origin(reader)?;
        Ok(Visit {
            at,
            event_id,
            packing,
            product,
            origin: self.number_origin(origin),
            device: self.read_text(&mut reader.plain)?,
            mfa: reader.plain.bool()?.into(),
        })
    }

    fn write_device(&self, writer: &mut SharedWriter, fact: &DeviceFact) {
        writer.plain.str(self.text(fact.id));
        writer.plain.bool(fact.is_fingerprint());
        fact.days.write(&mut writer.plain);
        writer.plain.int(fact.first.ms());
        writer.plain.int(fact.last.ms());
        write_told(writer, fact.told);
    }

    fn read_device(&mut self, reader: &mut SharedReader<'_, '_>) -> Result<DeviceFact, Malformed> {
        let plain = &mut reader.plain;
        let (id, is_fingerprint) = (self.read_text(plain)?, plain.bool()?);
        Ok(DeviceFact {
            days: Days::read(plain)?,
            first: moment(plain)?,
            last: moment(plain)?,
            told: read_told(plain)?,
            ..DeviceFact::new(id, is_fingerprint, Moment::FIRST)
        })
    }

    fn read_text(&mut self, reader: &mut Reader<'_>) -> Result<TextId, Malformed> {
        reader.str().map(|text| self.block.number_text(text))
    }
}

/// How many items follow: no more than a list of a window may have.
fn count(reader: &mut SharedReader<'_, '_>) -> Result<usize, Malformed> {
    let count = reader.plain.count()?;
    if count > ITEMS_MAX {
        return Err(reader.plain.malformed("a list of at most 65,535 items"));
    }
    Ok(count)
}

fn write_rare(writer: &mut SharedWriter, rare: &Rare) {
    list(writer, &rare.sessions, write_session);
    list(writer, &rare.tools, write_tool);
    list(writer, &rare.peripherals, write_peripheral);
    list(writer, &rare.rdp_logons, write_rdp);
    rare.episodes.write(&mut writer.plain);
}

fn read_rare(reader: &mut SharedReader<'_, '_>) -> Result<Rare, Malformed> {
    Ok(Rare {
        sessions: items(reader, read_session)?,
        tools: items(reader, read_tool)?,
        peripherals: items(reader, read_peripheral)?,
        rdp_logons: items(reader, read_rdp)?,
        episodes: Episodes::read(&mut reader.plain)?,
    })
}

/// Appends a list with its length.
pub(super) fn list<T>(writer: &mut SharedWriter, list: &[T], write: impl Fn(&mut SharedWriter, &T)) {
    writer.plain.uint(list.len() as u64);
    list.iter().for_each(|item| write(writer, item));
}

/// Reads a list.
pub(super) fn items<'a, 'i, T>(
    reader: &mut SharedReader<'a, 'i>,
    mut read: impl FnMut(&mut SharedReader<'a, 'i>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = reader.plain.count()?;
    let mut list = Vec::new();
    // Room for what is there and no more; a count that lies is found out before much is taken.
    list.reserve_exact(count.min(256));
    for _ in 0..count {
        list.push(read(reader)?);
    }
    Ok(list)
}

fn boxed(reader: &mut Reader<'_>) -> Result<Box<str>, Malformed> {
    reader.str().map(Into::into)
}

fn write_origin(shared: &Interner, writer: &mut SharedWriter, origin: Origin) {
    let spot = shared.spots.get(origin.spot);
    writer.plain.ip(Some(origin.address.ip()));
    writer.network(&spot.network);
    writer.opt_place(spot.place.as_deref());
}

fn read_origin(reader: &mut SharedReader<'_, '_>) -> Result<(Origin, Arc<Network>), Malformed> {
    let address = reader.plain.ip()?.ok_or_else(|| reader.plain.malformed("an address"))?;
    let (network, place) = (reader.network()?, reader.opt_place()?);
    let spot = reader.spots().number(&network, place.as_ref());
    Ok((Origin::new(Address::of(address), spot), network))
}

fn moment(reader: &mut Reader<'_>) -> Result<Moment, Malformed> {
    reader.int().map(Moment::of)
}

fn write_told(writer: &mut SharedWriter, told: Told) {
    writer.plain.int(told.append_ms());
    writer.plain.uint(u64::from(told.signature));
    writer.plain.uint(u64::from(told.news));
}

fn read_told(plain: &mut Reader<'_>) -> Result<Told, Malformed> {
    let (append_ms, signature, news) = (plain.int()?, plain.u32()?, read_news(plain)?);
    Ok(match append_ms {
        ..=0 => Told::NEVER.as_of(news),
        _ => Told::at(append_ms, signature, news),
    })
}

/// A count of news, of which other releases kept more bits.
#[allow(clippy::cast_possible_truncation, reason = "the count goes round")]
fn read_news(plain: &mut Reader<'_>) -> Result<u16, Malformed> {
    plain.u32().map(|news| news as u16)
}

const IS_CLOSED: u8 = 1;
/// Its address was seen later than it was opened: behind the close stands when. A build before this one had none.
const HAS_MOVED: u8 = 1 << 1;

fn write_session(writer: &mut SharedWriter, fact: &SessionFact) {
    let plain = &mut writer.plain;
    plain.uint(fact.id);
    plain.int(fact.opened_ms);
    plain.int(fact.seen_ms);
    let has_moved = fact.address_ms != fact.opened_ms;
    plain.u8((u8::from(fact.closed_ms.is_some()) * IS_CLOSED) | (u8::from(has_moved) * HAS_MOVED));
    if let Some(closed) = fact.closed_ms {
        plain.int(closed);
    }
    if has_moved {
        plain.int(fact.address_ms);
    }
    plain.ip(fact.address);
    plain.str(&fact.device);
    fact.event_id.write(plain);
    plain.str(&fact.product);
}

fn read_session(reader: &mut SharedReader<'_, '_>) -> Result<SessionFact, Malformed> {
    let plain = &mut reader.plain;
    let (id, opened_ms, seen_ms, mask) = (plain.uint()?, plain.int()?, plain.int()?, plain.u8()?);
    if mask > IS_CLOSED | HAS_MOVED {
        return Err(plain.malformed("whether a session is closed"));
    }
    Ok(SessionFact {
        id,
        opened_ms,
        seen_ms,
        closed_ms: if mask & IS_CLOSED != 0 {
            Some(plain.int()?)
        } else {
            None
        },
        address_ms: if mask & HAS_MOVED != 0 { plain.int()? } else { opened_ms },
        address: plain.ip()?,
        device: boxed(plain)?,
        event_id: EventId::read(plain)?,
        product: boxed(plain)?,
    })
}

fn write_tool(writer: &mut SharedWriter, fact: &ToolFact) {
    let plain = &mut writer.plain;
    plain.str(&fact.name);
    plain.u8(fact.kind as u8);
    plain.str(&fact.device);
    plain.bool(fact.unattended);
    fact.days.write(plain);
    plain.int(fact.first_ms);
    plain.int(fact.last_ms);
    fact.event_id.write(plain);
    plain.str(&fact.product);
}

fn read_tool(reader: &mut SharedReader<'_, '_>) -> Result<ToolFact, Malformed> {
    let plain = &mut reader.plain;
    Ok(ToolFact {
        name: boxed(plain)?,
        kind: tool_kind(plain)?,
        device: boxed(plain)?,
        unattended: plain.bool()?,
        days: Days::read(plain)?,
        first_ms: plain.int()?,
        last_ms: plain.int()?,
        event_id: EventId::read(plain)?,
        product: boxed(plain)?,
    })
}

/// Reads the kind of a tool.
///
/// # Errors
/// [`Malformed`] if the code is unknown.
pub fn tool_kind(reader: &mut Reader<'_>) -> Result<ToolKind, Malformed> {
    match reader.u8()? {
        0 => Ok(ToolKind::RemoteAccess),
        1 => Ok(ToolKind::VpnClient),
        2 => Ok(ToolKind::DevTunnel),
        3 => Ok(ToolKind::Jiggler),
        4 => Ok(ToolKind::Kvm),
        _ => Err(reader.malformed("a tool kind from 0 to 4")),
    }
}

fn write_peripheral(writer: &mut SharedWriter, fact: &PeripheralFact) {
    let plain = &mut writer.plain;
    for text in [&fact.device, &fact.name, &fact.usb_id, &fact.edid] {
        plain.str(text);
    }
    fact.event_id.write(plain);
    plain.str(&fact.product);
    for shown in [fact.keyboard, fact.mouse, fact.storage] {
        plain.bool(shown);
    }
    plain.int(fact.time_ms);
}

fn read_peripheral(reader: &mut SharedReader<'_, '_>) -> Result<PeripheralFact, Malformed> {
    let plain = &mut reader.plain;
    Ok(PeripheralFact {
        device: boxed(plain)?,
        name: boxed(plain)?,
        usb_id: boxed(plain)?,
        edid: boxed(plain)?,
        event_id: EventId::read(plain)?,
        product: boxed(plain)?,
        keyboard: plain.bool()?,
        mouse: plain.bool()?,
        storage: plain.bool()?,
        time_ms: plain.int()?,
    })
}

fn write_rdp(writer: &mut SharedWriter, fact: &RdpFact) {
    writer.network(&fact.network);
    writer.opt_place(fact.place.as_deref());
    writer.plain.int(fact.time_ms);
    writer.plain.ip(fact.address);
    writer.plain.str(&fact.device);
    fact.event_id.write(&mut writer.plain);
    writer.plain.str(&fact.product);
}

fn read_rdp(reader: &mut SharedReader<'_, '_>) -> Result<RdpFact, Malformed> {
    let (network, place) = (reader.network()?, reader.opt_place()?);
    let plain = &mut reader.plain;
    Ok(RdpFact {
        network,
        place,
        time_ms: plain.int()?,
        address: plain.ip()?,
        device: boxed(plain)?,
        event_id: EventId::read(plain)?,
        product: boxed(plain)?,
    })
}
