using System.Collections.Immutable;
using RepVgg.Networks;

namespace RepVgg.Quantizers;

/// <summary>Quantizes weights to signed bytes, symmetrically and with one scale for each output channel.</summary>
internal static class WeightQuantizer
{
    // A bias must fit in 32 bits, with room for the products that are added to it.
    private const double MaximumBias = 1 << 30;

    /// <summary>Quantizes the weights and biases of a layer.</summary>
    /// <param name="weights">The weights, the output channel first.</param>
    /// <param name="biases">One bias for each output channel.</param>
    /// <param name="inputScale">Scale of the layer's input.</param>
    /// <param name="largest">Largest absolute value of a quantized weight.</param>
    public static QuantizedWeights Quantize(ReadOnlySpan<float> weights, ReadOnlySpan<double> biases, float inputScale, int largest)
    {
        int outputs = biases.Length, filter = weights.Length / outputs;
        var quantized = ImmutableArray.CreateBuilder<sbyte>(weights.Length);
        var scales = ImmutableArray.CreateBuilder<float>(outputs);
        var integers = ImmutableArray.CreateBuilder<int>(outputs);
        for (int o = 0; o < outputs; o++)
        {
            var row = weights.Slice(o * filter, filter);
            float scale = Scale(row, biases[o], inputScale, largest);
            foreach (float weight in row)
                quantized.Add((sbyte)Math.Clamp(MathF.Round(weight / scale), -largest, largest));
            scales.Add(scale);
            integers.Add((int)Math.Round(biases[o] / ((double)inputScale * scale)));
        }
        return new QuantizedWeights(quantized.MoveToImmutable(), scales.MoveToImmutable(), integers.MoveToImmutable());
    }

    /// <summary>
    /// The scale of a filter: its largest absolute value is the largest integer. A filter of zeros has scale 1. If its weights are so small that
    /// the bias would not fit in 32 bits, the scale is larger: such weights do not matter beside the bias.
    /// </summary>
    private static float Scale(ReadOnlySpan<float> row, double bias, float inputScale, int largest)
    {
        float maximum = 0;
        foreach (float weight in row)
            maximum = Math.Max(maximum, Math.Abs(weight));
        float scale = maximum == 0 ? 1 : maximum / largest;
        return (float)Math.Max(Math.Max(scale, 1.17549435e-38f), Math.Abs(bias) / (inputScale * MaximumBias));
    }
}
