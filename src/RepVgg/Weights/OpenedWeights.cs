using RepVgg.Architectures;

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

    /// <summary>The architecture, if the format tells it in another way than by the names of the weights and without a description; null otherwise.</summary>
    public ToldArchitecture? Told { get; init; }

    /// <summary>What wrote the file, such as <c>Keras 2.4.0</c>; null if the format does not tell it.</summary>
    public string? Origin { get; init; }

    /// <summary>What the reader of the format assumed, because neither the file nor the options say it.</summary>
    public IReadOnlyList<WeightsAssumption> Assumptions { get; init; } = [];
}

/// <summary>An architecture that the reader of a format found, and which of its properties the file tells.</summary>
/// <param name="Architecture">The architecture, for images of the size of the options, of the file, or of its default, in this order.</param>
/// <param name="TellsStrides">Whether the file tells the strides.</param>
/// <param name="TellsEpsilon">Whether the file tells the epsilon of the batch norms.</param>
/// <param name="ImageSize">Height and width of the images; null if the file does not tell them.</param>
internal sealed record ToldArchitecture(RepVggArchitecture Architecture, bool TellsStrides, bool TellsEpsilon, (int Height, int Width)? ImageSize)
{
    /// <summary>Whether the padding of the architecture depends on the size of the images.</summary>
    public bool IsPaddedBySize { get; init; }

    /// <summary>The assumption about the epsilon, if the file does not tell it.</summary>
    public WeightsAssumption? Epsilon { get; init; }
}
