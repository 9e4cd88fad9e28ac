"""Writes dbb-depthwise.pth: a Diverse Branch Block of 6 to 6 channels with 6 groups and stride 1, computed by PyTorch.

A depthwise block has no 1x1 branch and no 1x1 convolution before the average, whose padding is 1. In its last branch, the 1x1 convolution
has twice the channels. Between the layers of that branch, the map gets a border of what the batch norm makes of zeros with its running
statistics, without gradients. Source: the code of Ding et al., "Diverse Branch Block", CVPR 2021.
"""
import os

import torch
import torch.nn as nn
import torch.nn.functional as F

CHANNELS = 6
FOLDER = os.path.dirname(os.path.abspath(__file__))


class NormWithBorder(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x):
        output = self.bn(x)
        scale = self.bn.weight.detach() / torch.sqrt(self.bn.running_var + self.bn.eps)
        border = (self.bn.bias.detach() - self.bn.running_mean * scale).view(1, -1, 1, 1)
        padded = border.expand(output.shape[0], -1, output.shape[2] + 2, output.shape[3] + 2).clone()
        padded[:, :, 1:-1, 1:-1] = output
        return padded


class Depthwise(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.dbb_origin = nn.Sequential()
        self.dbb_origin.add_module('conv', nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False))
        self.dbb_origin.add_module('bn', nn.BatchNorm2d(channels))
        self.dbb_avg = nn.Sequential()
        self.dbb_avg.add_module('avg', nn.AvgPool2d(3, stride=1, padding=1))
        self.dbb_avg.add_module('avgbn', nn.BatchNorm2d(channels))
        self.dbb_1x1_kxk = nn.Sequential()
        self.dbb_1x1_kxk.add_module('conv1', nn.Conv2d(channels, 2 * channels, 1, groups=channels, bias=False))
        self.dbb_1x1_kxk.add_module('bn1', NormWithBorder(2 * channels))
        self.dbb_1x1_kxk.add_module('conv2', nn.Conv2d(2 * channels, channels, 3, groups=channels, bias=False))
        self.dbb_1x1_kxk.add_module('bn2', nn.BatchNorm2d(channels))

    def forward(self, x):
        return F.relu(self.dbb_origin(x) + self.dbb_avg(x) + self.dbb_1x1_kxk(x))


def norm(bn):
    scale = bn.weight.double() / torch.sqrt(bn.running_var.double() + bn.eps)
    return scale, bn.bias.double() - bn.running_mean.double() * scale


def fuse(block):
    """The 3x3 kernel [C, 1, 3, 3] and the bias."""
    scale, bias = norm(block.dbb_origin.bn)
    kernel = block.dbb_origin.conv.weight.double() * scale.view(-1, 1, 1, 1)
    scale, shift = norm(block.dbb_avg.avgbn)
    kernel = kernel + (scale / 9).view(-1, 1, 1, 1)
    bias = bias + shift
    scale, shift = norm(block.dbb_1x1_kxk.bn1.bn)
    # Channel m of group g is channel 2 g + m between the layers.
    first, first_bias = (block.dbb_1x1_kxk.conv1.weight.double().flatten() * scale).view(CHANNELS, 2), shift.view(CHANNELS, 2)
    second = block.dbb_1x1_kxk.conv2.weight.double()
    scale, shift = norm(block.dbb_1x1_kxk.bn2)
    kernel = kernel + torch.einsum('gm,gmyx->gyx', first, second).unsqueeze(1) * scale.view(-1, 1, 1, 1)
    bias = bias + torch.einsum('gm,gmyx->g', first_bias, second) * scale + shift
    return kernel.detach().float(), bias.detach().float()


def main():
    torch.manual_seed(7)
    block = Depthwise(CHANNELS)
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    golden = {'state/' + name: tensor.detach().clone() for name, tensor in block.state_dict().items()}
    x = torch.randn(3, CHANNELS, 7, 9)
    golden['input'] = x.clone()
    block.eval()
    with torch.no_grad():
        golden['eval_output'] = block(x)
        weight, bias = fuse(block)
        golden['fused/weight'], golden['fused/bias'] = weight, bias
        fused = F.relu(F.conv2d(x, weight, bias, padding=1, groups=CHANNELS))
        assert (fused - golden['eval_output']).abs().max() < 1e-5
    block.train()
    x.requires_grad_()
    output = block(x)
    golden['train_output'] = output.detach().clone()
    golden['direction'] = torch.randn(output.shape)
    (output * golden['direction']).sum().backward()
    golden['gradient/input'] = x.grad.clone()
    for name, parameter in block.named_parameters():
        golden['gradient/' + name] = parameter.grad.clone()
    for name, tensor in block.state_dict().items():
        if 'running' in name:
            golden['after/' + name] = tensor.clone()
    torch.save(golden, os.path.join(FOLDER, 'dbb-depthwise.pth'))


if __name__ == '__main__':
    main()
