//! OCSF 1.8 as it stands on the wire: only the attributes that are read.

use crate::intake::leaf::{Flag, Int, Many, Moment, Obj, Rare, Text, UsbId, Words};
use crate::intake::walk::wire;

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
        class_uid: Int,
        activity_id: Int,
        type_uid: Int,
        status_id: Int,
        logon_type_id: Int,
        is_mfa: Flag,
    }

    struct Metadata {
        uid: Text<'a>,
        original_event_uid: Text<'a>,
        product: Obj<Product<'a>>,
    }

    struct Product {
        name: Text<'a>,
        vendor_name: Text<'a>,
    }

    struct User {
        email_addr: Text<'a>,
        name: Text<'a>,
        uid: Text<'a>,
        uid_alt: Text<'a>,
        type_id: Int,
    }

    struct Actor {
        user: Obj<User<'a>>,
        session: Obj<Session<'a>>,
        app_name: Text<'a>,
    }

    /// A device or a network endpoint; the two share what is read.
    struct Endpoint {
        uid: Text<'a>,
        hostname: Text<'a>,
        name: Text<'a>,
        ip: Text<'a>,
        svc_name: Text<'a>,
        hw_info: Obj<Hardware<'a>>,
        owner: Rare<User<'a>>,
        type_id: Int,
        is_managed: Flag,
    }

    struct Hardware {
        serial_number: Text<'a>,
    }

    struct Session {
        uid: Text<'a>,
        is_mfa: Flag,
    }

    struct Named {
        name: Text<'a>,
        uid: Text<'a>,
    }

    struct AuthFactor {
        factor_type: Text<'a>,
        device: Obj<Endpoint<'a>>,
        factor_type_id: Int,
    }

    struct HttpRequest {
        user_agent: Text<'a>,
        x_forwarded_for: Words<'a>,
    }

    struct Interface {
        ip: Text<'a>,
    }

    struct Process {
        name: Text<'a>,
        path: Text<'a>,
        cmd_line: Text<'a>,
        file: Obj<File<'a>>,
        user: Obj<User<'a>>,
    }

    struct File {
        name: Text<'a>,
        path: Text<'a>,
    }

    struct PeripheralDevice {
        name: Text<'a>,
        class: Text<'a>,
        model: Text<'a>,
        serial_number: Text<'a>,
        uid: Text<'a>,
        vendor_name: Text<'a>,
        vendor_id_list: Words<'a>,
        edid: Obj<DisplayId<'a>>,
        type_id: Int,
    }

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
        vendor_id: UsbId,
        product_id: UsbId,
        vid: UsbId,
        pid: UsbId,
        keyboard: Flag,
        mouse: Flag,
        storage: Flag,
    }

    struct DisplayId {
        manufacturer: Text<'a>,
        model: Text<'a>,
        monitor_name: Text<'a>,
        serial: Text<'a>,
        monitor_serial: Text<'a>,
        hex: Text<'a>,
    }
}
