"""Makes trace.pth and trace.json beside this file with PyTorch 1.13 (Debian's python3-torch): python3 make.py

A linear layer of 5 inputs and 7 outputs is updated six times from given gradients by torch.optim, once for every entry of
trace.json, which holds the hyperparameters. trace.pth holds initial/NAME, gradients (of the layer's outputs for an input that
is the identity matrix, so that weight.grad is its transpose and bias.grad the sum of its rows; one per step), and for every
entry ENTRY/NAME and ENTRY/SLOT/NAME, the weights and the optimizer's state after the last step.
"""
import json
import pathlib

import torch

HERE = pathlib.Path(__file__).parent
INPUTS, OUTPUTS, STEPS = 5, 7, 6
TRACES = {
    "adamw": dict(algorithm="AdamW", lr=0.001, weight_decay=0.01, betas=[0.9, 0.999], eps=1e-8),
    "adamw-decay": dict(algorithm="AdamW", lr=0.03, weight_decay=0.4, betas=[0.8, 0.99], eps=1e-3),
    "adamw-clipped": dict(algorithm="AdamW", lr=0.01, weight_decay=0.05, betas=[0.9, 0.999], eps=1e-8, max_norm=3.0),
    "sgd-clipped": dict(algorithm="SGD", lr=0.1, weight_decay=0.05, momentum=0.9, nesterov=True, max_norm=3.0),
}


def main():
    torch.manual_seed(15)
    initial = {"weight": torch.randn(OUTPUTS, INPUTS), "bias": torch.randn(OUTPUTS)}
    # Norms on both sides of 3, so that some steps are clipped and some are not; elements of very different magnitudes.
    gradients = torch.randn(STEPS, INPUTS, OUTPUTS) * torch.logspace(0, -3, OUTPUTS)
    tensors = {f"initial/{name}": value for name, value in initial.items()}
    tensors["gradients"] = gradients
    clipped = {}
    for entry, settings in TRACES.items():
        settings = dict(settings)
        algorithm, max_norm = settings.pop("algorithm"), settings.pop("max_norm", None)
        parameters = {name: torch.nn.Parameter(value.clone()) for name, value in initial.items()}
        optimizer = getattr(torch.optim, algorithm)(parameters.values(), **settings)
        for gradient in gradients:
            parameters["weight"].grad = gradient.T.clone()
            parameters["bias"].grad = gradient.sum(0)
            if max_norm is not None:
                norm = torch.nn.utils.clip_grad_norm_(parameters.values(), max_norm)
                clipped.setdefault(entry, []).append(bool(norm > max_norm))
            optimizer.step()
        for name, parameter in parameters.items():
            tensors[f"{entry}/{name}"] = parameter.detach()
            for slot, value in optimizer.state[parameter].items():
                if slot != "step":
                    tensors[f"{entry}/{slot}/{name}"] = value
    assert all(set(steps) == {False, True} for steps in clipped.values()), clipped
    torch.save({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, HERE / "trace.pth")
    (HERE / "trace.json").write_text(json.dumps(TRACES, indent=2) + "\n")


if __name__ == "__main__":
    main()
