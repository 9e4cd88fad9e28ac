using System.Globalization;
using Microsoft.ML.RepVgg;

namespace RepVgg.Samples;

/// <summary>The options on the command line.</summary>
internal sealed record SampleOptions
{
    public string? Data { get; init; }

    public string? Run { get; init; }

    public string Output { get; init; } = "output";

    public int? Epochs { get; init; }

    public int? Seed { get; init; }

    public int? DilatedBlocks { get; init; }

    public TrainingDevice Device { get; init; } = TrainingDevice.Auto;

    /// <summary>Reads pairs of an option and its value.</summary>
    /// <exception cref="FormatException">An option is unknown, or its value is missing or invalid.</exception>
    public static SampleOptions Parse(string[] words)
    {
        var options = new SampleOptions();
        for (int i = 0; i < words.Length; i += 2)
        {
            string value = words.ElementAtOrDefault(i + 1) ?? "";
            options = words[i] switch
            {
                "--data" or "--out" or "--run" when value.Length == 0 => throw new FormatException($"{words[i]} has no value."),
                "--data" => options with { Data = value },
                "--run" => options with { Run = value },
                "--out" => options with { Output = value },
                "--epochs" => options with { Epochs = ParseInteger(value) is { } epochs and > 0 ? epochs : throw new FormatException($"--epochs is '{value}'; it must be a whole number of 1 or more.") },
                "--seed" => options with { Seed = ParseInteger(value) ?? throw new FormatException($"--seed is '{value}'; it must be a whole number of 0 or more.") },
                "--dilated-blocks" => options with { DilatedBlocks = ParseInteger(value) ?? throw new FormatException($"--dilated-blocks is '{value}'; it must be a whole number of 0 or more.") },
                "--device" => options with { Device = ParseDevice(value) },
                _ => throw new FormatException($"There is no option '{words[i]}'."),
            };
        }
        return options;
    }

    private static TrainingDevice ParseDevice(string name) => name switch
    {
        "auto" => TrainingDevice.Auto,
        "cpu" => TrainingDevice.Cpu,
        "torch-cpu" => TrainingDevice.TorchCpu,
        "cuda" => TrainingDevice.Cuda(),
        _ when name.StartsWith("cuda:", StringComparison.Ordinal) && ParseInteger(name[5..]) is { } index => TrainingDevice.Cuda(index),
        _ => throw new FormatException($"--device is '{name}'; it must be one of: auto, cpu, torch-cpu, cuda, cuda:INDEX."),
    };

    private static int? ParseInteger(string text) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : null;
}
