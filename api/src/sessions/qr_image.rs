//! Text as a QR code (ISO/IEC 18004), as PNG and SVG.

use base64::{Engine, prelude::BASE64_STANDARD};
use image::{GrayImage, ImageError, ImageFormat, Luma};
use qrcode::{Color, EcLevel, QrCode, render::svg, types::QrError};
use std::{error::Error, io::Cursor};

/// Pixels of one module in the PNG of an answer in JSON: sharp on a screen, and enlarged without loss.
const MODULE_PX: u32 = 8;
/// Modules of white around the code, as the standard asks for.
const QUIET_ZONE: u32 = 4;

/// Why a code cannot be drawn: a text that is too long for one, which a token never is.
type DrawError = Box<dyn Error + Send + Sync>;

/// One code as images.
pub(crate) struct QrImage {
    pub(crate) png_data_url: String,
    pub(crate) svg: String,
}

/// Draws `text`.
///
/// # Errors
/// When it is too long for a code.
pub(crate) fn render(text: &str) -> Result<QrImage, DrawError> {
    let code = encode(text)?;
    let png = write_png(&code, side_of(&code) * MODULE_PX)?;
    let png_data_url = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png));
    Ok(QrImage { png_data_url, svg: draw_svg(&code) })
}

/// Draws `text` as a PNG of that many pixels each way: its modules as large as they fit in whole pixels, white around
/// them.
///
/// # Errors
/// When it is too long for a code.
pub(crate) fn png(text: &str, side_px: u32) -> Result<Vec<u8>, DrawError> {
    Ok(write_png(&encode(text)?, side_px)?)
}

/// Draws `text` as SVG.
///
/// # Errors
/// When it is too long for a code.
pub(crate) fn svg(text: &str) -> Result<String, DrawError> {
    Ok(draw_svg(&encode(text)?))
}

fn encode(text: &str) -> Result<QrCode, QrError> {
    // Medium error correction: a projector and a hand in front of it cost some modules.
    QrCode::with_error_correction_level(text, EcLevel::M)
}

fn draw_svg(code: &QrCode) -> String {
    code.render::<svg::Color<'_>>().build()
}

/// Modules from edge to edge.
fn side_of(code: &QrCode) -> u32 {
    code.width() as u32 + 2 * QUIET_ZONE
}

fn write_png(code: &QrCode, side_px: u32) -> Result<Vec<u8>, ImageError> {
    let (modules, colours) = (code.width() as u32, code.to_colors());
    let module_px = (side_px / side_of(code)).max(1);
    let margin_px = side_px.saturating_sub(modules * module_px) / 2;
    let image = GrayImage::from_fn(side_px, side_px, |x, y| {
        let module = |pixel: u32| {
            pixel.checked_sub(margin_px).map(|pixel| pixel / module_px).filter(|module| *module < modules)
        };
        let dark = module(x)
            .zip(module(y))
            .is_some_and(|(column, row)| colours[(row * modules + column) as usize] == Color::Dark);
        Luma([if dark { 0 } else { 255 }])
    });
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png)?;
    Ok(png.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The three finder patterns are in their corners, and the quiet zone is white.
    #[test]
    fn the_png_is_a_code_with_its_margins() {
        let image = render("123e4567-e89b-42d3-a456-426614174000").unwrap();
        let encoded = image.png_data_url.strip_prefix("data:image/png;base64,").unwrap();
        let png = image::load_from_memory(&BASE64_STANDARD.decode(encoded).unwrap()).unwrap().to_luma8();
        let at = |column: u32, row: u32| png.get_pixel(column * MODULE_PX, row * MODULE_PX).0[0];
        let last = png.width() / MODULE_PX - QUIET_ZONE - 1;
        for (column, row) in [(QUIET_ZONE, QUIET_ZONE), (last, QUIET_ZONE), (QUIET_ZONE, last)] {
            assert_eq!(at(column, row), 0, "{column}, {row}");
        }
        assert!((0..png.width() / MODULE_PX).all(|column| at(column, QUIET_ZONE - 1) == 255));
        assert!(image.svg.contains("<svg"));
    }

    #[test]
    fn a_png_has_the_size_that_is_asked_for() {
        let text = "123e4567-e89b-42d3-a456-426614174000";
        let modules = side_of(&encode(text).unwrap());
        for side in [64, 100, 777, 2048] {
            let png = image::load_from_memory(&png(text, side).unwrap()).unwrap().to_luma8();
            assert_eq!((png.width(), png.height()), (side, side));
            // The finder patterns reach into three corners of the code.
            let dark = || png.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] == 0);
            let (left, right) =
                (dark().map(|(x, ..)| x).min().unwrap(), dark().map(|(x, ..)| x).max().unwrap());
            let margins = [left, side - 1 - right];
            assert!(margins[0].abs_diff(margins[1]) <= 1, "{side}: {margins:?}");
            assert!(
                margins.iter().all(|margin| *margin >= QUIET_ZONE * (side / modules)),
                "{side}: {margins:?}"
            );
        }
    }
}
