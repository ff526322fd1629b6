//! Text as a QR code (ISO/IEC 18004), as PNG and SVG.

use base64::{Engine, prelude::BASE64_STANDARD};
use image::{GrayImage, ImageFormat, Luma};
use qrcode::{Color, EcLevel, QrCode, render::svg};
use std::{error::Error, io::Cursor};

/// Pixels of one module in the PNG: sharp on a screen, and enlarged without loss.
const MODULE_PX: u32 = 8;
/// Modules of white around the code, as the standard asks for.
const QUIET_ZONE: u32 = 4;

/// One code as images.
pub(crate) struct QrImage {
    pub(crate) png_data_url: String,
    pub(crate) svg: String,
}

/// Draws `text`.
///
/// # Errors
/// When it is too long for a code, which a token never is.
pub(crate) fn render(text: &str) -> Result<QrImage, Box<dyn Error + Send + Sync>> {
    // Medium error correction: a projector and a hand in front of it cost some modules.
    let code = QrCode::with_error_correction_level(text, EcLevel::M)?;
    let mut png = Cursor::new(Vec::new());
    pixels(&code).write_to(&mut png, ImageFormat::Png)?;
    let png_data_url = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(png.into_inner()));
    Ok(QrImage { png_data_url, svg: code.render::<svg::Color<'_>>().build() })
}

fn pixels(code: &QrCode) -> GrayImage {
    let modules = code.width() as u32;
    let colours = code.to_colors();
    let side = (modules + 2 * QUIET_ZONE) * MODULE_PX;
    GrayImage::from_fn(side, side, |x, y| {
        let module =
            |pixel: u32| (pixel / MODULE_PX).checked_sub(QUIET_ZONE).filter(|module| *module < modules);
        let dark = module(x)
            .zip(module(y))
            .is_some_and(|(column, row)| colours[(row * modules + column) as usize] == Color::Dark);
        Luma([if dark { 0 } else { 255 }])
    })
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
}
