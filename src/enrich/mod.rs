//! Reference data: where addresses are, what networks they belong to, and what HR says.

pub mod demo_table;

/// Everything intake looks things up in; built whole, swapped whole.
#[derive(Debug, Default)]
pub struct Reference {}
