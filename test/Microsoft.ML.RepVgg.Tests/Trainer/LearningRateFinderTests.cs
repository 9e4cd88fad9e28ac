using System.Globalization;
using System.Xml.Linq;
using Microsoft.ML.Data;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.Training;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>The search for a learning rate in ML.NET's pipeline, and its drawing.</summary>
public sealed class LearningRateFinderTests
{
    private readonly MLContext _context = new(seed: 1);

    private IDataView Data() => _context.Transforms.Conversion.MapValueToKey("Label")
        .Fit(_context.Data.LoadFromEnumerable(Stripes.Rows(150, seed: 1))).Transform(_context.Data.LoadFromEnumerable(Stripes.Rows(150, seed: 1)));

    private RepVggTrainer Trainer(Action<RepVggTrainer.Options>? change = null)
    {
        var options = Stripes.Options(epochs: 2);
        change?.Invoke(options);
        return _context.MulticlassClassification.Trainers.RepVgg(options);
    }

    private static float[][] Scores(ITransformer model, IDataView data) => [.. model.Transform(data).GetColumn<float[]>("Score")];

    [Fact]
    public void A_search_changes_nothing_of_the_training_after_it()
    {
        var data = Data();
        // Without a seed, the trainer draws one from the random numbers of its context.
        var options = Stripes.Options(epochs: 2);
        options.Seed = null;
        using var expected = new MLContext(seed: 1).MulticlassClassification.Trainers.RepVgg(options).Fit(data);
        var trainer = new MLContext(seed: 1).MulticlassClassification.Trainers.RepVgg(options);
        var result = trainer.FindLearningRate(data);
        Assert.NotNull(result.Suggestion);
        using var model = trainer.Fit(data);
        Assert.Equal(Scores(expected, data), Scores(model, data));
        Assert.Equal(result.Points, trainer.FindLearningRate(data).Points);
    }

    [Fact]
    public void The_training_set_is_that_of_Fit_and_the_validation_set_is_not_read()
    {
        int read = 0;
        var validation = _context.Data.LoadFromEnumerable(Rows());
        var keyed = _context.Transforms.Conversion.MapValueToKey("Label").Fit(_context.Data.LoadFromEnumerable(Stripes.Rows(3, seed: 1))).Transform(validation);
        var given = Trainer(options => options.ValidationSet = keyed).FindLearningRate(Data());
        Assert.Equal(0, read);
        Assert.Equal(Trainer(options => options.ValidationSetFraction = 0).FindLearningRate(Data()).Points, given.Points);
        // The rows that are split off are others of the same set.
        Assert.NotEqual(Trainer().FindLearningRate(Data()).Points, given.Points);

        IEnumerable<Stripes.Row> Rows()
        {
            read++;
            foreach (var row in Stripes.Rows(30, seed: 2))
                yield return row;
        }
    }

