//! OCSF 1.8 as it stands on the wire: only the attributes that are read.

use crate::intake::fields::wire;
use crate::intake::values::Place;

wire! {
    /// One event of any class that is read.
    struct Record {
        time: Place,
        time_dt: Place,
        start_time: Place,
        start_time_dt: Place,
        status: Place,
        action: Place,
        action_id: Place,
        disposition: Place,
        disposition_id: Place,
        metadata: Metadata,
        user: User,
        actor: Actor,
        device: Endpoint,
        src_endpoint: Endpoint,
        dst_endpoint: Endpoint,
        proxy_endpoint: Option<Box<Proxy>>,
        // `proxy_endpoint` before OCSF 1.1.
        proxy: Option<Box<Proxy>>,
        session: Session,
        service: Named,
        auth_factors: Vec<AuthFactor>,
        http_request: HttpRequest,
        tunnel_interface: Interface,
        process: Option<Box<Process>>,
        peripheral_device: Option<Box<PeripheralDevice>>,
        unmapped: Option<Box<Unmapped>>,
        class_uid: Place,
        activity_id: Place,
        type_uid: Place,
        status_id: Place,
        logon_type_id: Place,
        is_mfa: Place,
    }

    struct Metadata {
        uid: Place,
        original_event_uid: Place,
        product: Product,
    }

    struct Product {
        name: Place,
        vendor_name: Place,
    }

    struct User {
        email_addr: Place,
        name: Place,
        uid: Place,
        uid_alt: Place,
        type_id: Place,
    }

    struct Actor {
        user: User,
        session: Session,
        app_name: Place,
    }

    /// A device or a network endpoint; the two share what is read.
    struct Endpoint {
        uid: Place,
        hostname: Place,
        name: Place,
        ip: Place,
        svc_name: Place,
        hw_info: Hardware,
        owner: Option<Box<User>>,
        proxy_endpoint: Option<Box<Proxy>>,
        type_id: Place,
        is_managed: Place,
    }

    struct Proxy {
        ip: Place,
    }

    struct Hardware {
        serial_number: Place,
    }

    struct Session {
        uid: Place,
        is_mfa: Place,
    }

    struct Named {
        name: Place,
        uid: Place,
    }

    struct AuthFactor {
        factor_type: Place,
        device: Endpoint,
        phone_number: Place,
        email_addr: Place,
        factor_type_id: Place,
    }

    struct HttpRequest {
        user_agent: Place,
        x_forwarded_for: Vec<Place>,
    }

    struct Interface {
        ip: Place,
    }

    struct Process {
        name: Place,
        path: Place,
        cmd_line: Place,
        file: File,
        user: User,
    }

    struct File {
        name: Place,
        path: Place,
    }

    struct PeripheralDevice {
        name: Place,
        class: Place,
        model: Place,
        serial_number: Place,
        uid: Place,
        vendor_name: Place,
        vendor_id_list: Vec<Place>,
        edid: DisplayId,
        type_id: Place,
    }

    /// What OCSF has no attribute for; the spellings that agents use for USB and display facts.
    struct Unmapped {
        manufacturer: Place,
        product: Place,
        serial: Place,
        interfaces: Vec<Place>,
        usb_interfaces: Vec<Place>,
        edid: DisplayId,
        edid_manufacturer: Place,
        edid_model: Place,
        edid_serial: Place,
        monitor_name: Place,
        monitor_serial: Place,
        edid_hex: Place,
        vendor_id: Place,
        product_id: Place,
        vid: Place,
        pid: Place,
        keyboard: Place,
        mouse: Place,
        storage: Place,
    }

    struct DisplayId {
        manufacturer: Place,
        model: Place,
        monitor_name: Place,
        serial: Place,
        monitor_serial: Place,
        hex: Place,
    }
}
