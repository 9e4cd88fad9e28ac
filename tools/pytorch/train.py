"""Trains a RepVGG on any number of processes and machines with PyTorch's distributed engine.

    torchrun --nproc_per_node 8 train.py --variant RepVGG-A0 --weights initial.pth --data /data/imagenet --out trained.pth

--weights is what `create VARIANT initial.pth` of Microsoft.ML.RepVgg's sample program wrote, or any checkpoint of the
training form. --out holds the training form under the same names. --data is a folder with train/ and val/, each with
one folder of images per class (needs torchvision), or a file of torch.save with a dictionary of uint8 images
[N, C, H, W] and int64 labels: images, labels, val_images, val_labels. Defaults are the RepVGG paper's recipe.
"""
import argparse
import os
import sys
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

import repvgg


class Tensors(Dataset):
    """Images in memory."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index].float(), self.labels[index]


def read_data(path, size):
    if os.path.isfile(path):
        data = torch.load(path)
        return Tensors(data["images"], data["labels"]), Tensors(data["val_images"], data["val_labels"])
    from torchvision import datasets, transforms

    pixels = [transforms.PILToTensor(), transforms.ConvertImageDtype(torch.float), transforms.Lambda(lambda image: image * 255)]
    train = transforms.Compose([transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), *pixels])
    val = transforms.Compose([transforms.Resize(size * 256 // 224), transforms.CenterCrop(size), *pixels])
    return datasets.ImageFolder(os.path.join(path, "train"), train), datasets.ImageFolder(os.path.join(path, "val"), val)


def evaluate(model, loader, normalize, device):
    """Accuracy on all images of all processes."""
    model.eval()
    counts = torch.zeros(2, device=device, dtype=torch.float64)
    with torch.no_grad():
        for images, labels in loader:
            predicted = model(normalize(images.to(device))).argmax(1)
            counts += torch.tensor([(predicted == labels.to(device)).sum(), len(labels)], device=device)
    dist.all_reduce(counts)
    return float(counts[0] / counts[1])


def parse():
    parser = argparse.ArgumentParser(description="Trains a RepVGG with PyTorch's distributed engine.")
    parser.add_argument("--variant", required=True)
    parser.add_argument("--weights", required=True, help="initial weights of the training form")
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--checkpoint", help="written after every epoch; an interrupted run goes on from it")
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--batch-size", type=int, default=32, help="images of one process; the paper's global batch is 256")
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--label-smoothing", type=float, default=0.0)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--mean", type=float, nargs="+", default=[123.675, 116.28, 103.53], help="per channel, in pixel units")
    parser.add_argument("--std", type=float, nargs="+", default=[58.395, 57.12, 57.375], help="per channel, in pixel units")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true")
    return parser.parse_args()


def main():
    args = parse()
    cuda = torch.cuda.is_available()
    dist.init_process_group("nccl" if cuda else "gloo")
    rank = dist.get_rank()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    torch.manual_seed(args.seed + rank)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True

    state = torch.load(args.weights, map_location="cpu")
    classes, channels = state["linear.weight"].shape[0], state["stage0.rbr_dense.conv.weight"].shape[1]
    net = repvgg.build(args.variant, classes, channels)
    net.load_state_dict(state, strict=True)
    model = DistributedDataParallel(net.to(device), device_ids=[device.index] if cuda else None)
    groups = [
        {"params": [p for name, p in net.named_parameters() if repvgg.decays(name, p)], "weight_decay": args.weight_decay},
        {"params": [p for name, p in net.named_parameters() if not repvgg.decays(name, p)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, args.learning_rate, momentum=0.9)
    loss_of = nn.CrossEntropyLoss(label_smoothing=args.label_smoothing)

    train, val = read_data(args.data, args.image_size)
    sampler = DistributedSampler(train, seed=args.seed, drop_last=True)
    loader = DataLoader(train, args.batch_size, sampler=sampler, num_workers=args.workers, pin_memory=cuda, drop_last=True)
    # Every process takes every n-th image: no image is counted twice.
    share = torch.utils.data.Subset(val, range(rank, len(val), dist.get_world_size()))
    val_loader = DataLoader(share, args.batch_size, num_workers=args.workers)
    if not len(loader):
        raise SystemExit(f"{len(train)} images are fewer than one batch of {args.batch_size} for each of {dist.get_world_size()} processes.")
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs * len(loader))
    mean, std = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (args.mean, args.std))
    normalize = lambda images: (images - mean) / std

    first = 0
    if args.checkpoint and os.path.exists(args.checkpoint):
        saved = torch.load(args.checkpoint, map_location=device)
        net.load_state_dict(saved["model"], strict=True)
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        first = saved["epoch"]
    if rank == 0:
        print(f"{args.variant}, {classes} classes, {dist.get_world_size()} processes on {device.type}, {len(train)} images", flush=True)

    for epoch in range(first, args.epochs):
        model.train()
        sampler.set_epoch(epoch)
        total, start = 0.0, time.time()
        for images, labels in loader:
            images, labels = normalize(images.to(device, non_blocking=True)), labels.to(device, non_blocking=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=args.bfloat16):
                outputs = model(images)
                logits, auxiliary = outputs if isinstance(outputs, tuple) else (outputs, [])
                loss = loss_of(logits, labels) + 0.1 * sum(loss_of(head, labels) for head in auxiliary)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        # The running statistics are those of the first process, here and in what is saved.
        for buffer in net.buffers():
            dist.broadcast(buffer, 0)
        accuracy = evaluate(net, val_loader, normalize, device)
        if rank == 0:
            speed = len(loader) * args.batch_size * dist.get_world_size() / (time.time() - start)
            print(f"epoch {epoch + 1}/{args.epochs}  loss {total / len(loader):.4f}  accuracy {accuracy:.4f}  {speed:.0f} images/s", flush=True)
            if args.checkpoint:
                saved = {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(), "epoch": epoch + 1}
                torch.save(saved, args.checkpoint + ".tmp")
                os.replace(args.checkpoint + ".tmp", args.checkpoint)
        dist.barrier()

    if rank == 0:
        torch.save({name: tensor.cpu() for name, tensor in net.state_dict().items()}, args.out + ".tmp")
        os.replace(args.out + ".tmp", args.out)
    # All are done and all is written. PyTorch's own way out joins its network threads, and has been seen to wait for one for ever.
    dist.barrier()
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
