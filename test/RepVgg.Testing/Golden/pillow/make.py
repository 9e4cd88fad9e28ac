"""Makes operations.json beside this file with Pillow 9.4 (Debian's python3-pil): python3 make.py

operations.json holds images (planes of bytes, CHW, in base64) and cases: the image, an operation, its arguments, and the
resulting image. The affine operations are those of timm: bilinear interpolation, with a fill colour of 128.
"""
import base64
import json
import pathlib

import numpy
from PIL import Image, ImageEnhance, ImageOps

HERE = pathlib.Path(__file__).parent
FILL = 128


def images():
    random = numpy.random.default_rng(18)
    y, x = numpy.mgrid[0:22, 0:30]
    smooth = numpy.stack([120 + 90 * numpy.sin(x / 7 + c) * numpy.cos(y / (5 + c)) for c in range(3)], -1)
    return {
        "noise": random.integers(0, 256, (17, 23, 3), dtype=numpy.uint8),
        "smooth": numpy.clip(smooth + random.normal(0, 3, smooth.shape), 0, 255).astype(numpy.uint8),
        "grey": random.integers(40, 90, (19, 21), dtype=numpy.uint8),
        "flat": numpy.full((20, 20, 3), (9, 200, 77), dtype=numpy.uint8),
        "line": random.integers(0, 256, (1, 37, 3), dtype=numpy.uint8),
    }


def affine(image, matrix):
    return image.transform(image.size, Image.AFFINE, matrix, resample=Image.BILINEAR, fillcolor=FILL if image.mode == "L" else (FILL,) * 3)


def solarize_add(image, addend):
    return image.point([min(255, v + addend) if v < 128 else v for v in range(256)] * len(image.getbands()))


def shift_hue(image, shift):
    """adjust_hue of torchvision for images of Pillow."""
    if image.mode == "L":
        return image
    hue, saturation, value = image.convert("HSV").split()
    shifted = numpy.asarray(hue) + numpy.int32(shift * 255).astype(numpy.uint8)
    return Image.merge("HSV", (Image.fromarray(shifted), saturation, value)).convert("RGB")


OPERATIONS = {
    "AutoContrast": (ImageOps.autocontrast, [()]),
    "Equalize": (ImageOps.equalize, [()]),
    "Invert": (ImageOps.invert, [()]),
    "Posterize": (lambda image, bits: image.point([v & (255 << (8 - bits)) & 255 for v in range(256)] * len(image.getbands())), [(0,), (1,), (3,), (8,)]),
    "Solarize": (ImageOps.solarize, [(0,), (100,), (256,)]),
    "SolarizeAdd": (solarize_add, [(0,), (37,), (110,)]),
    "Brightness": (lambda image, factor: ImageEnhance.Brightness(image).enhance(factor), [(0.1,), (0.73,), (1.0,), (1.9,)]),
    "Contrast": (lambda image, factor: ImageEnhance.Contrast(image).enhance(factor), [(0.1,), (0.73,), (1.0,), (1.9,)]),
    "Color": (lambda image, factor: ImageEnhance.Color(image).enhance(factor), [(0.1,), (0.73,), (1.0,), (1.9,)]),
    "Sharpness": (lambda image, factor: ImageEnhance.Sharpness(image).enhance(factor), [(0.1,), (0.73,), (1.0,), (1.9,)]),
    "Hue": (shift_hue, [(-0.5,), (-0.13,), (0.0,), (0.31,), (0.5,)]),
    "Rotate": (lambda image, degrees: image.rotate(degrees, resample=Image.BILINEAR, fillcolor=FILL if image.mode == "L" else (FILL,) * 3), [(-30.0,), (3.7,), (30.0,)]),
    "ShearX": (lambda image, factor: affine(image, (1, factor, 0, 0, 1, 0)), [(-0.3,), (0.11,)]),
    "ShearY": (lambda image, factor: affine(image, (1, 0, 0, factor, 1, 0)), [(-0.3,), (0.11,)]),
    "TranslateX": (lambda image, share: affine(image, (1, 0, share * image.size[0], 0, 1, 0)), [(-0.45,), (0.1,)]),
    "TranslateY": (lambda image, share: affine(image, (1, 0, 0, 0, 1, share * image.size[1])), [(-0.45,), (0.1,)]),
    # left, top, width, height of the rectangle; width and height of the result.
    "Resize": (lambda image, left, top, width, height, w, h: image.crop((left, top, left + width, top + height)).resize((w, h), Image.BILINEAR), None),
}
RESIZES = {
    "noise": [(0, 0, 23, 17, 8, 8), (0, 0, 23, 17, 64, 40), (3, 2, 11, 13, 11, 13), (5, 1, 17, 9, 17, 30), (22, 16, 1, 1, 5, 5), (0, 0, 23, 17, 1, 1)],
    "smooth": [(0, 0, 30, 22, 32, 32), (7, 9, 20, 13, 64, 24), (1, 0, 29, 22, 3, 2), (0, 0, 30, 22, 13, 9), (4, 0, 16, 22, 9, 22)],
    "grey": [(0, 0, 21, 19, 28, 28), (2, 3, 15, 12, 7, 9)],
    "flat": [(0, 0, 20, 20, 33, 7)],
    "line": [(0, 0, 37, 1, 12, 12)],
}


def encode(pixels):
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return {"shape": list(planes.shape), "pixels": base64.b64encode(numpy.ascontiguousarray(planes).tobytes()).decode()}


def main():
    sources, cases = images(), []
    for name, pixels in sources.items():
        for operation, (apply, arguments) in OPERATIONS.items():
            for values in arguments or RESIZES[name]:
                result = numpy.asarray(apply(Image.fromarray(pixels), *values))
                cases.append({"image": name, "operation": operation, "arguments": list(values), **encode(result)})
    lines = ",\n".join(json.dumps(case) for case in cases)
    images_json = json.dumps({name: encode(pixels) for name, pixels in sources.items()})
    (HERE / "operations.json").write_text(f'{{"images": {images_json},\n"cases": [\n{lines}\n]}}\n')
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
