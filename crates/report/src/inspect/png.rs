//! Pixels → a PNG file: eight bits a channel, no filter, one chunk of data (PNG specification, third edition).

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

use super::error::{InspectError, Result};
use super::palette::Rgb;

/// An image of opaque pixels, row by row.
pub(super) struct Image {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Vec<Rgb>,
}

impl Image {
    /// All of one colour.
    pub(super) fn new(width: usize, height: usize, colour: Rgb) -> Self {
        Self { width, height, pixels: vec![colour; width * height] }
    }

    /// Fills a rectangle; what lies outside the image is left out.
    pub(super) fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, colour: Rgb) {
        let end = (x + width).min(self.width);
        for row in y..(y + height).min(self.height) {
            if let Some(part) = self.pixels.get_mut(row * self.width + x.min(end)..row * self.width + end) {
                part.fill(colour);
            }
        }
    }

    /// The file.
    pub(super) fn png(&self) -> Result<Vec<u8>> {
        let side = |n: usize| {
            u32::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| InspectError::Picture {
                what: "pixels",
                reason: format!("{} × {} pixels is no picture", self.width, self.height),
            })
        };
        let (width, height) = (side(self.width)?, side(self.height)?);
        let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
        let mut header = Vec::new();
        header.extend(width.to_be_bytes());
        header.extend(height.to_be_bytes());
        header.extend([8, 2, 0, 0, 0]); // bits, colour without alpha, and the only methods there are
        chunk(&mut file, b"IHDR", &header)?;
        let mut coder = ZlibEncoder::new(Vec::new(), Compression::new(6));
        for row in self.pixels.chunks_exact(self.width) {
            coder.write_all(&[0])?;
            coder.write_all(row.as_flattened())?;
        }
        chunk(&mut file, b"IDAT", &coder.finish()?)?;
        chunk(&mut file, b"IEND", &[])?;
        Ok(file)
    }
}

fn chunk(file: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) -> Result<()> {
    let length = u32::try_from(data.len()).map_err(|_| InspectError::Picture {
        what: "pixels",
        reason: format!("{} bytes are too many for one picture", data.len()),
    })?;
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    file.extend(length.to_be_bytes());
    file.extend(kind);
    file.extend(data);
    file.extend(crc.sum().to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Read;

    use super::*;

    #[test]
    fn a_png_holds_its_pixels_and_right_checksums() {
        let mut image = Image::new(3, 2, [1, 2, 3]);
        image.fill(2, 1, 9, 9, [9, 8, 7]);
        let file = image.png().unwrap();
        assert_eq!(file[..8], *b"\x89PNG\r\n\x1a\n");
        let (mut at, mut kinds, mut rows) = (8, Vec::new(), Vec::new());
        while at < file.len() {
            let length = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
            let data = &file[at + 8..at + 8 + length];
            let mut crc = Crc::new();
            crc.update(&file[at + 4..at + 8 + length]);
            assert_eq!(file[at + 8 + length..at + 12 + length], crc.sum().to_be_bytes());
            kinds.push(file[at + 4..at + 8].to_vec());
            if kinds.last().unwrap() == b"IDAT" {
                flate2::read::ZlibDecoder::new(data).read_to_end(&mut rows).unwrap();
            }
            at += 12 + length;
        }
        assert_eq!(kinds, [b"IHDR", b"IDAT", b"IEND"]);
        assert_eq!(rows, [0, 1, 2, 3, 1, 2, 3, 1, 2, 3, 0, 1, 2, 3, 1, 2, 3, 9, 8, 7]);
        assert!(Image::new(0, 5, [0; 3]).png().is_err());
    }
}
