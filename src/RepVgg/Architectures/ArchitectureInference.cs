using System.Collections.Immutable;

namespace RepVgg.Architectures;

/// <summary>The shape of a block that is known without a name.</summary>
internal readonly record struct BlockShape(int InputChannels, int OutputChannels, int Stride, int Groups)
{
    public override string ToString() => $"{InputChannels} to {OutputChannels} channels, stride {Stride}, {Groups} groups";
}

/// <summary>Finds the architecture that blocks belong to.</summary>
internal static class ArchitectureInference
{
    /// <summary>Finds the architecture of a sequence of blocks; a named variant where one fits.</summary>
    /// <param name="blocks">Every block in order of execution.</param>
    /// <param name="squeezeExcitation">Where the blocks have squeeze-and-excitation, if anywhere.</param>
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
            throw new ArgumentException("The blocks are not laid out as a RepVGG's: channels must follow on, and the same groups stand on every second layer from the third.", nameof(blocks));
        return architecture;
    }

    private static bool Matches(RepVggArchitecture architecture, IReadOnlyList<BlockShape> blocks) =>
        architecture.Blocks.Select(block => new BlockShape(block.InputChannels, block.OutputChannels, block.Stride, block.Groups)).SequenceEqual(blocks);
}
