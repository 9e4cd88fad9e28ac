using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Microsoft.ML;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Weights;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;

namespace RepVgg.Reliability.Tests.Kills;

/// <summary>What the processes do that are killed.</summary>
internal static class ChildPrograms
{
    /// <summary>The line that a process writes when its work begins.</summary>
    public const string Ready = "ready";

    private static bool _announced;
    private static readonly RepVggArchitecture _architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (16, 1, 2), (32, 2, 2), (64, 1, 2));

    /// <summary>The formats of weights, by the name of a file.</summary>
    public static IReadOnlyDictionary<string, Action<DeployNetwork, string>> WeightsWriters { get; } = new Dictionary<string, Action<DeployNetwork, string>>
    {
        ["weights.onnx"] = (network, path) => OnnxWriter.Write(network, path),
        ["weights.safetensors"] = (network, path) => SafetensorsWriter.Write(network.ExportState(), path),
        ["weights.pth"] = (network, path) => PthWriter.Write(network.ExportState(), path),
    };

    /// <summary>A network whose weights depend on a number.</summary>
    public static DeployNetwork Network(int number) => RandomNetworks.Create(_architecture, 32, 32, 10, number);

    /// <summary>Runs one.</summary>
    /// <param name="arguments">Which, and the files.</param>
    public static int Run(ReadOnlySpan<string> arguments)
    {
        switch (arguments)
        {
            case ["train", var checkpoint]:
                Train(checkpoint);
                return 0;
            case ["save", var models, var target]:
                SaveModel(models, target);
                return 0;
            case ["weights", var folder]:
                WriteWeights(folder);
                return 0;
            default:
                return 2;
        }
    }

    /// <summary>A run of many short epochs, so that much of the time is that of writing the checkpoint.</summary>
    private static void Train(string checkpoint)
    {
        const int Epochs = 150;
        var options = SyntheticTask.Options with { Epochs = Epochs, BatchSize = 16, EmaDecay = 0.9f, CheckpointPath = checkpoint };
        var result = SyntheticTask.Train(SyntheticTask.Samples(48, 1), SyntheticTask.Samples(16, 2), options, _ => Announce());
        // A run that was complete when it was killed has nothing left to do.
        Announce();
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (var (_, tensor) in result.Weights)
            hash.AppendData(MemoryMarshal.AsBytes(tensor.Values.AsSpan()));
        Console.WriteLine($"{Convert.ToHexString(hash.GetHashAndReset())} {result.BestEpoch} {result.History.Count}");
    }

    private static void SaveModel(string models, string target)
    {
        var context = new MLContext(seed: 1);
        var loaded = Enumerable.Range(0, 2).Select(i => (Model: context.Model.LoadRepVgg(Path.Combine(models, $"{i}.zip"), out var schema), Schema: schema)).ToArray();
        Announce();
        for (int i = 0; ; i++)
            context.Model.SaveRepVgg(loaded[i % 2].Model, loaded[i % 2].Schema, target);
    }

    private static void WriteWeights(string folder)
    {
        DeployNetwork[] networks = [Network(0), Network(1)];
        Announce();
        for (int i = 0; ; i++)
        {
            foreach (var (name, write) in WeightsWriters)
                write(networks[i % 2], Path.Combine(folder, name));
        }
    }

    private static void Announce()
    {
        if (!_announced)
            Console.WriteLine(Ready);
        _announced = true;
    }
}
