//! Links as bytes of the `links` topic.
//!
//! ```text
//! record  = frame frame …
//! frame   = length │ version │ key of the thing │ kind │ name │ times │ data versions │ offer │ latest
//! latest  = account │ device │ network │ address │ flags │ event │ product │ claim │ place │ summary
//! ```
//! Frames stand by themselves, so a record is as many as fit. The window of the thing keeps `latest` as it came: it is
//! read again only where several accounts are compared.

use super::codec::{Malformed, Reader, Writer};
use super::event_id::EventId;
use super::link::{AccountSummary, EntityKind, Latest, Link, LinkClaim, LinkNetwork, LinkPlace, PackedLatest};
use super::{AccountKind, Key, NetworkClass};

/// Version of the encoding.
pub const VERSION: u8 = 1;

/// The frames of a record, as [`Link::write`] wrote them.
///
/// # Errors
/// [`Malformed`] if the record is no sequence of frames.
pub fn frames(record: &[u8]) -> Result<impl Iterator<Item = &[u8]>, Malformed> {
    let mut reader = Reader::new(record);
    let mut frames = Vec::new();
    while !reader.is_at_end() {
        let start = reader.at();
        reader.bytes()?;
        frames.push(&record[start..reader.at()]);
    }
    Ok(frames.into_iter())
}

impl Link<'_, Latest<'_>> {
    /// Appends the link as a frame of its own. `scratch` is emptied first; it saves an allocation.
    pub fn write(&self, key: Key, scratch: &mut Writer, frame: &mut Writer) {
        scratch.clear();
        scratch.u8(VERSION);
        scratch.u128(key.0);
        scratch.u8(self.entity_kind as u8);
        scratch.str(self.entity);
        scratch.int(self.time_ms);
        scratch.int(self.time_ms.wrapping_sub(self.first_ms));
        scratch.int(self.clock_ms.wrapping_sub(self.time_ms));
        scratch.str(self.data_versions);
        scratch.bool(self.offer.is_some());
        if let Some(offer) = &self.offer {
            // Text, numbers and lists cannot fail to serialize; no offer at all would be refused by the reader.
            scratch.str(&serde_json::to_string(offer).unwrap_or_default());
        }
        self.latest.write(scratch);
        frame.uint(scratch.len() as u64);
        frame.raw(scratch.as_bytes());
    }
}

impl<'a> Link<'a> {
    /// Reads the next frame of a record.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are no link.
    pub fn read(record: &mut Reader<'a>) -> Result<(Key, Self), Malformed> {
        let frame = record.bytes()?;
        let start = record.at() - frame.len();
        let mut reader = Reader::new(frame);
        Self::read_frame(&mut reader).map_err(|error| Malformed {
            at: start + error.at,
            ..error
        })
    }

    fn read_frame(reader: &mut Reader<'a>) -> Result<(Key, Self), Malformed> {
        if reader.u8()? != VERSION {
            return Err(reader.malformed("version 1 of a link: run the version that wrote it"));
        }
        let key = Key(reader.u128()?);
        let kind = EntityKind::from_code(reader.u8()?);
        let entity_kind = kind.ok_or_else(|| reader.malformed("the kind of a shared thing"))?;
        let entity = reader.str()?;
        let time_ms = reader.int()?;
        let first_ms = time_ms.wrapping_sub(reader.int()?);
        let clock_ms = time_ms.wrapping_add(reader.int()?);
        let data_versions = reader.str()?;
        let offer = if reader.bool()? {
            let offer = serde_json::from_str(reader.str()?);
            Some(Box::new(offer.map_err(|_| reader.malformed("an offer as JSON"))?))
        } else {
            None
        };
        let latest = PackedLatest::take(reader)?;
        if !reader.is_at_end() {
            return Err(reader.malformed("the end of the link"));
        }
        let link = Self {
            entity_kind,
            entity,
            first_ms,
            time_ms,
            clock_ms,
            data_versions,
            latest,
            offer,
        };
        Ok((key, link))
    }
}

