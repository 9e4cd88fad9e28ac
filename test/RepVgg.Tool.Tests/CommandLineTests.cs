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
        var command = new CommandSpec("train", "Trains.", Recipe.CommandLineOptions, (_, _) => 0);
        return Recipe.Quickstart.ToOptions(command.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries))).Device;
    }
}
