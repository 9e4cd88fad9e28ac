extern alias tool;

using System.Diagnostics;
using RepVgg.Architectures;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using Xunit;
using NumpyFile = tool::RepVgg.Tool.Weights.NumpyFile;

namespace RepVgg.Tool.Tests;

/// <summary>Ctrl-C and SIGTERM at several moments. Signals are sent with the C library's kill, which Windows does not have.</summary>
public sealed class InterruptTests : IDisposable
{
    private const int SigInt = 2, SigKill = 9, SigTerm = 15;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Output => _folder.File("models");

    [UnixTheory]
    [InlineData(0)]
    [InlineData(60)]
    [InlineData(150)]
    [InlineData(300)]
    public void At_the_start_nothing_is_written(int milliseconds)
    {
        using var run = Start("--out", Output, "--device", "cpu");
        Thread.Sleep(milliseconds);
        run.Send(SigInt);
        Assert.Equal(130, run.End());
        Assert.Empty(Files(Output));
    }

    [UnixTheory]
    [InlineData(SigInt, 130)]
    [InlineData(SigTerm, 143)]
    public void In_the_first_epoch_nothing_is_kept(int signal, int exitCode)
    {
        using var run = Start("--out", Output, "--device", "cpu", "--epochs", "30");
        run.WaitFor("Training; Ctrl-C stops it");
        run.Send(signal);
        Assert.Equal(exitCode, run.End());
        Assert.Contains("Stopped before the first epoch was complete", run.Output, StringComparison.Ordinal);
        Assert.Empty(Files(Output));
    }

