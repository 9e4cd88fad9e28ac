using System.Globalization;
using System.Text.Json.Nodes;
using System.Xml.Linq;
using Microsoft.ML.RepVgg.Reports;
using RepVgg.Testing;
using RepVgg.Training;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Reports;

public sealed class TrainingReportTests
{
    private static readonly byte[] _png = [0x89, (byte)'P', (byte)'N', (byte)'G', 1, 2, 3], _jpeg = [0xFF, 0xD8, 0xFF, 4];

    [Theory]
    [InlineData(3, 50)]
    [InlineData(12, 300)]
    [InlineData(100, 900)]
    public void What_is_drawn_is_what_metrics_say(int classes, int count)
    {
        using var folder = new TemporaryFolder();
        var run = RunFolder.Create("run", folder.Path);
        var evaluation = ClassificationReport.Create(Names(classes), ClassificationReportTests.RandomImages(classes, count, seed: classes));
        run.WriteEvaluation(evaluation);
        new TrainingReport { History = History(7), BestEpoch = 6, Evaluation = evaluation }.Write(run.ReportPath);
        var metrics = JsonNode.Parse(File.ReadAllText(run.MetricsPath))!;
        var page = XDocument.Parse(File.ReadAllText(run.ReportPath));

        foreach (var tile in With(page, "data-metric").Where(tile => Text(tile, "data-metric") != "epochs"))
            Assert.Equal((double)metrics[Text(tile, "data-metric")]!, Number(tile, "data-value"));
        foreach (string name in new[] { "shares", "counts" })
        {
            var matrix = Assert.Single(With(page, "data-matrix"), svg => Text(svg, "data-matrix") == name);
            var drawn = With(matrix, "data-predicted").ToDictionary(cell => (Text(cell, "data-label"), Text(cell, "data-predicted")), cell => (int)Number(cell, "data-count"));
            for (int label = 0; label < classes; label++)
            {
                for (int predicted = 0; predicted < classes; predicted++)
                {
                    int expected = (int)metrics["confusion_matrix"]![label]![predicted]!;
                    Assert.Equal(expected, drawn.GetValueOrDefault((Invariant(label), Invariant(predicted))));
                }
            }
        }
        var rows = With(page, "data-class").ToList();
        Assert.Equal(classes, rows.Count);
        foreach (var (row, expected) in rows.Zip(metrics["classes"]!.AsArray()))
        {
            Assert.Equal((string)expected!["name"]!, Text(row, "data-class"));
            foreach (string name in new[] { "support", "precision", "recall", "f1" })
                Assert.Equal((double)expected[name]!, Number(row, "data-" + name));
        }
        var bins = metrics["reliability_bins"]!.AsArray().Where(bin => (int)bin!["count"]! > 0).ToList();
        Assert.Equal(bins.Select(bin => ((double)bin!["count"]!, (double)bin["accuracy"]!, (double)bin["confidence"]!)), With(page, "data-low").Select(bin => (Number(bin, "data-count"), Number(bin, "data-accuracy"), Number(bin, "data-confidence"))));
        Assert.Equal(metrics["most_confused"]!.AsArray().Select(pair => (double)pair!["count"]!), With(page, "data-pair").Take(10).Select(pair => Number(pair, "data-count")));
        Assert.Equal(evaluation.TopLosses(12).Select(image => image.Loss), With(page, "data-loss").Select(card => Number(card, "data-loss")));
    }

