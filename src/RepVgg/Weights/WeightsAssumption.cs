using System.Globalization;
using RepVgg.Architectures;
using RepVgg.Runtime;

namespace RepVgg.Weights;

/// <summary>What an assumption about a weights file concerns.</summary>
public enum WeightsAssumptionKind
{
    /// <summary>The epsilon of the batch norms.</summary>
    BatchNormEpsilon,

    /// <summary>The strides of the stages.</summary>
    Strides,

    /// <summary>The normalization of the pixels.</summary>
    Normalization,

    /// <summary>The height and width of the images.</summary>
    ImageSize,

    /// <summary>Which of several outputs of a graph is used.</summary>
    Output,

    /// <summary>Which of several networks in the file is read.</summary>
    Entry,

    /// <summary>A softmax at the end of a graph, which is left out: the results are logits.</summary>
    Softmax,
}

/// <summary>A value that a weights file does not say and the caller did not give, so that it was assumed.</summary>
/// <param name="Kind">What the assumption concerns.</param>
/// <param name="Text">The assumed value and its reason, without a period at the end.</param>
public sealed record WeightsAssumption(WeightsAssumptionKind Kind, string Text)
{
    /// <summary>Whether the assumption is reported as a warning: it often does not hold, and the results are wrong then.</summary>
    public bool IsWarning => Kind == WeightsAssumptionKind.Normalization;

    /// <summary>Returns <see cref="Text"/>.</summary>
    /// <returns>The text.</returns>
    public override string ToString() => Text;

    internal static WeightsAssumption Epsilon(float epsilon) =>
        new(WeightsAssumptionKind.BatchNormEpsilon, string.Create(CultureInfo.InvariantCulture, $"batch norm epsilon {epsilon:g} (PyTorch's default): the file does not say it"));

    internal static WeightsAssumption KerasEpsilon { get; } = new(WeightsAssumptionKind.BatchNormEpsilon, "batch norm epsilon 0.001 (Keras' default): the file does not say it");

    internal static WeightsAssumption StridesOf(RepVggArchitecture architecture)
    {
        bool isVariant = RepVggVariants.All.Any(variant => variant.Name == architecture.Name);
        string reason = isVariant ? $"those of {architecture.Name}" : "a stage halves the image unless its weights show an identity branch";
        return new(WeightsAssumptionKind.Strides, $"strides {string.Join(", ", architecture.Stages.Select(stage => stage.Stride))} ({reason}): the file does not say them");
    }

    /// <param name="library">The library whose names the weights have; null for none.</param>
    internal static WeightsAssumption ImageNetNormalization(string? library) =>
        new(WeightsAssumptionKind.Normalization, $"normalisation {Normalization.ImageNet} (ImageNet's, for pixels 0 to 255{(library is null ? "" : $", with which {library} trains RepVGG")}): the file does not say it");

    internal static WeightsAssumption NoNormalization { get; } =
        new(WeightsAssumptionKind.Normalization, "no normalisation of the pixels: the graph has none");

    /// <param name="entry">The entry that is read; empty for the whole file.</param>
    /// <param name="entries">All entries of the file.</param>
    internal static WeightsAssumption EntryOf(string entry, IReadOnlyList<string> entries) =>
        new(WeightsAssumptionKind.Entry, $"weights of {Quoted(entry)}: the file also has {MessageText.Join([.. entries.Where(other => other != entry).Select(Quoted)], separator: ", ")}");

    private static string Quoted(string entry) => entry.Length == 0 ? "the outermost dictionary" : $"the entry '{MessageText.Printable(entry)}'";

    internal static WeightsAssumption ImageSize(RepVggArchitecture architecture) =>
        new(WeightsAssumptionKind.ImageSize, $"images of {architecture.DefaultImageSize} x {architecture.DefaultImageSize} pixels (the default of {architecture.Name}): the file does not say it");
}
