"""Training steps and inference of RepVGG in plain PyTorch, for comparison with the same in TorchSharp.

    pytorch_steps.py cuda

Prints a line with versions, and then answers each line "WHAT NETWORK SIZE BATCH PRECISION LAYOUT SECONDS" of its input by images per
second. WHAT: train, infer or infer-fused; PRECISION: float32, tf32 or bf16 (activations; torch.autocast); LAYOUT: contiguous or
channels_last. The network is repvgg.py beside it, which has the structure of the authors' blocks. As in training, each
batch is copied from page-pinned memory, and the loss is read every 20 steps.
"""
import sys
import time

import torch
from torch import nn

import repvgg

CLASSES = 1000


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def timed(step, device, batch, seconds):
    start = time.monotonic()
    while time.monotonic() - start < seconds / 4:
        step()
    synchronize(device)
    steps, start = 0, time.monotonic()
    while time.monotonic() - start < seconds:
        step()
        steps += 1
    synchronize(device)
    return steps * batch / (time.monotonic() - start)


def fused(network):
    """The same shapes as the fused network; its values do not matter to the speed."""
    for module in list(network.modules()):
        for name, block in list(module.named_children()):
            if isinstance(block, repvgg.Block):
                conv = block.rbr_dense.conv
                plain = nn.Conv2d(conv.in_channels, conv.out_channels, 3, conv.stride, 1, groups=conv.groups)
                setattr(module, name, nn.Sequential(plain, nn.ReLU()))
    return network


def measure(device, what, name, size, batch, precision, layout, seconds):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"
    memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    network = repvgg.build(f"RepVGG-{name}", classes=CLASSES)
    if what == "infer-fused":
        network = fused(network)
    network = network.to(device).to(memory_format=memory_format)
    channels = next(network.parameters()).shape[1]
    images = torch.rand(batch, channels, size, size) * 2 - 1
    if device.type == "cuda":
        images = images.pin_memory()
    labels = torch.arange(batch) % 10
    labels = labels.to(device)

    def forward():
        x = images.to(device, non_blocking=True).contiguous(memory_format=memory_format)
        if precision == "bf16":
            with torch.autocast(device.type, dtype=torch.bfloat16):
                return network(x)
        return network(x)

    if what != "train":
        network.eval()

        def infer():
            with torch.no_grad():
                forward()

        return timed(infer, device, batch, seconds)

    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=1e-4, nesterov=True)
    steps = 0

    def train():
        nonlocal steps
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(forward().float(), labels)
        loss.backward()
        optimizer.step()
        steps += 1
        if steps % 20 == 0:
            loss.item()

    return timed(train, device, batch, seconds)


def main():
    device = torch.device(sys.argv[1])
    card = torch.cuda.get_device_name(0) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, {card}", flush=True)
    for line in sys.stdin:
        what, name, size, batch, precision, layout, seconds = line.split()
        try:
            print(f"{measure(device, what, name, int(size), int(batch), precision, layout, float(seconds)):.1f}", flush=True)
        except Exception as error:  # The other side reports it and goes on.
            print(f"{type(error).__name__}: {str(error).splitlines()[0]}", flush=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
