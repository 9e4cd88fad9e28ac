"""Makes the ONNX files beside this file with PyTorch 1.13 (Debian's python3-torch, python3-onnx): python3 make.py

Small RepVGGs written out as torch modules, exported by torch.onnx in several ways, with an input and PyTorch's logits.
"""
import pathlib

import numpy
import torch
from torch import nn

HERE = pathlib.Path(__file__).parent


def conv_norm(inputs, outputs, size, stride, groups):
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs))


class Gate(nn.Module):
    def __init__(self, channels, reduced, pool):
        super().__init__()
        self.down, self.up, self.pool = nn.Conv2d(channels, reduced, 1), nn.Conv2d(reduced, channels, 1), pool

    def forward(self, x):
        pooled = x.mean((2, 3), keepdim=True) if self.pool == "mean" else nn.functional.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.up(torch.relu(self.down(pooled))))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, groups, gate, deploy):
        super().__init__()
        self.dense = nn.Conv2d(inputs, outputs, 3, stride, 1, groups=groups) if deploy else conv_norm(inputs, outputs, 3, stride, groups)
        self.point = None if deploy else conv_norm(inputs, outputs, 1, stride, groups)
        self.identity = nn.BatchNorm2d(inputs) if inputs == outputs and stride == 1 and not deploy else None
        self.before = Gate(outputs, outputs // 16, "pool") if gate == "before" else nn.Identity()
        self.after = Gate(outputs, outputs // 4, "mean") if gate == "after" else nn.Identity()

    def forward(self, x):
        y = self.dense(x)
        if self.point is not None:
            y = y + self.point(x)
            y = y + (0 if self.identity is None else self.identity(x))
        return self.after(torch.relu(self.before(y)))


class Net(nn.Module):
    def __init__(self, channels=3, groups=1, gate="", deploy=False, normalize=False, head="flatten"):
        super().__init__()
        shapes = [(channels, 16, 2), (16, 16, 2), (16, 16, 1), (16, 32, 2), (32, 32, 1)]
        self.blocks = nn.Sequential(*[Block(i, o, s, groups if n > 0 and n % 2 == 0 else 1, gate, deploy) for n, (i, o, s) in enumerate(shapes)])
        self.linear = nn.Linear(32, 5)
        self.normalize, self.head = normalize, head
        self.register_buffer("mean", torch.tensor([120.0, 110, 100]).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([60.0, 55, 50]).reshape(1, 3, 1, 1))
        generator = torch.Generator().manual_seed(7)
        for name, tensor in self.state_dict().items():
            if name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            elif tensor.is_floating_point() and name not in ("mean", "std"):
                fan = max(tensor[0].numel(), 1) if tensor.dim() > 1 else 4
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / fan ** 0.5)

    def forward(self, x):
        if self.normalize:
            x = (x - self.mean) / self.std
        x = self.blocks(x)
        if self.head == "view":
            x = nn.functional.adaptive_avg_pool2d(x, 1)
            x = x.view(x.size(0), -1)
        elif self.head == "mean":
            x = x.mean((2, 3))
        else:
            x = torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1)
        return self.linear(x)


def export(name, size=(16, 20), opset=13, folding=True, preserve=False, batch=True, **options):
    net = Net(**options).eval()
    x = torch.randn(2, options.get("channels", 3), *size, generator=torch.Generator().manual_seed(1)) * (60 if net.normalize else 1)
    with torch.no_grad():
        numpy.save(HERE / f"{name}-input.npy", x.numpy())
        numpy.save(HERE / f"{name}-logits.npy", net(x).numpy())
        torch.onnx.export(
            net, x, str(HERE / f"{name}.onnx"), opset_version=opset, do_constant_folding=folding,
            training=torch.onnx.TrainingMode.PRESERVE if preserve else torch.onnx.TrainingMode.EVAL,
            input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}} if batch else None)


export("deploy", deploy=True)
export("deploy-view", deploy=True, head="view", normalize=True)
export("training")  # the exporter merges conv and batch norm
export("training-norms", preserve=True, folding=False)  # batch norms stay
export("training-groups", groups=2, preserve=True, opset=11)
export("training-before", gate="before", head="view", batch=False)
export("training-after", gate="after", preserve=True, normalize=True, opset=17)
export("training-mean", channels=1, head="mean")
