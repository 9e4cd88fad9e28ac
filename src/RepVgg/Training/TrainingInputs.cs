using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Training.Data;

namespace RepVgg.Training;

/// <summary>Checks the network, the data and the options of a run before it starts.</summary>
internal static class TrainingInputs
{
    public static void Check(TrainingNetwork network, ISampleSource train, ISampleSource? validation, Normalization normalization, TrainingOptions options)
    {
        options.Validate(train.Height, train.Width);
        CheckImages(network, train, "training");
        network.Architecture.ValidateImageSize(train.Height, train.Width);
        if (normalization.Mean.Length != train.Channels || normalization.Scale.Length != train.Channels)
            throw new ArgumentException($"The normalisation has {normalization.Mean.Length} means and {normalization.Scale.Length} scales; the images have {train.Channels} channels.", nameof(normalization));
        CheckLabels(train, options.MinimumSamplesPerClass);

        if (validation is null)
            return;
        CheckImages(network, validation, "validation");
        if ((validation.Height, validation.Width) != (train.Height, train.Width))
            throw new ArgumentException($"The validation images are {validation.Width}x{validation.Height} pixels, the training images {train.Width}x{train.Height}.", nameof(validation));
    }

    private static void CheckImages(TrainingNetwork network, ISampleSource source, string name)
    {
        if (source.Count == 0)
            throw new ArgumentException($"The {name} set is empty.");
        if (source.Channels != network.Architecture.InputChannels)
            throw new ArgumentException($"The {name} images have {source.Channels} channel(s), but {network.Architecture.Name} reads {network.Architecture.InputChannels}.");
        if (source.Classes != network.Classes)
            throw new ArgumentException($"The {name} set has {source.Classes} classes, but the network has {network.Classes}.");
    }

    private static void CheckLabels(ISampleSource train, int minimum)
    {
        var counts = new int[train.Classes];
        for (int i = 0; i < train.Count; i++)
            counts[train.LabelOf(i)]++;
        int present = counts.Count(count => count > 0);
        if (present < 2)
            throw new ArgumentException($"All {train.Count} training samples have label {Array.FindIndex(counts, count => count > 0)}; a classifier needs at least two classes.", nameof(train));
        int[] scarce = [.. Enumerable.Range(0, counts.Length).Where(label => counts[label] < minimum)];
        if (scarce.Length > 0)
        {
            string list = string.Join(", ", scarce.Take(10).Select(label => $"{label} ({counts[label]})")) + (scarce.Length > 10 ? ", ..." : "");
            throw new ArgumentException($"Classes with fewer training samples than {nameof(TrainingOptions.MinimumSamplesPerClass)} = {minimum}: {list}. Add samples, drop those classes, or lower the option.", nameof(train));
        }
    }
}
