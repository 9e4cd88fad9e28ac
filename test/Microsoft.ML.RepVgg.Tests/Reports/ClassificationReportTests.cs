using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Reports;
using RepVgg.Testing;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Reports;

public sealed class ClassificationReportTests
{
    private static readonly string[] _names = ["cat", "dog", "owl"];

    [Theory]
    [InlineData(3, 60)]
    [InlineData(5, 60)]
    [InlineData(6, 100)]
    [InlineData(8, 400)]
    public void Metrics_are_those_of_MLNet(int classes, int count)
    {
        var context = new MLContext(seed: 1);
        var images = RandomImages(classes, count, seed: classes);
        string[] names = [.. Enumerable.Range(0, classes).Select(i => $"class {i}")];
        var rows = images.Select(image => new Row { Label = names[image.Label], Score = [.. image.Probabilities], Path = image.Path! }).ToList();
        var schema = SchemaDefinition.Create(typeof(Row));
        schema[nameof(Row.Score)].ColumnType = new VectorDataViewType(NumberDataViewType.Single, classes);
        var keys = context.Data.LoadFromEnumerable(names.Select(name => new Name { Label = name }));
        var scored = context.Transforms.Conversion.MapValueToKey("Label", keyData: keys)
            .Append(context.Transforms.Conversion.MapKeyToValue("Predicted", "Label"))
            .Append(context.Transforms.CopyColumns("PredictedLabel", "Label"))
            .Fit(context.Data.LoadFromEnumerable(rows, schema)).Transform(context.Data.LoadFromEnumerable(rows, schema));
        var expected = context.MulticlassClassification.Evaluate(scored, topKPredictionCount: Math.Min(5, classes - 1));

        var report = ClassificationReport.FromScoredData(scored, pathColumnName: "Path");

        Assert.Equal(names, report.ClassNames);
        Assert.Equal(images.Select(image => image.Path), report.Predictions.Select(image => image.Path));
        Assert.Equal(expected.MicroAccuracy, report.Top1Accuracy, 1e-12);
        Assert.Equal(expected.MacroAccuracy, report.MacroRecall, 1e-12);
        if (classes > 5)
            Assert.Equal(expected.TopKAccuracy, report.Top5Accuracy!.Value, 1e-12);
        else
            Assert.Null(report.Top5Accuracy);
        Assert.Equal(expected.LogLoss, report.LogLoss, 1e-6);
        Assert.Equal(expected.ConfusionMatrix.PerClassPrecision, report.Classes.Select(metrics => metrics.Precision), Near);
        Assert.Equal(expected.ConfusionMatrix.PerClassRecall, report.Classes.Select(metrics => metrics.Recall), Near);
        for (int label = 0; label < classes; label++)
        {
            Assert.Equal(expected.ConfusionMatrix.Counts[label], report.ConfusionMatrix[label].Select(value => (double)value));
            var (precision, recall) = (expected.ConfusionMatrix.PerClassPrecision[label], expected.ConfusionMatrix.PerClassRecall[label]);
            Assert.Equal(precision + recall == 0 ? 0 : 2 * precision * recall / (precision + recall), report.Classes[label].F1, 1e-12);
            var losses = report.Predictions.Where(image => image.Label == label).Select(image => image.Loss).ToList();
            Assert.Equal(expected.PerClassLogLoss[label], losses.Average(), 1e-6);
        }

        static bool Near(double a, double b) => Math.Abs(a - b) < 1e-9;
    }

