using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;
using RepVgg.Testing;
using RepVgg.Tool.Classification;
using RepVgg.Tool.Images;
using Xunit;

namespace RepVgg.Tool.Tests;

/// <summary>The options --calibrate and --tta, the top-5 accuracy, and the command lr-find.</summary>
[Collection(ConsoleCollection.Name)]
public sealed class CalibrationTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_calibrated_model_predicts_the_means_of_views()
    {
        string data = Pictures.Folder(_folder, "data", 12), run = Path.Combine(_folder.File("runs"), "train"), model = Path.Combine(run, "model.zip");
        string[] train = ["train", data, "--output", _folder.File("runs"), "--epochs", "1", "--batch-size", "8", "--device", "cpu", "--threads", "2", "--calibrate"];
        string output = Programs.Tool.Succeeds(train);
        // With so few images, the temperature can be at its limit, which is a warning.
        var temperature = Regex.Match(output, @"Temperature (\S+), fitted to 6 images: log-loss ");
        Assert.True(temperature.Success, output);
        using (var settings = JsonDocument.Parse(File.ReadAllText(Path.Combine(run, "args.json"))))
            Assert.True(settings.RootElement.GetProperty("calibrate").GetBoolean());
        // With three classes there is no top-5 accuracy.
        Assert.DoesNotContain("top-5", output, StringComparison.Ordinal);
        Assert.All(File.ReadAllLines(Path.Combine(run, "results.csv"))[1..], line => Assert.Equal("", line.Split(',')[4]));
        Assert.DoesNotContain("top-5", Programs.Tool.Succeeds("evaluate", model, data), StringComparison.Ordinal);

        // The saved model contains the temperature: a further fit to the same images finds nothing to change, unless it is at the limit.
        if (double.Parse(temperature.Groups[1].Value, CultureInfo.InvariantCulture) is > TemperatureScaling.MinimumTemperature and < TemperatureScaling.MaximumTemperature)
        {
            using var saved = SavedClassifier.Load(model, 1);
            var validation = ImageDataset.Read(data, null, 0.2, 1).Validation;
            using var again = saved.Classifier.FitTemperature(new ClassifierData(saved.Context, saved.Classifier.Labels, CancellationToken.None, saved.Classifier.FeatureColumnName).Of(validation));
            Assert.Equal(1, again.Calibration!.Temperature, 1e-3);
        }

        string picture = Path.Combine(data, "red", "3.png");
        using var classifier = SavedClassifier.Load(model, 1, TestTimeAugmentation.HorizontalFlip);
        float[] expected = [.. classifier.Score([new ImageFileRow { ImagePath = picture, Label = "red", Content = () => File.ReadAllBytes(picture) }], false, CancellationToken.None).GetColumn<float[]>(classifier.Classifier.ScoreColumnName).Single()];
        Assert.Equal(expected.OrderDescending(), Probabilities(Programs.Tool.Succeeds("predict", model, picture, "--json", "--tta", "flip")));
        Assert.NotEqual(expected.OrderDescending(), Probabilities(Programs.Tool.Succeeds("predict", model, picture, "--json", "--tta", "none")));
        Assert.StartsWith("36 images: top-1 ", Programs.Tool.Succeeds("evaluate", model, data, "--tta", "ten-crop"), StringComparison.Ordinal);

        Assert.Contains("--tta is 'both'; it must be one of: none, flip, flip-shift, five-crop, ten-crop.", Programs.Tool.Fails(2, "predict", model, picture, "--tta", "both"), StringComparison.Ordinal);
        Assert.Contains("--calibrate needs validation images", Programs.Tool.Fails(2, [.. train, "--validation-fraction", "0"]), StringComparison.Ordinal);
        Assert.Single(Directory.GetDirectories(_folder.File("runs")));
    }

    [Fact]
    public void The_search_for_a_learning_rate_prints_a_number_and_draws_the_curve()
    {
        string data = Pictures.Folder(_folder, "data", 12), svg = _folder.File("curve.svg");
        var (exitCode, output, error) = Programs.Tool.RunHere("lr-find", data, "--batch-size", "8", "--device", "cpu", "--threads", "2", "--steps", "60", "--output", svg);
        Assert.True(exitCode == 0, error);
        double rate = double.Parse(output, CultureInfo.InvariantCulture);
        Assert.InRange(rate, 1e-8, 1);
        Assert.Contains("3 classes, 30 training images.", error, StringComparison.Ordinal);
        Assert.Contains(FormattableString.Invariant($"Suggested learning rate: {rate:g3}"), error, StringComparison.Ordinal);
        Assert.Equal(rate, (double)XDocument.Load(svg).Descendants().Single(element => element.Attribute("data-suggestion") is not null).Attribute("data-suggestion")!, 1e-2 * rate);

        // Rates at which nothing is learned.
        (exitCode, output, error) = Programs.Tool.RunHere("lr-find", data, "--batch-size", "8", "--device", "cpu", "--first-rate", "1e-12", "--last-rate", "1e-11", "--steps", "30", "--output", svg);
        Assert.Equal((1, ""), (exitCode, output));
        Assert.Contains("No learning rate is suggested", error, StringComparison.Ordinal);

        (exitCode, _, error) = Programs.Tool.RunHere("lr-find", data, "--device", "cpu", "--first-rate", "1", "--last-rate", "0.5", "--output", svg);
        Assert.Equal(2, exitCode);
        Assert.Contains("--last-rate is 0.5; it must be more than --first-rate (1) and finite.", error, StringComparison.Ordinal);
        Assert.Contains("its name must end in .svg", Programs.Tool.Fails(2, "lr-find", data, "--output", "curve.png"), StringComparison.Ordinal);
        Assert.Contains("missing", Programs.Tool.Fails(1, "lr-find", data, "--output", _folder.File("missing/curve.svg")), StringComparison.Ordinal);
        var (code, _, message) = Programs.Tool.RunHere("lr-find", data, "--device", "cpu", "--steps", "5", "--output", svg);
        Assert.Equal(2, code);
        Assert.Contains("--steps is 5; it must be from 20 to 100,000", message, StringComparison.Ordinal);
    }

    private static IEnumerable<float> Probabilities(string json)
    {
        using var document = JsonDocument.Parse(json);
        return [.. document.RootElement.GetProperty("predictions").EnumerateArray().Select(entry => entry.GetProperty("probability").GetSingle())];
    }
}
