namespace RepVgg.Training;

/// <summary>Weights of the classes in the training loss, for training sets in which some classes have far more images than others.</summary>
/// <remarks>
/// The loss of a batch is the weighted mean of the losses of its images, as that of PyTorch's CrossEntropyLoss with <c>weight</c>. The reported training loss is weighted, too; the
/// accuracies and the validation loss are not.
/// </remarks>
public sealed class ClassWeights
{
    private readonly Dictionary<string, float>? _weights;

    private ClassWeights(Dictionary<string, float>? weights) => _weights = weights;

    /// <summary>Weights in inverse proportion to the number of training images: N / (C n) for a class with n of the N images of C classes, so that all classes have the same influence.</summary>
    public static ClassWeights Balanced { get; } = new(null);

    /// <summary>Gives the weight of each class.</summary>
    /// <param name="weights">The names of the classes, as the values of the label column, with weights of more than 0. No class of the training set may be missing.</param>
    /// <returns>The weights.</returns>
    /// <exception cref="ArgumentException">A weight is not a finite number of more than 0, or a class occurs twice.</exception>
    public static ClassWeights Of(IEnumerable<KeyValuePair<string, float>> weights)
    {
        ArgumentNullException.ThrowIfNull(weights);
        var known = new Dictionary<string, float>(StringComparer.Ordinal);
        foreach (var (name, weight) in weights)
        {
            Check(name, weight);
            if (!known.TryAdd(name, weight))
                throw new ArgumentException($"The class '{name}' has two weights.", nameof(weights));
        }
        return new ClassWeights(known);
    }

    /// <summary>Checks the weight of a class.</summary>
    /// <exception cref="ArgumentException">It is not a finite number of more than 0.</exception>
    internal static void Check(string name, float weight)
    {
        if (!(weight > 0 && float.IsFinite(weight)))
            throw new ArgumentException(FormattableString.Invariant($"The weight of the class '{name}' is {weight}; it must be a finite number of more than 0. Remove the rows of a class that should have no influence."));
    }

    /// <summary>Checks the weights of all classes.</summary>
    /// <exception cref="ArgumentException">Their number is not that of the classes, or one is not a finite number of more than 0.</exception>
    internal static void Check(IReadOnlyList<float> weights, int classes)
    {
        if (weights.Count != classes)
            throw new ArgumentException($"ClassWeights has {weights.Count} weights, but there are {classes} classes.");
        foreach (var (label, weight) in weights.Index())
            Check(FormattableString.Invariant($"{label}"), weight);
    }

    /// <summary>Computes the weight of each class.</summary>
    /// <param name="names">Names of the classes.</param>
    /// <param name="counts">Number of training images of each class.</param>
    /// <returns>One weight per class; 1 for a class without images.</returns>
    /// <exception cref="ArgumentException">A class with images has no weight, or a weight is given for a class that does not exist.</exception>
    internal float[] Resolve(IReadOnlyList<string> names, IReadOnlyList<int> counts)
    {
        if (_weights is null)
        {
            int total = counts.Sum(), present = counts.Count(count => count > 0);
            return [.. counts.Select(count => count == 0 ? 1 : (float)((double)total / present / count))];
        }
        if (_weights.Keys.FirstOrDefault(name => !names.Contains(name, StringComparer.Ordinal)) is { } stranger)
            throw new ArgumentException($"ClassWeights has a weight for '{stranger}', which is none of the classes: {string.Join(", ", names.Take(20))}{(names.Count > 20 ? ", ..." : "")}.");
        if (Enumerable.Range(0, names.Count).FirstOrDefault(c => counts[c] > 0 && !_weights.ContainsKey(names[c]), -1) is int missing and >= 0)
            throw new ArgumentException($"ClassWeights has no weight for the class '{names[missing]}'. Give a weight for every class; 1 if it should be neither more nor less important.");
        return [.. names.Select(name => _weights.GetValueOrDefault(name, 1))];
    }
}