    [Fact]
    public void Values_computed_by_hand()
    {
        // Bins of width 1/15: 0.9 and 0.92 lie in (13/15, 14/15], 0.5 in (7/15, 8/15], 1 in the last one.
        var report = ClassificationReport.Create(_names,
        [
            new("a", 0, [0.9f, 0.05f, 0.05f]),
            new("b", 1, [0.92f, 0.08f, 0]),
            new("c", 1, [0.3f, 0.5f, 0.2f]),
            new("d", 1, [1, 0, 0]),
        ]);
        Assert.Equal(0.5, report.Top1Accuracy);
        Assert.Null(report.Top5Accuracy);
        // (|0 + 1 - 1.82| + |1 - 0.5| + |0 - 1|) / 4
        Assert.Equal((0.82 + 0.5 + 1) / 4, report.ExpectedCalibrationError, 1e-6);
        Assert.Equal([7, 13, 14], report.ReliabilityBins.Index().Where(bin => bin.Item.Count > 0).Select(bin => bin.Index));
        Assert.Equal(new ConfusedPair(1, 0, 2), Assert.Single(report.MostConfused()));
        Assert.Equal([3, 1], report.TopLosses(2).Select(image => image.Index));
        Assert.Equal(-Math.Log(1e-15), report.Predictions[3].Loss, 1e-9);
        Assert.Equal([new("cat", 1, 1.0 / 3, 1, 0.5), new("dog", 3, 1, 1.0 / 3, 0.5), new("owl", 0, 0, 0, 0)], report.Classes);
        // The class without images does not count.
        Assert.Equal((2.0 / 3, 2.0 / 3, 0.5), (report.MacroPrecision, report.MacroRecall, report.MacroF1));
    }

    [Fact]
    public void Files_contain_the_metrics_and_the_predictions()
    {
        using var folder = new TemporaryFolder();
        var run = RunFolder.Create("run", folder.Path);
        var report = ClassificationReport.Create(["cat, \"big\"", "dog", "owl"], [new("images/a,b.png", 0, [0.25f, 0.5f, 0.25f]), new(null, 2, [0, 0, 1])]);
        run.WriteEvaluation(report);

        Assert.Equal(
            ["path,label,predicted,p,loss", "\"images/a,b.png\",\"cat, \"\"big\"\"\",dog,0.5,1.38629", ",owl,owl,1,0"],
            File.ReadAllLines(run.PredictionsPath));
        var json = JsonNode.Parse(File.ReadAllText(run.MetricsPath))!;
        Assert.Equal(2, (int)json["images"]!);
        Assert.Equal(0.5, (double)json["accuracy_top1"]!);
        Assert.Equal(report.LogLoss, (double)json["log_loss"]!);
        Assert.Equal(report.ExpectedCalibrationError, (double)json["expected_calibration_error"]!);
        Assert.Equal("[[0,1,0],[0,0,0],[0,0,1]]", json["confusion_matrix"]!.ToJsonString());
        Assert.Equal("cat, \"big\"", (string)json["classes"]![0]!["name"]!);
        Assert.Equal("dog", (string)json["most_confused"]![0]!["predicted"]!);
        Assert.Equal(15, json["reliability_bins"]!.AsArray().Count);
    }

    [Fact]
    public void A_scored_model_can_be_evaluated()
    {
        using var trained = new Trainer.TrainedStripes();
        var scored = trained.Model.Transform(trained.TestData);
        var expected = trained.Context.MulticlassClassification.Evaluate(scored, topKPredictionCount: 2);
        var report = ClassificationReport.FromScoredData(scored);
        var labels = scored.GetColumn<uint>("Label");
        Assert.Equal(
            scored.GetColumn<float[]>("Score").Zip(labels, (score, key) => score.Count(value => value > score[key - 1]) < 2 ? 1.0 : 0).Average(),
            expected.TopKAccuracy, 1e-12);
        Assert.Equal(Trainer.Stripes.Names, report.ClassNames);
        Assert.Equal(75, report.Predictions.Count);
        Assert.Equal((expected.MicroAccuracy, expected.MacroAccuracy), (report.Top1Accuracy, report.MacroRecall));
        Assert.Equal(expected.LogLoss, report.LogLoss, 1e-6);
        Assert.All(trained.Model.LastTransformer.History, epoch => Assert.Null(epoch.ValidationTop5Accuracy));

        // Labels whose keys have another order than those of the training.
        var keys = trained.Context.Data.LoadFromEnumerable(Trainer.Stripes.Names.Reverse().Select(name => new Name { Label = name }));
        var remapped = trained.Context.Transforms.Conversion.MapKeyToValue("Text", "Label")
            .Append(trained.Context.Transforms.Conversion.MapValueToKey("Other", "Text", keyData: keys)).Fit(scored).Transform(scored);
        Assert.Contains(
            "Class 0 is 'slanting' in the label column 'Other', but 'across' in the score column 'Score'.",
            Assert.Throws<ArgumentException>(() => ClassificationReport.FromScoredData(remapped, "Other")).Message, StringComparison.Ordinal);
    }

