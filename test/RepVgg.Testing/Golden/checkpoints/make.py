"""Makes the checkpoints beside this file with PyTorch 1.13 (Debian's python3-torch): python3 make.py

All but those named mmpretrain-* hold one small network, whose logits and pooled features for input.npy are in logits.npy and
pooled.npy. They differ in what is beside the weights, in pickle protocol and file format, and in names. The moving average in
some of them has the same weights, with the classifier's bias increased by 1. mmpretrain-NAME.pth holds the golden network NAME under
the names of MMPretrain, by a mapping written here, in a checkpoint as MMEngine writes it.
"""
import argparse
import collections
import datetime
import decimal
import enum
import fractions
import functools
import os
import pathlib
import sys
import types
import uuid

import numpy
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent
WIDTHS, DEPTHS, CLASSES = (2, 4, 4, 6, 8), (1, 1, 2, 1, 1), 3
MEAN, STD = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])


def build():
    """A state_dict in the order of the authors' code, with random statistics."""
    state = collections.OrderedDict()

    def norm(name, channels):
        state[name + ".weight"] = torch.rand(channels) + 0.5
        state[name + ".bias"] = torch.randn(channels) * 0.2
        state[name + ".running_mean"] = torch.randn(channels) * 0.2
        state[name + ".running_var"] = torch.rand(channels) + 0.5
        state[name + ".num_batches_tracked"] = torch.tensor(7)

    inputs = 3
    for stage, (width, depth) in enumerate(zip(WIDTHS, DEPTHS)):
        for i in range(depth):
            block = f"stage{stage}" if stage == 0 else f"stage{stage}.{i}"
            if i > 0:
                norm(block + ".rbr_identity", width)
            for branch, size in (("rbr_dense", 3), ("rbr_1x1", 1)):
                state[f"{block}.{branch}.conv.weight"] = torch.randn(width, inputs, size, size) * (inputs * size * size) ** -0.5
                norm(f"{block}.{branch}.bn", width)
            inputs = width
    state["linear.weight"] = torch.randn(CLASSES, inputs) * 0.5
    state["linear.bias"] = torch.randn(CLASSES) * 0.5
    return state


def run(state, images):
    state = {name: value.double() for name, value in state.items()}
    map = (images.double() - MEAN.double().view(1, 3, 1, 1)) / STD.double().view(1, 3, 1, 1)

    def norm(name, x):
        return F.batch_norm(x, state[name + ".running_mean"], state[name + ".running_var"], state[name + ".weight"], state[name + ".bias"], False, 0, 1e-5)

    for stage, depth in enumerate(DEPTHS):
        for i in range(depth):
            block = f"stage{stage}" if stage == 0 else f"stage{stage}.{i}"
            stride = 2 if i == 0 else 1
            total = norm(block + ".rbr_dense.bn", F.conv2d(map, state[block + ".rbr_dense.conv.weight"], None, stride, 1))
            total = total + norm(block + ".rbr_1x1.bn", F.conv2d(map, state[block + ".rbr_1x1.conv.weight"], None, stride, 0))
            if i > 0:
                total = total + norm(block + ".rbr_identity", map)
            map = F.relu(total)
    pooled = map.mean((2, 3))
    return F.linear(pooled, state["linear.weight"], state["linear.bias"]), pooled


class Color(enum.Enum):
    RED = 1


class Settings:
    def __init__(self):
        self.lr = 0.1


class Slots:
    __slots__ = ("a", "b")

    def __init__(self):
        self.a, self.b = 1, [2]


class NewArguments:
    def __new__(cls, a, *, b):
        self = object.__new__(cls)
        self.a = a
        return self

    def __getnewargs_ex__(self):
        return (1,), {"b": 2}


class Call:
    def __reduce__(self):
        return os.system, ("touch /tmp/repvgg-was-here",)


class Config(dict):
    pass


class History(list):
    pass


