using Microsoft.ML.Data;

namespace Microsoft.ML.Standin;

/// <summary>Evaluates a scored view against its labels.</summary>
internal static class MulticlassEvaluator
{
    internal static MulticlassClassificationMetrics Evaluate(
        IDataView data,
        string labelColumn,
        string scoreColumn,
        string predictedLabelColumn,
        int topK)
    {
        DataViewSchema.Column label = Find(data.Schema, "Label", labelColumn);
        DataViewSchema.Column score = Find(data.Schema, MulticlassScoreColumns.Score, scoreColumn);
        Find(data.Schema, MulticlassScoreColumns.PredictedLabel, predictedLabelColumn);
        if (score.Type is not VectorDataViewType { Size: >= 2 } scoreType || scoreType.ItemType != NumberDataViewType.Single)
        {
            throw Check.SchemaMismatch(
                "schema", "score", score.Name, "vector of two or more items of type Single", score.Type.ToString());
        }

        if (label.Type != NumberDataViewType.Single && label.Type is not KeyDataViewType)
        {
            throw Check.SchemaMismatch("schema", "label", label.Name, "Single or Key", label.Type.ToString());
        }

        MulticlassCounter counter = new(scoreType.Size, topK);
        using (DataViewRowCursor cursor = data.GetRowCursor([label, score]))
        {
            ValueGetter<float> getLabel = FloatLabel(cursor, label);
            ValueGetter<VBuffer<float>> getScores = cursor.GetGetter<VBuffer<float>>(score);
            float value = 0;
            VBuffer<float> scores = default;
            float[] dense = new float[scoreType.Size];
            while (cursor.MoveNext())
            {
                getLabel(ref value);
                if (!(value >= 0) || value != (int)value)
                {
                    continue;
                }

                getScores(ref scores);
                scores.CopyTo(dense);
                if (dense.Any(s => !float.IsFinite(s)))
                {
                    continue;
                }

                counter.Add((int)value, dense);
            }
        }

        return counter.ToMetrics(Names(score, scoreType.Size));
    }

    private static DataViewSchema.Column Find(DataViewSchema schema, string role, string name) =>
        schema.GetColumnOrNull(name) ?? throw new ArgumentException($"{name} column '{role}' not found", nameof(schema));

    /// <summary>A label as a class from 0; NaN where it is missing.</summary>
    private static ValueGetter<float> FloatLabel(DataViewRow row, DataViewSchema.Column label)
    {
        if (label.Type is not KeyDataViewType)
        {
            return row.GetGetter<float>(label);
        }

        return UntypedGetters.Call<ValueGetter<float>>(OfKeys<uint>, label.Type.RawType, row, label);
    }

    private static ValueGetter<float> OfKeys<T>(DataViewRow row, DataViewSchema.Column label)
        where T : unmanaged, System.Numerics.IBinaryInteger<T>
    {
        ValueGetter<T> getKey = row.GetGetter<T>(label);
        T key = default;
        return (ref float value) =>
        {
            getKey(ref key);
            value = T.IsZero(key) ? float.NaN : float.CreateTruncating(key) - 1;
        };
    }

    private static string[] Names(DataViewSchema.Column score, int classes)
    {
        if (score.Annotations.Schema.GetColumnOrNull(AnnotationKinds.SlotNames)?.Type is not
            VectorDataViewType { IsKnownSize: true, ItemType: TextDataViewType })
        {
            return [.. Enumerable.Range(0, classes).Select(i => i.ToString(System.Globalization.CultureInfo.InvariantCulture))];
        }

        VBuffer<ReadOnlyMemory<char>> names = default;
        score.Annotations.GetValue(AnnotationKinds.SlotNames, ref names);
        return [.. names.DenseValues().Select(name => name.ToString())];
    }
}
