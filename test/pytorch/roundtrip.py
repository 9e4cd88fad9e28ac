"""Steps of roundtrip.sh that PyTorch takes; each one fails with an exit code."""
import re
import sys

import numpy as np
import torch

import repvgg

TOLERANCE = 1e-5


def stripes(count, size, channels, seed):
    """Stripes that run across, down, or slanting, in noise: three classes."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    labels = np.arange(count) % 3
    images = np.empty((count, channels, size, size), np.uint8)
    for i, label in enumerate(labels):
        coordinate = (y, x, x + y)[label] + random.integers(8)
        bright = np.where(coordinate % 8 < 4, 180, 70)
        images[i] = np.clip(bright + random.integers(-40, 41, (channels, size, size)), 0, 255)
    return torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64))


def data(path, images_path, size, channels):
    images, labels = stripes(480, int(size), int(channels), 1)
    val_images, val_labels = stripes(121, int(size), int(channels), 2)
    torch.save({"images": images, "labels": labels, "val_images": val_images, "val_labels": val_labels}, path)
    np.save(images_path, val_images[:9].numpy())


def load(variant, path):
    state = torch.load(path)
    model = repvgg.build(variant, state["linear.weight"].shape[0], state["stage0.rbr_dense.conv.weight"].shape[1])
    model.load_state_dict(state, strict=True)
    return model.eval(), state


def logits(variant, path, images_path, out, mean, std):
    model, _ = load(variant, path)
    mean, std = (torch.tensor([float(value) for value in text.split(",")]).view(1, -1, 1, 1) for text in (mean, std))
    with torch.no_grad():
        np.save(out, model((torch.from_numpy(np.load(images_path)).float() - mean) / std).numpy())


def compare(expected_path, actual_path):
    expected, actual = np.load(expected_path), np.load(actual_path)
    if expected.shape != actual.shape:
        sys.exit(f"The logits have shapes {expected.shape} and {actual.shape}.")
    # What the images do not change would hide everything but the last bias.
    if np.abs(expected - expected[0]).max() < 1e-3 * np.abs(expected).max():
        sys.exit("The logits hardly depend on the images: they prove nothing.")
    error = np.abs(expected - actual).max() / np.abs(expected).max()
    print(f"relative difference of the logits: {error:.2e}, accepted {TOLERANCE:.0e}")
    if not error <= TOLERANCE:
        sys.exit("The logits differ.")


def learned(log_path, least):
    accuracy = float(re.findall(r"accuracy (\d\.\d+)", open(log_path).read())[-1])
    if accuracy < float(least):
        sys.exit(f"The accuracy is {accuracy}, below {least}.")


def scatter(path):
    """Random batch norms, and kernels and gates that let activations through: fresh weights of deep networks let none."""
    generator = torch.Generator().manual_seed(7)
    state = torch.load(path)
    for name, tensor in state.items():
        noise = torch.rand(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            tensor.copy_(0.5 + noise)
        elif name.endswith(("running_mean", "bn.bias", "identity.bias")):
            tensor.copy_(0.2 * noise - 0.1)
        elif name.endswith(("bn.weight", "identity.weight")):
            tensor.copy_(0.6 + 0.4 * noise)
        elif name.endswith("conv.weight"):
            tensor.mul_(1.2)
        elif name.endswith("up.bias"):
            tensor.copy_(2 + noise)
    torch.save(state, path)


def names(variant, path):
    model, state = load(variant, path)
    own = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    if set(own) != set(state):
        sys.exit(f"The names differ: {sorted(set(own) ^ set(state))}")
    print(f"{variant}: {len(own)} names and shapes agree")


if __name__ == "__main__":
    {"data": data, "logits": logits, "compare": compare, "learned": learned, "names": names, "scatter": scatter}[sys.argv[1]](*sys.argv[2:])
