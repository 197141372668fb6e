//! Accounts: folds packed observations into one window of facts per account, and asks every rule.

use super::settings::DetectionSettings;
use super::{CodecError, Fold, Outputs, Position, StateSize};
use crate::model::key::HashKey;

/// The accounts stage over one partition.
pub struct Accounts {
    settings: std::sync::Arc<DetectionSettings>,
    hash_key: HashKey,
}

impl Accounts {
    /// An empty fold.
    #[must_use]
    pub fn new(settings: std::sync::Arc<DetectionSettings>, hash_key: HashKey) -> Self {
        Self { settings, hash_key }
    }
}

impl Fold for Accounts {
    fn fold(&mut self, _position: Position, _record: &[u8], _outputs: &mut Outputs) -> Result<(), CodecError> {
        let _ = (&self.settings, &self.hash_key);
        Ok(())
    }
    fn refold(&mut self, _position: Position, _record: &[u8], _resume: &[i64]) -> Result<(), CodecError> {
        Ok(())
    }
    fn chunk_count(&self) -> u16 {
        256
    }
    fn write_chunk(&self, _chunk: u16, _bytes: &mut Vec<u8>) {}
    fn read_chunk(&mut self, _chunk: u16, _bytes: &[u8]) -> Result<(), CodecError> {
        Ok(())
    }
    fn digest(&self) -> u128 {
        0
    }
    fn size(&self) -> StateSize {
        StateSize::default()
    }
}
