//! What the demo needs before anybody acts: progress on the terminal, the model pack, the photographs.

use crate::config::Config;
use anyhow::Context;
use image::{DynamicImage, GenericImage, ImageFormat, RgbImage, imageops::FilterType};
use indicatif::{ProgressBar, ProgressStyle};
use rollcall_face_worker::models::{self, Fetcher};
use std::{future::Future, io::Cursor, path::Path, time::Duration};

/// The images of the demo, as bytes a camera or a browser would send.
pub struct Photographs {
    /// Three of the person who is enrolled.
    pub enrolled: [Vec<u8>; 3],
    /// A fourth of the same person, which the enrolment has not seen.
    pub unseen: Vec<u8>,
    /// Somebody else.
    pub stranger: Vec<u8>,
    /// The stranger and the enrolled person in one frame.
    pub group: Vec<u8>,
    /// A frame without a face.
    pub empty: Vec<u8>,
}

/// Runs one step and shows that it runs, then what became of it.
pub async fn step<T>(title: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let bar = ProgressBar::new_spinner().with_message(title.to_owned());
    bar.set_style(
        ProgressStyle::with_template("{spinner} {msg} ({elapsed})").expect("the template is valid"),
    );
    bar.enable_steady_tick(Duration::from_millis(120));
    let done = work.await;
    let took = bar.elapsed().as_secs_f64();
    bar.finish_and_clear();
    match &done {
        Ok(_) => println!("  ok    {title} ({took:.1} s)"),
        Err(_) => println!("  FAIL  {title} ({took:.1} s)"),
    }
    done
}

/// Sees that the model pack and the photographs are there.
pub async fn models(config: &Config) -> anyhow::Result<Photographs> {
    let face = config.face.clone();
    tokio::task::spawn_blocking(move || {
        let dir = face.models_dir();
        let say = |line: &str| println!("        {line}");
        let mut fetcher = Fetcher::new(&dir, &say)?;
        fetcher.runtime()?;
        fetcher.pack(&face.pack()?, None)?;
        read(&fetcher.photographs()?)
    })
    .await
    .context("fetching models")?
}

fn read(files: &models::Photographs) -> anyhow::Result<Photographs> {
    let bytes = |path: &Path| std::fs::read(path).with_context(|| format!("reading {}", path.display()));
    let [first, second, third] = files.enrolment();
    let people =
        [files.stranger(), first.clone()].map(image::open).into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(Photographs {
        unseen: bytes(&files.unseen())?,
        stranger: bytes(&files.stranger())?,
        group: jpeg(&side_by_side(&people)?)?,
        empty: jpeg(&gradient())?,
        enrolled: [bytes(&first)?, bytes(&second)?, bytes(&third)?],
    })
}

/// A group photograph: the pictures in a row, each 720 pixels high.
fn side_by_side(pictures: &[DynamicImage]) -> anyhow::Result<RgbImage> {
    let row: Vec<_> =
        pictures.iter().map(|picture| picture.resize(1280, 720, FilterType::Triangle).to_rgb8()).collect();
    let mut group = RgbImage::new(row.iter().map(RgbImage::width).sum(), 720);
    let mut x = 0;
    for picture in row {
        group.copy_from(&picture, x, 0)?;
        x += picture.width();
    }
    Ok(group)
}

/// An empty room, as far as a face detector is concerned.
fn gradient() -> RgbImage {
    RgbImage::from_fn(1280, 720, |x, y| image::Rgb([(x / 5) as u8, (y / 3) as u8, 128]))
}

fn jpeg(picture: &RgbImage) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Jpeg)?;
    Ok(bytes.into_inner())
}
