//! OCSF 1010: a USB device or display, from the schema's attributes and from what agents put in `unmapped`.
//!
//! OCSF has no attribute for USB ids, for the interfaces of a composite device, or for display identification.
//! Read instead: `uid` as `USB\VID_1D6B&PID_0104\…` or `1d6b:0104`; `vendor_id_list`; and in `unmapped`
//! `vendor_id`/`vid`, `product_id`/`pid` (hexadecimal text, or a number), `manufacturer`, `product`, `serial`,
//! `interfaces` (list or text naming keyboard, mouse, storage), `keyboard`/`mouse`/`storage` (flags), and `edid`
//! (`manufacturer`, `model` or `monitor_name`, `serial`, or `hex` for the block itself).

use std::borrow::Cow;

use super::wire::{DisplayId, PeripheralDevice, Unmapped};
use crate::intake::values::{Place, Values, hex_id};
use crate::model::{Edid, Peripheral};

/// What the record says about the peripheral.
pub(super) fn read<'a>(device: &PeripheralDevice, unmapped: &Unmapped, values: Values<'_, 'a>) -> Peripheral<'a> {
    let (uid_vendor, uid_product) = usb_ids(&values.text(device.uid));
    let listed_vendor = (device.vendor_id_list.first()).and_then(|id| hex_id(&values.text(*id)));
    let vendor_id = values
        .usb_id(unmapped.vendor_id)
        .or_else(|| values.usb_id(unmapped.vid));
    let product_id = values
        .usb_id(unmapped.product_id)
        .or_else(|| values.usb_id(unmapped.pid));
    let interfaces = unmapped.interfaces.iter().chain(&unmapped.usb_interfaces);
    let words: Vec<Cow<'_, str>> = interfaces
        .chain([&device.class, &device.name, &device.model])
        .map(|place| values.text(*place))
        .collect();
    let is = |type_id: i64, stated: Place, wanted: &[&str]| {
        values.int(device.type_id) == Some(type_id)
            || values.flag(stated) == Some(true)
            || words.iter().any(|text| wanted.iter().any(|word| contains(text, word)))
    };
    let flat = DisplayId {
        manufacturer: unmapped.edid_manufacturer,
        model: unmapped.edid_model,
        monitor_name: unmapped.monitor_name,
        serial: unmapped.edid_serial,
        monitor_serial: unmapped.monitor_serial,
        hex: unmapped.edid_hex,
    };
    let edid = [&device.edid, &unmapped.edid, &flat]
        .into_iter()
        .find_map(|id| identity(id, values));
    let first = |places: &[Place]| places.iter().find_map(|place| values.description(*place));
    Peripheral {
        vendor_id: vendor_id.or(uid_vendor).or(listed_vendor),
        product_id: product_id.or(uid_product),
        manufacturer: first(&[unmapped.manufacturer, device.vendor_name]),
        product: first(&[unmapped.product, device.model, device.name]),
        serial: first(&[device.serial_number, unmapped.serial]),
        keyboard: is(2, unmapped.keyboard, &["keyboard"]),
        mouse: is(3, unmapped.mouse, &["mouse", "pointer"]),
        storage: is(1, unmapped.storage, &["storage", "disk", "cdrom", "cd-rom"]),
        edid,
    }
}

fn identity<'a>(id: &DisplayId, values: Values<'_, 'a>) -> Option<Edid<'a>> {
    let block = block(&values.text(id.hex)).unwrap_or_default();
    let edid = Edid {
        manufacturer: values.description(id.manufacturer).or(block.manufacturer),
        model: (values.description(id.model))
            .or_else(|| values.description(id.monitor_name))
            .or(block.model),
        serial: (values.description(id.serial))
            .or_else(|| values.description(id.monitor_serial))
            .or(block.serial),
    };
    (edid != Edid::default()).then_some(edid)
}

/// Vendor and product id in a Windows instance path, or in `vvvv:pppp`.
fn usb_ids(uid: &str) -> (Option<u16>, Option<u16>) {
    let after = |mark: &str| {
        let at = position(uid, mark)? + mark.len();
        hex_id(uid.get(at..at + 4)?)
    };
    match (after("VID_"), after("PID_")) {
        (None, None) => uid
            .split_once(':')
            .map_or((None, None), |(vendor, product)| (hex_id(vendor), hex_id(product))),
        found => found,
    }
}

/// The identity in an EDID base block, VESA E-EDID release A: manufacturer at byte 8, descriptors from byte 54.
fn block(hex: &str) -> Option<Edid<'static>> {
    const BLOCK_BYTES: usize = 128;
    const HEADER: [u8; 8] = [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
    let mut digits = hex.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b':');
    let mut bytes = [0; BLOCK_BYTES];
    for byte in &mut bytes {
        let (high, low) = (digits.next()?, digits.next()?);
        *byte = nibble(high)? << 4 | nibble(low)?;
    }
    if bytes[..8] != HEADER {
        return None;
    }
    let code = u16::from_be_bytes([bytes[8], bytes[9]]);
    let manufacturer: String = [code >> 10, code >> 5, code]
        .into_iter()
        .filter_map(|letter| u8::try_from(letter & 0x1f).ok())
        .map(|letter| char::from(b'A' - 1 + letter))
        .collect();
    let descriptor = |tag: u8| {
        let found = bytes[54..126]
            .chunks_exact(18)
            .find(|d| d[..3] == [0, 0, 0] && d[3] == tag)?;
        let end = found[5..].iter().position(|b| *b == b'\n').unwrap_or(13);
        let text = String::from_utf8_lossy(&found[5..5 + end]).trim().to_owned();
        (!text.is_empty()).then_some(Cow::Owned(text))
    };
    Some(Edid {
        manufacturer: Some(Cow::Owned(manufacturer)),
        model: descriptor(0xfc),
        serial: descriptor(0xff),
    })
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn contains(text: &str, word: &str) -> bool {
    position(text, word).is_some()
}

/// Where `word` (ASCII) begins in `text`, whatever its case.
fn position(text: &str, word: &str) -> Option<usize> {
    text.as_bytes()
        .windows(word.len())
        .position(|window| window.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usb_ids_are_read_from_instance_paths_and_pairs() {
        assert_eq!(usb_ids(r"USB\VID_1D6B&PID_0104\CAFE"), (Some(0x1d6b), Some(0x0104)));
        assert_eq!(usb_ids("1d6b:0104"), (Some(0x1d6b), Some(0x0104)));
        assert_eq!(usb_ids(r"USB\vid_12"), (None, None));
        assert_eq!(usb_ids("VID_é1d6b"), (None, None));
        assert_eq!(hex_id("0x046d"), Some(0x046d));
        assert_eq!(hex_id("+46d"), None);
    }

    #[test]
    fn an_edid_block_gives_its_identity() {
        let mut bytes = [0u8; 128];
        bytes[..8].copy_from_slice(&[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);
        // L, N, X as five-bit letters.
        bytes[8..10].copy_from_slice(&(12u16 << 10 | 14 << 5 | 24).to_be_bytes());
        bytes[54..72].copy_from_slice(b"\0\0\0\xfc\0Console 4\n   ");
        bytes[72..90].copy_from_slice(b"\0\0\0\xff\0S/N 77\n      ");
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let edid = block(&hex).unwrap();
        assert_eq!(edid.manufacturer.as_deref(), Some("LNX"));
        assert_eq!(edid.model.as_deref(), Some("Console 4"));
        assert_eq!(edid.serial.as_deref(), Some("S/N 77"));
        assert_eq!(block(&hex[..254]), None);
        assert_eq!(block("zz"), None);
    }
}
