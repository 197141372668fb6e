//! The account window as bytes of a checkpoint chunk.

use super::account::{AccountFacts, DeviceFact, NetworkFact, Told};
use super::days::Days;
use super::episode::Episodes;
use super::origin::{Origin, OriginId};
use super::rare::{PeripheralFact, Rare, RdpFact, SessionFact, ToolFact};
use super::recent_ids::RecentIds;
use super::shared::{SharedReader, SharedWriter};
use super::texts::{TextId, Texts};
use super::visits::{Visit, Visits};
use crate::model::ToolKind;
use crate::model::codec::{Malformed, Reader};
use crate::model::event_id::EventId;

impl AccountFacts {
    /// Appends the window.
    pub fn write(&self, writer: &mut SharedWriter) {
        writer.plain.int(self.last_append_ms);
        writer.plain.uint(u64::from(self.news));
        for days in [&self.located, &self.near, &self.away] {
            days.write(&mut writer.plain);
        }
        let texts = &self.texts;
        list(writer, &self.networks, |writer, fact| {
            write_network(writer, fact, texts);
        });
        list(writer, self.visits.as_slice(), |writer, visit| {
            write_visit(writer, visit, self);
        });
        list(writer, &self.devices, |writer, fact| write_device(writer, fact, texts));
        writer.plain.int(self.event_ids.since_ms());
        writer.plain.uint(u64::from(self.event_ids.older()));
        writer.plain.uint(self.event_ids.len() as u64);
        writer.plain.reserve(self.event_ids.len() * size_of::<u64>());
        for ids in self.event_ids.parts() {
            ids.iter().for_each(|id| writer.plain.raw(&id.to_le_bytes()));
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
        let mut texts = Texts::default();
        let mut facts = Self {
            last_append_ms: reader.plain.int()?,
            news: reader.plain.u32()?,
            located: Days::read(&mut reader.plain)?,
            near: Days::read(&mut reader.plain)?,
            away: Days::read(&mut reader.plain)?,
            networks: items(reader, |reader| read_network(reader, &mut texts))?,
            ..Self::default()
        };
        let mut named = Vec::new();
        let visits = items(reader, |reader| read_visit(reader, &mut texts, &mut facts, &mut named))?;
        facts = Self {
            visits: Visits::from_sorted(visits),
            devices: items(reader, |reader| read_device(reader, &mut texts))?.into(),
            event_ids: read_event_ids(reader)?,
            rare: if reader.plain.bool()? {
                Some(Box::new(read_rare(reader)?))
            } else {
                None
            },
            ..facts
        };
        facts.texts = texts;
        facts.oldest_ms = facts.find_oldest();
        Ok(facts)
    }
}

fn read_event_ids(reader: &mut SharedReader<'_, '_>) -> Result<RecentIds, Malformed> {
    let (since_ms, older) = (reader.plain.int()?, reader.plain.u32()?);
    #[expect(clippy::cast_sign_loss, reason = "the bits of a hash")]
    let ids = items(reader, |reader| Ok(reader.plain.i64()? as u64))?;
    Ok(RecentIds::from_oldest_first(ids, older, since_ms))
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

fn text(reader: &mut Reader<'_>, texts: &mut Texts) -> Result<TextId, Malformed> {
    reader.str().map(|text| texts.number(text))
}

fn write_visit(writer: &mut SharedWriter, visit: &Visit, facts: &AccountFacts) {
    writer.plain.int(visit.order_ms);
    visit.event_id.write(&mut writer.plain);
    writer.plain.str(facts.text(visit.product));
    write_origin(writer, facts.origin(visit.origin));
    writer.plain.str(facts.text(visit.device));
    writer.plain.bool(visit.mfa);
}

fn write_origin(writer: &mut SharedWriter, origin: &Origin) {
    writer.plain.ip(Some(origin.address));
    writer.network(&origin.network);
    writer.opt_place(origin.place.as_deref());
}

fn read_origin(reader: &mut SharedReader<'_, '_>) -> Result<Origin, Malformed> {
    Ok(Origin {
        address: reader.plain.ip()?.ok_or_else(|| reader.plain.malformed("an address"))?,
        network: reader.network()?,
        place: reader.opt_place()?,
    })
}

/// Reads a visit. Its origin is that of one of the account's networks, or becomes one of the others.
fn read_visit(
    reader: &mut SharedReader<'_, '_>,
    texts: &mut Texts,
    facts: &mut AccountFacts,
    named: &mut Vec<OriginId>,
) -> Result<Visit, Malformed> {
    Ok(Visit {
        order_ms: reader.plain.int()?,
        event_id: EventId::read(&mut reader.plain)?,
        product: text(&mut reader.plain, texts)?,
        origin: {
            let origin = read_origin(reader)?;
            let id = facts.number_origin(&origin, named);
            named.push(id);
            id
        },
        device: text(&mut reader.plain, texts)?,
        mfa: reader.plain.bool()?,
    })
}

fn write_network(writer: &mut SharedWriter, fact: &NetworkFact, texts: &Texts) {
    write_origin(writer, &fact.origin);
    fact.days.write(&mut writer.plain);
    fact.away.write(&mut writer.plain);
    writer.plain.int(fact.first_ms);
    writer.plain.int(fact.last_ms);
    writer.plain.str(texts.text(fact.device));
    fact.event_id.write(&mut writer.plain);
    writer.plain.str(texts.text(fact.product));
    write_told(writer, fact.told);
}

fn read_network(reader: &mut SharedReader<'_, '_>, texts: &mut Texts) -> Result<NetworkFact, Malformed> {
    let origin = read_origin(reader)?;
    let plain = &mut reader.plain;
    let (days, away) = (Days::read(plain)?, Days::read(plain)?);
    let (first_ms, last_ms) = (plain.int()?, plain.int()?);
    Ok(NetworkFact {
        origin,
        days,
        away,
        first_ms,
        last_ms,
        device: text(plain, texts)?,
        event_id: EventId::read(plain)?,
        product: text(plain, texts)?,
        told: read_told(plain)?,
    })
}

fn write_told(writer: &mut SharedWriter, told: Told) {
    writer.plain.int(told.append_ms);
    writer.plain.uint(u64::from(told.signature));
    writer.plain.uint(u64::from(told.news));
}

fn read_told(plain: &mut Reader<'_>) -> Result<Told, Malformed> {
    Ok(Told {
        append_ms: plain.int()?,
        signature: plain.u32()?,
        news: plain.u32()?,
    })
}

fn write_device(writer: &mut SharedWriter, fact: &DeviceFact, texts: &Texts) {
    writer.plain.str(texts.text(fact.id));
    writer.plain.bool(fact.fingerprint);
    fact.days.write(&mut writer.plain);
    writer.plain.int(fact.first_ms);
    writer.plain.int(fact.last_ms);
    write_told(writer, fact.told);
}

fn read_device(reader: &mut SharedReader<'_, '_>, texts: &mut Texts) -> Result<DeviceFact, Malformed> {
    let plain = &mut reader.plain;
    Ok(DeviceFact {
        id: text(plain, texts)?,
        fingerprint: plain.bool()?,
        days: Days::read(plain)?,
        first_ms: plain.int()?,
        last_ms: plain.int()?,
        told: read_told(plain)?,
    })
}

fn write_session(writer: &mut SharedWriter, fact: &SessionFact) {
    let plain = &mut writer.plain;
    plain.uint(fact.id);
    plain.int(fact.opened_ms);
    plain.int(fact.seen_ms);
    plain.bool(fact.closed_ms.is_some());
    if let Some(closed) = fact.closed_ms {
        plain.int(closed);
    }
    plain.ip(fact.address);
    plain.str(&fact.device);
    fact.event_id.write(plain);
    plain.str(&fact.product);
}

fn read_session(reader: &mut SharedReader<'_, '_>) -> Result<SessionFact, Malformed> {
    let plain = &mut reader.plain;
    Ok(SessionFact {
        id: plain.uint()?,
        opened_ms: plain.int()?,
        seen_ms: plain.int()?,
        closed_ms: if plain.bool()? { Some(plain.int()?) } else { None },
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
