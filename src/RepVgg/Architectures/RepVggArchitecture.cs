using System.Collections.Immutable;
using System.Diagnostics.CodeAnalysis;

namespace RepVgg.Architectures;

/// <summary>A stage: a sequence of blocks with the same number of output channels. The first block has the stride of the stage, the others have stride 1.</summary>
/// <param name="Name">Prefix of the names of the stage's weights, e.g. <c>stage1</c>; the prefix of block i is <c>stage1.i</c>. The stem is the stage <c>stage0</c>, whose only block has no index.</param>
/// <param name="Width">Number of output channels.</param>
/// <param name="Depth">Number of 3x3 layers, at least 1; of blocks in all training forms except <see cref="TrainingForm.ResidualReorg"/>, whose blocks have two layers.</param>
/// <param name="Stride">Stride of the first block, 1 or 2.</param>
/// <param name="AuxiliaryHead">Whether the stage has an auxiliary classifier on its output, which is used only in training and removed by fusion. RepVGGplus only.</param>
public sealed record StageSpec(string Name, int Width, int Depth, int Stride, bool AuxiliaryHead = false)
{
    /// <summary>
    /// Rows of zeros above the input of the 3x3 convolutions of the first block: 1, as in PyTorch, or 0, as TensorFlow's padding 'same' pads inputs of even height with stride 2. There is always one row
    /// of zeros below. With 0, kernels of smaller size lie on the first row of a 3x3 kernel instead of its middle row, and the height of the stage's input must be even.
    /// </summary>
    public int PaddingTop { get; init; } = 1;

    /// <summary>Columns of zeros to the left of the input of the first block: 1 or 0, as <see cref="PaddingTop"/> for the width.</summary>
    public int PaddingLeft { get; init; } = 1;

    /// <summary>Whether the first block is padded on all sides.</summary>
    internal bool IsPaddedOnAllSides => PaddingTop == 1 && PaddingLeft == 1;
}

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

    /// <summary>Whether the blocks with groups are the second, fourth, sixth, ... of every stage, as in some ports of RepVGG, instead of those of the whole network. It makes no difference for the networks of the paper, except those that start a stage with such a block.</summary>
    public bool GroupsRestartInStages { get; init; }

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

    /// <summary>
    /// Ratio of the image size to the size of the last feature map, if it is less than the product of the strides, as in networks for segmentation; null for that product. The stages whose strides would exceed
    /// it have stride 1, and their 3x3 convolutions are dilated by the product of the strides that are left out, so that they read the pixels that they were trained on.
    /// </summary>
    /// <remarks>Source: the RepVGG authors' PSPNet example: for 8, the last stage is dilated by 4 and the one before by 2. 1x1 and identity branches stay as they are.</remarks>
    public int? OutputStride { get; init; }

    /// <summary>Number of blocks at the end of the network that are dilated, if <see cref="OutputStride"/> is given; null for all blocks of the stages that lose their stride. The "fast" networks of the paper dilate 5.</summary>
    /// <remarks>Source: RepVGG, section 4.3.</remarks>
    public int? DilatedBlocks { get; init; }

    /// <summary>Product of the strides of all stages: the ratio of the image size to the size of the last feature map, unless <see cref="OutputStride"/> is less.</summary>
    internal int DesignStride => Stages.Aggregate(1, (product, stage) => product * stage.Stride);

    /// <summary>The ratio of the image size to the size of the last feature map: <see cref="OutputStride"/>, or the product of the strides of all stages.</summary>
    public int TotalStride => OutputStride ?? DesignStride;

    /// <summary>Number of pooled features, which are the input of the classifier.</summary>
    public int FeatureWidth => Stages[^1].Width;

    /// <summary>All blocks in order of execution, with the prefix of their weights' names and their shape.</summary>
    public IEnumerable<BlockSpec> Blocks
    {
        get
        {
            int number = 0, input = InputChannels, spanned = 1, dilation = 1, limit = TotalStride, firstDilated = DilatedBlocks is { } dilated ? Stages.Sum(BlocksOf) - dilated : 0;
            foreach (var stage in Stages)
            {
                int blocks = BlocksOf(stage);
                bool losesStride = spanned * stage.Stride > limit;
                if (losesStride)
                    dilation *= stage.Stride;
                else
                    spanned *= stage.Stride;
                for (int i = 0; i < blocks; i++, number++)
                {
                    string name = number == 0 ? stage.Name : PlusLayout ? $"{stage.Name}.blocks.{i}" : $"{stage.Name}.{i}";
                    bool isGrouped = GroupsRestartInStages ? i % 2 == 1 : number > 0 && number % 2 == 0;
                    bool isStrided = i == 0 && !losesStride;
                    yield return new BlockSpec(name, input, stage.Width, isStrided ? stage.Stride : 1, isGrouped ? Groups : 1, SqueezeExcitation)
                    {
                        Dilation = number >= firstDilated ? dilation : 1,
                        LosesStride = i == 0 && losesStride && stage.Stride > 1,
                        PaddingTop = isStrided ? stage.PaddingTop : 1,
                        PaddingLeft = isStrided ? stage.PaddingLeft : 1,
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
        && SqueezeExcitation == other.SqueezeExcitation && TrainingForm == other.TrainingForm && ConvolutionBranches == other.ConvolutionBranches && PlusLayout == other.PlusLayout && GroupsRestartInStages == other.GroupsRestartInStages
        && OutputStride == other.OutputStride && DilatedBlocks == other.DilatedBlocks
        && BatchNormEpsilon.Equals(other.BatchNormEpsilon) && DefaultImageSize == other.DefaultImageSize
        && Stages.IsDefault == other.Stages.IsDefault && (Stages.IsDefault || Stages.SequenceEqual(other.Stages));

    /// <inheritdoc/>
    public override int GetHashCode() =>
        HashCode.Combine(Name, InputChannels, Groups, SqueezeExcitation, TrainingForm, PlusLayout, Stages.IsDefaultOrEmpty ? 0 : Stages.Length);
}
