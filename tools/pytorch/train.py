"""Trains a RepVGG on any number of processes and machines with PyTorch's distributed engine.

    torchrun --nproc_per_node 8 train.py --variant RepVGG-A0 --weights initial.pth --data /data/imagenet --out trained.pth

--weights is what `create VARIANT initial.pth` of the tool repvgg wrote, or any checkpoint of the
training form. --out holds the training form under the same names; results.csv beside it, a row for each epoch. --data is
a folder with train/ and val/, each with one folder of images per class (needs torchvision), or a file of torch.save with
a dictionary of uint8 images [N, C, H, W] and int64 labels: images, labels, val_images, val_labels. Defaults are the
RepVGG paper's recipe.

Processes are started by torchrun, or by anything that sets MASTER_ADDR, MASTER_PORT, WORLD_SIZE, RANK and, where a
machine has several GPUs, LOCAL_RANK. Without these variables it is one process. Programs in Python that have a process
group call main(["--variant", ...]).

SIGTERM or SIGINT writes the checkpoint after the current step and ends. Exit codes: 0 the training is complete, 1 an
exception, 2 an error in the options, the environment or the files, 130 after SIGINT, 143 after SIGTERM.
"""
import argparse
import contextlib
import itertools
import math
import os
import signal
import sys
import threading
import time
import traceback
import zlib

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

import repvgg

COLUMNS = "epoch,time,train/loss,metrics/accuracy_top1,metrics/accuracy_top5,val/loss,lr/pg0"
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class UsageError(ValueError):
    """An error in the options, the environment or the files, which says what to do."""


