using RepVgg.Architectures;

namespace RepVgg.Networks;

/// <summary>Makes feature extractors of classifiers: the blocks up to a stage, without the classifier.</summary>
public static class FeatureExtraction
{
    /// <summary>Cuts a network after a stage.</summary>
    /// <param name="network">The network; it is not changed, its weights are shared.</param>
    /// <param name="stage">Name of the last stage that is kept, e.g. <c>stage3</c>; null for the network's last.</param>
    /// <param name="pooled">Whether to give the mean of the stage's map over height and width, or else the map itself.</param>
    /// <returns>A network without classifier that gives the features.</returns>
    /// <exception cref="ArgumentException">There is no such stage, or it is the stem; the message lists the stages that may be taken.</exception>
    public static DeployNetwork TakeFeatures(this DeployNetwork network, string? stage = null, bool pooled = true)
    {
        ArgumentNullException.ThrowIfNull(network);
        var stages = network.Architecture.Stages;
        int last = stage is null ? stages.Length - 1 : IndexOf(network.Architecture, stage);
        int blocks = stages[..(last + 1)].Sum(kept => kept.Depth);
        return network with
        {
            Architecture = last == stages.Length - 1 ? network.Architecture : network.Architecture with
            {
                Name = $"{network.Architecture.Name}.{stages[last].Name}",
                Stages = [.. stages[..(last + 1)].Select(kept => kept with { AuxiliaryHead = false })],
            },
            Blocks = network.Blocks[..blocks],
            Classifier = new LinearWeights(stages[last].Width, 0, [], []),
            Output = pooled ? NetworkOutput.PooledFeatures : NetworkOutput.FeatureMap,
        };
    }

    private static int IndexOf(RepVggArchitecture architecture, string stage)
    {
        for (int i = 1; i < architecture.Stages.Length; i++)
        {
            if (architecture.Stages[i].Name == stage)
                return i;
        }
        throw new ArgumentException($"{architecture.Name} has no stage '{stage}' to take features from. It has: {string.Join(", ", architecture.Stages.Skip(1).Select(known => known.Name))}.", nameof(stage));
    }
}
