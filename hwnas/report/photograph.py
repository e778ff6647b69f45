"""From a photograph to a network's input, in Kotlin, Swift and C++, whose own libraries resize in another way.

Each language gets the same two functions: one axis resized as Pillow's ``precompute_coeffs`` does it for BILINEAR
(https://github.com/python-pillow/Pillow/blob/main/src/libImaging/Resample.c), and both axes of the part that is taken.
"""

from __future__ import annotations

from hwnas.preprocessing import WHOLE, Preprocessing


def photograph_snippets(preprocessing: Preprocessing) -> dict[str, tuple[str, str]]:
    """Language -> (its name in Markdown, the functions); none where the crop or the size was not recorded."""
    if preprocessing.crop is None or preprocessing.size is None:
        return {}
    height, width = preprocessing.size
    written = {"Kotlin (Android)": ("kotlin", KOTLIN), "Swift (iOS)": ("swift", SWIFT), "C++": ("cpp", CPP)}
    return {
        language: (code, _filled(text, preprocessing.crop == WHOLE, width, height))
        for language, (code, text) in written.items()
    }


def _filled(text: str, whole: bool, width: int, height: int) -> str:
    """The functions for one size. Lines that begin with ``?`` are for all of a photograph, with ``!`` for a part."""
    lines = [line for line in text.strip().splitlines() if not line.startswith("!" if whole else "?")]
    what = "all of the photograph" if whole else "the largest centred part of the photograph"
    filled = "\n".join(line.lstrip("?!") for line in lines)
    return filled.replace("WIDTH", str(width)).replace("HEIGHT", str(height)).replace("WHAT", what)


KOTLIN = """
import android.graphics.Bitmap
import kotlin.math.*

/** The middle [side] of [length] RGB pixels in each of the [lines] becomes [size] pixels; the result is turned. */
fun resizedAxis(from: IntArray, lines: Int, length: Int, side: Double, size: Int): IntArray {
    val to = IntArray(3 * lines * size)
    val start = (length - side) / 2
    val scale = side / size
    val reach = max(scale, 1.0)  // the triangle that a new pixel is the mean of: this is what antialiases
    for (i in 0 until size) {
        val centre = start + (i + 0.5) * scale
        val low = max(0, (centre - reach + 0.5).toInt())
        val high = min(length, (centre + reach + 0.5).toInt())
        for (line in 0 until lines) for (c in 0..2) {
            var sum = 0.0
            var weights = 0.0
            for (k in low until high) {
                val weight = max(0.0, 1 - abs(k + 0.5 - centre) / reach)
                sum += weight * from[3 * (line * length + k) + c]
                weights += weight
            }
            to[3 * (i * lines + line) + c] = (sum / weights).roundToInt()
        }
    }
    return to
}

/** RGB, 0 to 255, row by row: WHAT, which must be upright (EXIF). */
fun prepared(photo: Bitmap): IntArray {
    val argb = IntArray(photo.width * photo.height)
    photo.getPixels(argb, 0, photo.width, 0, 0, photo.width, photo.height)
    val rgb = IntArray(3 * argb.size) {  // transparent parts over white
        val opacity = argb[it / 3] ushr 24
        ((argb[it / 3] shr (16 - 8 * (it % 3)) and 255) * opacity + 255 * (255 - opacity) + 127) / 255
    }
!    val scale = min(photo.width / WIDTH.0, photo.height / HEIGHT.0)
!    val columns = resizedAxis(rgb, photo.height, photo.width, WIDTH * scale, WIDTH)
!    return resizedAxis(columns, WIDTH, photo.height, HEIGHT * scale, HEIGHT)
?    val columns = resizedAxis(rgb, photo.height, photo.width, photo.width.toDouble(), WIDTH)
?    return resizedAxis(columns, WIDTH, photo.height, photo.height.toDouble(), HEIGHT)
}
"""