    [Fact]
    public void Curves_are_those_of_the_history()
    {
        var history = History(5);
        history[2] = history[2] with { TrainingLoss = double.NaN, ValidationLoss = null };
        var page = XDocument.Parse(new TrainingReport { History = history }.ToHtml());
        Assert.Equal(history.Where(epoch => epoch.Epoch != 3).Select(epoch => epoch.TrainingLoss), Values("Loss", "training"));
        Assert.Equal(history.Where(epoch => epoch.Epoch != 3).Select(epoch => epoch.ValidationLoss!.Value), Values("Loss", "validation"));
        Assert.Equal(history.Select(epoch => epoch.TrainingAccuracy), Values("Accuracy", "training"));
        Assert.Equal(history.Select(epoch => epoch.ValidationAccuracy!.Value), Values("Accuracy", "validation"));
        // The larger the accuracy, the higher the point.
        var points = Line("Accuracy", "training").Attribute("points")!.Value.Split(' ').Select(point => double.Parse(point.Split(',')[1], CultureInfo.InvariantCulture)).ToList();
        Assert.Equal(points.OrderDescending(), points);

        XElement Line(string chart, string line) => With(With(page, "data-chart").Single(svg => Text(svg, "data-chart") == chart), "data-line").Single(item => Text(item, "data-line") == line);
        IEnumerable<double> Values(string chart, string line) => Text(Line(chart, line), "data-values").Split(' ').Select(value => double.Parse(value, CultureInfo.InvariantCulture));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void A_page_of_few_or_no_epochs_is_well_formed(int epochs)
    {
        var page = XDocument.Parse(new TrainingReport { History = History(epochs) }.ToHtml());
        Assert.DoesNotContain("NaN", page.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("∞", page.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Texts_cannot_become_markup()
    {
        const string Evil = "<script>alert(\"1\")</script>&'\0\u001b\ud800 é 猫 \U0001F431";
        var evaluation = ClassificationReport.Create([Evil, "</svg>"], [new(Evil, 0, [0, 1]), new("b", 1, [0.5f, 0.5f])]);
        string html = new TrainingReport
        {
            Title = Evil,
            Evaluation = evaluation,
            Settings = [new(Evil, Evil), new("list", new[] { 1, 2 })],
            Hardware = [new(Evil, Evil)],
        }.ToHtml();
        Assert.DoesNotContain("<script", html, StringComparison.OrdinalIgnoreCase);
        var page = XDocument.Parse(html);
        string shown = "<script>alert(\"1\")</script>&'\ufffd\ufffd\ufffd é 猫 \U0001F431";
        Assert.Equal(shown, page.Descendants("h1").Single().Value);
        Assert.Contains(page.Descendants("td"), cell => cell.Value == shown);
        Assert.Contains(page.Descendants("td"), cell => cell.Value == "[1,2]");
    }

    [Fact]
    public void The_page_loads_nothing()
    {
        var page = XDocument.Parse(Report().ToHtml());
        Assert.DoesNotContain(page.Descendants(), element => element.Name.LocalName is "script" or "link" or "iframe" or "object");
        Assert.All(page.Descendants().Attributes().Where(attribute => attribute.Name.LocalName is "src" or "href"), attribute => Assert.StartsWith("data:image/", attribute.Value, StringComparison.Ordinal));
        string style = page.Descendants("style").Single().Value;
        Assert.DoesNotContain("url(", style, StringComparison.Ordinal);
        Assert.DoesNotContain("@import", style, StringComparison.Ordinal);
    }

    [Fact]
    public void Pictures_are_those_of_the_caller()
    {
        string[] sources = [.. XDocument.Parse(Report().ToHtml()).Descendants("img").Select(image => image.Attribute("src")!.Value)];
        string png = "data:image/png;base64," + Convert.ToBase64String(_png), jpeg = "data:image/jpeg;base64," + Convert.ToBase64String(_jpeg);
        Assert.Equal([png, jpeg, png, jpeg, jpeg], sources);
    }

    [Fact]
    public void Pictures_of_other_formats_are_refused()
    {
        var report = Report();
        report.Heatmap = _ => [1, 2, 3];
        Assert.Contains("The heatmap of image 1 is neither a PNG nor a JPEG file.", Assert.Throws<ArgumentException>(report.ToHtml).Message, StringComparison.Ordinal);
    }

    private static TrainingReport Report() => new()
    {
        History = History(3),
        Evaluation = ClassificationReport.Create(Names(2), [new("a", 0, [1, 0]), new("b", 1, [1, 0])]),
        Thumbnail = _ => _png,
        Heatmap = image => image.Index == 1 ? _jpeg : null,
        AugmentedImages = [_jpeg, _jpeg],
    };

    private static string[] Names(int classes) => [.. Enumerable.Range(0, classes).Select(i => $"class {i}")];

    private static List<EpochResult> History(int epochs) =>
        [.. Enumerable.Range(1, epochs).Select(epoch => new EpochResult(epoch, 0.1f / epoch, 2.0 / epoch, 1 - 1.0 / (epoch + 1), 2.2 / epoch, 1 - 1.1 / (epoch + 1)) { TrainingImages = 100, TrainingTime = TimeSpan.FromSeconds(3) })];

    private static IEnumerable<XElement> With(XContainer page, string attribute) => page.Descendants().Where(element => element.Attribute(attribute) is not null);

    private static string Text(XElement element, string attribute) => element.Attribute(attribute)!.Value;

    private static double Number(XElement element, string attribute) => double.Parse(Text(element, attribute), CultureInfo.InvariantCulture);

    private static string Invariant(int value) => value.ToString(CultureInfo.InvariantCulture);
}
