using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;

namespace RepVgg.Architectures;

/// <summary>A stage: a sequence of blocks with the same number of output channels. The first block has the stride of the stage, the others have stride 1.</summary>
/// <param name="Name">Prefix of the names of the stage's weights, e.g. <c>stage1</c>; the prefix of block i is <c>stage1.i</c>. The stem is the stage <c>stage0</c>, whose only block has no index.</param>
/// <param name="Width">Number of output channels.</param>
/// <param name="Depth">Number of 3x3 layers, at least 1; of blocks in all training forms except <see cref="TrainingForm.ResidualReorg"/>, whose blocks have two layers.</param>
/// <param name="Stride">Stride of the first block, 1 or 2.</param>
/// <param name="AuxiliaryHead">Whether the stage has an auxiliary classifier on its output, which is used only in training and removed by fusion. RepVGGplus only.</param>
public sealed record StageSpec(string Name, int Width, int Depth, int Stride, bool AuxiliaryHead = false);

/// <summary>The architecture of a RepVGG network: its stages, groups and squeeze-and-excitation.</summary>
/// <remarks>Source: Ding et al., "RepVGG: Making VGG-style ConvNets Great Again", CVPR 2021, table 2 and section 3.4.</remarks>
public sealed record RepVggArchitecture
{
    internal const float DefaultBatchNormEpsilon = 1e-5f;
    internal const int DefaultConvolutionBranches = 4;

    /// <summary>Name of the variant, e.g. <c>RepVGG-A0</c>.</summary>
    public required string Name { get; init; }

    /// <summary>Number of channels of the input image: 3 (R, G, B) or 1 (grey).</summary>
    public int InputChannels { get; init; } = 3;

    /// <summary>The stages in order of execution. The first one is the stem, which has one block.</summary>
    public required ImmutableArray<StageSpec> Stages { get; init; }

    /// <summary>Number of groups of the convolutions of every second block (blocks 2, 4, 6, ..., where the stem is block 0). All other blocks have one group.</summary>
    public int Groups { get; init; } = 1;

    /// <summary>Position of the squeeze-and-excitation in every block, or None.</summary>
    public SqueezeExcitation SqueezeExcitation { get; init; }

    /// <summary>The training form of the blocks.</summary>
    public TrainingForm TrainingForm { get; init; }

    /// <summary>Number of 3x3 convolutions that a block of <see cref="TrainingForm.MobileOne"/> sums, from 1 to 16; the k of the MobileOne paper, whose smallest network has 4. Other forms do not use it.</summary>
    public int ConvolutionBranches { get; init; } = DefaultConvolutionBranches;

    /// <summary>Whether blocks are named as in RepVGGplus: the prefix of block i of a stage is <c>stage1.blocks.i</c>.</summary>
    public bool PlusLayout { get; init; }

    /// <summary>Value that every batch normalisation adds to the variance; 1e-5 in the authors' code and by default in PyTorch.</summary>
    public float BatchNormEpsilon { get; init; } = DefaultBatchNormEpsilon;

    /// <summary>Height and width of the images that the variant is designed for, in pixels.</summary>
    public int DefaultImageSize { get; init; } = 224;

    /// <summary>Product of the strides of all stages: the ratio of the image size to the size of the last feature map.</summary>
    public int TotalStride => Stages.Aggregate(1, (product, stage) => product * stage.Stride);

    /// <summary>Number of pooled features, which are the input of the classifier.</summary>
    public int FeatureWidth => Stages[^1].Width;

    /// <summary>All blocks in order of execution, with the prefix of their weights' names and their shape.</summary>
    public IEnumerable<BlockSpec> Blocks
    {
        get
        {
            int number = 0, input = InputChannels;
            foreach (var stage in Stages)
            {
                int blocks = BlocksOf(stage);
                for (int i = 0; i < blocks; i++, number++)
                {
                    string name = number == 0 ? stage.Name : PlusLayout ? $"{stage.Name}.blocks.{i}" : $"{stage.Name}.{i}";
                    int groups = number > 0 && number % 2 == 0 ? Groups : 1;
                    yield return new BlockSpec(name, input, stage.Width, i == 0 ? stage.Stride : 1, groups, SqueezeExcitation)
                    {
                        Form = TrainingForm,
                        IndexInStage = i,
                        Layers = Math.Min(TrainingForms.LayersPerBlock(TrainingForm), stage.Depth - i * TrainingForms.LayersPerBlock(TrainingForm)),
                        ConvolutionBranches = TrainingForm == TrainingForm.MobileOne ? ConvolutionBranches : 1,
                    };
                    input = stage.Width;
                }
            }
        }
    }

    /// <summary>Number of blocks of a stage: its depth, which counts 3x3 layers, divided by the layers of a block. If the depth is odd, the last block of <see cref="TrainingForm.ResidualReorg"/> has one layer.</summary>
    internal int BlocksOf(StageSpec stage)
    {
        int layers = TrainingForms.LayersPerBlock(TrainingForm);
        return (stage.Depth + layers - 1) / layers;
    }

    /// <summary>Converts the name of a variant to its architecture, as <see cref="RepVggVariants.Find"/> does.</summary>
    /// <param name="name">Name of the variant, such as <c>RepVGG-A0</c>; null gives null.</param>
    /// <returns>The architecture.</returns>
    /// <exception cref="ArgumentException">There is no variant with this name. The message lists all variants.</exception>
    [return: NotNullIfNotNull(nameof(name))]
    public static implicit operator RepVggArchitecture?(string? name) => name is null ? null : RepVggVariants.Find(name);

    /// <summary>Compares two architectures by value, including the stages.</summary>
    /// <param name="other">The other architecture.</param>
    /// <returns>True if every property is equal.</returns>
    public bool Equals(RepVggArchitecture? other) =>
        other is not null && Name == other.Name && InputChannels == other.InputChannels && Groups == other.Groups
        && SqueezeExcitation == other.SqueezeExcitation && TrainingForm == other.TrainingForm && ConvolutionBranches == other.ConvolutionBranches && PlusLayout == other.PlusLayout
        && BatchNormEpsilon.Equals(other.BatchNormEpsilon) && DefaultImageSize == other.DefaultImageSize
        && Stages.IsDefault == other.Stages.IsDefault && (Stages.IsDefault || Stages.SequenceEqual(other.Stages));

    /// <inheritdoc/>
    public override int GetHashCode() =>
        HashCode.Combine(Name, InputChannels, Groups, SqueezeExcitation, TrainingForm, PlusLayout, Stages.IsDefaultOrEmpty ? 0 : Stages.Length);
}
