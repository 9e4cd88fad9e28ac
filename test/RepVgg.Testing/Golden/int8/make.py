"""Stores the integers of quantized networks as floats, which hold them exactly.

The reader of checkpoints refuses weights that are integers, because they mean nothing without their scales.

    python3 make.py DIR

DIR has the files int8-*.pth and int8-*.npy that the original code wrote.
"""
import pathlib
import shutil
import sys

import torch

source = pathlib.Path(sys.argv[1])
for path in source.glob("int8-*"):
    target = pathlib.Path(__file__).parent / path.name.removeprefix("int8-")
    if path.suffix == ".pth":
        values = {name: tensor.float() for name, tensor in torch.load(path).items()}
        assert all(torch.equal(values[name].double(), tensor.double()) for name, tensor in torch.load(path).items())
        torch.save(values, target)
    else:
        shutil.copy(path, target)
