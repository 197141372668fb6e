//! KVM-over-IP hardware by the identities that its public firmware gives it.

/// Names of USB gadgets and displays (PiKVM kvmd, TinyPilot, JetKVM, Sipeed NanoKVM, GL.iNet, BliKVM sources). All can be
/// changed by the owner, so they are points, not proof.
const NAMES: [&str; 10] = [
    "pikvm",
    "tinypilot",
    "jetkvm",
    "nanokvm",
    "glkvm",
    "gl-rm1",
    "blikvm",
    "cafebabe",
    "usb emulation device",
    "6b65796d696d6570690",
];
/// USB ids that belong to KVM firmware alone (pid.codes 1209:eda2 and eda3, Sipeed 3346:1009).
const USB_IDS: [&str; 3] = ["1209:eda2", "1209:eda3", "3346:1009"];

/// Whether a USB device with that name and `vendor:product` is a known KVM.
#[must_use]
pub fn is_usb_device(name: &str, usb_id: &str) -> bool {
    is_name(name) || USB_IDS.contains(&usb_id)
}

/// Whether a name of a USB device or display is a known KVM's.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    NAMES.into_iter().any(|name| lower.contains(name))
}
