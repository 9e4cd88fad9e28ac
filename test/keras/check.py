"""Compares the weights that the tool wrote for Keras with those of PyTorch: every layer, read by h5py.

Usage: python3 check.py NETWORK.pth NETWORK.weights.h5      (needs torch and h5py; Debian: python3-torch, python3-h5py)
The .pth file has the training form under the RepVGG authors' names. The layers of the Keras file must have the order in
which a Keras model of the port creates them, and batch norms of Keras' epsilon must compute the same as PyTorch's.
"""
import sys

import h5py
import numpy as np
import torch

TORCH_EPSILON, KERAS_EPSILON = 1e-5, 1e-3


def key(name, number):
    return name if number == 0 else f'{name}_{number}'


def main():
    state = {name: tensor.numpy() for name, tensor in torch.load(sys.argv[1]).items() if torch.is_tensor(tensor)}
    counts = {'conv2d': 0, 'batch_normalization': 0}
    with h5py.File(sys.argv[2], 'r') as file:
        layers = file['layers']

        def next_layer(kind):
            layer = layers[key(kind, counts[kind])]['vars']
            counts[kind] += 1
            return [layer[str(i)][...] for i in range(len(layer))]

        def conv(name):
            kernel = next_layer('conv2d')
            assert np.array_equal(kernel[0], state[name + '.weight'].transpose(2, 3, 1, 0)), name
            assert len(kernel) == 1 or np.array_equal(kernel[1], state[name + '.bias']), name

        def norm(name):
            gamma, beta, mean, variance = (array.astype(np.float64) for array in next_layer('batch_normalization'))
            factor = gamma / np.sqrt(variance + KERAS_EPSILON)
            expected = state[name + '.weight'] / np.sqrt(state[name + '.running_var'].astype(np.float64) + TORCH_EPSILON)
            assert np.abs(factor - expected).max() <= 1e-6 * np.abs(expected).max(), name
            assert np.array_equal(beta, state[name + '.bias']) and np.array_equal(mean, state[name + '.running_mean']), name

        blocks = []
        for name in state:
            block = name.split('.rbr_')[0]
            if '.rbr_' in name and block not in blocks:
                blocks.append(block)
        for block in blocks:
            if block + '.rbr_identity.weight' in state:
                norm(block + '.rbr_identity')
            for branch in ('rbr_dense', 'rbr_1x1'):
                conv(f'{block}.{branch}.conv')
                norm(f'{block}.{branch}.bn')
        dense = layers['dense']['vars']
        assert np.array_equal(dense['0'][...], state['linear.weight'].T) and np.array_equal(dense['1'][...], state['linear.bias'])
        assert len(layers) == sum(counts.values()) + 1, sorted(layers)
    print(f'{sys.argv[2]}: {len(blocks)} blocks are those of {sys.argv[1]}')


main()
