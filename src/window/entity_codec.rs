//! The window of a shared thing as bytes of a checkpoint chunk.

use std::sync::Arc;

use super::account_codec::{items, list};
use super::entity::{EntityFacts, Tie};
use super::episode::Episodes;
use super::shared::{SharedReader, SharedWriter};
use crate::model::codec::Malformed;
use crate::model::{EntityKind, Link};

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
    // A link is small, rare and already has one encoding: the JSON it arrived in.
    let link = serde_json::to_string(&*tie.latest).unwrap_or_default();
    writer.plain.str(&link);
}

fn read_tie(reader: &mut SharedReader<'_, '_>) -> Result<Tie, Malformed> {
    Ok(Tie {
        first_ms: reader.plain.int()?,
        last_ms: reader.plain.int()?,
        companions: items(reader, |reader| reader.plain.str().map(Into::into))?,
        latest: {
            let link = reader.plain.str()?;
            let link = serde_json::from_str::<Link>(link);
            Arc::new(link.map_err(|_| reader.plain.malformed("a link as JSON"))?)
        },
    })
}