    [UnixTheory]
    [InlineData(SigInt, 130)]
    [InlineData(SigTerm, 143)]
    public void In_a_later_epoch_the_best_model_is_kept(int signal, int exitCode)
    {
        using var run = Start("--out", Output, "--device", "cpu", "--epochs", "30");
        run.WaitFor("Epoch 1 of 30");
        run.Send(signal);
        Assert.Equal(exitCode, run.End());
        Assert.Contains("The model has the weights of epoch ", run.Output, StringComparison.Ordinal);
        Assert.Contains("The network as ONNX: ", run.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("Epoch 30 of 30", run.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("test images", run.Output, StringComparison.Ordinal);
        ModelIsComplete();
    }

    [UnixTheory]
    [InlineData(SigInt, 130)]
    [InlineData(SigTerm, 143)]
    public void The_longer_sample_keeps_the_best_model_and_goes_on(int signal, int exitCode)
    {
        string run = Path.Combine(Output, "fashion-mnist");
        string[] arguments = ["fashion-mnist", "--data", SampleProgramTests.FashionMnistFolder(_folder, 400), "--out", Output, "--device", "cpu", "--epochs", "20"];
        using (var training = Start(arguments))
        {
            training.WaitFor("Epoch 2 of 20");
            training.Send(signal);
            Assert.Equal(exitCode, training.End());
            Assert.DoesNotContain("Epoch 20 of 20", training.Output, StringComparison.Ordinal);
        }
        foreach (string file in new[] { "model.zip", "model.onnx", "weights/last.checkpoint" })
            Assert.True(new FileInfo(Path.Combine(run, file)).Length > 0, file);
        int epochs = File.ReadAllLines(Path.Combine(run, "results.csv")).Length - 1;
        using var resumed = Start(arguments);
        resumed.WaitFor($"Epoch {epochs + 1} of 20");
        resumed.Send(signal);
        Assert.Equal(exitCode, resumed.End());
        Assert.DoesNotContain($"Epoch {epochs} of 20", resumed.Output, StringComparison.Ordinal);
    }

    [UnixTheory]
    [InlineData(SigInt, 130)]
    [InlineData(SigTerm, 143)]
    public void Training_on_a_folder_keeps_the_best_model_with_its_report_and_goes_on(int signal, int exitCode)
    {
        string run = Path.Combine(Output, "run");
        string[] arguments = ["train", Pictures.Folder(_folder, "pictures", 60), "--output", Output, "--name", "run", "--exist-ok", "--epochs", "40", "--batch-size", "8", "--device", "cpu"];
        using (var training = Start(arguments))
        {
            training.WaitFor("epoch   2/40  loss");
            training.Send(signal);
            Assert.Equal(exitCode, training.End());
            Assert.Contains("Stopped in", training.Output, StringComparison.Ordinal);
        }
        foreach (string file in new[] { "model.zip", "model.onnx", "report.html", "metrics.json", "weights/best.safetensors" })
            Assert.True(new FileInfo(Path.Combine(run, file)).Length > 0, file);
        int epochs = File.ReadAllLines(Path.Combine(run, "results.csv")).Length - 1;
        using var resumed = Start(arguments);
        resumed.WaitFor($"epoch {epochs + 1,3}/40");
        resumed.Send(signal);
        Assert.Equal(exitCode, resumed.End());
        Assert.DoesNotContain($"epoch {epochs,3}/40", resumed.Output, StringComparison.Ordinal);
    }

    [UnixFact]
    public void Of_two_runs_in_the_same_folder_the_second_is_refused_until_the_first_ends_in_any_way()
    {
        string[] arguments = ["train", Pictures.Folder(_folder, "pictures", 60), "--output", Output, "--name", "run", "--exist-ok", "--batch-size", "8", "--device", "cpu", "--epochs"];
        using (var first = Start([.. arguments, "4000"]))
        {
            first.WaitFor("epoch   1/4000  loss");
            var (exitCode, _, error) = Programs.Tool.Run([.. arguments, "4000"]);
            Assert.Equal(1, exitCode);
            Assert.Contains($"The folder '{Path.Combine(Output, "run")}' is in use by another run", error, StringComparison.Ordinal);
            Assert.False(first.HasEnded);
            first.Send(SigKill);
            Assert.Equal(137, first.End());
        }
        using var next = Start([.. arguments, "4000"]);
        next.WaitFor("/4000  loss");
    }

    [UnixTheory]
    [InlineData("Epoch 1 of 1")]
    [InlineData("The network as ONNX")]
    [InlineData("test images: accuracy")]
    [InlineData("scored by the model")]
    public void After_training_the_model_is_written_completely(string moment)
    {
        using var run = Start("--out", Output, "--device", "cpu", "--epochs", "1");
        run.WaitFor(moment);
        run.Send(SigInt);
        // The program can be at its end before the signal arrives.
        Assert.Contains(run.End(), new[] { 130, 0 });
        ModelIsComplete();
    }

    [UnixTheory]
    [InlineData(SigInt, SigInt, 130)]
    [InlineData(SigTerm, SigTerm, 143)]
    [InlineData(SigTerm, SigInt, 130)]
    public void The_second_signal_ends_work_that_does_not_stop(int first, int second, int exitCode)
    {
        using var run = new ProgramRun(Programs.Start(typeof(Program).Assembly, "endless"));
        run.WaitFor("ready");
        run.Send(first);
        run.WaitFor("cancelled");
        Assert.False(run.HasEnded);
        run.Send(second);
        Assert.Equal(exitCode, run.End());
    }

    [UnixFact]
    public void Signals_again_and_again_end_training_with_the_exit_code_of_an_interrupt()
    {
        using var run = Start("--out", Output, "--device", "cpu", "--epochs", "30");
        run.WaitFor("Epoch 1 of 30");
        var clock = Stopwatch.StartNew();
        while (!run.HasEnded && clock.Elapsed < ProgramRun.Longest)
        {
            run.Send(SigInt);
            Thread.Sleep(1);
        }
        Assert.Equal(130, run.End());
    }

    [UnixFact]
    public void An_ablation_keeps_the_runs_that_are_done()
    {
        string output = _folder.File("results");
        string[] arguments = ["ablation", "--out", output, "--device", "cpu", "--architecture", "S0", "--epochs", "1", "--forms", "Plain,RepVgg"];
        using (var run = Start(arguments))
        {
            run.WaitFor("Plain, seed 1: run 1 of 6");
            run.Send(SigInt);
            Assert.Equal(130, run.End());
            Assert.Contains("No run was complete, and nothing was written.", run.Output, StringComparison.Ordinal);
            Assert.Empty(Files(output));
        }
        using (var run = Start(arguments))
        {
            run.WaitFor("RepVgg, seed 1: run 2 of 6");
            run.Send(SigInt);
            Assert.Equal(130, run.End());
        }
        Assert.Equal(["ablation.csv", "ablation.md", "ablation.svg"], Files(output));
        Assert.Contains("\nIncomplete: 1 of 6 runs are done.\n", File.ReadAllText(Path.Combine(output, "ablation.md")), StringComparison.Ordinal);
        Assert.StartsWith("Plain,1,0.", File.ReadAllLines(Path.Combine(output, "ablation.csv"))[^1], StringComparison.Ordinal);
    }

    [UnixTheory]
    [InlineData(SigInt, 130)]
    [InlineData(SigTerm, 143)]
    public void A_search_keeps_its_checkpoint_and_goes_on(int signal, int exitCode)
    {
        string scales = _folder.File("scales.pth"), checkpoint = _folder.File("search.checkpoint");
        string[] arguments = ["search-scales", "--out", scales, "--device", "cpu", "--architecture", "S0", "--fraction", "0.5", "--epochs", "3", "--checkpoint", checkpoint];
        using (var run = Start(arguments))
        {
            run.WaitFor("epoch   1/3  loss");
            run.Send(signal);
            Assert.Equal(exitCode, run.End());
            Assert.Contains("Stopped; no scales were written. The same command goes on from the checkpoint.", run.Output, StringComparison.Ordinal);
        }
        Assert.Equal([Path.GetFileName(checkpoint)], Files(_folder.Path));
        using var resumed = Start(arguments);
        Assert.Equal(0, resumed.End());
        Assert.DoesNotContain("epoch   1/3", resumed.Output, StringComparison.Ordinal);
        Assert.Equal([Path.GetFileName(scales), Path.GetFileName(checkpoint)], Files(_folder.Path));
        RepOptimizerScales.Load(scales).Validate(RepVggVariants.S0 with { InputChannels = 1 });
    }

    [UnixTheory]
    [InlineData("convert")]
    [InlineData("run")]
    [InlineData("verify")]
    [InlineData("create")]
    public void Other_commands_end_with_no_file_or_a_complete_one(string command)
    {
        string weights = _folder.File("weights.pth"), images = _folder.File("images.npy"), output = _folder.File(command == "run" ? "logits.npy" : "output.pth");
        Assert.Equal(0, Programs.Tool.Run("create", "RepVGG-A0", weights).ExitCode);
        NumpyFile.Write(images, RandomStates.Images(4, 3, 64, 64));
        string[] arguments = command switch
        {
            "convert" => ["convert", weights, output],
            "run" => ["run", weights, images, output],
            "verify" => ["verify", weights, "--image-size", "64"],
            _ => ["create", "RepVGG-A0", output],
        };
        string[] before = [.. Files(_folder.Path)];
        for (int milliseconds = 0; milliseconds < 1000; milliseconds += 140)
        {
            using var run = Start(arguments);
            Thread.Sleep(milliseconds);
            run.Send(SigInt);
            Assert.Contains(run.End(), new[] { 130, 0 });
            Assert.Empty(Files(_folder.Path).Except([.. before, Path.GetFileName(output)]));
            if (!File.Exists(output))
                continue;
            if (command == "run")
                Assert.Equal([4, 1000], [.. NumpyFile.Read(output).Shape]);
            else
                WeightsFile.Read(output);
            File.Delete(output);
        }
    }

    [UnixTheory]
    [InlineData(SigInt, 130)]
    [InlineData(SigTerm, 143)]
    public void While_a_file_is_written_it_is_completed_first(int signal, int exitCode)
    {
        string output = _folder.File("output");
        using var run = new ProgramRun(Programs.Start(typeof(Program).Assembly, "write", output));
        run.WaitFor("writing");
        run.Send(signal);
        Assert.Equal(exitCode, run.End());
        Assert.Equal("written", File.ReadAllText(output));
        Assert.Equal(["output"], Files(_folder.Path));
    }

    [UnixFact]
    public void Packing_stops_within_the_file()
    {
        const int Count = 40_000;
        byte[] pixels = new byte[Count * 784];
        new Random(1).NextBytes(pixels);
        string data = Directory.CreateDirectory(_folder.File("data")).FullName;
        foreach (string prefix in new[] { "train", "t10k" })
        {
            File.WriteAllBytes(Path.Combine(data, $"{prefix}-images-idx3-ubyte"), IdxBytes.Idx(pixels, Count, 28, 28));
            File.WriteAllBytes(Path.Combine(data, $"{prefix}-labels-idx1-ubyte"), IdxBytes.Idx([.. Enumerable.Range(0, Count).Select(i => (byte)(i % 10))], Count));
        }
        using var run = Start("pack-data", "--data", data, "--out", _folder.File("small.zip"), "--training", $"{Count}", "--test", $"{Count}");
        while (Directory.GetFileSystemEntries(_folder.Path).Length == 1 && !run.HasEnded)
            Thread.Yield();
        run.Send(SigInt);
        Assert.Equal(130, run.End());
        Assert.Equal("Interrupted.", run.Error.Trim());
        Assert.Equal(["data"], Files(_folder.Path));
    }

    private static IEnumerable<string> Files(string folder) =>
        Directory.Exists(folder) ? Directory.EnumerateFileSystemEntries(folder).Select(path => Path.GetFileName(path)!).Order(StringComparer.Ordinal) : [];

    private void ModelIsComplete()
    {
        Assert.Equal(["model.onnx", "model.zip"], Files(Output));
        WeightsFile.Read(Path.Combine(Output, "model.onnx"));
        using var archive = System.IO.Compression.ZipFile.OpenRead(Path.Combine(Output, "model.zip"));
        Assert.NotEmpty(archive.Entries);
    }

    private static ProgramRun Start(params string[] arguments) => new((arguments[0].StartsWith('-') || arguments[0] == "fashion-mnist" ? Programs.Samples : Programs.Tool).Start(arguments));
}
