"""Tests how tools/pytorch/train.py is started, stopped and continued, with gloo on the CPU; nothing else of the repository is needed.

Usage: launchers.py [-v]      (needs torch and numpy; Debian: python3-torch python3-numpy)
"""
import contextlib
import io
import multiprocessing
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from unittest import mock

sys.dont_write_bytecode = True
os.environ.update(CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "pytorch"))

import torch
import torch.distributed as dist

import repvgg
import roundtrip
import train

VARIANT, CLASSES, IMAGES, SEED = "RepVGG-S0", 7, 170, 3
EPOCHS, WARMUP, RATE, DECAY = 2, 0.5, 0.05, 1e-3
VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "LOCAL_RANK")


def in_step(number, action):
    """While it is entered, the action is taken in the step of this number, counted from 1 in this process."""
    inner, count = torch.optim.SGD.step, 0

    def step(self, *arguments, **named):
        nonlocal count
        inner(self, *arguments, **named)
        count += 1
        if count == number:
            action()

    return mock.patch.object(torch.optim.SGD, "step", step)


def worker(rank, step, event, *options):
    """The script in a process of its own. In one step of one process, before any restart, something happens to it."""
    def action():
        if event == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif event == "terminated":
            # As Slurm does it: from outside, and the processes that load images are terminated too.
            loaders = [str(process.pid) for process in multiprocessing.active_children()]
            subprocess.run(["kill", "-TERM", *loaders, str(os.getpid())], check=True)
        elif event == "launcher-terminated":
            os.kill(os.getppid(), signal.SIGTERM)
            # The launcher needs a moment; without the signal this would go on for long.
            slow = torch.optim.SGD.step
            torch.optim.SGD.step = lambda *arguments, **named: (time.sleep(1), slow(*arguments, **named))[1]

    affected = os.environ["RANK"] == rank and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    sys.argv = ["train.py", *options]
    with in_step(int(step), action) if affected else contextlib.nullcontext():
        train.run()


class FrozenNorms(repvgg.RepVGG):
    """Batch norms that compute with their running statistics, so that images do not depend on those of the same batch."""

    def train(self, mode=True):
        super().train(mode)
        for module in self.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        return self