class Tensors(Dataset):
    """Images in memory."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index].float(), self.labels[index]


class Seeded(Dataset):
    """Images whose random changes depend on the seed, the epoch and the index only: a run that goes on draws the same ones."""

    def __init__(self, images, seed):
        self.images, self.seed, self.epoch = images, seed, 0

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        torch.default_generator.manual_seed(zlib.crc32(b"%d %d %d" % (self.seed, self.epoch, index)))
        return self.images[index]


class Share(DistributedSampler):
    """The images of this process in an epoch, from the position `first` to the position `last`."""

    first, last = 0, None

    def __iter__(self):
        return itertools.islice(super().__iter__(), self.first, self.last)


def ignore_stop_signals(_):
    """For the processes that load images: a signal to all processes of a job must not end them before the checkpoint is written."""
    for number in EXIT_CODES:
        signal.signal(number, signal.SIG_IGN)


class StopSignals:
    """Notes SIGTERM and SIGINT instead of ending the process. In threads other than the main one, nothing can be noted."""

    def __init__(self):
        self.code, self.noted_at, self.former = 0, 0.0, {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            self.former = {number: signal.signal(number, self.note) for number in EXIT_CODES}
        return self

    def __exit__(self, *_):
        for number, handler in self.former.items():
            # Python knows no handler that another language has set.
            signal.signal(number, handler or signal.SIG_DFL)

    def note(self, number, _):
        # Ctrl-C under torchrun arrives twice at once: from the terminal and from torchrun.
        if number == signal.SIGINT and self.code and time.monotonic() - self.noted_at > 2:
            raise KeyboardInterrupt
        if not self.code:
            self.code, self.noted_at = EXIT_CODES[number], time.monotonic()

    def totals(self, values, device):
        """The sums of the values over all processes, and the exit code if any of them is to stop, else 0."""
        sums = torch.zeros(len(values) + 2, dtype=torch.float64, device=device)
        for i, value in enumerate((*values, self.code == 143, self.code == 130)):
            sums[i] = value
        dist.all_reduce(sums)
        *sums, terminated, interrupted = sums.tolist()
        return sums, 143 if terminated else 130 if interrupted else 0


def read_data(path, size):
    if os.path.isfile(path):
        data = torch.load(path)
        return Tensors(data["images"], data["labels"]), Tensors(data["val_images"], data["val_labels"])
    try:
        from torchvision import datasets, transforms
    except ImportError as error:
        raise UsageError(f"--data {path}: a folder of images needs torchvision, which cannot be imported ({error}). Install it, or give a file of tensors.")

    pixels = [transforms.PILToTensor(), transforms.ConvertImageDtype(torch.float), transforms.Lambda(lambda image: image * 255)]
    train = transforms.Compose([transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), *pixels])
    val = transforms.Compose([transforms.Resize(size * 256 // 224), transforms.CenterCrop(size), *pixels])
    return datasets.ImageFolder(os.path.join(path, "train"), train), datasets.ImageFolder(os.path.join(path, "val"), val)


def read_weights(path):
    state = torch.load(path, map_location="cpu")
    state = state.get("model", state.get("state_dict", state))
    for name in ("linear.weight", "stage0.rbr_dense.conv.weight"):
        if name not in state:
            raise UsageError(f"--weights {path}: there is no '{name}' in the file. Give weights of the training form under the RepVGG authors' names.")
    return state


def write(path, content):
    """Writes a file under a temporary name, flushes it and moves it into place: nobody ever reads half a file."""
    with open(path + ".tmp", "wb") as file:
        if isinstance(content, str):
            file.write(content.encode())
        else:
            torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".tmp", path)


def append_results(path, epoch, values):
    """Adds the row of an epoch to results.csv; rows of the same epoch and of later ones are of a run that did not get further."""
    rows = []
    if os.path.exists(path):
        with open(path) as file:
            rows = [line for line in file.read().splitlines()[1:] if line and int(line.split(",")[0]) < epoch]
    row = ",".join("%.6g" % value for value in (epoch, *values))
    write(path, "\n".join([COLUMNS, *rows, row]) + "\n")


def portable(net):
    """The weights on the CPU, with their values in the usual order (--channels-last has another one)."""
    return {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in net.state_dict().items()}


def evaluate(model, loader, normalize, device, stop):
    """Top-1 and top-5 accuracy and mean cross-entropy on all images of all processes, and the exit code if the run is to stop."""
    model.eval()
    counts = torch.zeros(4, device=device, dtype=torch.float64)
    with torch.no_grad():
        for images, labels in loader:
            if stop.code:
                break
            logits, labels = model(normalize(images.to(device))), labels.to(device)
            best = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
            loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
            counts += torch.stack([best[:, 0].sum(), best.sum(), loss, torch.tensor(len(labels), device=device)])
    (top1, top5, loss, count), code = stop.totals(counts.tolist(), device)
    return (top1 / max(count, 1), top5 / max(count, 1), loss / max(count, 1)), code


def parse(arguments=None):
    parser = argparse.ArgumentParser(description="Trains a RepVGG with PyTorch's distributed engine.")
    parser.add_argument("--variant", required=True)
    parser.add_argument("--weights", required=True, help="initial weights of the training form")
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True, help="weights at the end of the training")
    parser.add_argument("--results", help="a row for each epoch; results.csv in the folder of --out by default")
    parser.add_argument("--checkpoint", help="written after every epoch and on SIGTERM or SIGINT; an interrupted run goes on from it")
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--warmup-epochs", type=float, default=0.0, help="the learning rate rises linearly over them")
    parser.add_argument("--batch-size", type=int, default=32, help="images of one process at a time; the paper's global batch is 256")
    parser.add_argument("--accumulate", type=int, default=1, help="batches of a process whose gradients make one step")
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--label-smoothing", type=float, default=0.0)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--mean", type=float, nargs="+", default=[123.675, 116.28, 103.53], help="per channel, in pixel units")
    parser.add_argument("--std", type=float, nargs="+", default=[58.395, 57.12, 57.375], help="per channel, in pixel units")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--sync-bn", action="store_true", help="batch norms over the batches of all processes; GPUs only")
    parser.add_argument("--channels-last", action="store_true", help="images and kernels in the layout NHWC")
    args = parser.parse_args(arguments)
    for name in ("epochs", "batch_size", "accumulate"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(args, name)}, but must be at least 1")
    if not 0 <= args.warmup_epochs < args.epochs:
        parser.error(f"--warmup-epochs is {args.warmup_epochs:g}, but must be at least 0 and less than --epochs, which is {args.epochs}")
    args.results = args.results or os.path.join(os.path.dirname(args.out), "results.csv")
    return args


def join_group():
    """Joins the processes that the environment names, if there is no process group yet. Returns whether it made the group."""
    if dist.is_initialized():
        return False
    names = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK")
    missing = [name for name in names if name not in os.environ]
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    if "WORLD_SIZE" in missing and "RANK" in missing:
        for name in ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PET_NNODES"):
            if os.environ.get(name, "1") not in ("1", "1:1", ""):
                raise UsageError(f"{name} is {os.environ[name]}, but WORLD_SIZE and RANK are not set: every process would train alone. "
                    "Start one torchrun on each machine, or set MASTER_ADDR, MASTER_PORT, WORLD_SIZE, RANK and LOCAL_RANK for each process.")
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
        return True
    if missing:
        raise UsageError(f"{' and '.join(missing)} not set in the environment, but {' and '.join(name for name in names if name not in missing)}. "
            "Set all of them, or none for a single process, or start with torchrun, which sets them.")
    dist.init_process_group(backend)
    return True


def find_device():
    if not torch.cuda.is_available():
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if count == 1:
        index = 0
    elif "LOCAL_RANK" in os.environ:
        index = int(os.environ["LOCAL_RANK"])
    elif dist.get_world_size() == 1:
        index = torch.cuda.current_device()
    else:
        raise UsageError(f"LOCAL_RANK is not set, and this process sees {count} GPUs. Set it to the number of the process on its machine, or start with torchrun.")
    if index >= count:
        raise UsageError(f"LOCAL_RANK is {index}, but this process sees {count} GPUs only. Start one process for each GPU.")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def read_checkpoint(path, **expected):
    """What the first process reads from the checkpoint, for all of them; None if there is no file."""
    saved = [None]
    if path and dist.get_rank() == 0 and os.path.exists(path):
        saved = [torch.load(path, map_location="cpu")]
    dist.broadcast_object_list(saved, 0)
    for name, value in expected.items():
        found = saved[0] and saved[0].get(name)
        if saved[0] and found != value:
            raise UsageError(f"--checkpoint {path}: {name.replace('_', ' ')} of the run that wrote it: {found}; of this run: {value}. "
                "Processes x --batch-size x --accumulate and the training images must stay the same; or remove the file to start again.")
    return saved[0]


def train(args):
    """Trains with all processes of the group. Returns the exit code."""
    rank, world = dist.get_rank(), dist.get_world_size()
    device = find_device()
    cuda = device.type == "cuda"
    if args.sync_bn and not cuda:
        raise UsageError("--sync-bn: PyTorch's SyncBatchNorm runs on GPUs only, and this process has none. Leave the option out.")
    for name in ("weights", "data"):
        if not os.path.exists(getattr(args, name)):
            raise UsageError(f"--{name} {getattr(args, name)}: there is no such file or folder.")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True

    state = read_weights(args.weights)
    classes, channels = state["linear.weight"].shape[0], state["stage0.rbr_dense.conv.weight"].shape[1]
    net = repvgg.build(args.variant, classes, channels)
    net.load_state_dict(state, strict=True)
    if args.sync_bn:
        net = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    net.to(device, memory_format=layout)
    groups = [
        {"params": [p for name, p in net.named_parameters() if repvgg.decays(name, p)], "weight_decay": args.weight_decay},
        {"params": [p for name, p in net.named_parameters() if not repvgg.decays(name, p)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, args.learning_rate, momentum=0.9)
    loss_of = nn.CrossEntropyLoss(label_smoothing=args.label_smoothing)

    train_images, val_images = read_data(args.data, args.image_size)
    train_images = Seeded(train_images, args.seed)
    sampler = Share(train_images, seed=args.seed, drop_last=True)
    workers = {"num_workers": args.workers, "worker_init_fn": ignore_stop_signals if args.workers else None}
    loader = DataLoader(train_images, args.batch_size, sampler=sampler, pin_memory=cuda, **workers)
    # Every process takes every n-th image: no image is counted twice.
    share = torch.utils.data.Subset(val_images, range(rank, len(val_images), world))
    val_loader = DataLoader(share, args.batch_size, **workers)
    images_per_step = world * args.batch_size * args.accumulate
    steps = len(train_images) // images_per_step
    if not steps:
        raise UsageError(f"--data {args.data}: {len(train_images)} training images are fewer than the {images_per_step} of one step: "
            f"{world} processes x --batch-size {args.batch_size} x --accumulate {args.accumulate}. Make one of them smaller.")
    sampler.last = steps * args.accumulate * args.batch_size
    mean, std = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (args.mean, args.std))
    normalize = lambda images: ((images - mean) / std).contiguous(memory_format=layout)

    def learning_rate(step):
        """A linear warm-up, then a cosine to 0."""
        warmup, total = args.warmup_epochs * steps, args.epochs * steps
        if step < warmup:
            return args.learning_rate * min(1, (step + 1) / warmup)
        return args.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

    saved = read_checkpoint(args.checkpoint, images_per_step=images_per_step, steps_per_epoch=steps)
    # The position of the run: complete epochs, steps of the next one, the sum of their losses, seconds so far.
    first, step, total, before = 0, 0, 0.0, 0.0
    if saved:
        net.load_state_dict(saved["model"], strict=True)
        optimizer.load_state_dict(saved["optimizer"])
        first, step, total, before = saved["epoch"], saved["step"], saved["loss"], saved["seconds"]
    # It copies the weights of the first process to all of them, and before every step its running statistics.
    model = DistributedDataParallel(net, device_ids=[device.index] if cuda else None)
    if rank == 0:
        for path in (args.out, args.results, args.checkpoint):
            os.makedirs(os.path.dirname(path or "") or ".", exist_ok=True)
        left_out = len(train_images) - steps * images_per_step
        print(f"{args.variant}, {classes} classes, {world} {'process' if world == 1 else 'processes'} on {device.type}, {len(train_images)} images, "
            f"{steps} steps of {images_per_step} an epoch" + (f", {left_out} other images left out of each" if left_out else ""), flush=True)
        if saved:
            print(f"goes on from {args.checkpoint}: epoch {first + 1}, step {step + 1}", flush=True)
    start = time.time()

    def save_checkpoint(epoch, step, total):
        if rank == 0 and args.checkpoint:
            write(args.checkpoint, {
                "model": portable(net), "optimizer": optimizer.state_dict(), "epoch": epoch, "step": step, "loss": total,
                "seconds": before + time.time() - start, "images_per_step": images_per_step, "steps_per_epoch": steps})
        dist.barrier()

    def stopped(code, epoch, step, total):
        save_checkpoint(epoch, step, total)
        if rank == 0:
            state = f"{args.checkpoint} is written" if args.checkpoint else "nothing is kept without --checkpoint"
            print(f"stopped by {'SIGTERM' if code == 143 else 'SIGINT'} in epoch {epoch + 1} after step {step}; {state}", flush=True)
        return code

    def forward_and_backward(images, labels):
        """One batch of this process. Its share of the step's gradients is added to those of the batches before."""
        images, labels = normalize(images.to(device, non_blocking=True)), labels.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=args.bfloat16):
            outputs = model(images)
            logits, auxiliary = outputs if isinstance(outputs, tuple) else (outputs, [])
            loss = loss_of(logits, labels) + 0.1 * sum(loss_of(head, labels) for head in auxiliary)
        loss = loss / args.accumulate
        loss.backward()
        return loss.detach()

    with StopSignals() as stop:
        for epoch in range(first, args.epochs):
            model.train()
            sampler.set_epoch(epoch)
            sampler.first, train_images.epoch = step * args.accumulate * args.batch_size, epoch
            epoch_start, first_step, batches = time.time(), step, iter(loader)
            while step < steps:
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(epoch * steps + step)
                optimizer.zero_grad(set_to_none=True)
                loss = 0.0
                for i in range(args.accumulate):
                    # Only the last batch of a step exchanges gradients between the processes.
                    with contextlib.nullcontext() if i == args.accumulate - 1 else model.no_sync():
                        loss += forward_and_backward(*next(batches))
                optimizer.step()
                (loss,), code = stop.totals([loss], device)
                step, total = step + 1, total + loss / world
                if code:
                    return stopped(code, epoch, step, total)
            # Ends the processes that load training images, before those of the validation start.
            del batches
            speed = (step - first_step) * images_per_step / (time.time() - epoch_start)
            # The running statistics are those of the first process, here and in what is saved.
            for buffer in net.buffers():
                dist.broadcast(buffer, 0)
            (top1, top5, val_loss), code = evaluate(net, val_loader, normalize, device, stop)
            if code:
                return stopped(code, epoch, step, total)
            if rank == 0:
                print(f"epoch {epoch + 1}/{args.epochs}  loss {total / steps:.4f}  accuracy {top1:.4f}  {speed:.0f} images/s", flush=True)
                seconds, rate = before + time.time() - start, learning_rate((epoch + 1) * steps - 1)
                append_results(args.results, epoch + 1, (seconds, total / steps, top1, top5, val_loss, rate))
            step, total = 0, 0.0
            save_checkpoint(epoch + 1, step, total)
        if rank == 0:
            write(args.out, portable(net))
        dist.barrier()
    return 0


def main(arguments=None):
    """Trains with the options of a list such as ["--variant", "RepVGG-A0", ...]. Returns the exit code.

    Uses the process group that the caller has made, and leaves it; or makes one, and ends it.
    """
    args = parse(arguments)
    own_group = join_group()
    try:
        return train(args)
    finally:
        if own_group:
            dist.destroy_process_group()


def run():
    """The script: ends the process with the exit code."""
    args = parse()
    try:
        join_group()
        code = train(args)
    except UsageError as error:
        print(f"train.py: error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 130
    except Exception:
        traceback.print_exc()
        code = 1
    # PyTorch's own way out joins its network threads, and has been seen to wait for one for ever.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
