using RepVgg.Architectures;
using RepVgg.Networks;

namespace RepVgg.Testing;

/// <summary>A quantized network by its definition: 64-bit integers, one value after the other.</summary>
internal static class ReferenceQuantizedNetwork
{
    /// <summary>The bytes of the input and of the output of every block of one image; a block in floating point without quantized output gives null.</summary>
    public static List<byte[]?> Activations(QuantizedNetwork network, ReadOnlySpan<float> pixels)
    {
        var (height, width, channels) = (network.ImageHeight, network.ImageWidth, network.Architecture.InputChannels);
        double[] values = new double[pixels.Length];
        for (int i = 0; i < values.Length; i++)
        {
            int channel = i / (height * width);
            float normalised = (pixels[i] - network.Normalization.Mean[channel]) * network.Normalization.Scale[channel];
            values[i] = normalised;
        }
        var stored = network.Input;
        byte[]? bytes = stored is { } input ? Array.ConvertAll(values, value => input.Quantize((float)value)) : null;
        List<byte[]?> all = [bytes];
        foreach (var block in network.Blocks)
        {
            var shape = block.Shape;
            if (block.Convolution is { } convolution)
            {
                var result = (block.BeforeSqueeze ?? block.Output)!.Value;
                bytes = Convolve(shape, convolution, bytes!, height, width, stored!.Value, result);
                (height, width) = (ConvolutionSize.OutputOfBlock(height, shape.Stride), ConvolutionSize.OutputOfBlock(width, shape.Stride));
                if (block.Squeeze is not null)
                    bytes = Scale(bytes, height * width, block, result, block.Output!.Value);
            }
            else
            {
                if (bytes is not null)
                    values = Array.ConvertAll(bytes, value => (double)stored!.Value.Dequantize(value));
                values = ReferenceNetwork.Block(block.Float!, values, height, width);
                (height, width) = (ConvolutionSize.OutputOfBlock(height, shape.Stride), ConvolutionSize.OutputOfBlock(width, shape.Stride));
                bytes = block.Output is { } output ? Array.ConvertAll(values, value => output.Quantize((float)value)) : null;
            }
            stored = block.Output;
            all.Add(bytes);
        }
        return all;
    }

    private static byte[] Convolve(BlockSpec shape, QuantizedWeights weights, byte[] input, int height, int width, QuantizationParameters from, QuantizationParameters to)
    {
        int rows = ConvolutionSize.OutputOfBlock(height, shape.Stride), columns = ConvolutionSize.OutputOfBlock(width, shape.Stride);
        int inputs = shape.InputChannels / shape.Groups, outputs = shape.OutputChannels / shape.Groups;
        byte[] output = new byte[shape.OutputChannels * rows * columns];
        Parallel.For(0, shape.OutputChannels, o =>
        {
            long[] sums = new long[rows * columns];
            Array.Fill(sums, weights.Biases[o]);
            for (int k = 0; k < inputs * 9; k++)
            {
                int plane = (o / outputs * inputs + k / 9) * height;
                long weight = weights.Weights[o * inputs * 9 + k];
                for (int y = 0; y < rows; y++)
                {
                    int row = y * shape.Stride - shape.PaddingTop + k % 9 / 3;
                    if (row < 0 || row >= height)
                        continue;
                    for (int x = 0; x < columns; x++)
                    {
                        int column = x * shape.Stride - shape.PaddingLeft + k % 3;
                        if (column >= 0 && column < width)
                            sums[y * columns + x] += (input[(plane + row) * width + column] - from.ZeroPoint) * weight;
                    }
                }
            }
            float multiplier = from.Scale * weights.Scales[o] / to.Scale;
            for (int i = 0; i < sums.Length; i++)
                output[o * sums.Length + i] = (byte)Math.Clamp(MathF.Round((float)(int)sums[i] * multiplier) + to.ZeroPoint, 0, 255);
        });
        return output;
    }

    private static byte[] Scale(byte[] map, int plane, QuantizedBlock block, QuantizationParameters from, QuantizationParameters to)
    {
        int channels = map.Length / plane;
        double[] mean = [.. Enumerable.Range(0, channels).Select(c => map.AsSpan(c * plane, plane).ToArray().Average(value => from.Dequantize(value)))];
        double[] squeezed = [.. Linear(block.Squeeze!, mean).Select(value => Math.Max(value, 0))];
        double[] gates = [.. Linear(block.Excite!, squeezed).Select(value => 1 / (1 + Math.Exp(-value)))];
        return [.. map.Select((value, i) => to.Quantize((float)(from.Dequantize(value) * gates[i / plane])))];
    }

    /// <summary>A linear layer in double precision.</summary>
    public static double[] Linear(LinearWeights layer, double[] input) =>
        [.. Enumerable.Range(0, layer.OutputFeatures).Select(o => layer.Bias[o] + input.Select((value, i) => value * layer.Weight[o * layer.InputFeatures + i]).Sum())];
}