def beside(model, protocol):
    """What training scripts put beside the weights."""
    optimizer = torch.optim.Adam([{"params": list(model.parameters()), "betas": (numpy.float64(0.9), 0.999)}], 0.1)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    config = Config(name="RepVGG", nested=Config(depth=3))
    config.frozen = True
    value = {
        "args": argparse.Namespace(lr=0.1, sizes=[1, 2]),
        "config": config,
        "settings": Settings(),
        "slots": Slots() if protocol >= 2 else None,
        "new": NewArguments(1, b=2) if protocol >= 2 else None,
        "history": History([1, 2, 3]),
        "epoch": numpy.int64(3),
        "best": numpy.float32(0.5),
        "curve": numpy.arange(4.0),
        "rng": numpy.random.RandomState(1).get_state(),
        "torch_rng": torch.get_rng_state()[:16].clone(),
        "time": datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),
        "elapsed": datetime.timedelta(seconds=3),
        "path": pathlib.PurePosixPath("runs/a"),
        "color": Color.RED,
        "set": {1, 2},
        "frozenset": frozenset({3}),
        "size": torch.Size([1, 2]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "default": collections.defaultdict(list, {"a": [1]}),
        "counter": collections.Counter("ab"),
        "deque": collections.deque([1, 2], 5),
        "partial": functools.partial(print, 1),
        "decimal": decimal.Decimal("1.5"),
        "fraction": fractions.Fraction(1, 3),
        "uuid": uuid.UUID(int=1),
        "complex": 1j,
        "range": range(3),
        "slice": slice(1, 2),
        "bytes": b"\0\xff",
        "bytearray": bytearray(b"abc"),
        "error": ValueError("no"),
        "big": 1 << 80,
        "negative": -(1 << 40),
        "text": "Größe 日本語 \U0001f600 \\u0041",
        "nan": float("nan"),
        "none": None,
        "yes": True,
        "complex_tensor": {"z": torch.ones(2, dtype=torch.complex64)} if protocol == 4 else None,
        "sparse": torch.eye(2).to_sparse(),
        "parameter": torch.nn.Parameter(torch.ones(1)),
        "optimizer": optimizer.state_dict(),
        "scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10).state_dict(),
        "ema": model,  # a whole module
    }
    value["self"] = value["config"]
    return value


def save(name, value, **options):
    torch.save(value, HERE / f"{name}.pth", **options)


def prefixed(state, prefix):
    return collections.OrderedDict((prefix + name, value) for name, value in state.items())


torch.manual_seed(3)
state = build()
average = collections.OrderedDict(state)
average["linear.bias"] = state["linear.bias"] + 1
images = torch.randint(0, 256, (2, 3, 32, 32))
logits, pooled = run(state, images)
numpy.save(HERE / "input.npy", images.to(torch.uint8).numpy())
numpy.save(HERE / "logits.npy", logits.float().numpy())
numpy.save(HERE / "pooled.npy", pooled.float().numpy())

for protocol in (1, 2, 3, 4, 5):
    for form, zipped in (("zip", True), ("legacy", False)):
        if zipped and protocol in (1, 3):
            continue
        everything = beside(torch.nn.Linear(2, 1), protocol)
        if not zipped:
            everything["complex_tensor"] = None
        save(f"beside-protocol{protocol}-{form}", {**everything, "state_dict": prefixed(state, "module."), "acc1": torch.tensor(71.5)},
             pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)

