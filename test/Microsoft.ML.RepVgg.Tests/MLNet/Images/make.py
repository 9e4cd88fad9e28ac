"""Makes the sample images of this folder and their expected pixels.

Needs Pillow, numpy, ImageMagick (convert) and libjpeg-turbo (cjpeg). The images come from those programs; the expected
pixels are what Pillow reads (libpng, libjpeg-turbo): NAME.rgba holds four bytes a pixel, red, green, blue, alpha, not
multiplied by alpha. 16-bit samples keep their high byte. Of CMYK images Pillow gives the inks; they become colours by
ink * black / 255 on the stored (inverted) values, as Skia does it.
"""
import os
import struct
import subprocess
import tempfile
import zlib

import numpy as np
from PIL import Image

rng = np.random.default_rng(7)
here = os.path.dirname(os.path.abspath(__file__))
os.chdir(here)


def picture(width, height):
    y, x = np.mgrid[0:height, 0:width].astype(float)
    a = np.stack([128 + 90 * np.sin(x / 9 + y / 13), 128 + 80 * np.cos(x / 7 - y / 5), 128 + 100 * np.sin(x * y / 90 + 1)], -1)
    a += rng.normal(0, 4, a.shape)
    a[height // 4:height // 2, width // 3:width // 2] = [250, 20, 30]
    return np.clip(a, 0, 255).astype(np.uint8)


def run(*command):
    # No dates in the files, so that they come out alike each time.
    if command[0] == "convert":
        command = (*command[:-1], "-define", "png:exclude-chunks=date,time", command[-1])
    subprocess.run(command, check=True)


def expect(name):
    image = Image.open(name)
    if image.mode in ("I", "I;16"):
        gray = np.array(image) >> 8
        rgba = np.dstack([gray, gray, gray, np.full_like(gray, 255)])
    elif image.mode == "CMYK":
        stored = 255 - np.array(image).astype(int)
        colors = np.rint(stored[..., :3] * stored[..., 3:] / 255)
        rgba = np.dstack([colors, np.full(stored.shape[:2], 255)])
    else:
        rgba = np.array(image.convert("RGBA"))
    rgba.astype(np.uint8).tofile(os.path.splitext(name)[0] + ".rgba")


def jpegs(folder):
    base = picture(35, 27)
    ppm = os.path.join(folder, "base.ppm")
    scans = os.path.join(folder, "scans.txt")
    Image.fromarray(base).save(ppm)
    with open(scans, "w") as f:
        f.write("0;\n1;\n2;\n")
    for name, options in {
        "jpeg-444": ["-sample", "1x1"],
        "jpeg-422": ["-sample", "2x1", "-optimize"],
        "jpeg-420": ["-sample", "2x2"],
        "jpeg-440": ["-sample", "1x2"],
        "jpeg-411": ["-sample", "4x1"],
        "jpeg-410": ["-sample", "4x2"],
        "jpeg-gray": ["-grayscale"],
        "jpeg-rgb": ["-rgb", "-quality", "95"],
        "jpeg-coarse": ["-quality", "15"],
        "jpeg-restart": ["-sample", "2x2", "-restart", "2B"],
        "jpeg-scans": ["-sample", "2x2", "-scans", scans],
        "jpeg-progressive": ["-progressive", "-sample", "2x2"],
        "jpeg-progressive-444": ["-progressive", "-sample", "1x1", "-quality", "98", "-restart", "3B"],
        "jpeg-progressive-gray": ["-progressive", "-grayscale"],
    }.items():
        run("cjpeg", *options, "-outfile", name + ".jpg", ppm)
        expect(name + ".jpg")
    Image.fromarray(base).convert("CMYK").save("jpeg-cmyk.jpg", quality=90)
    expect("jpeg-cmyk.jpg")
    # The same coefficients, declared as YCCK by the transform byte of the Adobe segment.
    data = bytearray(open("jpeg-cmyk.jpg", "rb").read())
    data[data.index(b"Adobe") + 11] = 2
    open("jpeg-ycck.jpg", "wb").write(data)
    expect("jpeg-ycck.jpg")


def all_filters(name, pixels):
    """An RGB image whose rows use the five filters in turn (what other programs choose by themselves)."""
    rows = []
    above = np.zeros((pixels.shape[1] + 1, 3), int)
    for y, row in enumerate(pixels.astype(int)):
        row = np.vstack([[0, 0, 0], row])
        left, up, corner = row[:-1], above[1:], above[:-1]
        estimate = left + up - corner
        distance = np.stack([np.abs(estimate - v) for v in (left, up, corner)])
        paeth = np.choose(distance.argmin(0), [left, up, corner])
        predicted = [0 * left, left, up, (left + up) // 2, paeth][y % 5]
        rows.append(bytes([y % 5]) + ((row[1:] - predicted) % 256).astype(np.uint8).tobytes())
        above = row

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 0)
    data = zlib.compress(b"".join(rows))
    with open(name, "wb") as f:
        # Two pieces of data, as large files have them.
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data[:300]) + chunk(b"IDAT", data[300:]) + chunk(b"IEND", b""))


