using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Interop;
using RepVgg.Testing;
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

    // Interop/StockHead writes the weights of ML.NET's maximum-entropy model into a saved model.
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(1000)]
    [InlineData(10_000)]
    public void The_head_of_saved_models_is_a_softmax(int classes)
    {
        var builder = new DataViewSchema.Builder();
        builder.AddColumn("Class", new KeyDataViewType(typeof(uint), classes));
        builder.AddColumn("Logits", new VectorDataViewType(NumberDataViewType.Single, 1, classes));
        var schema = builder.ToSchema();
        var random = new Random(classes);
        float[][] logits = [.. Enumerable.Range(0, 3).Select(_ => Enumerable.Range(0, classes).Select(_ => (float)(random.NextDouble() * 20 - 10)).ToArray())];
        var head = StockHead.Create(schema["Class"], "Logits", classes);
        using var saved = new MemoryStream();
        _context.Model.Save(head, schema, saved);
        Assert.InRange(saved.Length, 1, 2000 + 20 * classes);
        saved.Position = 0;
        foreach (var transformer in new[] { head, new MLContext().Model.Load(saved, out _) })
        {
            var scored = transformer.Transform(new OneHotView(schema, classes) { Rows = logits });
            foreach (var (row, score) in scored.GetColumn<float[]>("Score").Index())
            {
                double sum = logits[row].Sum(logit => Math.Exp(logit - logits[row].Max()));
                Compare.Close([.. logits[row].Select(logit => (float)(Math.Exp(logit - logits[row].Max()) / sum))], score, 1e-6);
            }
            Assert.Equal(logits.Select(row => (uint)Array.IndexOf(row, row.Max()) + 1), scored.GetColumn<uint>("PredictedLabel"));
        }
    }

    [Theory]
    [InlineData("text")]
    [InlineData("numbers")]
    [InlineData("no names")]
    public void Types_and_annotations_are_those_of_the_stock_scorer(string kind)
    {
        var label = Labels(kind).Schema["Label"];
        var builder = new DataViewSchema.Builder();
        builder.AddColumn("Label", label.Type, label.Annotations);
        builder.AddColumn("Features", new VectorDataViewType(NumberDataViewType.Single, 1, 3));
        var head = _context.MulticlassClassification.Trainers.LbfgsMaximumEntropy().Fit(new OneHotView(builder.ToSchema(), 3));
        var crafted = StockHead.Create(label, "Features", 3);
        var columns = new ScoreColumns(label, 3);

        // The second scorer sees the columns of the first one.
        var (first, second) = (builder.ToSchema(), head.GetOutputSchema(builder.ToSchema()));
        foreach (var input in new[] { first, second })
        {
            var stock = head.GetOutputSchema(input);
            Assert.Equal(stock["Score"].Type, columns.ScoreType);
            Assert.Equal(stock["PredictedLabel"].Type, columns.PredictedLabelType);
            Assert.Equal(Describe(stock["Score"].Annotations), Describe(columns.ScoreAnnotations(input)));
            Assert.Equal(Describe(stock["PredictedLabel"].Annotations), Describe(columns.PredictedLabelAnnotations(input)));

            // The head of saved models, which is not trained.
            var ours = crafted.GetOutputSchema(input);
            Assert.Equal(stock.Select(column => (column.Name, column.Type)), ours.Select(column => (column.Name, column.Type)));
            Assert.Equal(Describe(stock["Score"].Annotations), Describe(ours["Score"].Annotations));
            Assert.Equal(Describe(stock["PredictedLabel"].Annotations), Describe(ours["PredictedLabel"].Annotations));
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
