using System.Collections.Immutable;
using RepVgg.Architectures;
using RepVgg.Networks;

namespace RepVgg.Quantizers;

/// <summary>
/// Cross-layer equalization: scales channels between consecutive layers so that their weights have equal ranges in both layers. The function of the network does not change, because
/// relu(s x) = s relu(x) for s > 0. (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.1.)
/// </summary>
internal static class ChannelEqualization
{
    // Sweeps end when no channel is scaled by more than this factor; a network of 28 layers needs about 30.
    private const float Converged = 1.001f;
    private const int MaximumSweeps = 200;

    /// <summary>Equalizes all pairs of consecutive layers that no squeeze-and-excitation separates, and the last block with the classifier.</summary>
    public static DeployNetwork Apply(DeployNetwork network)
    {
        var kernels = network.Blocks.Select(block => block.Kernel.ToArray()).ToArray();
        var biases = network.Blocks.Select(block => block.Bias.ToArray()).ToArray();
        float[] classifier = [.. network.Classifier.Weight];
        float change = float.PositiveInfinity;
        for (int sweep = 0; sweep < MaximumSweeps && change > Converged; sweep++)
        {
            change = 1;
            for (int i = 0; i < kernels.Length; i++)
            {
                var shape = network.Blocks[i].Shape;
                if (shape.SqueezeExcitation != SqueezeExcitation.None)
                    continue;
                if (i + 1 < kernels.Length)
                    change = Math.Max(change, Equalize(kernels[i], biases[i], kernels[i + 1], network.Blocks[i + 1].Shape.Groups, 9));
                else if (network.Output == NetworkOutput.Logits)
                    change = Math.Max(change, Equalize(kernels[i], biases[i], classifier, 1, 1));
            }
        }
        return network with
        {
            Blocks = [.. network.Blocks.Select((block, i) => block with { Kernel = [.. kernels[i]], Bias = [.. biases[i]] })],
            Classifier = network.Classifier with { Weight = [.. classifier] },
        };
    }

    /// <summary>Equalizes the channels between two layers.</summary>
    /// <param name="first">Weights of the first layer, the output channel first.</param>
    /// <param name="biases">Its biases.</param>
    /// <param name="second">Weights of the second layer, [outputs, inputs / groups, taps].</param>
    /// <param name="groups">Groups of the second layer.</param>
    /// <param name="taps">Taps of a filter of the second layer.</param>
    /// <returns>The largest factor by which a channel was scaled, 1 or more.</returns>
    private static float Equalize(float[] first, float[] biases, float[] second, int groups, int taps)
    {
        int channels = biases.Length, filter = first.Length / channels, groupInputs = channels / groups;
        int outputs = second.Length / (groupInputs * taps), groupOutputs = outputs / groups;
        float largest = 1;
        for (int channel = 0; channel < channels; channel++)
        {
            var row = first.AsSpan(channel * filter, filter);
            int group = channel / groupInputs, input = channel % groupInputs;
            float own = Largest(row), next = 0;
            for (int o = group * groupOutputs; o < (group + 1) * groupOutputs; o++)
                next = Math.Max(next, Largest(second.AsSpan((o * groupInputs + input) * taps, taps)));
            if (own == 0 || next == 0)
                continue;
            float scale = MathF.Sqrt(own / next);
            largest = Math.Max(largest, Math.Max(scale, 1 / scale));
            foreach (ref float weight in row)
                weight /= scale;
            biases[channel] /= scale;
            for (int o = group * groupOutputs; o < (group + 1) * groupOutputs; o++)
            {
                foreach (ref float weight in second.AsSpan((o * groupInputs + input) * taps, taps))
                    weight *= scale;
            }
        }
        return largest;
    }

    private static float Largest(ReadOnlySpan<float> weights)
    {
        float largest = 0;
        foreach (float weight in weights)
            largest = Math.Max(largest, Math.Abs(weight));
        return largest;
    }
}
