using System.Reflection;
using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Interop;

/// <summary>Types and annotations of the columns that a classifier adds: the same as those of ML.NET's multiclass scorer, which ML.NET's evaluators and tools expect.</summary>
internal sealed class ScoreColumns
{
    private const string KeyValuesKind = "KeyValues";
    private const string SetIdKind = "ScoreColumnSetId";

    private readonly DataViewSchema.Annotations _labelNames;
    private readonly VectorDataViewType? _namesType;

    /// <param name="label">The label column: a key of UInt32.</param>
    /// <param name="classes">Number of classes.</param>
    public ScoreColumns(DataViewSchema.Column label, int classes)
    {
        ScoreType = new VectorDataViewType(NumberDataViewType.Single, classes);
        PredictedLabelType = label.Type;
        _labelNames = label.Annotations;
        _namesType = label.Annotations.Schema.GetColumnOrNull(KeyValuesKind)?.Type is VectorDataViewType type && type.Size == classes ? type : null;
    }

    public DataViewType ScoreType { get; }

    public DataViewType PredictedLabelType { get; }

    /// <summary>Gets the annotations of the score column.</summary>
    /// <param name="inputSchema">The columns to which the score is added.</param>
    public DataViewSchema.Annotations ScoreAnnotations(DataViewSchema inputSchema)
    {
        var builder = new DataViewSchema.Annotations.Builder();
        AddNames(builder, "TrainingLabelValues");
        if (_namesType?.ItemType is TextDataViewType)
            AddNames(builder, "SlotNames");
        AddKinds(builder, "Score", inputSchema);
        return builder.ToAnnotations();
    }

    /// <summary>Gets the annotations of the predicted label's column.</summary>
    /// <param name="inputSchema">The columns to which the predicted label is added.</param>
    public DataViewSchema.Annotations PredictedLabelAnnotations(DataViewSchema inputSchema)
    {
        var builder = new DataViewSchema.Annotations.Builder();
        AddNames(builder, KeyValuesKind);
        AddKinds(builder, "PredictedLabel", inputSchema);
        return builder.ToAnnotations();
    }

    private static void AddKinds(DataViewSchema.Annotations.Builder builder, string valueKind, DataViewSchema inputSchema)
    {
        // All columns of one scorer have the same id, which is larger than those of the scorers before it.
        uint id = 1 + inputSchema.Max(SetIdOf);
        builder.Add(SetIdKind, new KeyDataViewType(typeof(uint), int.MaxValue), (ref uint value) => value = id);
        AddText("ScoreColumnKind", "MulticlassClassification");
        AddText("ScoreValueKind", valueKind);

        void AddText(string kind, string text) =>
            builder.Add(kind, TextDataViewType.Instance, (ref ReadOnlyMemory<char> value) => value = text.AsMemory());
    }

    private static uint SetIdOf(DataViewSchema.Column column)
    {
        uint id = 0;
        if (column.Annotations.Schema.GetColumnOrNull(SetIdKind)?.Type.RawType == typeof(uint))
            column.Annotations.GetValue(SetIdKind, ref id);
        return id;
    }

    private void AddNames(DataViewSchema.Annotations.Builder builder, string kind)
    {
        if (_namesType is null)
            return;
        typeof(ScoreColumns)
            .GetMethod(nameof(AddNamesOf), BindingFlags.NonPublic | BindingFlags.Static)!
            .MakeGenericMethod(_namesType.ItemType.RawType)
            .Invoke(null, [builder, kind, _namesType, _labelNames]);
    }

    private static void AddNamesOf<T>(DataViewSchema.Annotations.Builder builder, string kind, DataViewType type, DataViewSchema.Annotations labelNames) =>
        builder.Add(kind, type, labelNames.GetGetter<VBuffer<T>>(labelNames.Schema[KeyValuesKind]));
}
