"""Makes center-crop.json beside this file with Pillow 9.4 (Debian's python3-pil): python3 make_center_crop.py

center-crop.json holds an image (planes of bytes, CHW, in base64) and cases: the side of a square, the crop fraction, and the resulting
planes. The shorter side is resized to round(side / fraction) with antialiasing, and the centre is cut out, as torchvision's Resize and CenterCrop do it.
"""
import base64
import json
import pathlib

import numpy
from PIL import Image

HERE = pathlib.Path(__file__).parent


def planes(image):
    return base64.b64encode(numpy.asarray(image).transpose(2, 0, 1).tobytes()).decode()


def center_crop(image, side, fraction):
    shorter = round(side / fraction)
    width, height = image.size
    scale = shorter / min(width, height)
    width, height = (int(width * scale + 1e-9), shorter) if width > height else (shorter, int(height * scale + 1e-9))
    left, top = int(round((width - side) / 2)), int(round((height - side) / 2))
    return image.resize((width, height), Image.BILINEAR).crop((left, top, left + side, top + side))


y, x = numpy.mgrid[0:90, 0:130]
pixels = numpy.stack([127 + 110 * numpy.sin(x / 5 + 0.02 * c * y + c) * numpy.cos(y / (4 + c)) for c in range(3)], -1).astype(numpy.uint8)
image = Image.fromarray(pixels)
cases = [(side, fraction) for side in (28, 32, 47) for fraction in (1.0, 0.875, 0.7)]
json.dump(
    {
        "width": 130,
        "height": 90,
        "pixels": planes(image),
        "cases": [{"side": side, "fraction": fraction, "result": planes(center_crop(image, side, fraction))} for side, fraction in cases],
    },
    open(HERE / "center-crop.json", "w"),
    separators=(",", ":"),
)