impl<'a> PackedLatest<'a> {
    /// What [`Latest::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are something else.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Latest::from_bytes(bytes).map(|latest| Self::of(&latest, bytes))
    }

    fn of(latest: &Latest<'a>, bytes: &'a [u8]) -> Self {
        Self {
            account: latest.account,
            device: latest.device,
            class: latest.network.class,
            is_remarkable: latest.account_facts.is_remarkable(),
            bytes,
        }
    }

    fn take(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let rest = reader.rest();
        let start = reader.at();
        let latest = Latest::read(reader)?;
        let bytes = rest.get(..reader.at() - start).unwrap_or_default();
        Ok(Self::of(&latest, bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// All of it.
    #[must_use]
    pub fn read(&self) -> Latest<'a> {
        // The bytes were read once, so they can be read again.
        Latest::read(&mut Reader::new(self.bytes)).unwrap_or_default()
    }
}

const FINGERPRINT: u8 = 1;
const OWNS_DEVICE: u8 = 1 << 1;
const HAS_DEVICE: u8 = 1 << 2;
const HAS_POINT: u8 = 1 << 3;
const HAS_HIRE_DAY: u8 = 1 << 4;
const HAS_PLACE: u8 = 1 << 5;
const HAS_NAMES: u8 = 1 << 6;
/// A release before the one that wrote it refuses such a link, because it is longer than it knows.
const HAS_OPERATORS: u8 = 1 << 7;

impl<'a> Latest<'a> {
    /// Appends it.
    pub fn write(&self, writer: &mut Writer) {
        let summary = &self.account_facts;
        let names = [&summary.remote_tools, &summary.vpn_brands, &summary.kvm];
        let flags = [
            (FINGERPRINT, self.fingerprint),
            (OWNS_DEVICE, self.claim.owns_device),
            (HAS_DEVICE, self.claim.has_device),
            (HAS_POINT, self.claim.point.is_some()),
            (HAS_HIRE_DAY, self.claim.hire_day.is_some()),
            (HAS_PLACE, self.place.is_some()),
            (HAS_NAMES, names.iter().any(|list| !list.is_empty())),
            (HAS_OPERATORS, !summary.operators.is_empty()),
        ];
        writer.str(self.account);
        writer.str(self.device);
        writer.u8(self.network.class as u8);
        writer.str(self.network.label);
        writer.uint(u64::from(self.network.asn));
        writer.str(self.network.organization);
        writer.ip(self.address);
        writer.u8(flags
            .iter()
            .fold(0, |all, (flag, is)| all | if *is { *flag } else { 0 }));
        self.event_id.write(writer);
        writer.str(self.product);
        self.claim.write(writer);
        if let Some(place) = &self.place {
            place.write(writer);
        }
        for count in [
            summary.days_on_entity,
            summary.days_located,
            summary.days_away,
            summary.rdp_relays,
            summary.devices,
        ] {
            writer.uint(u64::from(count));
        }
        writer.uint(u64::from(summary.claim_gap_km));
        let write_list = |writer: &mut Writer, list: &[&str]| {
            writer.uint(list.len() as u64);
            list.iter().for_each(|name| writer.str(name));
        };
        if flags[6].1 {
            names.iter().for_each(|list| write_list(writer, list));
        }
        if flags[7].1 {
            write_list(writer, &summary.operators);
        }
    }

    /// Reads what [`Latest::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] if the bytes are something else.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let latest = Self::read(&mut reader)?;
        if reader.is_at_end() {
            Ok(latest)
        } else {
            Err(reader.malformed("the end of the latest link"))
        }
    }

    #[inline]
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (account, device) = (reader.str()?, reader.str()?);
        let (network, address) = (LinkNetwork::read(reader)?, reader.ip()?);
        let flags = reader.u8()?;
        let is = |flag| flags & flag != 0;
        Ok(Self {
            account,
            device,
            network,
            address,
            fingerprint: is(FINGERPRINT),
            event_id: EventId::read(reader)?,
            product: reader.str()?,
            claim: LinkClaim::read(reader, flags)?,
            place: if is(HAS_PLACE) {
                Some(LinkPlace::read(reader)?)
            } else {
                None
            },
            account_facts: AccountSummary::read(reader, is(HAS_NAMES), is(HAS_OPERATORS))?,
        })
    }
}

const KINDS: [AccountKind; 4] = [
    AccountKind::Unknown,
    AccountKind::Employee,
    AccountKind::Contractor,
    AccountKind::Service,
];

impl<'a> LinkClaim<'a> {
    fn write(&self, writer: &mut Writer) {
        writer.u8(self.kind as u8);
        for text in [self.employer, self.country, self.region, self.city] {
            writer.str(text);
        }
        if let Some((latitude, longitude, radius_km)) = self.point {
            writer.f64(latitude);
            writer.f64(longitude);
            writer.uint(u64::from(radius_km));
        }
        if let Some(day) = self.hire_day {
            writer.int(i64::from(day));
        }
    }

    #[inline]
    fn read(reader: &mut Reader<'a>, flags: u8) -> Result<Self, Malformed> {
        let code = reader.u8()?;
        let kind = KINDS.into_iter().find(|kind| *kind as u8 == code);
        Ok(Self {
            kind: kind.ok_or_else(|| reader.malformed("an account kind"))?,
            employer: reader.str()?,
            country: reader.str()?,
            region: reader.str()?,
            city: reader.str()?,
            point: if flags & HAS_POINT != 0 {
                Some((reader.f64()?, reader.f64()?, reader.u16()?))
            } else {
                None
            },
            owns_device: flags & OWNS_DEVICE != 0,
            has_device: flags & HAS_DEVICE != 0,
            hire_day: if flags & HAS_HIRE_DAY != 0 {
                Some(reader.i32()?)
            } else {
                None
            },
        })
    }
}

impl<'a> LinkPlace<'a> {
    fn write(&self, writer: &mut Writer) {
        for text in [self.city, self.region, self.country] {
            writer.str(text);
        }
        writer.f64(self.latitude);
        writer.f64(self.longitude);
        writer.uint(u64::from(self.radius_km));
    }

