//! The window of a shared thing as bytes of a checkpoint chunk.

use super::account_codec::{items, list};
use super::entity::{EntityFacts, StoredTie, Story};
use super::episode::Episodes;
use super::few::Few;
use super::shared::{SharedReader, SharedWriter};
use crate::model::codec::Malformed;

impl EntityFacts {
    /// Appends the window.
    pub fn write(&self, writer: &mut SharedWriter) {
        writer.plain.int(self.last_append_ms);
        list(writer, &self.ties, |writer, tie| {
            writer.plain.int(tie.first_ms);
            writer.plain.int(tie.last_ms);
            writer.plain.uint(tie.told.len() as u64);
            writer.plain.raw(&tie.told);
        });
        let story = self.story();
        let is_any = story.overflow > 0
            || !(story.episodes.is_empty() && story.withheld.is_empty() && story.taken_offers.is_empty());
        writer.plain.bool(is_any);
        if is_any {
            write_story(writer, story);
        }
    }

    /// Reads a window.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are no window.
    pub fn read(reader: &mut SharedReader<'_, '_>) -> Result<Self, Malformed> {
        Ok(Self {
            last_append_ms: reader.plain.int()?,
            ties: Few::from(items(reader, |reader| {
                let (first_ms, last_ms) = (reader.plain.int()?, reader.plain.int()?);
                let told = reader.plain.bytes()?;
                let start = reader.plain.at() - told.len();
                StoredTie::new(first_ms, last_ms, told).map_err(|error| Malformed {
                    at: start + error.at,
                    ..error
                })
            })?),
            story: if reader.plain.bool()? {
                Some(Box::new(read_story(reader)?))
            } else {
                None
            },
        })
    }
}

fn write_story(writer: &mut SharedWriter, story: &Story) {
    writer.plain.uint(story.overflow);
    story.episodes.write(&mut writer.plain);
    list(writer, &story.withheld, |writer, (alert, since_ms)| {
        writer.plain.u128(*alert);
        writer.plain.int(*since_ms);
    });
    list(writer, &story.taken_offers, |writer, alert| writer.plain.u128(*alert));
}

fn read_story(reader: &mut SharedReader<'_, '_>) -> Result<Story, Malformed> {
    Ok(Story {
        overflow: reader.plain.uint()?,
        episodes: Episodes::read(&mut reader.plain)?,
        withheld: items(reader, |reader| Ok((reader.plain.u128()?, reader.plain.int()?)))?,
        taken_offers: items(reader, |reader| reader.plain.u128())?,
    })
}
