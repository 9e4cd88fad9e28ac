using System.Collections.Immutable;
using RepVgg.Architectures;
using RepVgg.Backends;
using RepVgg.Weights.Naming;

namespace RepVgg.Networks;

/// <summary>The layers of a network that are quantized.</summary>
/// <param name="FloatBlocks">Names of the blocks that stay in floating point.</param>
/// <param name="Classifier">Whether the classifier is quantized, with the pooled features.</param>
/// <param name="LargestWeight">The largest integer of a weight, from 1 to 127.</param>
internal sealed record QuantizedLayers(ImmutableArray<string> FloatBlocks, bool Classifier, int LargestWeight)
{
    /// <summary>Whether a block is computed in integers.</summary>
    public bool Contains(string block) => !FloatBlocks.Contains(block);

    /// <summary>The names of the ranges of the activations that are stored as bytes, in the order of the network.</summary>
    /// <remarks>Between two blocks in floating point, and in front of the global average pooling after one, the map is not stored as bytes.</remarks>
    public IEnumerable<string> Ranges(RepVggArchitecture architecture)
    {
        BlockSpec[] blocks = [.. architecture.Blocks];
        if (Contains(blocks[0].Name))
            yield return ActivationRanges.Input;
        for (int i = 0; i < blocks.Length; i++)
        {
            bool isQuantized = Contains(blocks[i].Name);
            if (isQuantized && blocks[i].SqueezeExcitation != SqueezeExcitation.None)
                yield return ActivationRanges.BeforeSqueeze(blocks[i].Name);
            if (isQuantized || (i + 1 < blocks.Length && Contains(blocks[i + 1].Name)))
                yield return ActivationRanges.Output(blocks[i].Name);
        }
        if (Classifier)
            yield return ActivationRanges.Pooled;
    }

    /// <summary>Checks that a network has the blocks that stay in floating point, and no dilated convolutions, for which there are none on integers.</summary>
    /// <exception cref="ArgumentException">A block does not exist, or is dilated.</exception>
    public void Check(RepVggArchitecture architecture)
    {
        if (architecture.Blocks.FirstOrDefault(block => block.Dilation > 1) is { } dilated)
            throw new ArgumentException($"{architecture.Name} cannot be quantized: the convolution of {dilated.Name} is dilated, and there are no dilated convolutions on integers.");
        string[] blocks = [.. architecture.Blocks.Select(block => block.Name)];
        if (FloatBlocks.FirstOrDefault(name => !blocks.Contains(name)) is { } stranger)
            throw new ArgumentException($"{architecture.Name} has no block '{stranger}' to leave in floating point. It has: {string.Join(", ", blocks)}.");
    }

    /// <summary>Checks that a training form permits quantization-aware training.</summary>
    /// <exception cref="ArgumentException">The equivalent kernel of a block cannot be computed in every step.</exception>
    public static void CheckForm(TrainingForm form)
    {
        if (!TrainingForms.HasSingleLayers(form))
            throw new ArgumentException($"Quantization-aware training rounds the equivalent kernel of each block, which cannot be computed in every step for the training form {form}: it has branches of several layers, or a ReLU in them. Quantize the network after training, or use another form, such as {TrainingForm.QARepVgg}.");
    }
}

/// <summary>The fake quantization of a network in quantization-aware training: the ranges of its activations.</summary>
/// <param name="layers">The quantized layers.</param>
/// <param name="ranges">The ranges of the activations that are stored as bytes, by their names.</param>
internal sealed class FakeQuantization(QuantizedLayers layers, IReadOnlyDictionary<string, RangeState> ranges)
{
    /// <summary>The quantized layers.</summary>
    public QuantizedLayers Layers => layers;

    /// <summary>Whether the ranges are fixed in training steps.</summary>
    public bool FreezesRanges
    {
        set
        {
            foreach (var range in ranges.Values)
                range.Frozen = value;
        }
    }

    /// <summary>Whether the kernel of a block is rounded.</summary>
    public bool IsQuantized(string block) => layers.Contains(block);

    /// <summary>Returns the range with a name of <see cref="ActivationRanges"/>; null if the activation is not stored as bytes.</summary>
    public RangeState? Find(string name) => ranges.GetValueOrDefault(name);
}