    [Fact]
    public void The_options_set_the_rates()
    {
        var result = Trainer(options => options.Optimizer = new AdamWOptions()).FindLearningRate(Data(), new LearningRateFinderOptions { FirstRate = 1e-4, LastRate = 1e-2, Steps = 21 });
        Assert.Equal(21, result.Points.Count);
        for (int i = 0; i < 21; i++)
            Assert.Equal(1e-4 * Math.Pow(10, i / 10.0), result.Points[i].LearningRate, 1e-8);
        foreach (var (options, text) in new[]
        {
            (new LearningRateFinderOptions { FirstRate = 0 }, "FirstRate is 0"), (new LearningRateFinderOptions { FirstRate = double.NaN }, "FirstRate is NaN"),
            (new LearningRateFinderOptions { LastRate = 1e-7 }, "LastRate is 1E-07"), (new LearningRateFinderOptions { LastRate = double.PositiveInfinity }, "LastRate is Infinity"),
            (new LearningRateFinderOptions { Steps = 19 }, "Steps is 19"),
        })
        {
            Assert.Contains(text, Assert.Throws<ArgumentException>(() => Trainer().FindLearningRate(Data(), options)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Progress_is_reported_and_the_search_can_be_cancelled()
    {
        using var source = new CancellationTokenSource();
        var steps = new List<int>();
        var trainer = Trainer(options =>
        {
            options.CancellationToken = source.Token;
            options.MetricsCallback = progress =>
            {
                steps.Add(progress.Step);
                if (progress.Step == 4)
                    source.Cancel();
            };
        });
        Assert.Throws<OperationCanceledException>(() => trainer.FindLearningRate(Data()));
        Assert.Equal([1, 2, 3, 4], steps);
    }

    [TorchSharpFact]
    public void Libtorch_finds_the_same_curve()
    {
        var rates = new LearningRateFinderOptions { FirstRate = 1e-4, LastRate = 1, Steps = 40 };
        var expected = Trainer().FindLearningRate(Data(), rates).Points;
        var actual = Trainer(options => options.Device = TrainingDevice.TorchCpu).FindLearningRate(Data(), rates).Points;
        // The rounding errors grow from step to step.
        foreach (var (first, second) in expected.Zip(actual).Take(20))
            Assert.Equal(1, second.Loss / first.Loss, 1e-3);
        Assert.Equal(expected.Count, actual.Count);
    }

    [Fact]
    public void The_drawing_has_the_values_and_the_suggestion()
    {
        using var folder = new TemporaryFolder();
        string path = Path.Combine(folder.Path, "curve.svg");
        LearningRatePoint[] points = [.. Enumerable.Range(0, 30).Select(i => new LearningRatePoint(1e-6 * Math.Pow(2, i), 2 + Math.Cos(i / 5.0) + (i % 2) * 0.1, 2 + Math.Cos(i / 5.0)))];
        new LearningRateFinderResult(0.003f, points).WriteSvg(path);
        var svg = XDocument.Load(path).Root!;
        XNamespace ns = "http://www.w3.org/2000/svg";
        Assert.Equal(ns + "svg", svg.Name);
        foreach (var (name, values) in new[] { ("loss", points.Select(point => point.Loss)), ("smoothed", points.Select(point => point.SmoothedLoss)) })
        {
            var line = svg.Descendants(ns + "polyline").Single(line => (string?)line.Attribute("class") == name);
            Assert.Equal(values, Numbers((string)line.Attribute("data-values")!), (expected, actual) => Math.Abs(expected - actual) < 1e-5);
            double[][] drawn = [.. ((string)line.Attribute("points")!).Split(' ').Select(point => point.Split(',').Select(text => double.Parse(text, CultureInfo.InvariantCulture)).ToArray())];
            // The axis is logarithmic, so these rates have equal distances.
            for (int i = 1; i < 30; i++)
                Assert.Equal((736 - 64) / 29.0, drawn[i][0] - drawn[i - 1][0], 0.11);
        }
        var mark = svg.Descendants(ns + "path").Single(path => (string?)path.Attribute("class") == "suggestion" && path.Attribute("data-suggestion") is not null);
        double expected = 64 + Math.Log2(0.003f / 1e-6) / 29 * (736 - 64);
        Assert.StartsWith(FormattableString.Invariant($"M{expected:f1} "), (string)mark.Attribute("d")!, StringComparison.Ordinal);
        Assert.Contains(svg.Descendants(ns + "text"), text => text.Value == "suggested: 0.003");
        Assert.Equal(["1e-6", "1e-5", "1e-4", "1e-3", "0.01", "0.1", "1", "10", "100"], svg.Descendants(ns + "text").Where(text => (string?)text.Attribute("y") == "388").Select(text => text.Value));

        new LearningRateFinderResult(null, [points[0]]).WriteSvg(path);
        Assert.DoesNotContain(XDocument.Load(path).Descendants(), element => element.Attribute("data-suggestion") is not null);

        static IEnumerable<double> Numbers(string text) => text.Split(' ').Select(number => double.Parse(number, CultureInfo.InvariantCulture));
    }
}
