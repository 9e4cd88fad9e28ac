"""Loads every NAME.pth of a folder in PyTorch and compares the network's logits with NAME.expected.bin.

The folder is written by the tests when REPVGG_PYTORCH_CHECK names it. The network is put together here from the
names and shapes of the weights alone, as torch.nn modules, and loads them with strict=True.
Usage: python3 check.py FOLDER      (needs torch; Debian: python3-torch)
"""
import json
import pathlib
import re
import sys
import warnings

import torch
from torch import nn

warnings.filterwarnings("ignore")


class ConvNorm(nn.Module):
    def __init__(self, kernel, stride, groups):
        super().__init__()
        outputs, inputs, size, _ = kernel.shape
        self.conv = nn.Conv2d(inputs * groups, outputs, size, stride, size // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return self.bn(self.conv(x))


class Gate(nn.Module):
    def __init__(self, down):
        super().__init__()
        reduced, channels = down.shape[:2]
        self.down = nn.Conv2d(channels, reduced, 1)
        self.up = nn.Conv2d(reduced, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.up(torch.relu(self.down(x.mean((2, 3), keepdim=True)))))


class Block(nn.Module):
    def __init__(self, weights, inputs, stride):
        super().__init__()
        kernel = weights.get("rbr_dense.conv.weight", weights.get("rbr_reparam.weight"))
        groups = inputs // kernel.shape[1]
        if "rbr_reparam.weight" in weights:
            self.rbr_reparam = nn.Conv2d(inputs, kernel.shape[0], 3, stride, 1, groups=groups)
        else:
            self.rbr_dense = ConvNorm(kernel, stride, groups)
            self.rbr_1x1 = ConvNorm(weights["rbr_1x1.conv.weight"], stride, groups)
            if "rbr_identity.weight" in weights:
                self.rbr_identity = nn.BatchNorm2d(inputs)
        for name in ("se", "post_se"):
            if name + ".down.weight" in weights:
                setattr(self, name, Gate(weights[name + ".down.weight"]))

    def forward(self, x):
        if hasattr(self, "rbr_reparam"):
            y = self.rbr_reparam(x)
        else:
            y = self.rbr_dense(x) + self.rbr_1x1(x)
            if hasattr(self, "rbr_identity"):
                y = y + self.rbr_identity(x)
        if hasattr(self, "se"):
            y = self.se(y)
        y = torch.relu(y)
        return self.post_se(y) if hasattr(self, "post_se") else y


class AuxiliaryHead(nn.Sequential):
    def __init__(self, kernel, classes):
        super().__init__(ConvNorm(kernel, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(kernel.shape[0], classes))


def build(state):
    """A module tree whose state_dict has the names of `state`; the first block of a stage has stride 2 unless it has an identity."""
    root = nn.Module()
    blocks = {}
    for name, tensor in state.items():
        match = re.match(r"(stage\w*?(?:\.blocks)?(?:\.\d+)?)\.((?:rbr_|se\.|post_se\.).*)", name)
        if match:
            blocks.setdefault(match[1], {})[match[2]] = tensor
    order, inputs, previous = [], 3, None
    for name, weights in blocks.items():
        kernel = weights.get("rbr_dense.conv.weight", weights.get("rbr_reparam.weight"))
        stage = name.split(".")[0]
        stride = 2 if stage != previous and not stage.endswith("_second") else 1
        block, previous, inputs = Block(weights, inputs, stride), stage, kernel.shape[0]
        place = root
        *path, last = name.split(".")
        for part in path:
            if not hasattr(place, part):
                place.add_module(part, nn.Module())
            place = getattr(place, part)
        place.add_module(last, block)
        order.append(block)
    classes = state["linear.weight"].shape[0]
    root.linear = nn.Linear(inputs, classes)
    for name, tensor in state.items():
        if name.endswith("_aux.0.conv.weight"):
            root.add_module(name.split(".")[0], AuxiliaryHead(tensor, classes))
    return root, order


def check(path):
    wanted = json.loads(path.with_suffix(".json").read_text())
    values = lambda kind: torch.frombuffer(bytearray(path.with_suffix(f".{kind}.bin").read_bytes()), dtype=torch.float32)
    try:
        state = torch.load(path, weights_only=True)
    except TypeError:
        state = torch.load(path)
    root, order = build(state)
    root.load_state_dict(state, strict=True)
    root.eval()
    with torch.no_grad():
        x = values("input").reshape(wanted["inputShape"])
        for block in order:
            x = block(x)
        logits = root.linear(x.mean((2, 3)))
    expected = values("expected").reshape(wanted["outputShape"])
    error = float((logits - expected).abs().max() / expected.abs().max())
    good = error <= wanted["tolerance"]
    print(f"{'ok  ' if good else 'FAIL'} {path.stem}: relative error {error:.2e}, allowed {wanted['tolerance']}")
    return good


def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.pth"))
    failed = sum(not check(path) for path in paths)
    print(f"PyTorch {torch.__version__}: {len(paths)} files, {failed} failed")
    sys.exit(1 if failed or not paths else 0)


if __name__ == "__main__":
    main()
