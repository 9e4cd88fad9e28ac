using Microsoft.ML.RepVgg.Input;
using RepVgg.Inference;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>The parts of scoring: the pixel input, the inference engine, and the output columns.</summary>
/// <param name="Input">Description of the input column and its preprocessing.</param>
/// <param name="Engine">The engine that runs the network.</param>
/// <param name="Columns">The columns that are added, in this order.</param>
internal sealed record NetworkScorer(FeatureInput Input, InferenceEngine Engine, IReadOnlyList<AddedColumn> Columns);
