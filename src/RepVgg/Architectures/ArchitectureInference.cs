using System.Collections.Immutable;

namespace RepVgg.Architectures;

/// <summary>The shape of a block without its name: channels, and how its convolutions move over the input.</summary>
internal readonly record struct BlockShape(int InputChannels, int OutputChannels, BlockGeometry Geometry)
{
    /// <summary>The shape of a block.</summary>
    public static BlockShape Of(BlockSpec block) => new(block.InputChannels, block.OutputChannels, block.Geometry);

    public override string ToString() => $"{InputChannels} to {OutputChannels} channels, {Geometry}";
}

/// <summary>The properties of a block that are known from a file. Unknown properties are null.</summary>
/// <param name="InputChannels">Number of input channels.</param>
/// <param name="OutputChannels">Number of output channels.</param>
/// <param name="Groups">Number of groups of the convolutions.</param>
internal sealed record FoundBlock(int InputChannels, int OutputChannels, int Groups)
{
    /// <summary>Stride of the block.</summary>
    public int? Stride { get; init; }

    /// <summary>Rows and columns of zeros at the top and at the left, if the stride is known.</summary>
    public (int Top, int Left)? Padding { get; init; }

    /// <summary>Whether the block has an identity branch.</summary>
    public bool? HasIdentity { get; init; }

    /// <summary>Prefix of the names of the block's weights.</summary>
    public string? Name { get; init; }

    /// <summary>Number of 3x3 layers of the block in its training form.</summary>
    public int Layers { get; init; } = 1;

    /// <summary>Name of the stage of the block. It is known for all blocks of a network or for none.</summary>
    public string? Stage { get; init; }

    /// <summary>Whether a block of an architecture can be this block.</summary>
    public bool Fits(BlockSpec block) =>
        InputChannels == block.InputChannels && OutputChannels == block.OutputChannels && Groups == block.Groups && Layers == block.Layers
        && (Stride ?? block.Stride) == block.Stride && (HasIdentity ?? block.HasIdentity) == block.HasIdentity && (Name ?? block.Name) == block.Name
        && (Padding ?? (block.PaddingTop, block.PaddingLeft)) == (block.PaddingTop, block.PaddingLeft);
}

/// <summary>The properties of a network that are known from a file.</summary>
/// <param name="Blocks">All blocks in order of execution, at least one.</param>
/// <param name="SqueezeExcitation">Position of squeeze-and-excitation in the blocks, or None.</param>
internal sealed record FoundNetwork(IReadOnlyList<FoundBlock> Blocks, SqueezeExcitation SqueezeExcitation)
{
    /// <summary>The training form of the blocks; null if it is unknown.</summary>
    public TrainingForm? Form { get; init; }

    /// <summary>Number of 3x3 convolutions of a block of MobileOne.</summary>
    public int ConvolutionBranches { get; init; } = RepVggArchitecture.DefaultConvolutionBranches;

    /// <summary>Whether the blocks are named as in RepVGGplus.</summary>
    public bool PlusLayout { get; init; }

    /// <summary>Names of the stages that have an auxiliary head.</summary>
    public IReadOnlySet<string> AuxiliaryHeads { get; init; } = ImmutableHashSet<string>.Empty;

    /// <summary>Whether stages that are not in <see cref="AuxiliaryHeads"/> have no auxiliary head, as in the training form; other files do not tell it.</summary>
    public bool AuxiliaryHeadsAreComplete { get; init; }

    /// <summary>Whether an architecture has these blocks and, if they are known, these auxiliary heads.</summary>
    public bool Fits(RepVggArchitecture architecture)
    {
        if (SqueezeExcitation != architecture.SqueezeExcitation)
            return false;
        if (AuxiliaryHeadsAreComplete && !architecture.Stages.All(stage => stage.AuxiliaryHead == AuxiliaryHeads.Contains(stage.Name)))
            return false;
        int index = 0;
        foreach (var block in architecture.Blocks)
        {
            if (index == Blocks.Count || !Blocks[index++].Fits(block))
                return false;
        }
        return index == Blocks.Count;
    }
}

