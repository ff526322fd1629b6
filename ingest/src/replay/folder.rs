//! Pictures as files in one folder, in the order of their names.

use super::{Item, Mark, Picture, ReplayError};
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use exif::{In, Tag, Value};
use rollcall_schemas::{id::CameraId, to_micros};
use std::{io::Cursor, path::PathBuf};

const EXTENSIONS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// How it is known when the picture in a file was captured.
#[derive(Clone, Debug, PartialEq)]
pub enum Timing {
    /// From its EXIF `DateTimeOriginal`; `zone` holds where EXIF names none.
    Exif {
        /// The camera's zone.
        zone: FixedOffset,
    },
    /// From its name, without extension: `pattern` is in the form of `chrono::format::strftime`, such as
    /// `door_%Y%m%d_%H%M%S%3f`; what follows it in the name does not matter. `zone` holds where the pattern has none.
    Name {
        /// The form of the names.
        pattern: String,
        /// The camera's zone.
        zone: FixedOffset,
    },
    /// From its place in the folder.
    Regular {
        /// When the first was captured.
        start: DateTime<Utc>,
        /// How many a second were.
        fps: f64,
    },
}

/// A folder of pictures of one camera.
pub struct Folder {
    path: PathBuf,
    camera_id: CameraId,
    timing: Timing,
    names: Vec<String>,
    next: usize,
}

impl Folder {
    /// Lists the pictures in `path`, not those in folders below it.
    ///
    /// # Errors
    /// When the folder cannot be read or holds none, or the timing has an impossible rate.
    pub fn open(path: impl Into<PathBuf>, camera_id: CameraId, timing: Timing) -> Result<Self, ReplayError> {
        if let Timing::Regular { fps, .. } = timing {
            check_fps(fps)?;
        }
        let path = path.into();
        let unreadable = |source| ReplayError::Read { path: path.clone(), source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
            if extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str())) {
                names.push(name);
            }
        }
        if names.is_empty() {
            return Err(ReplayError::NoFrames(path.display().to_string()));
        }
        names.sort_unstable();
        Ok(Self { path, camera_id, timing, names, next: 0 })
    }

    pub(super) fn description(&self) -> String {
        format!("folder {} of camera {}, {:?}", self.path.display(), self.camera_id, self.timing)
    }

    pub(super) fn total(&self) -> u64 {
        self.names.len() as u64
    }

    pub(super) fn skip(&mut self, after: Option<&Mark>) {
        if let Some(Mark::File(done)) = after {
            self.next = self.names.partition_point(|name| name <= done);
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Item>, ReplayError> {
        let Some(name) = self.names.get(self.next).cloned() else { return Ok(None) };
        let path = self.path.join(&name);
        let bytes = tokio::fs::read(&path).await.map_err(|source| ReplayError::Read { path, source })?;
        let captured_at = self.timing.captured_at(self.next, &name, &bytes);
        self.next += 1;
        let picture = captured_at.map(|captured_at| Picture {
            camera_id: self.camera_id,
            captured_at: to_micros(captured_at),
            received_at: None,
            bytes: bytes.into(),
        });
        Ok(Some(Item { mark: Mark::File(name.clone()), name, picture }))
    }
}

impl Timing {
    fn captured_at(&self, index: usize, name: &str, bytes: &[u8]) -> Result<DateTime<Utc>, String> {
        match self {
            Timing::Exif { zone } => {
                exif_time(bytes, *zone).ok_or_else(|| "it has no EXIF DateTimeOriginal".to_owned())
            }
            Timing::Name { pattern, zone } => name_time(name, pattern, *zone)
                .ok_or_else(|| format!("its name does not begin with a time in the form {pattern}")),
            Timing::Regular { start, fps } => Ok(regular_time(*start, *fps, index as u64)),
        }
    }
}

/// From a frame in a quarter of an hour to more than any camera of ours: within it times neither overflow nor coincide.
pub(super) fn check_fps(fps: f64) -> Result<(), ReplayError> {
    if (0.001..=1_000.0).contains(&fps) { Ok(()) } else { Err(ReplayError::Fps(fps)) }
}

/// When the frame of that number was captured, at so many a second.
pub(super) fn regular_time(start: DateTime<Utc>, fps: f64, index: u64) -> DateTime<Utc> {
    to_micros(start + TimeDelta::microseconds((index as f64 * 1e6 / fps).round() as i64))
}

fn name_time(name: &str, pattern: &str, zone: FixedOffset) -> Option<DateTime<Utc>> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    if let Ok((time, _)) = DateTime::parse_and_remainder(stem, pattern) {
        return Some(time.to_utc());
    }
    let (time, _) = NaiveDateTime::parse_and_remainder(stem, pattern).ok()?;
    in_zone(time, zone)
}

