"""Makes loss.json: the loss of knowledge distillation and its gradient with respect to the logits, by PyTorch in double precision.

(1 - weight) cross_entropy(logits, labels) + weight * temperature^2 * kl_div(softmax(teacher / temperature), softmax(logits / temperature)), each weighted by the samples:
sum(weights * losses) / sum(weights).
"""
import json
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(1)
samples, classes = 4, 5
logits = (2 * torch.randn(samples, classes, dtype=torch.float64)).round(decimals=3).requires_grad_()
teacher = (4 * torch.randn(samples, classes, dtype=torch.float64)).round(decimals=3)
labels = torch.tensor([0, 3, 1, 4])
cases = []
for temperature, weight, weights in [(1.0, 0.5, [1, 1, 1, 1]), (4.0, 0.5, [1, 1, 1, 1]), (2.5, 1.0, [1, 1, 1, 1]), (4.0, 0.25, [0.5, 2, 1, 3])]:
    w = torch.tensor(weights, dtype=torch.float64)
    hard = F.cross_entropy(logits, labels, reduction="none")
    soft = F.kl_div(F.log_softmax(logits / temperature, 1), F.softmax(teacher / temperature, 1), reduction="none").sum(1)
    loss = (w * ((1 - weight) * hard + weight * temperature**2 * soft)).sum() / w.sum()
    (gradient,) = torch.autograd.grad(loss, logits)
    entropy = -(F.softmax(teacher / temperature, 1) * F.log_softmax(teacher / temperature, 1)).sum(1)
    constant = (w * weight * temperature**2 * entropy).sum() / w.sum()
    cases.append({
        "temperature": temperature, "weight": weight, "weights": weights, "loss": loss.item(), "constant": constant.item(), "gradient": gradient.flatten().tolist(),
    })
document = {"logits": logits.flatten().tolist(), "teacher": teacher.flatten().tolist(), "labels": labels.tolist(), "cases": cases}
pathlib.Path(__file__).with_name("loss.json").write_text(json.dumps(document, indent=1) + "\n")
