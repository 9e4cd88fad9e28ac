using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Microsoft.ML.RepVgg.Scoring;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;

namespace Microsoft.ML.RepVgg.Explanation;

/// <summary>Computes the last feature map of a classifier, and from it the logits and the class activation maps.</summary>
/// <remarks>
/// The engine is created when it is first needed. It holds a second copy of the packed weights of the convolutions, and workspaces
/// of its own. Any number of threads can use one mapper at the same time.
/// </remarks>
/// <param name="network">The network, whose output is logits.</param>
/// <param name="scoring">How many threads run the network, and the limits on its memory.</param>
internal sealed class ActivationMapper(DeployNetwork network, ScoringOptions scoring) : IDisposable
{
    private readonly Lock _lock = new();
    private readonly DeployNetwork _features = network.TakeFeatures(pooled: false);
    private InferenceEngine? _engine;
    private bool _disposed;

    /// <summary>Width of the map in cells.</summary>
    public int Width => _features.OutputShape[2];

    /// <summary>Height of the map in cells.</summary>
    public int Height => _features.OutputShape[1];

    /// <summary>Distance between two cells in pixels of the network's input.</summary>
    public int Stride => network.Architecture.TotalStride;

    /// <summary>Column of the network's input on which the cells of column 0 are centred.</summary>
    public int ShiftX => Shift(stage => stage.PaddingLeft);

    /// <summary>Row of the network's input on which the cells of row 0 are centred.</summary>
    public int ShiftY => Shift(stage => stage.PaddingTop);

    private int Shift(Func<StageSpec, int> padding)
    {
        int shift = 0, stride = 1;
        foreach (var stage in network.Architecture.Stages)
        {
            shift += (1 - padding(stage)) * stride;
            stride *= stage.Stride;
        }
        return shift;
    }

    private int Cells => Width * Height;

    /// <summary>Computes the last feature map, [channels, height, width].</summary>
    /// <param name="planes">The pixels of one image, [channels, height, width].</param>
    public float[] Run(ReadOnlySpan<byte> planes)
    {
        var features = new float[_features.OutputLength];
        Engine().Run(planes, 1, features);
        return features;
    }

    /// <summary>Computes the logits from the last feature map: logit c = bias c + sum over k of weight [c, k] * mean k.</summary>
    public float[] Logits(ReadOnlySpan<float> features)
    {
        var classifier = network.Classifier;
        var means = new double[classifier.InputFeatures];
        for (int k = 0; k < means.Length; k++)
        {
            double sum = 0;
            foreach (float value in features.Slice(k * Cells, Cells))
                sum += value;
            means[k] = sum / Cells;
        }
        var logits = new float[classifier.OutputFeatures];
        for (int c = 0; c < logits.Length; c++)
        {
            var weights = WeightsOf(c);
            double sum = classifier.Bias[c];
            for (int k = 0; k < means.Length; k++)
                sum += weights[k] * means[k];
            logits[c] = (float)sum;
        }
        return logits;
    }

    /// <summary>Computes the class activation map of a class from the last feature map: map [y, x] = sum over k of weight [c, k] * feature [k, y, x].</summary>
    public ImmutableArray<float> Map(ReadOnlySpan<float> features, int classIndex)
    {
        var weights = WeightsOf(classIndex);
        var sums = new double[Cells];
        for (int k = 0; k < weights.Length; k++)
        {
            var channel = features.Slice(k * Cells, Cells);
            for (int i = 0; i < sums.Length; i++)
                sums[i] += (double)weights[k] * channel[i];
        }
        return ImmutableCollectionsMarshal.AsImmutableArray(Array.ConvertAll(sums, sum => (float)sum));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            _engine?.Dispose();
        }
    }

    private ReadOnlySpan<float> WeightsOf(int classIndex)
    {
        int features = network.Classifier.InputFeatures;
        return network.Classifier.Weight.AsSpan(classIndex * features, features);
    }

    private InferenceEngine Engine()
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            return _engine ??= NetworkScorer.CreateEngine(_features, scoring);
        }
    }
}
