using Microsoft.ML.RepVgg;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Workflow;
using Xunit;

namespace RepVgg.Tool.Tests;

public class CommandLineTests
{
    private static readonly CommandSpec _command = new("run", "Runs.", [new("epochs", "N", "passes"), new("rate", "X", "rate"), new("out", "DIR", "folder"), new("device", "NAME", "device")], (_, _) => 0);

    [Fact]
    public void Reads_both_forms()
    {
        var arguments = _command.Parse(["--epochs", "3", "--rate=1e-2", "--out=--odd"]);
        Assert.Equal(3, arguments.Integer("epochs", 1));
        Assert.Equal(0.01f, arguments.Positive("rate"));
        Assert.Equal("--odd", arguments.Text("out"));
        Assert.Equal(1, _command.Parse(["--device", "cpu"]).Choice("device", ("auto", 0), ("cpu", 1)));
        Assert.Equal(0, _command.Parse([]).Choice("device", ("auto", 0), ("cpu", 1)));
        Assert.Null(_command.Parse([]).Integer("epochs", 1));
    }

    [Theory]
    [InlineData("--nothing 1", "Unrecognized command or argument '--nothing'.")]
    [InlineData("--epochs", "Required argument missing for option: '--epochs'.")]
    [InlineData("--epochs 1 --epochs 2", "Option '--epochs' expects a single argument but 2 were provided.")]
    [InlineData("epochs", "Unrecognized command or argument 'epochs'.")]
    [InlineData("--epochs two", "--epochs is 'two'; it must be a whole number of 1 or more.")]
    [InlineData("--epochs 0", "--epochs is '0'; it must be a whole number of 1 or more.")]
    [InlineData("--rate -1", "--rate is '-1'; it must be a number above 0.")]
    [InlineData("--rate NaN", "--rate is 'NaN'; it must be a number above 0.")]
    [InlineData("--device gpu", "--device is 'gpu'; it must be one of: auto, cpu.")]
    public void Says_what_is_wrong(string line, string expected)
    {
        var error = Assert.Throws<UsageException>(() =>
        {
            var arguments = _command.Parse(line.Split(' '));
            arguments.Integer("epochs", 1);
            arguments.Positive("rate");
            arguments.Text("out");
            arguments.Choice("device", ("auto", 0), ("cpu", 1));
        });
        Assert.Equal(expected, error.Message);
    }

    [Theory]
    [InlineData("BatchSize is 1; it must be 2 or more.", "--batch-size is 1; it must be 2 or more.")]
    [InlineData("The option BatchNormEpsilon is 0.01. Leave the option BatchNormEpsilon out.", "--epsilon is 0.01. Leave --epsilon out.")]
    [InlineData("Set Options.BatchSize to 8, or WeightsFileOptions.Normalization.", "Set --batch-size to 8, or --mean and --std.")]
    [InlineData("Correct the row, or set Options.InvalidRows to Skip.", "Correct the row, or give --skip-invalid.")]
    [InlineData("The BatchSizes of Options.Other are not BatchSize.", "The BatchSizes of Options.Other are not BatchSize.")]
    public void Messages_of_the_library_name_the_options_of_the_command(string message, string expected)
    {
        string[] normalization = ["Normalization"];
        var command = new CommandSpec("run", "Runs.",
        [
            new("batch-size", "N", ""), new("epsilon", "X", "") { Sets = ["BatchNormEpsilon"] }, new("mean", "X", "") { Sets = normalization }, new("std", "X", "") { Sets = normalization },
            new("skip-invalid", "", "") { Sets = ["InvalidRows"] },
        ], (_, _) => 0);
        Assert.Equal(expected, command.Translate(message));
    }

    [Theory]
    [InlineData("-1")]
    [InlineData("1025")]
    public void Numbers_of_threads_that_cannot_be_used_are_refused(string threads)
    {
        var arguments = new CommandSpec("run", "Runs.", [OptionSpec.Threads], (_, _) => 0).Parse([$"--threads={threads}"]);
        Assert.Equal($"--threads is '{threads}'; it must be a whole number from 0 to 1024.", Assert.Throws<UsageException>(() => arguments.Threads).Message);
    }

    [Theory]
    [InlineData("", "Auto")]
    [InlineData("--device auto", "Auto")]
    [InlineData("--device cpu", "Cpu")]
    [InlineData("--device torch-cpu", "TorchCpu")]
    [InlineData("--device cuda", "Cuda(0)")]
    [InlineData("--device cuda:0", "Cuda(0)")]
    [InlineData("--device=cuda:12", "Cuda(12)")]
    public void Names_every_device(string line, string expected) => Assert.Equal(expected, DeviceOf(line).ToString());

    [Theory]
    [InlineData("gpu", "--device is 'gpu'; it must be one of: auto, cpu, torch-cpu, cuda, cuda:INDEX.")]
    [InlineData("CUDA", "--device is 'CUDA'; it must be one of: auto, cpu, torch-cpu, cuda, cuda:INDEX.")]
    [InlineData("cpu:0", "--device is 'cpu:0'; it must be one of: auto, cpu, torch-cpu, cuda, cuda:INDEX.")]
    [InlineData("cuda1", "--device is 'cuda1'; it must be one of: auto, cpu, torch-cpu, cuda, cuda:INDEX.")]
    [InlineData("cuda:", "--device is 'cuda:'; the index after 'cuda:' must be a whole number of 0 or more.")]
    [InlineData("cuda:-1", "--device is 'cuda:-1'; the index after 'cuda:' must be a whole number of 0 or more.")]
    [InlineData("cuda:first", "--device is 'cuda:first'; the index after 'cuda:' must be a whole number of 0 or more.")]
    [InlineData("cuda:1.5", "--device is 'cuda:1.5'; the index after 'cuda:' must be a whole number of 0 or more.")]
    [InlineData("cuda:9999999999", "--device is 'cuda:9999999999'; the index after 'cuda:' must be a whole number of 0 or more.")]
    public void Refuses_other_devices(string name, string expected) =>
        Assert.Equal(expected, Assert.Throws<UsageException>(() => DeviceOf($"--device {name}")).Message);

    private static TrainingDevice DeviceOf(string line)
    {
        var command = new CommandSpec("train", "Trains.", [.. Recipe.TrainingOptions, .. Recipe.RunOptions], (_, _) => 0);
        return Recipe.Ablation.ToOptions(command.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries))).Device;
    }
}