def pngs(folder):
    base = picture(21, 13)
    alpha = rng.integers(0, 256, base.shape[:2], dtype=np.uint8)
    alpha[:4] = 255
    rgb, gray = Image.fromarray(base), Image.fromarray(base[..., 0])
    rgba = Image.fromarray(np.dstack([base, alpha]))
    source = os.path.join(folder, "rgba.png")
    rgba.save(source)
    rgb.save("png-rgb.png")
    rgba.save("png-rgba.png")
    gray.save("png-gray.png")
    gray.convert("1").save("png-gray1.png")
    Image.fromarray(np.dstack([base[..., 0], alpha]), "LA").save("png-gray-alpha.png")
    Image.fromarray(base[..., 0].astype(np.uint16) * 256 + rng.integers(0, 256, alpha.shape, dtype=np.uint16)).save("png-gray16.png")
    for colors, bits in ((2, 1), (4, 2), (13, 4), (100, 8)):
        rgb.quantize(colors).save(f"png-palette{bits}.png", bits=bits)
    rgb.quantize(60).save("png-palette-transparent.png", transparency=bytes([0, 40, 100, 200, 255]))
    rgb.save("png-rgb-transparent.png", transparency=tuple(int(v) for v in base[5, 8]))
    gray.save("png-gray-transparent.png", transparency=int(base[5, 8, 0]))
    gray4 = ["-colorspace", "gray", "-define", "png:color-type=0"]
    run("convert", "png-gray.png", *gray4, "-posterize", "4", "-define", "png:bit-depth=2", "png-gray2.png")
    run("convert", "png-gray.png", *gray4, "-posterize", "16", "-define", "png:bit-depth=4", "-interlace", "PNG", "png-gray4-interlaced.png")
    run("convert", source, "-depth", "16", "-gamma", "1.1", "PNG64:png-rgba16.png")
    run("convert", source, "-alpha", "off", "-gamma", "1.1", "-interlace", "PNG", "PNG48:png-rgb16-interlaced.png")
    run("convert", source, "-interlace", "PNG", "PNG32:png-rgba-interlaced.png")
    run("convert", "png-palette8.png", "-interlace", "PNG", "PNG8:png-palette8-interlaced.png")
    all_filters("png-filters.png", base)
    for name in sorted(os.listdir(".")):
        if name.startswith("png-") and name.endswith(".png"):
            expect(name)


def bmps():
    rgb = Image.fromarray(picture(11, 7))
    rgb.save("bmp-rgb.bmp")
    rgb.quantize(50).save("bmp-palette8.bmp")
    rgb.convert("1").save("bmp-gray1.bmp")
    run("convert", "bmp-rgb.bmp", "-define", "bmp:subtype=RGB565", "bmp-565.bmp")
    for name in ("bmp-rgb", "bmp-palette8", "bmp-gray1", "bmp-565"):
        expect(name + ".bmp")


def resized():
    """The RGB sample, shrunk by Pillow's antialiased triangle filter."""
    small = Image.open("png-rgb.png").convert("RGB").resize((9, 5), Image.Resampling.BILINEAR).convert("RGBA")
    np.array(small).tofile("png-rgb-9x5.rgba")


with tempfile.TemporaryDirectory() as folder:
    jpegs(folder)
    pngs(folder)
bmps()
resized()
