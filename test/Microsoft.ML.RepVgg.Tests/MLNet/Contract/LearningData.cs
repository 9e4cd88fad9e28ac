using Microsoft.ML;
using Microsoft.ML.Data;

namespace Microsoft.ML.RepVgg.Tests.MLNet.Contract;

/// <summary>Small data sets for the trainer's and the evaluator's contract tests, and ways to look into views.</summary>
internal static class LearningData
{
    public const int Classes = 3;
    public const int FeatureCount = 4;

    public sealed class Row
    {
        /// <summary>From 0, as objects give keys; anything from <see cref="Classes"/> on is a missing label.</summary>
        [KeyType(Classes)]
        public uint Label { get; set; }

        [VectorType(FeatureCount)]
        public float[] Features { get; set; } = [];

        public float Weight { get; set; } = 1;
    }

    /// <summary>Rows in three overlapping clouds; classes 0, 1, 2 in turn.</summary>
    public static Row[] Clouds(int rows, int seed = 1)
    {
        Random random = new(seed);
        float[][] centers = [[1, 0, 0, 0.5f], [0, 1, 0, -0.5f], [-1, -1, 1, 0]];
        return [.. Enumerable.Range(0, rows).Select(i => new Row
        {
            Label = (uint)(i % Classes),
            Features = [.. centers[i % Classes].Select(c => c + (float)(2 * random.NextDouble()) - 1)],
        })];
    }

    /// <summary>A view whose only columns are as given; values are one per row.</summary>
    public static IDataView View(MLContext context, IEnumerable<Row> rows) => context.Data.LoadFromEnumerable(rows);

    /// <summary>All values of a vector column, row by row.</summary>
    public static float[][] Vectors(IDataView view, string column)
    {
        List<float[]> values = [];
        DataViewSchema.Column source = view.Schema[column];
        using DataViewRowCursor cursor = view.GetRowCursor([source]);
        ValueGetter<VBuffer<float>> getter = cursor.GetGetter<VBuffer<float>>(source);
        VBuffer<float> value = default;
        while (cursor.MoveNext())
        {
            getter(ref value);
            values.Add([.. value.DenseValues()]);
        }

        return [.. values];
    }

    /// <summary>All values of a scalar column.</summary>
    public static T[] Scalars<T>(IDataView view, string column)
    {
        List<T> values = [];
        DataViewSchema.Column source = view.Schema[column];
        using DataViewRowCursor cursor = view.GetRowCursor([source]);
        ValueGetter<T> getter = cursor.GetGetter<T>(source);
        T value = default!;
        while (cursor.MoveNext())
        {
            getter(ref value);
            values.Add(value);
        }

        return [.. values];
    }

    /// <summary>A text vector annotation; null where the column has none.</summary>
    public static string[]? Texts(DataViewSchema.Column column, string kind)
    {
        if (column.Annotations.Schema.GetColumnOrNull(kind) is null)
        {
            return null;
        }

        VBuffer<ReadOnlyMemory<char>> texts = default;
        column.Annotations.GetValue(kind, ref texts);
        return [.. texts.DenseValues().Select(text => text.ToString())];
    }

    /// <summary>A text annotation; null where the column has none.</summary>
    public static string? Text(DataViewSchema.Column column, string kind)
    {
        if (column.Annotations.Schema.GetColumnOrNull(kind) is null)
        {
            return null;
        }

        ReadOnlyMemory<char> text = default;
        column.Annotations.GetValue(kind, ref text);
        return text.ToString();
    }

    /// <summary>Names of all annotations of a column, in order of name.</summary>
    public static string[] AnnotationNames(DataViewSchema.Column column) =>
        [.. column.Annotations.Schema.Select(annotation => annotation.Name).Order(StringComparer.Ordinal)];

    /// <summary>The softmax of each row, in double precision.</summary>
    public static double[] Softmax(IEnumerable<double> logits)
    {
        double[] exponentials = [.. logits.Select(Math.Exp)];
        double sum = exponentials.Sum();
        return [.. exponentials.Select(e => e / sum)];
    }
}
