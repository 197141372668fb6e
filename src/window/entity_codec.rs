//! The window of a shared thing as bytes of a checkpoint chunk.

use super::account_codec::{items, list};
use super::entity::{EntityFacts, Latest, Tie};
use super::episode::Episodes;
use super::event_id::EventId;
use super::intern::write_link_place;
use super::shared::{SharedReader, SharedWriter};
use crate::model::codec::{Malformed, Reader};
use crate::model::{AccountSummary, EntityKind, LinkClaim, LinkPlace};

impl EntityFacts {
    /// Appends the window.
    pub fn write(&self, writer: &mut SharedWriter) {
        writer.plain.u8(self.kind as u8);
        writer.plain.str(&self.name);
        writer.plain.int(self.last_append_ms);
        writer.plain.uint(self.overflow);
        list(writer, &self.ties, write_tie);
        self.episodes.write(&mut writer.plain);
        list(writer, &self.withheld, |writer, (alert, since_ms)| {
            writer.plain.u128(*alert);
            writer.plain.int(*since_ms);
        });
        list(writer, &self.taken_offers, |writer, alert| writer.plain.u128(*alert));
    }

    /// Reads a window.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are no window.
    pub fn read(reader: &mut SharedReader<'_, '_>) -> Result<Self, Malformed> {
        let kind = match reader.plain.u8()? {
            b'd' => EntityKind::Device,
            b'n' => EntityKind::Network,
            b'f' => EntityKind::Factor,
            _ => return Err(reader.plain.malformed("the kind of a shared thing")),
        };
        Ok(Self {
            kind,
            name: reader.plain.str()?.into(),
            last_append_ms: reader.plain.int()?,
            overflow: reader.plain.uint()?,
            ties: items(reader, read_tie)?,
            episodes: Episodes::read(&mut reader.plain)?,
            withheld: items(reader, |reader| Ok((reader.plain.u128()?, reader.plain.int()?)))?,
            taken_offers: items(reader, |reader| reader.plain.u128())?,
        })
    }
}

fn write_tie(writer: &mut SharedWriter, tie: &Tie) {
    writer.plain.int(tie.first_ms);
    writer.plain.int(tie.last_ms);
    list(writer, &tie.companions, |writer, companion| writer.plain.str(companion));
    let latest = &tie.latest;
    writer.plain.str(&latest.account);
    latest.event_id.write(&mut writer.plain);
    writer.plain.str(&latest.product);
    writer.plain.ip(latest.address);
    writer.plain.str(&latest.device);
    writer.plain.bool(latest.fingerprint);
    writer.network(&latest.network);
    writer.plain.bool(latest.place.is_some());
    if let Some(place) = &latest.place {
        write_link_place(place, &mut writer.plain);
    }
    // Claims and summaries are small and already have an encoding: the JSON they arrived in.
    writer
        .plain
        .str(&serde_json::to_string(&latest.claim).unwrap_or_default());
    writer
        .plain
        .str(&serde_json::to_string(&latest.account_facts).unwrap_or_default());
}

fn read_tie(reader: &mut SharedReader<'_, '_>) -> Result<Tie, Malformed> {
    Ok(Tie {
        first_ms: reader.plain.int()?,
        last_ms: reader.plain.int()?,
        companions: items(reader, |reader| reader.plain.str().map(Into::into))?,
        latest: Latest {
            account: reader.plain.str()?.into(),
            event_id: EventId::read(&mut reader.plain)?,
            product: reader.plain.str()?.into(),
            address: reader.plain.ip()?,
            device: reader.plain.str()?.into(),
            fingerprint: reader.plain.bool()?,
            network: reader.network()?,
            place: if reader.plain.bool()? {
                let place = read_link_place(&mut reader.plain)?;
                Some(reader.interner().link_place(&place))
            } else {
                None
            },
            claim: {
                let claim = serde_json::from_str::<LinkClaim<'_>>(reader.plain.str()?);
                let claim = claim.map_err(|_| reader.plain.malformed("a claim as JSON"))?;
                Box::new(claim.to_owned())
            },
            account_facts: {
                let summary = serde_json::from_str::<AccountSummary<'_>>(reader.plain.str()?);
                let summary = summary.map_err(|_| reader.plain.malformed("a summary as JSON"))?;
                summary.to_owned()
            },
        },
    })
}

fn read_link_place<'a>(plain: &mut Reader<'a>) -> Result<LinkPlace<'a>, Malformed> {
    Ok(LinkPlace {
        label: plain.str()?.into(),
        city: plain.str()?.into(),
        region: plain.str()?.into(),
        country: plain.str()?.into(),
        latitude: plain.f64()?,
        longitude: plain.f64()?,
        radius_km: plain.u16()?,
    })
}
