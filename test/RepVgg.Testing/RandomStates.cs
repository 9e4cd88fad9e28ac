using RepVgg.Architectures;
using RepVgg.Weights;
using RepVgg.Weights.Naming;

namespace RepVgg.Testing;

/// <summary>Training-form weights with random batch norms, so that a wrong fusion shows, and reduced variants to put them in.</summary>
internal static class RandomStates
{
    /// <summary>The same layers with narrow stages of few blocks.</summary>
    public static RepVggArchitecture Reduce(RepVggArchitecture variant) => variant with
    {
        Stages = [.. variant.Stages.Select((stage, i) => stage with { Width = 16 + 16 * (i / 2), Depth = Math.Min(stage.Depth, 3) })],
    };

    public static StateDict Training(RepVggArchitecture architecture, int classes, int seed = 1) => Fill(StateLayout.Training(architecture, classes), seed);

    public static StateDict Fill(IReadOnlyList<StateEntry> entries, int seed = 1)
    {
        var random = new Random(seed);
        var state = new StateDict();
        foreach (var entry in entries)
        {
            var tensor = TensorData.Zeros(entry.Shape);
            for (int i = 0; i < tensor.Values.Length; i++)
            {
                double value = random.NextDouble();
                tensor.Values[i] = (float)(entry.Kind switch
                {
                    StateKind.NormWeight or StateKind.RunningVariance => 0.5 + value,
                    StateKind.NormBias or StateKind.RunningMean => value - 0.5,
                    // Published scales contain negative values.
                    StateKind.Scale or StateKind.ConstantScale => 1.5 * value - 0.25,
                    _ => (value * 2 - 1) * Math.Sqrt(3.0 / entry.FanIn),
                });
            }
            state[entry.Name] = tensor;
        }
        return state;
    }

    public static TensorData Images(int count, int channels, int height, int width, int seed = 2)
    {
        var random = new Random(seed);
        var images = TensorData.Zeros(count, channels, height, width);
        for (int i = 0; i < images.Values.Length; i++)
            images.Values[i] = (float)(random.NextDouble() * 4 - 2);
        return images;
    }
}
