using System.Collections.Immutable;
using Microsoft.ML.Data;
using Microsoft.ML.Standin;

namespace Microsoft.ML.Data
{
    /// <summary>The first rows of a data view, read and kept.</summary>
    public sealed class DataDebuggerPreview
    {
        internal DataDebuggerPreview(IDataView data, int maxRows)
        {
            Check.NotNull(data, nameof(data));
            Check.Param(maxRows >= 0, nameof(maxRows), "Must be non-negative");
            Schema = data.Schema;
            var rows = ImmutableArray.CreateBuilder<RowInfo>();
            using DataViewRowCursor cursor = data.GetRowCursor(Schema);
            Func<object>[] readers = [.. Schema.Select(column => Reader(cursor, column))];
            while (rows.Count < maxRows && cursor.MoveNext())
            {
                rows.Add(new RowInfo([.. Schema.Select(
                    column => new KeyValuePair<string, object>(column.Name, readers[column.Index]()))]));
            }

            RowView = rows.ToImmutable();
            ColumnView =
            [
                .. Schema.Select(column => new ColumnInfo(
                    column, [.. RowView.Select(row => row.Values[column.Index].Value)])),
            ];
        }

        public DataViewSchema Schema { get; }

        public ImmutableArray<ColumnInfo> ColumnView { get; }

        public ImmutableArray<RowInfo> RowView { get; }

        public override string ToString() => $"{Schema.Count} columns, {RowView.Length} rows";

        private static Func<object> Reader(DataViewRow row, DataViewSchema.Column column) =>
            UntypedGetters.Call<Func<object>>(TypedReader<int>, column.Type.RawType, row, column);

        private static Func<object> TypedReader<T>(DataViewRow row, DataViewSchema.Column column)
        {
            ValueGetter<T> getter = row.GetGetter<T>(column);
            return () =>
            {
                T value = default;
                getter(ref value);
                return value;
            };
        }

        /// <summary>A row of the preview.</summary>
        public sealed class RowInfo
        {
            internal RowInfo(KeyValuePair<string, object>[] values)
            {
                Values = values;
            }

            public KeyValuePair<string, object>[] Values { get; }

            public override string ToString() => $"{Values.Length} columns";
        }

        /// <summary>A column of the preview.</summary>
        public sealed class ColumnInfo
        {
            internal ColumnInfo(DataViewSchema.Column column, object[] values)
            {
                Column = column;
                Values = values;
            }

            public DataViewSchema.Column Column { get; }

            public object[] Values { get; }

            public override string ToString() => $"{Column.Name}: {Column.Type}";
        }
    }
}

namespace Microsoft.ML
{
    /// <summary>Previews of data and of what pipelines make of it.</summary>
    public static class DebuggerExtensions
    {
        public static DataDebuggerPreview Preview(this IDataView data, int maxRows = 100) => new(data, maxRows);

        public static DataDebuggerPreview Preview(this ITransformer transformer, IDataView data, int maxRows = 100) =>
            new(transformer.Transform(data), maxRows);

        public static DataDebuggerPreview Preview(
            this IEstimator<ITransformer> estimator, IDataView data, int maxRows = 100, int maxTrainingRows = 100)
        {
            Check.NotNull(estimator, nameof(estimator));
            Check.NotNull(data, nameof(data));
            Check.Param(maxTrainingRows >= 0, nameof(maxTrainingRows), "Must be non-negative");
            var trainingRows = new RowSlice(data, skip: 0, take: maxTrainingRows);
            return new DataDebuggerPreview(estimator.Fit(trainingRows).Transform(data), maxRows);
        }
    }
}
