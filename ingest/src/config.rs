//! The settings of `[ingest]`. No behaviour beyond turning them into what the checks take.

use crate::{captured_at::CaptureWindow, inspect::ImageLimits};
use chrono::TimeDelta;
use rollcall_schemas::frame::{MAX_PIXELS, MAX_SIDE_PX};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// The front door for frames and scans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IngestConfig {
    /// Most bytes of one image.
    pub max_image_bytes: usize,
    /// Most pixels along either side of an image.
    pub max_image_side_px: u32,
    /// Most pixels of an image in all.
    pub max_image_pixels: u64,
    /// How far a camera's clock may be ahead of ours, in seconds.
    pub max_captured_ahead_s: u32,
    /// How long a camera may store a frame before it sends it, in hours.
    pub store_and_forward_h: u32,
    /// How long a scan's answer is waited for before the caller is given a place to look, in milliseconds.
    pub scan_deadline_ms: u64,
    /// Where the last known keys and cameras are kept, so that a restart does not need the broker at once; nowhere when
    /// absent.
    pub snapshot_folder: Option<PathBuf>,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            max_image_bytes: 6 * 1024 * 1024,
            max_image_side_px: MAX_SIDE_PX,
            max_image_pixels: MAX_PIXELS,
            max_captured_ahead_s: 120,
            store_and_forward_h: 7 * 24,
            scan_deadline_ms: 30_000,
            snapshot_folder: None,
        }
    }
}

impl IngestConfig {
    /// How much of an image is taken.
    pub fn image_limits(&self) -> ImageLimits {
        ImageLimits {
            max_bytes: self.max_image_bytes,
            max_side_px: self.max_image_side_px,
            max_pixels: self.max_image_pixels,
        }
    }

    /// How far from receipt a frame may have been captured.
    pub fn capture_window(&self) -> CaptureWindow {
        CaptureWindow {
            max_ahead: TimeDelta::seconds(self.max_captured_ahead_s.into()),
            max_age: TimeDelta::hours(self.store_and_forward_h.into()),
        }
    }

    /// How long a scan's answer is waited for.
    pub fn scan_deadline(&self) -> Duration {
        Duration::from_millis(self.scan_deadline_ms)
    }
}
