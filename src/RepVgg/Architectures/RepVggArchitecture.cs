using System.Collections.Immutable;

namespace RepVgg.Architectures;

/// <summary>One stage: blocks of one width, the first of which has the stride.</summary>
/// <param name="Name">Prefix of its weights' names, e.g. <c>stage1</c>; block i is <c>stage1.i</c>. The stem is the stage <c>stage0</c>, whose one block has no index.</param>
/// <param name="Width">Output channels.</param>
/// <param name="Depth">Number of blocks, at least 1.</param>
/// <param name="Stride">Stride of its first block: 1 or 2.</param>
/// <param name="AuxiliaryHead">Whether a second classifier reads this stage's output during training; it is dropped at deploy. RepVGGplus only.</param>
public sealed record StageSpec(string Name, int Width, int Depth, int Stride, bool AuxiliaryHead = false);

/// <summary>What a RepVGG is, as data.</summary>
/// <remarks>Source: Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", CVPR 2021, table 2 and section 3.4.</remarks>
public sealed record RepVggArchitecture
{
    /// <summary>The variant's name, e.g. <c>RepVGG-A0</c>.</summary>
    public required string Name { get; init; }

    /// <summary>Channels of the input image: 3 (R, G, B) or 1.</summary>
    public int InputChannels { get; init; } = 3;

    /// <summary>Stem and stages in order; the first is the stem (one block).</summary>
    public required ImmutableArray<StageSpec> Stages { get; init; }

    /// <summary>Groups of every second layer (layers 2, 4, 6, ... counting the stem as 0), or 1.</summary>
    public int Groups { get; init; } = 1;

    /// <summary>Where the squeeze-and-excitation stands, if anywhere.</summary>
    public SqueezeExcitation SqueezeExcitation { get; init; }

    /// <summary>Whether blocks are laid out and named as RepVGGplus does: block i of a stage is <c>stage1.blocks.i</c>.</summary>
    public bool PlusLayout { get; init; }

    /// <summary>What every batch normalisation adds to the variance; 1e-5 in the authors' and in PyTorch's code.</summary>
    public float BatchNormEpsilon { get; init; } = 1e-5f;

    /// <summary>Height and width that the variant is meant for, in pixels.</summary>
    public int DefaultImageSize { get; init; } = 224;

    /// <summary>Product of all strides: how many input pixels one pixel of the last map spans.</summary>
    public int TotalStride => Stages.Aggregate(1, (product, stage) => product * stage.Stride);

    /// <summary>Width of the pooled features that the classifier reads.</summary>
    public int FeatureWidth => Stages[^1].Width;

    /// <summary>Every block in order of execution, with its weights' prefix and its shape.</summary>
    public IEnumerable<BlockSpec> Blocks
    {
        get
        {
            int layer = 0, input = InputChannels;
            foreach (var stage in Stages)
            {
                for (int i = 0; i < stage.Depth; i++, layer++)
                {
                    string name = layer == 0 ? stage.Name : PlusLayout ? $"{stage.Name}.blocks.{i}" : $"{stage.Name}.{i}";
                    int groups = layer > 0 && layer % 2 == 0 ? Groups : 1;
                    yield return new BlockSpec(name, input, stage.Width, i == 0 ? stage.Stride : 1, groups, SqueezeExcitation);
                    input = stage.Width;
                }
            }
        }
    }

    /// <summary>Equal by value, stages included.</summary>
    /// <param name="other">The other architecture.</param>
    /// <returns>True if every property is equal.</returns>
    public bool Equals(RepVggArchitecture? other) =>
        other is not null && Name == other.Name && InputChannels == other.InputChannels && Groups == other.Groups
        && SqueezeExcitation == other.SqueezeExcitation && PlusLayout == other.PlusLayout
        && BatchNormEpsilon.Equals(other.BatchNormEpsilon) && DefaultImageSize == other.DefaultImageSize
        && Stages.IsDefault == other.Stages.IsDefault && (Stages.IsDefault || Stages.SequenceEqual(other.Stages));

    /// <inheritdoc/>
    public override int GetHashCode() =>
        HashCode.Combine(Name, InputChannels, Groups, SqueezeExcitation, PlusLayout, Stages.IsDefaultOrEmpty ? 0 : Stages.Length);
}
