"""The same training step in PyTorch: reads a number of seconds per line, trains that long, answers images per second.

arguments: input_channels size batch threads classes processor_time blocks, where blocks is in-out-stride-groups,...
"""
import sys
import time

import torch
from torch import nn


class Block(nn.Module):
    """RepVGG's training-form block: 3x3, 1x1 and, where shapes allow, identity; a batch norm each; their sum; ReLU."""

    def __init__(self, inputs, outputs, stride, groups):
        super().__init__()
        self.dense = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, groups=groups, bias=False), nn.BatchNorm2d(outputs))
        self.point = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, 0, groups=groups, bias=False), nn.BatchNorm2d(outputs))
        self.identity = nn.BatchNorm2d(inputs) if inputs == outputs and stride == 1 else None

    def forward(self, x):
        total = self.dense(x) + self.point(x)
        if self.identity is not None:
            total = total + self.identity(x)
        return torch.relu(total)


def main():
    channels, size, batch, threads, classes, processor_time = map(int, sys.argv[1:7])
    blocks = [tuple(map(int, block.split("-"))) for block in sys.argv[7].split(",")]
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    network = nn.Sequential(
        *[Block(*block) for block in blocks], nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(blocks[-1][1], classes))
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    images = torch.rand(batch, channels, size, size) * 2 - 1
    labels = torch.arange(batch) % classes
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    clock = time.process_time if processor_time else time.perf_counter
    for line in sys.stdin:
        seconds, steps, start = float(line), 0, clock()
        while clock() - start < seconds:
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
            steps += 1
        print(steps * batch / (clock() - start), flush=True)


if __name__ == "__main__":
    main()
