namespace RepVgg.Weights;

/// <summary>The weights of an open file, which must stay open while they are used.</summary>
/// <param name="State">The weights. They are in memory, or they are read from the file when they are used.</param>
/// <param name="Description">The description of the network in the file; null if the file has none.</param>
internal sealed record OpenedWeights(StateDict State, ModelDescription? Description)
{
    /// <summary>Path of the dictionary in the checkpoint that the weights were read from; empty for the whole file.</summary>
    public string Entry { get; init; } = "";

    /// <summary>Paths of the dictionaries of the checkpoint that hold weights.</summary>
    public IReadOnlyList<string> Entries { get; init; } = [];

    /// <summary>What the file holds beside the weights and was not read, such as <c>argparse.Namespace (1)</c>.</summary>
    public IReadOnlyList<string> LeftOut { get; init; } = [];

    /// <summary>What the reader of the format assumed, because neither the file nor the options say it.</summary>
    public IReadOnlyList<WeightsAssumption> Assumptions { get; init; } = [];
}