SWIFT = """
import CoreGraphics

/// The middle `side` of `length` RGB pixels in each of the `lines` becomes `size` pixels; the result is turned.
func resizedAxis(_ from: [UInt8], lines: Int, length: Int, side: Double, size: Int) -> [UInt8] {
    var to = [UInt8](repeating: 0, count: 3 * lines * size)
    let start = (Double(length) - side) / 2
    let scale = side / Double(size)
    let reach = max(scale, 1)  // the triangle that a new pixel is the mean of: this is what antialiases
    for i in 0..<size {
        let centre = start + (Double(i) + 0.5) * scale
        let low = max(0, Int(centre - reach + 0.5))
        let high = min(length, Int(centre + reach + 0.5))
        for line in 0..<lines {
            for c in 0..<3 {
                var sum = 0.0
                var weights = 0.0
                for k in low..<high {
                    let weight = max(0, 1 - abs(Double(k) + 0.5 - centre) / reach)
                    sum += weight * Double(from[3 * (line * length + k) + c])
                    weights += weight
                }
                to[3 * (i * lines + line) + c] = UInt8((sum / weights).rounded())
            }
        }
    }
    return to
}

/// RGB, 0 to 255, row by row: WHAT, which must be upright (UIImage.imageOrientation).
func prepared(_ photo: CGImage) -> [UInt8] {
    let (width, height) = (photo.width, photo.height)
    let whole = CGRect(x: 0, y: 0, width: width, height: height)
    let context = CGContext(
        data: nil, width: width, height: height, bitsPerComponent: 8, bytesPerRow: 4 * width,
        space: CGColorSpace(name: CGColorSpace.sRGB)!, bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)!
    context.setFillColor(red: 1, green: 1, blue: 1, alpha: 1)
    context.fill(whole)
    context.draw(photo, in: whole)
    let rgba = context.data!.bindMemory(to: UInt8.self, capacity: 4 * width * height)
    let rgb = (0..<3 * width * height).map { rgba[4 * ($0 / 3) + $0 % 3] }
!    let scale = min(Double(width) / WIDTH, Double(height) / HEIGHT)
!    let columns = resizedAxis(rgb, lines: height, length: width, side: WIDTH * scale, size: WIDTH)
!    return resizedAxis(columns, lines: WIDTH, length: height, side: HEIGHT * scale, size: HEIGHT)
?    let columns = resizedAxis(rgb, lines: height, length: width, side: Double(width), size: WIDTH)
?    return resizedAxis(columns, lines: WIDTH, length: height, side: Double(height), size: HEIGHT)
}
"""

CPP = """
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

// The middle `side` of `length` RGB pixels in each of the `lines` becomes `size` pixels; the result is turned.
std::vector<uint8_t> resized_axis(const std::vector<uint8_t>& from, int lines, int length, double side, int size) {
  std::vector<uint8_t> to(size_t{3} * lines * size);
  const double start = (length - side) / 2, scale = side / size;
  const double reach = std::max(scale, 1.0);  // the triangle that a new pixel is the mean of: this is what antialiases
  for (int i = 0; i < size; ++i) {
    const double centre = start + (i + 0.5) * scale;
    const int low = std::max(0, static_cast<int>(centre - reach + 0.5));
    const int high = std::min(length, static_cast<int>(centre + reach + 0.5));
    for (int line = 0; line < lines; ++line) {
      for (int c = 0; c < 3; ++c) {
        double sum = 0, weights = 0;
        for (int k = low; k < high; ++k) {
          const double weight = std::max(0.0, 1 - std::abs(k + 0.5 - centre) / reach);
          sum += weight * from[3 * (size_t{1} * line * length + k) + c];
          weights += weight;
        }
        to[3 * (size_t{1} * i * lines + line) + c] = static_cast<uint8_t>(std::lround(sum / weights));
      }
    }
  }
  return to;
}

// RGB, 0 to 255, row by row: WHAT, which must be upright (EXIF) RGB too.
std::vector<uint8_t> prepared(const std::vector<uint8_t>& photo, int width, int height) {
!  const double scale = std::min(width / WIDTH.0, height / HEIGHT.0);
!  const auto columns = resized_axis(photo, height, width, WIDTH * scale, WIDTH);
!  return resized_axis(columns, WIDTH, height, HEIGHT * scale, HEIGHT);
?  const auto columns = resized_axis(photo, height, width, width, WIDTH);
?  return resized_axis(columns, WIDTH, height, height, HEIGHT);
}
"""
