//! What a restore does with records of another release.

use super::*;
use crate::model::key::HashKey;
use crate::pipeline::accounts::Accounts;

#[test]
fn a_record_of_another_release_is_not_passed_over() {
    let fold = Accounts::new(std::sync::Arc::default(), HashKey([0; 16]));
    let mut restore = Restore {
        resume: vec![0; usize::from(fold.chunk_count())],
        fold: Some(Box::new(fold)),
        step: Step::Replay,
        target: 10,
        ..Restore::new(Duration::ZERO)
    };
    let record = |offset, value| Record {
        topic: "observations",
        partition: 3,
        offset,
        append_ms: 0,
        key: None,
        value: Some(value),
        replays: &0,
    };
    // What was refused the first time as well.
    restore.replay(&[record(4, b"{}")]);
    assert!(restore.stopped.is_none() && !restore.is_read());
    restore.replay(&[record(5, &[10; 40]), record(6, &[1; 40]), record(7, b"{}")]);
    assert!(restore.is_read());
    let why = restore.stopped.map(|failure| failure.detail().to_owned());
    assert!(why.is_some_and(|why| why.starts_with("observations/3 at offset 6: ") && why.contains("version 1,")));
}
