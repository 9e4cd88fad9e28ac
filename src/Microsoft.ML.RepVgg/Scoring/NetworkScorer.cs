using Microsoft.ML.RepVgg.Input;
using RepVgg.Inference;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>All that scoring needs: where the pixels come from, what runs on them, and the columns that its outputs become.</summary>
/// <param name="Input">The input column and its pixels.</param>
/// <param name="Engine">The network.</param>
/// <param name="Columns">What is added to every row, in this order.</param>
internal sealed record NetworkScorer(FeatureInput Input, InferenceEngine Engine, IReadOnlyList<AddedColumn> Columns);