save("entries", {"epoch": 1, "model_ema": average, "model": state, "decay": torch.tensor(0.9), "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}})
save("entries-nested", {"checkpoint": {"net": {"state_dict": state}, "ema": {"module": prefixed(average, "module."), "decay": torch.tensor(0.9)}}})
save("tensors-beside-nested", {"checkpoint": {"best": torch.tensor(0.9), "model": {"loss": torch.ones(2), "state_dict": state}}, "other": {"name": "a"}})
save("lightning", {"pytorch-lightning_version": "2.0", "state_dict": collections.OrderedDict(
    list(prefixed(state, "model.").items()) + list(prefixed(average, "ema_model.").items())), "hyper_parameters": Settings()})
save("swa", collections.OrderedDict(list(prefixed(state, "module.").items()) + [("n_averaged", torch.tensor(5))]))
save("weight-is-sparse", {**state, "linear.weight": state["linear.weight"].to_sparse()})
save("call-beside", {**state, "call": Call()})
save("model-is-object", {"model": torch.nn.Linear(2, 1), "epoch": 3})


def mmpretrain_name(name):
    """Source: mmpretrain/models/backbones/repvgg.py and mmpretrain/models/utils/se_layer.py."""
    stage, _, rest = name.partition(".")
    if stage == "linear":
        return "head.fc." + rest
    for ours, theirs in (
        ("rbr_dense.conv.", "branch_3x3.conv."), ("rbr_dense.bn.", "branch_3x3.norm."), ("rbr_1x1.conv.", "branch_1x1.conv."), ("rbr_1x1.bn.", "branch_1x1.norm."),
        ("rbr_identity.", "branch_norm."), ("rbr_reparam.", "branch_reparam."), ("se.down.", "se_layer.conv1.conv."), ("se.up.", "se_layer.conv2.conv."),
    ):
        if ours in rest:
            rest = rest.replace(ours, theirs)
            break
    else:
        raise ValueError(name)
    number = int(stage[len("stage"):])
    return ("backbone.stem." if number == 0 else f"backbone.stage_{number}.") + rest


def fake(name):
    """A class of a module that is not installed, as far as a pickle shows it."""
    module, _, last = name.rpartition(".")
    parts = module.split(".")
    for i in range(len(parts)):
        sys.modules.setdefault(".".join(parts[:i + 1]), types.ModuleType(".".join(parts[:i + 1])))
    made = type(last, (), {"__module__": module})
    setattr(sys.modules[module], last, made)
    return made


history = fake("mmengine.logging.history_buffer.HistoryBuffer")()
history.values = numpy.arange(3.0)
for name in ("tiny-train", "tiny-se-train", "tiny-deploy"):
    golden = torch.load(HERE.parent / f"{name}.pth")
    renamed = collections.OrderedDict((mmpretrain_name(key), value) for key, value in golden.items())
    ema = collections.OrderedDict([("steps", torch.tensor(3))] + [("module." + key, value) for key, value in renamed.items()])
    save(f"mmpretrain-{name}", {"meta": {"epoch": 3, "time": "20240101"}, "state_dict": renamed, "message_hub": {"log_scalars": {"loss": history}}, "ema_state_dict": ema if name == "tiny-deploy" else None})

kernel = torch.ones(2, 3, 3, 3)
slots = {name: {"step": torch.tensor(1.0), "exp_avg": kernel} for name in (f"layer{i}.weight" for i in range(150))}
save("optimizer-by-name", {"optim": {"state": slots, "param_groups": [{"lr": 0.1, "params": list(slots)}]}, "best_acc": torch.tensor(71.5), "model": state})
save("slots-by-name", {"slots": slots, "my_weights": state})
save("unusual-key", {"best_acc": torch.tensor(71.5), "metrics": {"loss": torch.tensor(0.5)}, "student": state})
save("unusual-keys", {"best_acc": torch.tensor(71.5), "student": state, "other": average})
save("expanded", {**state, "stage0.rbr_dense.bn.weight": torch.ones(1).expand(2), "linear.bias": torch.zeros(1).expand(3)})
strange = {"complex": torch.ones(3, dtype=torch.complex64), "complex128": torch.ones(2, dtype=torch.complex128), "quantized": torch.quantize_per_tensor(torch.ones(5), 0.1, 0, torch.qint8)}
save("strange-tensors-legacy", {**strange, "state_dict": state}, _use_new_zipfile_serialization=False)
teacher = collections.OrderedDict((("backbone." if name.startswith("stage") else "") + mmpretrain_name(name).removeprefix("backbone."), value) for name, value in average.items())
student = collections.OrderedDict((("backbone." if name.startswith("stage") else "") + mmpretrain_name(name).removeprefix("backbone."), value) for name, value in state.items())
save("mmpretrain-student-teacher", {"state_dict": collections.OrderedDict(list(prefixed(student, "student.").items()) + list(prefixed(teacher, "teacher.").items()))})
for name, kind in (("int8", torch.int8), ("uint8", torch.uint8), ("bool", torch.bool)):
    save(f"weight-is-{name}", {**state, "stage1.0.rbr_dense.conv.weight": torch.ones(4, 2, 3, 3, dtype=kind)})
