using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>A model that gives every class a score.</summary>
internal interface IMulticlassModel
{
    int FeatureCount { get; }

    int ClassCount { get; }

    /// <summary>Fills one score per class.</summary>
    void Score(in VBuffer<float> features, Span<float> scores);
}
