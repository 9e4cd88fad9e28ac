using System.Collections.Immutable;

namespace RepVgg.Architectures;

/// <summary>Where a block's squeeze-and-excitation stands.</summary>
public enum SqueezeExcitation
{
    /// <summary>There is none.</summary>
    None,

    /// <summary>Between the sum of the branches and the ReLU (RepVGG-D2se; reduction 16). Weights are named <c>se.down</c>, <c>se.up</c>.</summary>
    BeforeRelu,

    /// <summary>After the ReLU (RepVGGplus; reduction 4). Weights are named <c>post_se.down</c>, <c>post_se.up</c>.</summary>
    AfterRelu,
}

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

/// <summary>The shape of one RepVGG block.</summary>
/// <param name="Name">Prefix of its weights' names, e.g. <c>stage1.0</c>.</param>
/// <param name="InputChannels">Input channels.</param>
/// <param name="OutputChannels">Output channels.</param>
/// <param name="Stride">1 or 2.</param>
/// <param name="Groups">Groups of its convolutions.</param>
/// <param name="SqueezeExcitation">Where its squeeze-and-excitation stands, if anywhere.</param>
public sealed record BlockSpec(string Name, int InputChannels, int OutputChannels, int Stride, int Groups, SqueezeExcitation SqueezeExcitation)
{
    /// <summary>Whether the block has the identity branch: same shape in and out.</summary>
    public bool HasIdentity => InputChannels == OutputChannels && Stride == 1;

    /// <summary>Prefix of the names of its squeeze-and-excitation's weights; null without.</summary>
    public string? SqueezeExcitationName => SqueezeExcitation switch
    {
        SqueezeExcitation.BeforeRelu => $"{Name}.se",
        SqueezeExcitation.AfterRelu => $"{Name}.post_se",
        _ => null,
    };

    /// <summary>Reduced width of the squeeze-and-excitation: output channels / 16 before the ReLU, / 4 after it; 0 without.</summary>
    public int SqueezeWidth => SqueezeExcitation switch
    {
        SqueezeExcitation.BeforeRelu => OutputChannels / 16,
        SqueezeExcitation.AfterRelu => OutputChannels / 4,
        _ => 0,
    };
}
