//! The account window as bytes of a checkpoint chunk.

use super::account::{AccountFacts, DeviceFact, NetworkFact, PeripheralFact, RdpFact, SessionFact, Told, ToolFact};
use super::days::Days;
use super::episode::Episodes;
use super::recent_ids::RecentIds;
use super::shared::{SharedReader, SharedWriter};
use super::visits::{Visit, Visits};
use crate::model::ToolKind;
use crate::model::codec::{Malformed, Reader};

impl AccountFacts {
    /// Appends the window.
    pub fn write(&self, writer: &mut SharedWriter) {
        writer.plain.int(self.last_append_ms);
        writer.plain.uint(u64::from(self.news));
        for days in [&self.located, &self.near, &self.away] {
            days.write(&mut writer.plain);
        }
        list(writer, self.visits.as_slice(), write_visit);
        list(writer, &self.networks, write_network);
        list(writer, &self.devices, write_device);
        list(writer, &self.sessions, write_session);
        list(writer, &self.tools, write_tool);
        list(writer, &self.peripherals, write_peripheral);
        list(writer, &self.rdp_logons, write_rdp);
        self.episodes.write(&mut writer.plain);
        writer.plain.uint(self.event_ids.len() as u64);
        self.event_ids.iter().for_each(|id| writer.plain.uint(id));
    }

    /// Reads a window.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are no window.
    pub fn read(reader: &mut SharedReader<'_, '_>) -> Result<Self, Malformed> {
        let mut facts = Self {
            last_append_ms: reader.plain.int()?,
            news: reader.plain.u32()?,
            located: Days::read(&mut reader.plain)?,
            near: Days::read(&mut reader.plain)?,
            away: Days::read(&mut reader.plain)?,
            visits: Visits::from_sorted(items(reader, read_visit)?),
            networks: items(reader, read_network)?,
            devices: items(reader, read_device)?,
            sessions: items(reader, read_session)?,
            tools: items(reader, read_tool)?,
            peripherals: items(reader, read_peripheral)?,
            rdp_logons: items(reader, read_rdp)?,
            episodes: Episodes::read(&mut reader.plain)?,
            event_ids: RecentIds::from_oldest_first(items(reader, |reader| reader.plain.uint())?),
            ..Self::default()
        };
        facts.oldest_ms = facts.find_oldest();
        Ok(facts)
    }
}

/// Appends a list with its length.
pub(super) fn list<T>(writer: &mut SharedWriter, list: &[T], write: impl Fn(&mut SharedWriter, &T)) {
    writer.plain.uint(list.len() as u64);
    list.iter().for_each(|item| write(writer, item));
}

/// Reads a list.
pub(super) fn items<'a, 'i, T>(
    reader: &mut SharedReader<'a, 'i>,
    read: impl Fn(&mut SharedReader<'a, 'i>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = reader.plain.count()?;
    (0..count).map(|_| read(reader)).collect()
}

fn boxed(reader: &mut Reader<'_>) -> Result<Box<str>, Malformed> {
    reader.str().map(Into::into)
}

fn write_visit(writer: &mut SharedWriter, visit: &Visit) {
    writer.plain.int(visit.order_ms);
    writer.plain.uint(visit.id_hash);
    writer.plain.str(&visit.event_id);
    writer.plain.str(&visit.product);
    writer.place(&visit.place);
    writer.network(&visit.network);
    writer.plain.ip(Some(visit.address));
    writer.plain.str(&visit.device);
    writer.plain.bool(visit.mfa);
}

fn read_visit(reader: &mut SharedReader<'_, '_>) -> Result<Visit, Malformed> {
    Ok(Visit {
        order_ms: reader.plain.int()?,
        id_hash: reader.plain.uint()?,
        event_id: boxed(&mut reader.plain)?,
        product: boxed(&mut reader.plain)?,
        place: reader.place()?,
        network: reader.network()?,
        address: reader.plain.ip()?.ok_or_else(|| reader.plain.malformed("an address"))?,
        device: boxed(&mut reader.plain)?,
        mfa: reader.plain.bool()?,
    })
}

fn write_network(writer: &mut SharedWriter, fact: &NetworkFact) {
    writer.plain.ip(Some(fact.address));
    writer.network(&fact.network);
    writer.opt_place(fact.place.as_deref());
    fact.days.write(&mut writer.plain);
    fact.away.write(&mut writer.plain);
    writer.plain.int(fact.first_ms);
    writer.plain.int(fact.last_ms);
    for text in [&*fact.device, &*fact.event_id, &*fact.product] {
        writer.plain.str(text);
    }
    write_told(writer, fact.told);
}

fn read_network(reader: &mut SharedReader<'_, '_>) -> Result<NetworkFact, Malformed> {
    let address = reader.plain.ip()?.ok_or_else(|| reader.plain.malformed("an address"))?;
    let (network, place) = (reader.network()?, reader.opt_place()?);
    let plain = &mut reader.plain;
    let (days, away) = (Days::read(plain)?, Days::read(plain)?);
    let (first_ms, last_ms) = (plain.int()?, plain.int()?);
    Ok(NetworkFact {
        address,
        network,
        place,
        days,
        away,
        first_ms,
        last_ms,
        device: boxed(plain)?,
        event_id: plain.str()?.to_owned(),
        product: boxed(plain)?,
        told: read_told(plain)?,
    })
}

fn write_told(writer: &mut SharedWriter, told: Told) {
    writer.plain.int(told.append_ms);
    writer.plain.uint(told.signature);
    writer.plain.uint(u64::from(told.news));
}

fn read_told(plain: &mut Reader<'_>) -> Result<Told, Malformed> {
    Ok(Told {
        append_ms: plain.int()?,
        signature: plain.uint()?,
        news: plain.u32()?,
    })
}

fn write_device(writer: &mut SharedWriter, fact: &DeviceFact) {
    writer.plain.str(&fact.id);
    writer.plain.bool(fact.fingerprint);
    fact.days.write(&mut writer.plain);
    writer.plain.int(fact.first_ms);
    writer.plain.int(fact.last_ms);
    write_told(writer, fact.told);
}

fn read_device(reader: &mut SharedReader<'_, '_>) -> Result<DeviceFact, Malformed> {
    let plain = &mut reader.plain;
    Ok(DeviceFact {
        id: boxed(plain)?,
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
    for text in [&fact.device, &fact.event_id, &fact.product] {
        plain.str(text);
    }
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
        event_id: boxed(plain)?,
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
    plain.str(&fact.event_id);
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
        event_id: boxed(plain)?,
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
    for text in [
        &fact.device,
        &fact.name,
        &fact.usb_id,
        &fact.edid,
        &fact.event_id,
        &fact.product,
    ] {
        plain.str(text);
    }
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
        event_id: boxed(plain)?,
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
    for text in [&fact.device, &fact.event_id, &fact.product] {
        writer.plain.str(text);
    }
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
        event_id: boxed(plain)?,
        product: boxed(plain)?,
    })
}