    #[inline]
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            city: reader.str()?,
            region: reader.str()?,
            country: reader.str()?,
            latitude: reader.f64()?,
            longitude: reader.f64()?,
            radius_km: reader.u16()?,
        })
    }
}

impl<'a> LinkNetwork<'a> {
    #[inline]
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let class = NetworkClass::from_code(reader.u8()?);
        Ok(Self {
            class: class.ok_or_else(|| reader.malformed("a network class"))?,
            label: reader.str()?,
            asn: reader.u32()?,
            organization: reader.str()?,
        })
    }
}

impl<'a> AccountSummary<'a> {
    #[inline]
    fn read(reader: &mut Reader<'a>, has_names: bool, has_operators: bool) -> Result<Self, Malformed> {
        let mut summary = Self {
            days_on_entity: reader.u16()?,
            days_located: reader.u16()?,
            days_away: reader.u16()?,
            rdp_relays: reader.u16()?,
            devices: reader.u16()?,
            claim_gap_km: reader.u32()?,
            ..Self::default()
        };
        if has_names {
            for list in [&mut summary.remote_tools, &mut summary.vpn_brands, &mut summary.kvm] {
                for _ in 0..reader.count()? {
                    list.push(reader.str()?);
                }
            }
        }
        if has_operators {
            for _ in 0..reader.count()? {
                summary.operators.push(reader.str()?);
            }
        }
        Ok(summary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latest<'a>(names: &[&'a str]) -> Latest<'a> {
        Latest {
            account: "r.lee@corp.example",
            device: "lt-1",
            network: LinkNetwork {
                asn: 64_500,
                organization: "Example Cable",
                ..LinkNetwork::default()
            },
            address: Some("240.42.0.7".parse().unwrap()),
            fingerprint: names.is_empty(),
            event_id: EventId::new("99fc1c5c20807ea20a7ef6fe1adc1f98"),
            product: "okta",
            claim: LinkClaim {
                kind: AccountKind::Contractor,
                city: "Austin",
                country: "US",
                point: (!names.is_empty()).then_some((30.2, -97.7, 50)),
                hire_day: names.is_empty().then_some(-3),
                owns_device: true,
                ..LinkClaim::default()
            },
            place: names.is_empty().then_some(LinkPlace {
                region: "NV",
                radius_km: 20,
                ..LinkPlace::default()
            }),
            account_facts: AccountSummary {
                days_on_entity: 3,
                claim_gap_km: 1_700,
                remote_tools: names.to_vec(),
                kvm: names.to_vec(),
                operators: names.to_vec(),
                ..AccountSummary::default()
            },
        }
    }

    fn link<L>(latest: L) -> Link<'static, L> {
        Link {
            entity_kind: EntityKind::Network,
            entity: "240.42.0.7",
            first_ms: -7,
            time_ms: 1_772_409_600_000,
            clock_ms: i64::MAX,
            data_versions: "demo",
            latest,
            offer: None,
        }
    }

    fn packed(names: &[&str]) -> Vec<u8> {
        let mut writer = Writer::default();
        latest(names).write(&mut writer);
        writer.into_bytes()
    }

    #[test]
    fn what_is_written_is_read() {
        for names in [&[] as &[&str], &["AnyDesk", "ü"]] {
            let bytes = packed(names);
            let read = PackedLatest::new(&bytes).unwrap();
            assert_eq!(read.read(), latest(names));
            assert_eq!((read.account, read.device), ("r.lee@corp.example", "lt-1"));
        }
    }

    #[test]
    fn frames_stand_behind_each_other() {
        let (mut scratch, mut record) = (Writer::default(), Writer::default());
        let names: [&[&str]; 2] = [&[], &["AnyDesk", "ü"]];
        for (number, names) in (1..).zip(names) {
            link(latest(names)).write(Key(number), &mut scratch, &mut record);
        }
        let bytes = record.into_bytes();
        assert_eq!(frames(&bytes).unwrap().count(), 2);
        let mut reader = Reader::new(&bytes);
        for (number, names) in (1..).zip(names) {
            let (key, read) = Link::read(&mut reader).unwrap();
            let bytes = packed(names);
            assert_eq!(key, Key(number));
            assert_eq!(read, link(PackedLatest::new(&bytes).unwrap()));
        }
        assert!(reader.is_at_end());
    }

    #[test]
    fn truncation_and_other_versions_are_errors() {
        let (mut scratch, mut record) = (Writer::default(), Writer::default());
        link(latest(&["AnyDesk"])).write(Key(1), &mut scratch, &mut record);
        let mut bytes = record.into_bytes();
        for end in 0..bytes.len() {
            assert!(Link::read(&mut Reader::new(&bytes[..end])).is_err());
        }
        let version = bytes.len() - scratch.len();
        bytes[version] = VERSION + 1;
        assert_eq!(Link::read(&mut Reader::new(&bytes)).unwrap_err().at, version + 1);
    }
}
