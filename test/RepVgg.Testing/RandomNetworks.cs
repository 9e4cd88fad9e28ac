using System.Collections.Immutable;
using RepVgg.Architectures;
using RepVgg.Networks;

namespace RepVgg.Testing;

/// <summary>Deploy networks with random weights, scaled so that activations keep their size through the depth.</summary>
internal static class RandomNetworks
{
    public static RepVggArchitecture Architecture(
        int inputChannels, int groups, SqueezeExcitation squeezeExcitation, params (int Width, int Depth, int Stride)[] stages) => new()
        {
            Name = "test",
            InputChannels = inputChannels,
            Groups = groups,
            SqueezeExcitation = squeezeExcitation,
            Stages = [.. stages.Select((stage, i) => new StageSpec($"stage{i}", stage.Width, stage.Depth, stage.Stride))],
        };

    /// <summary>Pads the strided stages as TensorFlow does for images of a size: on one side only where the size of their input is even.</summary>
    public static RepVggArchitecture PaddedForTensorFlow(this RepVggArchitecture architecture, int height, int width)
    {
        var stages = new List<StageSpec>();
        foreach (var stage in architecture.Stages)
        {
            stages.Add(stage with { PaddingTop = stage.Stride == 2 && height % 2 == 0 ? 0 : 1, PaddingLeft = stage.Stride == 2 && width % 2 == 0 ? 0 : 1 });
            (height, width) = ((height + stage.Stride - 1) / stage.Stride, (width + stage.Stride - 1) / stage.Stride);
        }
        return architecture with { Stages = [.. stages] };
    }

    public static DeployNetwork Create(RepVggArchitecture architecture, int height, int width, int classes, int seed = 1)
    {
        var random = new Random(seed);
        var blocks = architecture.Blocks.Select(shape =>
        {
            int fan = shape.InputChannels / shape.Groups * 9;
            var squeeze = shape.SqueezeWidth == 0 ? null : Linear(random, shape.OutputChannels, shape.SqueezeWidth);
            var excite = shape.SqueezeWidth == 0 ? null : Linear(random, shape.SqueezeWidth, shape.OutputChannels);
            return new DeployBlock(
                shape, Normal(random, shape.OutputChannels * fan, Math.Sqrt(2.0 / fan)), Normal(random, shape.OutputChannels, 0.2), squeeze, excite);
        });
        int channels = architecture.InputChannels;
        return new DeployNetwork(
            architecture, height, width,
            new Normalization([.. Enumerable.Range(0, channels).Select(c => 120f + 3 * c)], [.. Enumerable.Range(0, channels).Select(c => 0.017f + 0.001f * c)]),
            [.. blocks],
            Linear(random, architecture.FeatureWidth, classes));
    }

    public static float[] Pixels(DeployNetwork network, int count, int seed = 2)
    {
        var random = new Random(seed);
        var pixels = new float[count * network.Architecture.InputChannels * network.ImageHeight * network.ImageWidth];
        for (int i = 0; i < pixels.Length; i++)
            pixels[i] = random.Next(256);
        return pixels;
    }

    private static LinearWeights Linear(Random random, int input, int output) =>
        new(input, output, Normal(random, input * output, Math.Sqrt(1.0 / input)), Normal(random, output, 0.2));

    private static ImmutableArray<float> Normal(Random random, int count, double deviation)
    {
        var values = new float[count];
        for (int i = 0; i < count; i++)
            values[i] = (float)(deviation * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
        return ImmutableArray.Create(values);
    }
}
