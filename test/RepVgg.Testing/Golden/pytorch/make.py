"""Makes the checkpoints beside this file with PyTorch 1.13 (Debian's python3-torch): python3 make.py"""
import collections
import os
import pathlib

import torch

HERE = pathlib.Path(__file__).parent


def save(name, value, **options):
    torch.save(value, HERE / f"{name}.pth", **options)


steps = torch.arange(12).reshape(3, 4) - 3
dtypes = collections.OrderedDict(
    [(str(t).split(".")[1], (steps * 0.25).to(t)) for t in (torch.float32, torch.float16, torch.bfloat16, torch.float64)]
    + [(str(t).split(".")[1], steps.to(t)) for t in (torch.int64, torch.int32, torch.int16, torch.int8)]
    + [("uint8", (steps + 3).to(torch.uint8)), ("bool", steps > 0), ("scalar", torch.tensor(2.5)), ("empty", torch.zeros(0, 3))]
)
base = torch.arange(24).float()
strided = {"base": base, "transposed": base.view(4, 6).t(), "window": base.view(4, 6)[1:3, 1::2], "tied": base, "tail": base[20:]}
for form, options in (("zip", {}), ("legacy", {"_use_new_zipfile_serialization": False})):
    save(f"dtypes-{form}", dtypes, **options)
    save(f"strided-{form}", strided, **options)

torch.manual_seed(0)
module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
parameters = {"module." + name: torch.nn.Parameter(torch.ones(2)) for name in "ab"}
save("module", module.state_dict())  # an OrderedDict with the attribute _metadata, and num_batches_tracked
save("wrapped-model", {"model": parameters, "epoch": 3, "lr": [0.1, None], "done": True, "optimizer": torch.optim.SGD(module.parameters(), 0.1, 0.9).state_dict()})
save("wrapped-twice", {"state_dict": {"model": {"a": torch.ones(1)}}, "big": 1 << 80})
save("protocol4", {"a": torch.ones(2), "b": torch.zeros(2, dtype=torch.bfloat16)}, pickle_protocol=4)
save("not-a-float", {"a": torch.tensor([(1 << 40) + 1])})
save("expanded", {"a": torch.ones(1).expand(1000)})


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


save("evil-system", {"a": torch.ones(1), "b": Call(os.system, "touch /tmp/repvgg-was-here")})
save("evil-eval", Call(eval, "print('repvgg was here')"))
save("whole-module", module)
save("no-weights", {"epoch": 3, "model": {"name": "RepVGG"}})
torch.jit.script(module).save(str(HERE / "script.pth"))
