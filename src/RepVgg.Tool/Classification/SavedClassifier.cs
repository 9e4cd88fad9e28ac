using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;

namespace RepVgg.Tool.Classification;

/// <summary>A classifier that was saved as an ML.NET model.</summary>
internal sealed class SavedClassifier : IDisposable
{
    private readonly TransformerChain<ITransformer> _chain;

    private SavedClassifier(MLContext context, TransformerChain<ITransformer> chain, RepVggTransformer classifier)
    {
        Context = context;
        _chain = chain;
        Classifier = classifier;
    }

    public MLContext Context { get; }

    /// <summary>The part of the model that classifies images.</summary>
    public RepVggTransformer Classifier { get; }

    /// <summary>Loads a model.</summary>
    /// <exception cref="InvalidDataException">The file is no ML.NET model that this library wrote, or has no classifier.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static SavedClassifier Load(string path, bool skipInvalid, int threads)
    {
        var context = new MLContext(seed: 1);
        var options = new RepVggLoadOptions { NumberOfThreads = threads, InvalidRows = skipInvalid ? InvalidRowHandling.Skip : InvalidRowHandling.Error };
        var chain = context.Model.LoadRepVgg(path, out _, options);
        if (chain.OfType<RepVggTransformer>().FirstOrDefault() is { } classifier)
            return new SavedClassifier(context, chain, classifier);
        chain.Dispose();
        throw new InvalidDataException($"'{path}' contains no classifier of this library. Give the model.zip of a run.");
    }

    /// <summary>Gets the most probable classes of an image in the order of their probabilities; none for a missing prediction, whose scores are NaN.</summary>
    public IReadOnlyList<(string Name, float Probability)> Best(float[] scores, int top) => float.IsNaN(scores[0]) ? []
        : [.. scores.Index().OrderByDescending(score => score.Item).Take(top).Select(score => (Classifier.Labels[score.Index], score.Item))];

    public void Dispose() => _chain.Dispose();
}