/// <summary>Infers the architecture of a network from its blocks.</summary>
/// <remarks>
/// If a named variant has these blocks, its strides are used where the file does not tell them. Otherwise, the first block of a stage has
/// stride 1 if it has an identity branch, or if the stage name ends in "_second" and the numbers of input and output channels are equal;
/// all other first blocks are assumed to have stride 2, as in all networks of the authors. Where the file does not tell the stages, a
/// stage starts with every block that changes the number of channels or the size of the map, and with the second block.
/// </remarks>
internal static class ArchitectureInference
{
    /// <summary>Infers the architecture. The caller must check that the network fits it.</summary>
    /// <param name="network">The known properties of the network.</param>
    /// <returns>A named variant if one has these blocks, otherwise an architecture named <c>RepVGG</c>.</returns>
    /// <exception cref="ArgumentException">No valid architecture has these blocks.</exception>
    public static RepVggArchitecture Infer(FoundNetwork network)
    {
        // RepVGG and RepOpt-VGG have variants of the same shape, which differ in their training form.
        foreach (var variant in RepVggVariants.All.OrderBy(variant => network.Form is { } form && variant.TrainingForm != form))
        {
            var sized = Padded(network, variant with
            {
                InputChannels = network.Blocks[0].InputChannels,
                TrainingForm = network.Form ?? variant.TrainingForm,
                ConvolutionBranches = network.ConvolutionBranches,
            });
            if (network.Fits(sized))
                return sized;
            // The auxiliary heads of a RepVGGplus variant may have been removed.
            var headless = sized with { Stages = [.. sized.Stages.Select(stage => stage with { AuxiliaryHead = false })] };
            if (variant.PlusLayout && network.Fits(headless))
                return headless;
        }
        var architecture = Padded(network, Assemble(network));
        if (!network.Fits(architecture) && network.Fits(architecture with { GroupsRestartInStages = true }))
            architecture = architecture with { GroupsRestartInStages = true };
        architecture.Validate();
        return architecture;
    }

    /// <summary>Pads the stages of an architecture as the first of their blocks in the network.</summary>
    private static RepVggArchitecture Padded(FoundNetwork network, RepVggArchitecture architecture)
    {
        if (network.Blocks.All(block => block.Padding is null or (1, 1)))
            return architecture;
        int first = 0;
        var stages = ImmutableArray.CreateBuilder<StageSpec>(architecture.Stages.Length);
        foreach (var stage in architecture.Stages)
        {
            var (top, left) = first < network.Blocks.Count ? network.Blocks[first].Padding ?? (1, 1) : (1, 1);
            stages.Add(stage with { PaddingTop = top, PaddingLeft = left });
            first += architecture.BlocksOf(stage);
        }
        return architecture with { Stages = stages.MoveToImmutable() };
    }

    private static RepVggArchitecture Assemble(FoundNetwork network)
    {
        var stages = ImmutableArray.CreateBuilder<StageSpec>();
        foreach (var (i, block) in network.Blocks.Index())
        {
            int stride = block.Stride ?? AssumedStride(block);
            bool starts = block.Stage is null
                ? i < 2 || stride != 1 || block.InputChannels != block.OutputChannels
                : i == 0 || block.Stage != network.Blocks[i - 1].Stage;
            string name = block.Stage ?? $"stage{stages.Count}";
            if (starts)
                stages.Add(new StageSpec(name, block.OutputChannels, block.Layers, stride, network.AuxiliaryHeads.Contains(name)));
            else
                stages[^1] = stages[^1] with { Depth = stages[^1].Depth + block.Layers };
        }
        return new RepVggArchitecture
        {
            Name = "RepVGG",
            InputChannels = network.Blocks[0].InputChannels,
            Stages = stages.ToImmutable(),
            Groups = network.Blocks.Max(block => block.Groups),
            TrainingForm = network.Form ?? default,
            ConvolutionBranches = network.ConvolutionBranches,
            PlusLayout = network.PlusLayout,
            SqueezeExcitation = network.SqueezeExcitation,
        };
    }

    private static int AssumedStride(FoundBlock block) =>
        block.HasIdentity == true || (block.InputChannels == block.OutputChannels && block.Stage?.EndsWith("_second", StringComparison.Ordinal) == true) ? 1 : 2;
}
