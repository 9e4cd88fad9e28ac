using System.Text.Json;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Weights;
using RepVgg.Weights.Naming;
using RepVgg.Weights.PyTorch;

namespace RepVgg.Testing;

/// <summary>Training steps of a network from given weights: with an ordinary optimizer, or with RepOptimizer and its gradient multipliers, which the caller can replace.</summary>
internal sealed class RepOptRun : IDisposable
{
    private readonly Backend _backend;
    private readonly TrainingNetwork _network;
    private readonly Optimizer _optimizer;
    private readonly float _learningRate, _labelSmoothing;

    public RepOptRun(
        Backend backend, RepVggArchitecture architecture, StateDict initial, OptimizerOptions options, float learningRate, float weightDecay, float labelSmoothing = 0,
        IReadOnlyDictionary<string, TensorData>? multipliers = null)
    {
        (_backend, _learningRate, _labelSmoothing) = (backend, learningRate, labelSmoothing);
        _network = new TrainingNetwork(architecture, StateLayout.ClassesOf(initial), backend, seed: 0);
        _network.ImportState(initial);
        var repOptimizer = options as RepOptimizerOptions;
        _optimizer = backend.CreateOptimizer(_network.ParameterGroups(weightDecay, multipliers: multipliers ?? repOptimizer?.Multipliers(architecture)), repOptimizer?.Base ?? options);
    }

    public float Step(ReadOnlySpan<float> images, int[] labels, int size)
    {
        float[] loss = new float[1];
        using (_backend.BeginStep(training: true))
        {
            var input = _backend.CreateInput([labels.Length, _network.Architecture.InputChannels, size, size], images);
            var mean = _backend.SoftmaxCrossEntropy(_network.Forward(input), labels, _labelSmoothing);
            _backend.CopyOut(mean, loss);
            _backend.Backward(mean);
        }
        _optimizer.Step(_learningRate);
        return loss[0];
    }

    public StateDict Weights() => _network.ExportState();

    public StateDict OptimizerState() => _optimizer.ExportState();

    public void Dispose()
    {
        _optimizer.Dispose();
        _network.Dispose();
    }

    /// <summary>The weights of the plain network that is equal to a network of the form Csla.</summary>
    public static StateDict Plain(RepVggArchitecture architecture, StateDict csla, bool useIdentityScales = true)
    {
        var state = new StateDict();
        foreach (var entry in StateLayout.Training(architecture with { TrainingForm = TrainingForm.Plain }, StateLayout.ClassesOf(csla)))
            state[entry.Name] = csla[entry.Name];
        var options = new RepOptimizerOptions { Scales = RepOptimizerScales.FromState(csla), UseIdentityScales = useIdentityScales };
        foreach (var (name, kernel) in options.InitialKernels(architecture, name => csla[name]))
            state[name] = kernel;
        return state;
    }

    /// <summary>The largest difference of a tensor, relative to the tensor's largest value.</summary>
    public static double Difference(StateDict expected, StateDict actual) =>
        expected.Max(pair => Compare.RelativeError(pair.Value.Values, actual[pair.Key].Values));
}

/// <summary>The golden data of RepOptimizer; see Golden/README.md.</summary>
internal static class RepOptGolden
{
    public const int Size = 16;

    public static RepVggArchitecture Architecture { get; } = new()
    {
        Name = "repopt",
        Stages = [new("stage0", 8, 1, 2), new("stage1", 8, 2, 2), new("stage2", 16, 2, 2)],
        TrainingForm = TrainingForm.Plain,
        DefaultImageSize = Size,
    };

    public static JsonElement Manifest { get; } = JsonDocument.Parse(File.ReadAllText(PathOf("manifest.json"))).RootElement;

    public static RepOptimizerScales Scales { get; } = RepOptimizerScales.Load(PathOf("scales.pth"));

    public static string PathOf(string name) => GoldenFiles.PathOf(Path.Combine("repopt", name));

    public static StateDict State(string name) => PthReader.Read(PathOf($"{name}.pth"));

    /// <summary>The optimizer of a trace, without multipliers.</summary>
    public static OptimizerOptions Optimizer(string trace)
    {
        var settings = Manifest.GetProperty(trace);
        return trace == "adamw" ? new AdamWOptions() : new SgdOptions(settings.GetProperty("momentum").GetSingle(), settings.GetProperty("nesterov").GetBoolean());
    }

    /// <summary>Prepares a trace, from the golden initial weights of the form.</summary>
    /// <param name="backend">The backend.</param>
    /// <param name="trace">The name of the trace: nesterov, momentum or adamw.</param>
    /// <param name="form">Csla with the ordinary optimizer, or Plain with RepOptimizer.</param>
    /// <param name="multiplied">False to train Plain without multipliers.</param>
    public static RepOptRun Start(Backend backend, string trace, TrainingForm form, bool multiplied = true)
    {
        var settings = Manifest.GetProperty(trace);
        var options = form == TrainingForm.Plain && multiplied ? new RepOptimizerOptions { Scales = Scales, Base = Optimizer(trace) } : Optimizer(trace);
        return new RepOptRun(
            backend, Architecture with { TrainingForm = form }, State(form == TrainingForm.Plain ? "plain-initial" : "csla-initial"), options,
            settings.GetProperty("lr").GetSingle(), settings.GetProperty("weight_decay").GetSingle(), settings.GetProperty("label_smoothing").GetSingle());
    }

    /// <summary>The images and labels of all steps.</summary>
    public static IEnumerable<(float[] Images, int[] Labels)> Batches()
    {
        var inputs = GoldenFiles.Floats(Path.Combine("repopt", "inputs.npy"));
        var (shape, targets) = GoldenFiles.Longs(Path.Combine("repopt", "targets.npy"));
        int length = inputs.Values.Length / shape[0];
        for (int step = 0; step < shape[0]; step++)
            yield return (inputs.Values[(step * length)..((step + 1) * length)], [.. targets.Skip(step * shape[1]).Take(shape[1]).Select(label => (int)label)]);
    }
}
