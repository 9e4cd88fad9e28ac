using Microsoft.ML.Data;

namespace Microsoft.ML.Trainers;

/// <summary>Training rows in memory: the features that are not zero, a label from 0, and a weight.</summary>
/// <param name="featureCount">Length of every feature vector.</param>
internal sealed class SparseRows(int featureCount)
{
    private readonly List<int[]> _indices = [];
    private readonly List<float[]> _values = [];
    private readonly List<int> _labels = [];
    private readonly List<float> _weights = [];

    /// <summary>Length of every feature vector.</summary>
    public int FeatureCount => featureCount;

    /// <summary>Number of rows.</summary>
    public int Count => _labels.Count;

    /// <summary>Sum of the rows' weights.</summary>
    public double WeightSum { get; private set; }

    /// <summary>Adds a row; the vector is copied.</summary>
    public void Add(in VBuffer<float> features, int label, float weight)
    {
        ReadOnlySpan<float> values = features.GetValues();
        ReadOnlySpan<int> indices = features.GetIndices();
        List<int> keptIndices = new(values.Length);
        List<float> keptValues = new(values.Length);
        for (int i = 0; i < values.Length; i++)
        {
            if (values[i] != 0)
            {
                keptIndices.Add(features.IsDense ? i : indices[i]);
                keptValues.Add(values[i]);
            }
        }

        _indices.Add([.. keptIndices]);
        _values.Add([.. keptValues]);
        _labels.Add(label);
        _weights.Add(weight);
        WeightSum += weight;
    }

    /// <summary>Which features of a row are not zero.</summary>
    public ReadOnlySpan<int> Indices(int row) => _indices[row];

    /// <summary>The values at <see cref="Indices"/>.</summary>
    public ReadOnlySpan<float> Values(int row) => _values[row];

    /// <summary>A row's class, from 0.</summary>
    public int Label(int row) => _labels[row];

    /// <summary>A row's weight.</summary>
    public float Weight(int row) => _weights[row];
}