@contextlib.contextmanager
def double_precision():
    """While it is entered, networks compute in float64: batch statistics amplify differences of rounding, step after step."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


class NoisyData:
    """In place of train.read_data: images with random changes, as augmentation makes them."""

    class Noisy(train.Tensors):
        def __getitem__(self, index):
            images, label = super().__getitem__(index)
            return images + 20 * torch.rand(images.shape), label

    def __init__(self, path, _):
        self.data = torch.load(path)

    def __iter__(self):
        yield self.Noisy(self.data["images"], self.data["labels"])
        yield train.Tensors(self.data["val_images"], self.data["val_labels"])


class LauncherTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        torch.set_num_threads(1)
        for name in VARIABLES:
            os.environ.pop(name, None)
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.work = pathlib.Path(cls.folder.name)
        torch.manual_seed(SEED)
        torch.save(repvgg.build(VARIANT, CLASSES, 1).state_dict(), cls.work / "initial.pth")
        images, labels = roundtrip.stripes(IMAGES, 28, 1, 1)
        val_images, _ = roundtrip.stripes(45, 28, 1, 2)
        # Labels that cannot be learned, so that the accuracies are far from 0 and 1.
        val_labels = torch.arange(45) * 5 % CLASSES
        cls.data = {"images": images, "labels": labels, "val_images": val_images, "val_labels": val_labels}
        torch.save(cls.data, cls.work / "data.pt")

    def options(self, name, *more, batch_size=8):
        return ["--variant", VARIANT, "--weights", str(self.work / "initial.pth"), "--data", str(self.work / "data.pt"),
            "--out", str(self.work / name / "trained.pth"), "--checkpoint", str(self.work / name / "checkpoint.pth"),
            "--epochs", str(EPOCHS), "--warmup-epochs", str(WARMUP), "--batch-size", str(batch_size), "--learning-rate", str(RATE),
            "--weight-decay", str(DECAY), "--seed", str(SEED), "--workers", "0", "--mean", "127", "--std", "60", *more]

    def train(self, name, *more, batch_size=8):
        """Trains in this process, and returns the exit code; what is printed is kept."""
        self.printed = io.StringIO()
        with contextlib.redirect_stdout(self.printed):
            return train.main(self.options(name, *more, batch_size=batch_size))

    def by_hand(self, *command):
        """Two processes as Azure ML starts them, without LOCAL_RANK. Returns their exit codes."""
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            port = server.getsockname()[1]
        environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
        processes = [subprocess.Popen([sys.executable, *command], env={**environment, "RANK": str(rank)}) for rank in range(2)]
        try:
            return [process.wait(100) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()

    def torchrun(self, *command):
        """Two processes under torchrun, which may restart them once. Returns its exit code and what was printed."""
        # Redirects are named because the launcher of PyTorch 1.13 cannot read its own default of none in Python 3.11 and later.
        launcher = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--max_restarts", "1", "--rdzv_backend", "c10d",
            "--rdzv_endpoint", "localhost:0", "--redirects", "1", "--tee", "1", "--log_dir", str(self.work / "logs")]
        done = subprocess.run([sys.executable, *launcher, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=100)
        return done.returncode, done.stdout

    def weights(self, name):
        return torch.load(self.work / name / "trained.pth")

    def rows(self, name):
        """results.csv as numbers, without the column of the time."""
        header, *rows = (self.work / name / "results.csv").read_text().splitlines()
        self.assertEqual(header, "epoch,time,train/loss,metrics/accuracy_top1,metrics/accuracy_top5,val/loss,lr/pg0")
        rows = [[float(value) for value in row.split(",")] for row in rows]
        self.assertEqual([row[0] for row in rows], list(range(1, EPOCHS + 1)))
        self.assertEqual(sorted(row[1] for row in rows), [row[1] for row in rows])
        return [row[2:] for row in rows]

    def assert_same(self, one, other):
        """The same weights, bit by bit, and the same results."""
        for (name, expected), actual in zip(self.weights(one).items(), self.weights(other).values()):
            self.assertTrue(torch.equal(expected, actual), name)
        self.assertEqual(self.rows(one), self.rows(other))
        self.assertEqual(list(self.work.rglob("*.tmp")), [])

    def assert_close(self, expected, actual, tolerance):
        self.assertEqual(list(expected), list(actual))
        initial = torch.load(self.work / "initial.pth")
        for name, tensor in expected.items():
            error = (tensor.double() - actual[name].double()).abs().max() / tensor.double().abs().max().clamp(min=1e-3)
            self.assertLess(error, tolerance, name)
        self.assertGreater((expected["linear.weight"] - initial["linear.weight"]).abs().max(), 1e-2, "nothing was learned")

    @double_precision()
    def test_accumulated_steps_and_results_are_those_of_a_loop_written_by_hand(self):
        self.assertEqual(self.train("accumulated", "--accumulate", "2"), 0)
        self.assertIn("10 steps of 16 an epoch, 10 other images left out of each", self.printed.getvalue())

        net = repvgg.build(VARIANT, CLASSES, 1)
        net.load_state_dict(torch.load(self.work / "initial.pth"))
        names, parameters = zip(*net.named_parameters())
        velocity = [torch.zeros_like(parameter) for parameter in parameters]
        pixels = {name: (self.data[name].double() - 127) / 60 for name in ("images", "val_images")}
        expected, steps = [], 10
        for epoch in range(EPOCHS):
            order, losses = torch.randperm(IMAGES, generator=torch.Generator().manual_seed(SEED + epoch)), []
            net.train()
            for step in range(steps):
                gradients = [torch.zeros_like(parameter) for parameter in parameters]
                for batch in order[step * 16:step * 16 + 16].split(8):
                    logits = net(pixels["images"][batch]).log_softmax(1)
                    loss = -logits[torch.arange(8), self.data["labels"][batch]].mean()
                    losses.append(float(loss))
                    for total, gradient in zip(gradients, torch.autograd.grad(loss, parameters)):
                        total += gradient / 2
                now = epoch * steps + step
                rate = RATE * (now + 1) / 5 if now < 5 else RATE * (1 + torch.cos(torch.tensor(torch.pi * (now - 5) / 15)).item()) / 2
                with torch.no_grad():
                    for name, parameter, gradient, v in zip(names, parameters, gradients, velocity):
                        v.mul_(0.9).add_(gradient + (DECAY * parameter if repvgg.decays(name, parameter) else 0))
                        parameter -= rate * v
            net.eval()
            with torch.no_grad():
                logits, labels = net(pixels["val_images"]).log_softmax(1), self.data["val_labels"]
            own = logits[torch.arange(45), labels]
            place = (logits > own[:, None]).sum(1)
            expected.append([sum(losses) / len(losses), float((place < 1).double().mean()), float((place < 5).double().mean()), -float(own.mean()), rate])

        self.assert_close(net.state_dict(), self.weights("accumulated"), 1e-9)
        # The file has six digits.
        for wanted, row in zip(expected, self.rows("accumulated")):
            for value, actual in zip(wanted, row):
                self.assertAlmostEqual(value, actual, delta=1e-5 * max(1, abs(value)))

    def test_without_batch_statistics_two_batches_of_16_make_the_step_of_one_batch_of_32(self):
        with mock.patch.object(repvgg, "RepVGG", FrozenNorms):
            self.train("batch-32", batch_size=32)
            self.train("batch-16", "--accumulate", "2", batch_size=16)
            # A run that goes on may divide the images of a step in another way.
            with in_step(3, lambda: os.kill(os.getpid(), signal.SIGTERM)):
                self.assertEqual(self.train("divided", "--accumulate", "2", batch_size=16), 143)
            self.assertEqual(self.train("divided", batch_size=32), 0)
        self.assert_close(self.weights("batch-32"), self.weights("batch-16"), 1e-4)
        self.assert_close(self.weights("batch-32"), self.weights("divided"), 1e-4)

    def test_channels_last_changes_the_layout_only(self):
        # Batch statistics would amplify the differences of rounding.
        with mock.patch.object(repvgg, "RepVGG", FrozenNorms):
            self.train("usual", batch_size=16)
            self.train("channels-last", "--channels-last", batch_size=16)
        self.assert_close(self.weights("usual"), self.weights("channels-last"), 1e-4)
        strides = lambda name: [tensor.stride() for tensor in self.weights(name).values()]
        self.assertEqual(strides("usual"), strides("channels-last"))

    def test_a_signal_ends_the_run_after_the_step_and_it_goes_on_exactly(self):
        with mock.patch.object(train, "read_data", NoisyData):
            self.assertEqual(self.train("whole", "--accumulate", "2"), 0)
            for number, code, step in ((signal.SIGTERM, 143, 4), (signal.SIGINT, 130, 10), (signal.SIGTERM, 143, 1)):
                handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
                with in_step(step, lambda: os.kill(os.getpid(), number)):
                    self.assertEqual(self.train("stopped", "--accumulate", "2"), code)
                self.assertEqual(handlers, (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)))
                self.assertFalse((self.work / "stopped" / "trained.pth").exists())
            saved = torch.load(self.work / "stopped" / "checkpoint.pth")
            self.assertEqual((saved["epoch"], saved["step"]), (1, 5))
            self.assertEqual(self.train("stopped", "--accumulate", "2"), 0)
            self.assert_same("whole", "stopped")
            # A complete run that is started again writes the weights only.
            (self.work / "stopped" / "trained.pth").unlink()
            self.assertEqual(self.train("stopped", "--accumulate", "2"), 0)
            self.assert_same("whole", "stopped")

    def test_a_signal_during_the_validation_keeps_the_steps(self):
        self.train("validated")
        inner = train.evaluate

        def evaluate(*arguments):
            os.kill(os.getpid(), signal.SIGTERM)
            return inner(*arguments)

        with mock.patch.object(train, "evaluate", evaluate):
            self.assertEqual(self.train("not-validated"), 143)
        self.assertFalse((self.work / "not-validated" / "results.csv").exists())
        self.assertEqual(self.train("not-validated"), 0)
        self.assert_same("validated", "not-validated")

    def test_a_run_that_ends_between_results_and_checkpoint_has_no_row_twice(self):
        self.train("written")
        inner = train.write

        def write(path, content):
            if path.endswith("checkpoint.pth") and content["epoch"] == 2:
                raise OSError("The disk is full.")
            inner(path, content)

        with mock.patch.object(train, "write", write), self.assertRaises(OSError):
            self.train("not-written")
        self.assertEqual(self.rows("written"), self.rows("not-written"))
        self.assertEqual(self.train("not-written"), 0)
        self.assert_same("written", "not-written")

    def test_random_changes_depend_on_seed_epoch_and_image_only(self):
        images = train.Tensors(torch.zeros(9, 1, 28, 28), torch.zeros(9))
        noisy = NoisyData.Noisy(images.images, images.labels)

        def sums(seed, epoch, order):
            seeded = train.Seeded(noisy, seed)
            seeded.epoch = epoch
            found = {index: float(seeded[index][0].sum()) for index in order}
            return [found[index] for index in range(9)]

        self.assertEqual(sums(1, 1, range(9)), sums(1, 1, reversed(range(9))))
        self.assertEqual(len({*sums(1, 1, range(9)), *sums(1, 2, range(9)), *sums(2, 1, range(9))}), 27)

    def test_a_process_group_of_the_caller_is_used_and_left(self):
        self.train("own-group")
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        try:
            self.assertEqual(self.train("group-of-caller"), 0)
            self.assertTrue(dist.is_initialized())
        finally:
            dist.destroy_process_group()
        self.assert_same("own-group", "group-of-caller")
        self.train("group-again")
        self.assertFalse(dist.is_initialized())

    def test_processes_by_hand_and_under_torchrun_train_the_same_weights_whatever_stops_them(self):
        script, me = str(pathlib.Path(train.__file__)), str(pathlib.Path(__file__).resolve())
        self.assertEqual(self.by_hand(script, *self.options("by-hand")), [0, 0])
        # The loss is about that of one process with as many batches of that size, which divides the images of a step in another way.
        self.train("one-process", "--accumulate", "2")
        one, two = (self.rows(name)[0][0] for name in ("one-process", "by-hand"))
        self.assertAlmostEqual(one, two, delta=0.3 * one)

        # One of two processes is terminated: both end, after the same step.
        codes = self.by_hand(me, "worker", "1", "3", "terminated", *self.options("launched", "--workers", "1"))
        self.assertEqual(codes, [143, 143])
        self.assertEqual(torch.load(self.work / "launched" / "checkpoint.pth")["step"], 3)

        # torchrun is terminated, which terminates its processes; its own exit code is 1.
        code, printed = self.torchrun(me, "worker", "0", "3", "launcher-terminated", *self.options("launched"))
        self.assertNotEqual(code, 0, printed)
        saved = torch.load(self.work / "launched" / "checkpoint.pth")
        self.assertTrue(saved["epoch"] * 10 + saved["step"] in range(6, 20), printed)

        # One of two processes is killed after the step that follows the checkpoint of the first epoch, or the next step if torchrun
        # was terminated in the second epoch: torchrun starts both again, and they go on from the last checkpoint.
        step = 11 - saved["step"] if saved["epoch"] == 0 else 1
        code, printed = self.torchrun(me, "worker", "1", str(step), "killed", *self.options("launched"))
        self.assertEqual(code, 0, printed)
        self.assertEqual(printed.count("goes on from"), 2, printed)
        if saved["epoch"] == 0:
            self.assertIn("epoch 2, step 1", printed)
        self.assert_same("by-hand", "launched")

    def test_a_second_interrupt_ends_at_once_unless_it_is_of_the_same_ctrl_c(self):
        stop = train.StopSignals()
        stop.note(signal.SIGINT, None)
        stop.note(signal.SIGINT, None)
        self.assertEqual(stop.code, 130)
        stop.noted_at -= 3
        with self.assertRaises(KeyboardInterrupt):
            stop.note(signal.SIGINT, None)

    def test_errors_say_what_to_do(self):
        def error(*more, environment={}):
            with mock.patch.dict(os.environ, environment), self.assertRaises(train.UsageError) as caught:
                self.train("errors", *more)
            self.assertFalse(dist.is_initialized())
            return str(caught.exception)

        self.assertIn("MASTER_ADDR and MASTER_PORT not set in the environment, but WORLD_SIZE and RANK", error(environment={"WORLD_SIZE": "2", "RANK": "0"}))
        self.assertIn("every process would train alone", error(environment={"SLURM_STEP_NUM_TASKS": "4"}))
        self.assertIn("Leave the option out", error("--sync-bn"))
        self.assertIn("170 training images are fewer than the 800 of one step", error("--accumulate", "100"))
        self.assertIn("there is no such file", error("--data", "missing.pt"))
        self.assertIn("there is no 'linear.weight'", error("--weights", str(self.work / "data.pt")))
        self.assertEqual(self.train("errors"), 0)
        self.assertIn("images per step of the run that wrote it: 8; of this run: 16", error("--accumulate", "2"))
        script = subprocess.run([sys.executable, train.__file__, *self.options("errors", "--sync-bn")], stderr=subprocess.PIPE, text=True, timeout=100)
        self.assertEqual((script.returncode, script.stderr[:24]), (2, "train.py: error: --sync-"), script.stderr)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        worker(*sys.argv[2:])
    else:
        unittest.main()