fn in_zone(time: NaiveDateTime, zone: FixedOffset) -> Option<DateTime<Utc>> {
    time.and_local_timezone(zone).single().map(|time| time.to_utc())
}

/// Reads `DateTimeOriginal` with its fraction and zone (Exif 2.31, section 4.6.5).
fn exif_time(bytes: &[u8], zone: FixedOffset) -> Option<DateTime<Utc>> {
    let exif = exif::Reader::new().read_from_container(&mut Cursor::new(bytes)).ok()?;
    let ascii = |tag| match &exif.get_field(tag, In::PRIMARY)?.value {
        Value::Ascii(lines) => lines.first(),
        _ => None,
    };
    let mut time = exif::DateTime::from_ascii(ascii(Tag::DateTimeOriginal)?).ok()?;
    if let Some(fraction) = ascii(Tag::SubSecTimeOriginal) {
        // What cannot be read of the finer parts is left out, as if it were not there.
        let _ = time.parse_subsec(fraction);
    }
    if let Some(offset) = ascii(Tag::OffsetTimeOriginal) {
        let _ = time.parse_offset(offset);
    }
    let zone = match time.offset {
        Some(minutes) => FixedOffset::east_opt(i32::from(minutes) * 60)?,
        None => zone,
    };
    let date = NaiveDate::from_ymd_opt(time.year.into(), time.month.into(), time.day.into())?;
    let (hour, minute, second) = (time.hour.into(), time.minute.into(), time.second.into());
    in_zone(date.and_hms_nano_opt(hour, minute, second, time.nanosecond.unwrap_or(0))?, zone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use exif::{Field, experimental::Writer};

    fn hours(hours: i32) -> FixedOffset {
        FixedOffset::east_opt(hours * 3_600).unwrap()
    }

    fn at(text: &str) -> Option<DateTime<Utc>> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn names_are_read_by_their_pattern() {
        let read = |name: &str, pattern: &str| name_time(name, pattern, hours(2));
        assert_eq!(read("20261120_090000.jpg", "%Y%m%d_%H%M%S"), at("2026-11-20T07:00:00Z"));
        assert_eq!(
            read("door_20261120_090000250_x.jpg", "door_%Y%m%d_%H%M%S%3f"),
            at("2026-11-20T07:00:00.25Z")
        );
        assert_eq!(read("2026-11-20T09:00:00+0000.png", "%Y-%m-%dT%H:%M:%S%z"), at("2026-11-20T09:00:00Z"));
        assert_eq!(read("holiday.jpg", "%Y%m%d_%H%M%S"), None);
    }

    #[test]
    fn regular_times_do_not_drift() {
        let start: DateTime<Utc> = "2026-11-20T09:00:00Z".parse().unwrap();
        assert_eq!(regular_time(start, 30.0, 1), start + TimeDelta::microseconds(33_333));
        assert_eq!(regular_time(start, 30.0, 108_000), start + TimeDelta::hours(1));
    }

    #[test]
    fn exif_times_have_the_zone_they_name_or_the_cameras() {
        let tagged = |fields: &[(Tag, &str)]| {
            let fields: Vec<Field> = fields
                .iter()
                .map(|(tag, text)| Field {
                    tag: *tag,
                    ifd_num: In::PRIMARY,
                    value: Value::Ascii(vec![text.as_bytes().to_vec()]),
                })
                .collect();
            let mut writer = Writer::new();
            fields.iter().for_each(|field| writer.push_field(field));
            let mut tiff = Cursor::new(Vec::new());
            writer.write(&mut tiff, false).unwrap();
            let exif = [b"Exif\0\0", tiff.into_inner().as_slice()].concat();
            let length = (exif.len() as u16 + 2).to_be_bytes();
            [&[0xff, 0xd8, 0xff, 0xe1][..], &length, &exif, &[0xff, 0xd9]].concat()
        };
        let original = (Tag::DateTimeOriginal, "2026:11:20 09:00:00");
        assert_eq!(exif_time(&tagged(&[original]), hours(1)), at("2026-11-20T08:00:00Z"));
        let exact = [original, (Tag::SubSecTimeOriginal, "25"), (Tag::OffsetTimeOriginal, "+03:00")];
        assert_eq!(exif_time(&tagged(&exact), hours(1)), at("2026-11-20T06:00:00.25Z"));
        assert_eq!(exif_time(&tagged(&[(Tag::Software, "x")]), hours(1)), None);
        assert_eq!(exif_time(&tagged(&[(Tag::DateTimeOriginal, "2026:13:41 99:00:00")]), hours(1)), None);
    }
}
