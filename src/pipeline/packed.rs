//! Packed observations: many observations in one record of the `observations` topic.
