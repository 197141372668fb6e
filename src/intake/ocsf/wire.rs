//! OCSF 1.8 as it stands on the wire: only the attributes that are read.

use serde::Deserialize;

use crate::intake::leaf::{Flag, Int, Many, Moment, Obj, Rare, Text, UsbId, Words};

/// A wire struct: fields that borrow from the record, then plain ones; absent ones read as their default.
macro_rules! wire {
    (
        $(#[$doc:meta])* struct $name:ident { $($field:ident: $kind:ty,)* }
        plain { $($plain:ident: $plain_kind:ty,)* }
    ) => {
        $(#[$doc])*
        #[derive(Default, Deserialize)]
        #[serde(default)]
        pub(super) struct $name<'a> {
            $(#[serde(borrow)] pub(super) $field: $kind,)*
            $(pub(super) $plain: $plain_kind,)*
        }
    };
}

wire! {
    /// One event of any class that is read.
    struct Record {
        time: Moment<'a>,
        time_dt: Moment<'a>,
        status: Text<'a>,
        metadata: Obj<Metadata<'a>>,
        user: Obj<User<'a>>,
        actor: Obj<Actor<'a>>,
        device: Obj<Endpoint<'a>>,
        src_endpoint: Obj<Endpoint<'a>>,
        dst_endpoint: Obj<Endpoint<'a>>,
        session: Obj<Session<'a>>,
        service: Obj<Named<'a>>,
        auth_factors: Many<Obj<AuthFactor<'a>>>,
        http_request: Obj<HttpRequest<'a>>,
        tunnel_interface: Obj<Interface<'a>>,
        process: Rare<Process<'a>>,
        peripheral_device: Rare<PeripheralDevice<'a>>,
        unmapped: Rare<Unmapped<'a>>,
    } plain {
        class_uid: Int,
        activity_id: Int,
        type_uid: Int,
        status_id: Int,
        logon_type_id: Int,
        is_mfa: Flag,
    }
}

wire! {
    struct Metadata { uid: Text<'a>, original_event_uid: Text<'a>, product: Obj<Product<'a>>, } plain {}
}
wire! {
    struct Product { name: Text<'a>, vendor_name: Text<'a>, } plain {}
}
wire! {
    struct User {
        email_addr: Text<'a>,
        name: Text<'a>,
        uid: Text<'a>,
        uid_alt: Text<'a>,
    } plain { type_id: Int, }
}
wire! {
    struct Actor { user: Obj<User<'a>>, session: Obj<Session<'a>>, app_name: Text<'a>, } plain {}
}
wire! {
    /// A device or a network endpoint; the two share what is read.
    struct Endpoint {
        uid: Text<'a>,
        hostname: Text<'a>,
        name: Text<'a>,
        ip: Text<'a>,
        svc_name: Text<'a>,
        hw_info: Obj<Hardware<'a>>,
        owner: Rare<User<'a>>,
    } plain { type_id: Int, is_managed: Flag, }
}
wire! {
    struct Hardware { serial_number: Text<'a>, } plain {}
}
wire! {
    struct Session { uid: Text<'a>, } plain { is_mfa: Flag, }
}
wire! {
    struct Named { name: Text<'a>, uid: Text<'a>, } plain {}
}
wire! {
    struct AuthFactor { factor_type: Text<'a>, device: Obj<Endpoint<'a>>, } plain { factor_type_id: Int, }
}
wire! {
    struct HttpRequest { user_agent: Text<'a>, x_forwarded_for: Words<'a>, } plain {}
}
wire! {
    struct Interface { ip: Text<'a>, } plain {}
}
wire! {
    struct Process {
        name: Text<'a>,
        path: Text<'a>,
        cmd_line: Text<'a>,
        file: Obj<File<'a>>,
        user: Obj<User<'a>>,
    } plain {}
}
wire! {
    struct File { name: Text<'a>, path: Text<'a>, } plain {}
}
wire! {
    struct PeripheralDevice {
        name: Text<'a>,
        class: Text<'a>,
        model: Text<'a>,
        serial_number: Text<'a>,
        uid: Text<'a>,
        vendor_name: Text<'a>,
        vendor_id_list: Words<'a>,
        edid: Obj<DisplayId<'a>>,
    } plain { type_id: Int, }
}
wire! {
    /// What OCSF has no attribute for; the spellings that agents use for USB and display facts.
    struct Unmapped {
        manufacturer: Text<'a>,
        product: Text<'a>,
        serial: Text<'a>,
        interfaces: Words<'a>,
        usb_interfaces: Words<'a>,
        edid: Obj<DisplayId<'a>>,
        edid_manufacturer: Text<'a>,
        edid_model: Text<'a>,
        edid_serial: Text<'a>,
        monitor_name: Text<'a>,
        monitor_serial: Text<'a>,
        edid_hex: Text<'a>,
    } plain {
        vendor_id: UsbId,
        product_id: UsbId,
        vid: UsbId,
        pid: UsbId,
        keyboard: Flag,
        mouse: Flag,
        storage: Flag,
    }
}
wire! {
    struct DisplayId {
        manufacturer: Text<'a>,
        model: Text<'a>,
        monitor_name: Text<'a>,
        serial: Text<'a>,
        monitor_serial: Text<'a>,
        hex: Text<'a>,
    } plain {}
}
