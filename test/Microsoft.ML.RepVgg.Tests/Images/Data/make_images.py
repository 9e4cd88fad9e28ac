"""Writes the image files of this folder with Pillow: python3 make_images.py"""
import struct
import zlib

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 37, 45
y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
noise = np.random.default_rng(1).integers(0, 24, (HEIGHT, WIDTH, 3))
colour = np.clip(np.stack([5 * x, 6 * y, 3 * (x + y)], -1) % 232 + noise, 0, 255).astype(np.uint8)
alpha = np.where(x < 15, 0, np.where(x < 30, 7 * y, 255)).astype(np.uint8)
rgba = np.concatenate([colour, alpha[..., None]], -1)
rgb = Image.fromarray(colour)
grey = rgb.convert("L")


def png(name, bits, kind, rows, interlaced=False):
    """rows: [height, width, channels]; Pillow writes neither 16 bits per colour nor interlaced files."""
    def chunk(tag, content):
        return struct.pack(">I", len(content)) + tag + content + struct.pack(">I", zlib.crc32(tag + content))

    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)] if interlaced else [(0, 0, 1, 1)]
    content = b""
    for top, left, down, right in passes:
        part = rows[top::down, left::right]
        if part.size:
            for row in part:
                content += b"\0" + row.astype(">u2" if bits == 16 else "u1").tobytes()
    with open(name, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], bits, kind, 0, 0, int(interlaced))))
        file.write(chunk(b"IDAT", zlib.compress(content, 9)) + chunk(b"IEND", b""))


rgb.save("baseline.jpg", quality=80)
rgb.save("progressive.jpg", quality=80, progressive=True)
rgb.convert("CMYK").save("cmyk.jpg", quality=80)
grey.save("grey.jpg", quality=80)

rgb.save("colour.png")
grey.save("grey.png")
Image.fromarray(rgba).save("alpha.png")
Image.fromarray(rgba).convert("LA").save("grey-alpha.png")
rgb.quantize(40).save("palette.png")
Image.fromarray(rgba).quantize(40).save("palette-alpha.png")
grey.convert("1").save("bilevel.png")
png("colour-16-bit.png", 16, 2, colour.astype(np.uint16) * 257 - noise.astype(np.uint16) % 3)
png("alpha-16-bit.png", 16, 6, rgba.astype(np.uint16) * 257)
png("grey-16-bit.png", 16, 0, np.asarray(grey)[..., None].astype(np.uint16) * 251)
png("interlaced.png", 8, 2, colour, interlaced=True)

frame = Image.fromarray(colour[::-1].copy())
rgb.save("still.gif", interlace=0)
rgb.save("interlaced.gif", interlace=1)
rgb.save("animated.gif", save_all=True, append_images=[frame])
transparent = rgb.quantize(40)
transparent.save("transparent.gif", transparency=3)

rgb.save("colour.bmp")
rgb.quantize(40).save("palette.bmp")

rgb.save("lossy.webp", quality=80)
rgb.save("lossless.webp", lossless=True)
Image.fromarray(rgba).save("alpha.webp", quality=80)
Image.fromarray(rgba).save("alpha-lossless.webp", lossless=True, exact=True)
rgb.save("animated.webp", save_all=True, append_images=[frame], lossless=True)

exif = Image.Exif()
exif[0x0112] = 6
rgb.save("orientation-6.webp", lossless=True, exif=exif)
rgb.save("orientation-6.png", exif=exif)
rgb.save("picture.tif")
