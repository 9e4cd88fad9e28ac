using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Interop;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.MLNet;

/// <summary>The columns that a classifier adds are those of ML.NET's own multiclass scorer.</summary>
public sealed class ScoreColumnTests
{
    private readonly MLContext _context = new(seed: 1);

    private sealed class TextRow
    {
        public string Label { get; set; } = "";
    }

    private sealed class NumberRow
    {
        public int Label { get; set; }
    }

    private IDataView Labels(string kind)
    {
        if (kind == "no names")
        {
            var builder = new DataViewSchema.Builder();
            builder.AddColumn("Label", new KeyDataViewType(typeof(uint), 3));
            return new SchemaOnlyView(builder.ToSchema());
        }
        var view = kind == "text"
            ? _context.Data.LoadFromEnumerable<TextRow>([new() { Label = "cat" }, new() { Label = "dog" }, new() { Label = "eel" }])
            : _context.Data.LoadFromEnumerable<NumberRow>([new() { Label = 10 }, new() { Label = -5 }, new() { Label = 7 }]);
        return _context.Transforms.Conversion.MapValueToKey("Label").Fit(view).Transform(view);
    }

    [Theory]
    [InlineData("text")]
    [InlineData("numbers")]
    [InlineData("no names")]
    public void Types_and_annotations_are_those_of_the_stock_scorer(string kind)
    {
        var label = Labels(kind).Schema["Label"];
        var rows = new OneHotView(label, "Features", 3);
        var head = StockHead.Create(label, "Features", 3).Transformer;
        var columns = new ScoreColumns(label, 3);

        // The second scorer sees the columns of the first one.
        var (first, second) = (rows.Schema, head.GetOutputSchema(rows.Schema));
        foreach (var input in new[] { first, second })
        {
            var stock = head.GetOutputSchema(input);
            Assert.Equal(stock["Score"].Type, columns.ScoreType);
            Assert.Equal(stock["PredictedLabel"].Type, columns.PredictedLabelType);
            Assert.Equal(Describe(stock["Score"].Annotations), Describe(columns.ScoreAnnotations(input)));
            Assert.Equal(Describe(stock["PredictedLabel"].Annotations), Describe(columns.PredictedLabelAnnotations(input)));
        }
    }

    /// <summary>One line per annotation: name, type and value.</summary>
    private static string[] Describe(DataViewSchema.Annotations annotations) =>
        [.. annotations.Schema.Select(column => $"{column.Name} {column.Type} {Value(annotations, column)}").Order(StringComparer.Ordinal)];

    private static string Value(DataViewSchema.Annotations annotations, DataViewSchema.Column column)
    {
        switch (column.Type)
        {
            case VectorDataViewType { ItemType: TextDataViewType }:
                VBuffer<ReadOnlyMemory<char>> texts = default;
                annotations.GetValue(column.Name, ref texts);
                return string.Join(",", texts.DenseValues());
            case VectorDataViewType:
                VBuffer<int> numbers = default;
                annotations.GetValue(column.Name, ref numbers);
                return string.Join(",", numbers.DenseValues());
            case TextDataViewType:
                ReadOnlyMemory<char> text = default;
                annotations.GetValue(column.Name, ref text);
                return text.ToString();
            default:
                uint key = 0;
                annotations.GetValue(column.Name, ref key);
                return $"{key}";
        }
    }
}
