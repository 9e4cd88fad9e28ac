namespace Microsoft.ML.Data;

/// <summary>The names of the annotations that components understand.</summary>
internal static class AnnotationKinds
{
    internal const string SlotNames = "SlotNames";
    internal const string KeyValues = "KeyValues";
    internal const string ScoreColumnSetId = "ScoreColumnSetId";
    internal const string ScoreColumnKind = "ScoreColumnKind";
    internal const string ScoreValueKind = "ScoreValueKind";
    internal const string IsNormalized = "IsNormalized";
    internal const string TrainingLabelValues = "TrainingLabelValues";
}
