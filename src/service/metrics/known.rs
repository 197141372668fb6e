//! Labels that are known before anything happens. A counter begins at 0 there: `increase()` passes over the first event of
//! one that is not yet there. A label that is missing here comes with its first event.

use crate::intake::REASONS;
use crate::model::{Detection, Severity};
use crate::service::dead_letter::NOT_OURS;
use crate::service::reference::FileKind;
use crate::service::worker::stage::Role;

use super::Inner;

/// Why transactions are aborted.
const ABORTED: [&str; 7] = [
    "send",
    "drain",
    "not_owned",
    "send_offsets",
    "commit",
    "hanging_transaction",
    "partitions_lost",
];
/// Why producers are replaced.
const RECYCLED: [&str; 7] = [
    "send",
    "send_offsets",
    "commit",
    "begin_refused",
    "abort_failed",
    "suspected_resend",
    "hanging_transaction",
];
/// Why partitions are left to librdkafka.
const GIVEN_UP: [&str; 4] = ["connection", "broker", "unreadable", "leader"];
/// What may go wrong with exactly once.
pub(super) const TROUBLE: [&str; 3] = ["torn", "hanging", "refused"];

/// What the core counts and an operator is alerted by: stage, name and reason.
pub(super) const OF_THE_CORE: [(Role, &str, &str); 18] = [
    (Role::Intake, "events_time_suspect", "future"),
    (Role::Accounts, "events_late", "within_lateness"),
    (Role::Accounts, "events_late", "beyond_lateness"),
    (Role::Accounts, "observations", "no_room"),
    (Role::Accounts, "windows_dropped", "room_for_another"),
    (Role::Accounts, "facts_dropped", "visits_full"),
    (Role::Accounts, "facts_dropped", "networks_full"),
    (Role::Accounts, "facts_dropped", "devices_full"),
    (Role::Accounts, "facts_dropped", "sessions_full"),
    (Role::Accounts, "facts_dropped", "tools_full"),
    (Role::Accounts, "facts_dropped", "peripherals_full"),
    (Role::Accounts, "facts_dropped", "logons_full"),
    (Role::Entities, "windows_dropped", "room_for_another"),
    (Role::Entities, "links_folded", "no_room"),
    (Role::Entities, "facts_dropped", "ties_full"),
    (Role::Entities, "findings_suppressed", "device_of_many_accounts"),
    (Role::Entities, "findings_suppressed", "network_of_many_accounts"),
    (Role::Entities, "findings_suppressed", "office_of_many_accounts"),
];

/// What no stage is named in.
pub(super) fn of_the_process(inner: &Inner) {
    let (flow, protocol) = (&inner.flow, &inner.protocol);
    for detection in Detection::ALL {
        for severity in Severity::ALL {
            for kind in ["alert", "signal"] {
                let labels = [detection.as_str(), severity.as_str(), kind];
                flow.alerts.with_label_values(&labels);
            }
        }
    }
    for (counters, reasons) in [
        (&protocol.aborted, &ABORTED[..]),
        (&protocol.recycled, &RECYCLED),
        (&protocol.direct_fetch_given_up, &GIVEN_UP),
        (&protocol.trouble, &TROUBLE),
        (&inner.holdings.digests, &["equal", "different"]),
        (&inner.holdings.reload_failures, &FileKind::ALL.map(FileKind::as_str)),
    ] {
        for reason in reasons {
            counters.with_label_values(&[*reason]);
        }
    }
}

/// What is counted by stage, for a stage of this process.
pub(super) fn of_a_stage(inner: &Inner, role: Role) {
    let stage = role.as_str();
    let protocol = &inner.protocol;
    for counters in [
        &inner.flow.transactions,
        &protocol.rebalances,
        &protocol.stalled,
        &protocol.without_member,
        &protocol.rejoined,
    ] {
        counters.with_label_values(&[stage]);
    }
    let letters = &inner.flow.dead_letters;
    if role != Role::Intake {
        letters.with_label_values(&[stage, NOT_OURS]);
    }
    // With `rekey = false` accounts decode too.
    if role != Role::Entities {
        for (reason, _) in REASONS {
            letters.with_label_values(&[stage, *reason]);
        }
    }
}
