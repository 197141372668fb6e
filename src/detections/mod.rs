//! detections.
