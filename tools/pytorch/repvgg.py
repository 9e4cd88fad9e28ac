"""RepVGG's training form as PyTorch modules whose weights bear the names that Microsoft.ML.RepVgg reads and writes.

    model = repvgg.build("RepVGG-A0", classes=1000)
    model.load_state_dict(torch.load("initial.pth"), strict=True)

Needs torch only, 1.13 or later. Block: sum of a 3x3 convolution, a 1x1 convolution and, where the shape allows it, the
identity, each with a batch norm; then ReLU. Squeeze-and-excitation stands before the ReLU ("se") or after it ("post_se").
"""
import torch
from torch import nn

DEPTHS = {"A": (2, 4, 14, 1), "B": (4, 6, 16, 1), "D": (8, 14, 24, 1)}
WIDTHS = {
    "A0": (0.75, 2.5), "A1": (1, 2.5), "A2": (1.5, 2.75),
    "B0": (1, 2.5), "B1": (2, 4), "B2": (2.5, 5), "B3": (3, 5), "D2": (2.5, 5),
}
# Stages of the variants for small images: width, blocks, stride of the first block.
SMALL = {
    "S0": ((16, 1, 1), (24, 1, 2), (48, 2, 2), (96, 1, 1)),
    "S1": ((24, 1, 1), (32, 2, 2), (64, 4, 2), (128, 2, 1)),
    "S2": ((32, 1, 1), (48, 2, 2), (96, 4, 2), (160, 2, 2), (192, 1, 1)),
    "S3": ((32, 1, 2), (64, 2, 2), (128, 4, 2), (256, 2, 2)),
    "S4": ((32, 1, 1), (64, 3, 2), (128, 4, 2)),
}


class ConvNorm(nn.Module):
    def __init__(self, inputs, outputs, size, stride, groups=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return self.bn(self.conv(x))


class Gate(nn.Module):
    """Squeeze-and-excitation."""

    def __init__(self, channels, reduced):
        super().__init__()
        self.down = nn.Conv2d(channels, reduced, 1)
        self.up = nn.Conv2d(reduced, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.up(torch.relu(self.down(x.mean((2, 3), keepdim=True)))))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, groups, gate):
        super().__init__()
        self.rbr_identity = nn.BatchNorm2d(inputs) if inputs == outputs and stride == 1 else None
        self.rbr_dense = ConvNorm(inputs, outputs, 3, stride, groups)
        self.rbr_1x1 = ConvNorm(inputs, outputs, 1, stride, groups)
        self.se = Gate(outputs, outputs // 16) if gate == "before" else None
        self.post_se = Gate(outputs, outputs // 4) if gate == "after" else None

    def forward(self, x):
        y = self.rbr_dense(x) + self.rbr_1x1(x)
        if self.rbr_identity is not None:
            y = y + self.rbr_identity(x)
        y = torch.relu(y if self.se is None else self.se(y))
        return y if self.post_se is None else self.post_se(y)


class Stage(nn.Module):
    """RepVGGplus keeps a stage's blocks under the name "blocks"."""

    def __init__(self, blocks):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class AuxiliaryHead(nn.Sequential):
    """A second classifier on an inner stage, for training only."""

    def __init__(self, channels, classes):
        super().__init__(ConvNorm(channels, channels, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))

    def forward(self, x):
        return self[3](self[2](self[1](torch.relu(self[0](x)))))


class RepVGG(nn.Module):
    """stages: (name, width, blocks, stride of the first block, auxiliary head), the stem first."""

    def __init__(self, stages, classes, channels=3, groups=1, gate=None, plus=False):
        super().__init__()
        layer, inputs, heads = 0, channels, []
        self.stages = [stage[0] for stage in stages]
        for name, width, depth, stride, auxiliary in stages:
            blocks = []
            for i in range(depth):
                grouped = groups if layer > 0 and layer % 2 == 0 else 1
                blocks.append(Block(inputs, width, stride if i == 0 else 1, grouped, gate))
                inputs, layer = width, layer + 1
            is_stem = name == self.stages[0]
            self.add_module(name, blocks[0] if is_stem else Stage(blocks) if plus else nn.Sequential(*blocks))
            if auxiliary:
                heads.append((name + "_aux", AuxiliaryHead(width, classes)))
        self.linear = nn.Linear(inputs, classes)
        for name, head in heads:
            self.add_module(name, head)

    def forward(self, x):
        """Logits; in training mode of a network with auxiliary heads: logits and the list of the heads' logits."""
        auxiliary = []
        for name in self.stages:
            x = getattr(self, name)(x)
            head = getattr(self, name + "_aux", None)
            if head is not None and self.training:
                auxiliary.append(head(x))
        logits = self.linear(x.mean((2, 3)))
        return (logits, auxiliary) if auxiliary else logits


def build(variant, classes=1000, channels=None):
    """The network of a variant's name, such as RepVGG-A0, B1g4, RepVGG-D2se, RepVGGplus-L2pse, RepVGG-S1."""
    name = variant[len("RepVGG-"):] if variant.startswith("RepVGG-") else variant
    if name in SMALL:
        stages = [(f"stage{i}", *stage, False) for i, stage in enumerate(SMALL[name])]
        return RepVGG(stages, classes, channels or (1 if name in ("S0", "S1") else 3))
    plus = name == "RepVGGplus-L2pse"
    base, _, groups = ("D2" if plus else name[:-2] if name.endswith("se") else name).partition("g")
    if base not in WIDTHS:
        raise ValueError(f"There is no RepVGG variant named '{variant}'.")
    a, b = WIDTHS[base]
    widths = (min(64, int(64 * a)), int(64 * a), int(128 * a), int(256 * a), int(512 * b))
    stages = [(f"stage{i}", width, depth, 2, plus and i in (1, 2)) for i, (width, depth) in enumerate(zip(widths, (1, *DEPTHS[base[0]])))]
    if plus:
        _, width, depth, _, _ = stages[3]
        stages[3:4] = [("stage3_first", width, depth // 2, 2, True), ("stage3_second", width, depth - depth // 2, 1, False)]
    gate = "after" if plus else "before" if name.endswith("se") else None
    return RepVGG(stages, classes, channels or 3, int(groups or 1), gate, plus)


def decays(name, parameter):
    """Whether weight decay applies to a parameter, by the RepVGG authors' rule."""
    return "identity.weight" in name or (parameter.ndim != 1 and not name.endswith(".bias"))
