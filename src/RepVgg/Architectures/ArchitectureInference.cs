using System.Collections.Immutable;

namespace RepVgg.Architectures;

/// <summary>The shape of a block without its name: channels, stride and groups.</summary>
internal readonly record struct BlockShape(int InputChannels, int OutputChannels, int Stride, int Groups)
{
    public override string ToString() => $"{InputChannels} to {OutputChannels} channels, stride {Stride}, {Groups} groups";
}

/// <summary>Infers the architecture of a network from the shapes of its blocks.</summary>
internal static class ArchitectureInference
{
    /// <summary>Infers the architecture from a sequence of blocks. If a named variant has these blocks, it is returned.</summary>
    /// <param name="blocks">All blocks in order of execution.</param>
    /// <param name="squeezeExcitation">Position of squeeze-and-excitation in the blocks, or None.</param>
    /// <returns>The architecture.</returns>
    /// <exception cref="ArgumentException">No architecture has these blocks.</exception>
    public static RepVggArchitecture FromBlocks(IReadOnlyList<BlockShape> blocks, SqueezeExcitation squeezeExcitation)
    {
        foreach (var variant in RepVggVariants.All)
        {
            var sized = variant with { InputChannels = blocks[0].InputChannels };
            if (variant.SqueezeExcitation == squeezeExcitation && Matches(sized, blocks))
                return sized;
        }

        var stages = ImmutableArray.CreateBuilder<StageSpec>();
        foreach (var (i, block) in blocks.Index())
        {
            bool starts = i < 2 || block.Stride != 1 || block.InputChannels != block.OutputChannels;
            if (starts)
                stages.Add(new StageSpec($"stage{stages.Count}", block.OutputChannels, 1, block.Stride));
            else
                stages[^1] = stages[^1] with { Depth = stages[^1].Depth + 1 };
        }
        var architecture = new RepVggArchitecture
        {
            Name = "RepVGG",
            InputChannels = blocks[0].InputChannels,
            Groups = blocks.Count > 2 ? blocks[2].Groups : 1,
            SqueezeExcitation = squeezeExcitation,
            Stages = stages.ToImmutable(),
        };
        architecture.Validate();
        if (!Matches(architecture, blocks))
            throw new ArgumentException("The blocks do not form a RepVGG network: the input channels of a block must be the output channels of the block before it, and every second block, from the third on, must have the same number of groups.", nameof(blocks));
        return architecture;
    }

    private static bool Matches(RepVggArchitecture architecture, IReadOnlyList<BlockShape> blocks) =>
        architecture.Blocks.Select(block => new BlockShape(block.InputChannels, block.OutputChannels, block.Stride, block.Groups)).SequenceEqual(blocks);
}
