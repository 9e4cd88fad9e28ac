using RepVgg.Architectures;
using RepVgg.Networks;

namespace RepVgg.Testing;

/// <summary>The deploy network by its definition, in double precision: slow and readable.</summary>
internal static class ReferenceNetwork
{
    public static float[] Logits(DeployNetwork network, ReadOnlySpan<float> images, int count)
    {
        int length = images.Length / count;
        var logits = new List<float>();
        for (int n = 0; n < count; n++)
        {
            double[] pooled = Features(network, images.Slice(n * length, length));
            logits.AddRange(Linear(network.Classifier, pooled).Select(value => (float)value));
        }
        return [.. logits];
    }

    /// <summary>Whatever the network gives: logits, pooled features, or a map as CHW.</summary>
    public static float[] Outputs(DeployNetwork network, ReadOnlySpan<float> images, int count)
    {
        if (network.Output == NetworkOutput.Logits)
            return Logits(network, images, count);
        int length = images.Length / count;
        var outputs = new List<float>();
        for (int n = 0; n < count; n++)
        {
            var map = Map(network, images.Slice(n * length, length));
            outputs.AddRange((network.Output == NetworkOutput.PooledFeatures ? Pool(map) : map.Cast<double>()).Select(value => (float)value));
        }
        return [.. outputs];
    }

    public static double[] Features(DeployNetwork network, ReadOnlySpan<float> image) => Pool(Map(network, image));

    private static double[,,] Map(DeployNetwork network, ReadOnlySpan<float> image)
    {
        int height = network.ImageHeight, width = network.ImageWidth;
        var map = new double[network.Architecture.InputChannels, height, width];
        for (int c = 0, at = 0; c < map.GetLength(0); c++)
        {
            for (int y = 0; y < height; y++)
            {
                for (int x = 0; x < width; x++)
                    map[c, y, x] = ((double)image[at++] - network.Normalization.Mean[c]) * network.Normalization.Scale[c];
            }
        }
        foreach (var block in network.Blocks)
            map = Block(block, map);
        return map;
    }

    /// <summary>The output of a block for a map of channels x height x width values.</summary>
    public static double[] Block(DeployBlock block, double[] input, int height, int width)
    {
        var map = new double[block.Shape.InputChannels, height, width];
        Buffer.BlockCopy(input, 0, map, 0, input.Length * sizeof(double));
        return [.. Block(block, map).Cast<double>()];
    }

    private static double[,,] Block(DeployBlock block, double[,,] input)
    {
        var map = Convolve(block, input);
        var se = block.Shape.SqueezeExcitation;
        if (se != SqueezeExcitation.BeforeRelu)
            Relu(map);
        if (se == SqueezeExcitation.None)
            return map;
        double[] squeezed = [.. Linear(block.Squeeze!, Pool(map)).Select(value => Math.Max(value, 0))];
        double[] gates = [.. Linear(block.Excite!, squeezed).Select(value => 1 / (1 + Math.Exp(-value)))];
        for (int c = 0; c < map.GetLength(0); c++)
        {
            for (int y = 0; y < map.GetLength(1); y++)
            {
                for (int x = 0; x < map.GetLength(2); x++)
                    map[c, y, x] *= gates[c];
            }
        }
        if (se == SqueezeExcitation.BeforeRelu)
            Relu(map);
        return map;
    }

    private static double[,,] Convolve(DeployBlock block, double[,,] input)
    {
        var shape = block.Shape;
        int height = input.GetLength(1), width = input.GetLength(2);
        int groupInput = shape.InputChannels / shape.Groups, groupOutput = shape.OutputChannels / shape.Groups;
        var output = new double[shape.OutputChannels, (height - 1) / shape.Stride + 1, (width - 1) / shape.Stride + 1];
        Parallel.For(0, shape.OutputChannels, o =>
        {
            for (int y = 0; y < output.GetLength(1); y++)
            {
                for (int x = 0; x < output.GetLength(2); x++)
                {
                    double sum = block.Bias[o];
                    for (int i = 0; i < groupInput; i++)
                    {
                        for (int ky = 0; ky < 3; ky++)
                        {
                            for (int kx = 0; kx < 3; kx++)
                            {
                                int row = y * shape.Stride + (ky - shape.PaddingTop) * shape.Dilation, column = x * shape.Stride + (kx - shape.PaddingLeft) * shape.Dilation;
                                if (row >= 0 && row < height && column >= 0 && column < width)
                                    sum += (double)block.Kernel[((o * groupInput + i) * 3 + ky) * 3 + kx] * input[o / groupOutput * groupInput + i, row, column];
                            }
                        }
                    }
                    output[o, y, x] = sum;
                }
            }
        });
        return output;
    }

    private static double[] Pool(double[,,] map)
    {
        int height = map.GetLength(1), width = map.GetLength(2);
        var means = new double[map.GetLength(0)];
        for (int c = 0; c < means.Length; c++)
        {
            for (int y = 0; y < height; y++)
            {
                for (int x = 0; x < width; x++)
                    means[c] += map[c, y, x] / (height * width);
            }
        }
        return means;
    }

    private static void Relu(double[,,] map)
    {
        for (int c = 0; c < map.GetLength(0); c++)
        {
            for (int y = 0; y < map.GetLength(1); y++)
            {
                for (int x = 0; x < map.GetLength(2); x++)
                    map[c, y, x] = Math.Max(map[c, y, x], 0);
            }
        }
    }

    private static IEnumerable<double> Linear(LinearWeights layer, double[] input) =>
        Enumerable.Range(0, layer.OutputFeatures).Select(o =>
            layer.Bias[o] + Enumerable.Range(0, layer.InputFeatures).Sum(i => layer.Weight[o * layer.InputFeatures + i] * input[i]));
}
