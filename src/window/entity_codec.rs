//! The window of a shared thing as bytes of a checkpoint chunk.

use super::account_codec::{items, list};
use super::entity::{EntityFacts, StoredTie};
use super::episode::Episodes;
use super::few::Few;
use super::shared::{SharedReader, SharedWriter};
use super::story::{Story, Withheld};
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
        writer.plain.u8(match is_any {
            false => NO_STORY,
            true if story.withheld.iter().any(|known| known.finding.is_some()) => STORY_WITH_FINDINGS,
            true => STORY,
        });
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
            story: match reader.plain.u8()? {
                NO_STORY => None,
                STORY => Some(Box::new(read_story(reader)?)),
                STORY_WITH_FINDINGS => {
                    let mut story = read_story(reader)?;
                    read_findings(reader, &mut story)?;
                    Some(Box::new(story))
                }
                _ => return Err(reader.plain.malformed("whether a story follows")),
            },
        })
    }
}

/// What follows the ties. A release that did not keep findings that wait wrote the first two.
const NO_STORY: u8 = 0;
const STORY: u8 = 1;
const STORY_WITH_FINDINGS: u8 = 2;

fn write_story(writer: &mut SharedWriter, story: &Story) {
    writer.plain.uint(story.overflow);
    story.episodes.write(&mut writer.plain);
    list(writer, &story.withheld, |writer, known| {
        writer.plain.u128(known.alert);
        writer.plain.int(known.since_ms);
    });
    list(writer, &story.taken_offers, |writer, alert| writer.plain.u128(*alert));
    if story.withheld.iter().any(|known| known.finding.is_some()) {
        for known in &story.withheld {
            // Text, numbers and lists cannot fail to serialize.
            let finding = known.finding.as_ref().map(serde_json::to_string);
            writer.plain.str(&finding.and_then(Result::ok).unwrap_or_default());
        }
    }
}

fn read_story(reader: &mut SharedReader<'_, '_>) -> Result<Story, Malformed> {
    Ok(Story {
        overflow: reader.plain.uint()?,
        episodes: Episodes::read(&mut reader.plain)?,
        withheld: items(reader, |reader| {
            Ok(Withheld {
                alert: reader.plain.u128()?,
                since_ms: reader.plain.int()?,
                finding: None,
            })
        })?,
        taken_offers: items(reader, |reader| reader.plain.u128())?,
    })
}

/// The findings that wait, as JSON, empty where there is none.
fn read_findings(reader: &mut SharedReader<'_, '_>, story: &mut Story) -> Result<(), Malformed> {
    for known in &mut story.withheld {
        let json = reader.plain.str()?;
        if !json.is_empty() {
            let finding = serde_json::from_str(json);
            known.finding = Some(finding.map_err(|_| reader.plain.malformed("a finding as JSON"))?);
        }
    }
    Ok(())
}