    public static TheoryData<int, float[], string> BadImages => new()
    {
        { 3, [0.5f, 0.5f, 0], "Image 1 ('b.png') has the label 3, but there are 3 classes, whose labels are 0 to 2." },
        { -1, [0.5f, 0.5f, 0], "has the label -1" },
        { 0, [0.5f, 0.5f], "has 2 probabilities, but there are 3 classes" },
        { 0, [0.5f, float.NaN, 0.5f], "has the probability NaN of class 1" },
        { 0, [0.5f, 2, -1.5f], "has the probability 2 of class 1" },
        { 0, [0.5f, 0.5f, 0.25f], "The probabilities of image 1 ('b.png') sum to 1.25 and not to 1." },
    };

    [Theory]
    [MemberData(nameof(BadImages))]
    public void Images_that_cannot_be_used_are_named(int label, float[] probabilities, string message)
    {
        var error = Assert.Throws<ArgumentException>(() => ClassificationReport.Create(_names, [new("a.png", 0, [1, 0, 0]), new("b.png", label, probabilities)]));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void No_images_and_fewer_than_two_classes_are_refused()
    {
        Assert.Contains("There are no images", Assert.Throws<ArgumentException>(() => ClassificationReport.Create(_names, [])).Message, StringComparison.Ordinal);
        Assert.Contains("There is one class, 'cat'", Assert.Throws<ArgumentException>(() => ClassificationReport.Create(["cat"], [])).Message, StringComparison.Ordinal);
        Assert.Contains("There are no classes", Assert.Throws<ArgumentException>(() => ClassificationReport.Create([], [])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Columns_that_do_not_fit_are_named()
    {
        var context = new MLContext(seed: 1);
        var data = context.Data.LoadFromEnumerable([new Row { Label = "a", Score = [1, 0] }]);
        Assert.Contains("The label column 'Class' does not exist. The columns are Label, Score, Path.", Message(data, "Class"), StringComparison.Ordinal);
        Assert.Contains("The label column 'Label' is of type String; it must be a key", Message(data, "Label"), StringComparison.Ordinal);
        var keyed = context.Transforms.Conversion.MapValueToKey("Label").Fit(data).Transform(data);
        Assert.Contains("The score column 'Score' is of type Vector<Single>; it must be a vector of Single of known size", Message(keyed, "Label"), StringComparison.Ordinal);

        var schema = SchemaDefinition.Create(typeof(Row));
        schema[nameof(Row.Score)].ColumnType = new VectorDataViewType(NumberDataViewType.Single, 2);
        var sized = context.Data.LoadFromEnumerable([new Row { Label = "a", Score = [1, 0] }], schema);
        Assert.Contains("has 1 classes, but the score column 'Score' has 2", Message(context.Transforms.Conversion.MapValueToKey("Label").Fit(sized).Transform(sized), "Label"), StringComparison.Ordinal);
        var keys = context.Data.LoadFromEnumerable([new Name { Label = "b" }, new Name { Label = "c" }]);
        Assert.Contains("Row 0, column 'Label': the label is missing", Message(context.Transforms.Conversion.MapValueToKey("Label", keyData: keys).Fit(sized).Transform(sized), "Label"), StringComparison.Ordinal);

        static string Message(IDataView data, string label) => Assert.Throws<ArgumentException>(() => ClassificationReport.FromScoredData(data, label)).Message;
    }

    /// <summary>Images of random classes with random probabilities, of which most are largest at the true class or at the next one.</summary>
    internal static List<ClassifiedImage> RandomImages(int classes, int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(i =>
        {
            int label = random.Next(classes), likely = random.NextDouble() < 0.75 ? label : random.NextDouble() < 0.7 ? (label + 1) % classes : random.Next(classes);
            double[] weights = [.. Enumerable.Range(0, classes).Select(k => Math.Exp(2 * random.NextDouble() + (k == likely ? 1 + 4 * random.NextDouble() : 0)))];
            return new ClassifiedImage(string.Create(CultureInfo.InvariantCulture, $"images/{i:d4}.png"), label, [.. weights.Select(weight => (float)(weight / weights.Sum()))]);
        })];
    }

    private sealed class Row
    {
        public string Label { get; set; } = "";

        public float[] Score { get; set; } = [];

        public string Path { get; set; } = "";
    }

    private sealed class Name
    {
        public string Label { get; set; } = "";
    }
}
