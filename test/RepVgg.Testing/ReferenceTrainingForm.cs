using RepVgg.Architectures;
using RepVgg.Weights;

namespace RepVgg.Testing;

/// <summary>The multi-branch form by its definition, in evaluation mode and double precision: slow and readable.</summary>
internal sealed class ReferenceTrainingForm(RepVggArchitecture architecture, StateDict state)
{
    /// <summary>Logits of a batch [N, C, H, W], one row after the other.</summary>
    public float[] Logits(TensorData images)
    {
        int channels = images.Shape[1], height = images.Shape[2], width = images.Shape[3];
        var logits = new List<float>();
        for (int n = 0; n < images.Shape[0]; n++)
        {
            var map = new Map(channels, height, width);
            for (int i = 0; i < map.Values.Length; i++)
                map.Values[i] = images.Values[n * map.Values.Length + i];
            foreach (var block in architecture.Blocks)
                map = Block(block, map);
            logits.AddRange(Linear("linear", Pool(map)).Select(value => (float)value));
        }
        return [.. logits];
    }

    private Map Block(BlockSpec block, Map input)
    {
        var sum = block.Form switch
        {
            TrainingForm.RepVgg => RepVgg(block, input),
            TrainingForm.Plain => Norm($"{block.Name}.bn", Convolve(input, $"{block.Name}.conv.weight", block.Stride, 1, block.Groups)),
            _ => throw new NotSupportedException($"There is no reference of {block.Form}; its blocks are compared with golden data."),
        };
        return block.SqueezeExcitation switch
        {
            SqueezeExcitation.BeforeRelu => Relu(Gate($"{block.Name}.se", sum)),
            SqueezeExcitation.AfterRelu => Gate($"{block.Name}.post_se", Relu(sum)),
            _ => Relu(sum),
        };
    }

    private Map RepVgg(BlockSpec block, Map input)
    {
        var sum = Norm($"{block.Name}.rbr_dense.bn", Convolve(input, $"{block.Name}.rbr_dense.conv.weight", block.Stride, 1, block.Groups));
        sum = Add(sum, Norm($"{block.Name}.rbr_1x1.bn", Convolve(input, $"{block.Name}.rbr_1x1.conv.weight", block.Stride, 0, block.Groups)));
        if (state.Contains($"{block.Name}.rbr_identity.weight"))
            sum = Add(sum, Norm($"{block.Name}.rbr_identity", input));
        return sum;
    }

    private Map Convolve(Map input, string name, int stride, int padding, int groups)
    {
        var kernel = state[name];
        int outputs = kernel.Shape[0], inputs = kernel.Shape[1], size = kernel.Shape[2];
        var output = new Map(outputs, (input.Height + 2 * padding - size) / stride + 1, (input.Width + 2 * padding - size) / stride + 1);
        Parallel.For(0, outputs, o =>
        {
            int first = o / (outputs / groups) * inputs;
            for (int y = 0; y < output.Height; y++)
            {
                for (int x = 0; x < output.Width; x++)
                {
                    double sum = 0;
                    for (int i = 0; i < inputs; i++)
                    {
                        for (int k = 0; k < size * size; k++)
                            sum += kernel.Values[(o * inputs + i) * size * size + k] * input.At(first + i, y * stride - padding + k / size, x * stride - padding + k % size);
                    }
                    output[o, y, x] = sum;
                }
            }
        });
        return output;
    }

    private Map Norm(string name, Map input)
    {
        float[] weight = state[$"{name}.weight"].Values, bias = state[$"{name}.bias"].Values;
        float[] mean = state[$"{name}.running_mean"].Values, variance = state[$"{name}.running_var"].Values;
        return input.Select((c, value) => (value - mean[c]) / Math.Sqrt(variance[c] + architecture.BatchNormEpsilon) * weight[c] + bias[c]);
    }

    private Map Gate(string name, Map map)
    {
        double[] squeezed = [.. Linear($"{name}.down", Pool(map)).Select(value => Math.Max(value, 0))];
        double[] gates = [.. Linear($"{name}.up", squeezed).Select(value => 1 / (1 + Math.Exp(-value)))];
        return map.Select((c, value) => value * gates[c]);
    }

    private IEnumerable<double> Linear(string name, double[] input)
    {
        float[] weight = state[$"{name}.weight"].Values, bias = state[$"{name}.bias"].Values;
        return bias.Select((shift, o) => shift + input.Select((value, i) => weight[o * input.Length + i] * value).Sum());
    }

    private static Map Relu(Map map) => map.Select((_, value) => Math.Max(value, 0));

    private static Map Add(Map left, Map right)
    {
        var sum = new Map(left.Channels, left.Height, left.Width);
        for (int i = 0; i < sum.Values.Length; i++)
            sum.Values[i] = left.Values[i] + right.Values[i];
        return sum;
    }

    private static double[] Pool(Map map)
    {
        int plane = map.Height * map.Width;
        return [.. Enumerable.Range(0, map.Channels).Select(c => map.Values.AsSpan(c * plane, plane).ToArray().Average())];
    }

    private sealed class Map(int channels, int height, int width)
    {
        public int Channels => channels;

        public int Height => height;

        public int Width => width;

        public double[] Values { get; } = new double[channels * height * width];

        public double this[int c, int y, int x]
        {
            set => Values[(c * height + y) * width + x] = value;
        }

        public double At(int c, int y, int x) => y < 0 || y >= height || x < 0 || x >= width ? 0 : Values[(c * height + y) * width + x];

        public Map Select(Func<int, double, double> function)
        {
            var result = new Map(channels, height, width);
            for (int i = 0; i < Values.Length; i++)
                result.Values[i] = function(i / (height * width), Values[i]);
            return result;
        }
    }
}
