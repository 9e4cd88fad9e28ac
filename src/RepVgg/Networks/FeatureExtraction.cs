using RepVgg.Architectures;

namespace RepVgg.Networks;

/// <summary>Creates feature extractors from classifiers: networks with the blocks up to a stage and without the classifier.</summary>
public static class FeatureExtraction
{
    /// <summary>Creates a network that returns the features of a stage.</summary>
    /// <param name="network">The network. It is not changed; the result shares its weights.</param>
    /// <param name="stage">Name of the last stage of the result, e.g. <c>stage3</c>; null for the last stage of the network.</param>
    /// <param name="pooled">True to return the mean of the stage's map over height and width; false to return the map.</param>
    /// <returns>A network without classifier that returns the features.</returns>
    /// <exception cref="ArgumentException">There is no such stage, or it is the stem; the message lists the valid stages.</exception>
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
