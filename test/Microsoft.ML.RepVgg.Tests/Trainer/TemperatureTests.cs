using Microsoft.ML.Data;
using RepVgg.Architectures;
using RepVgg.Testing;
using RepVgg.Training;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>Temperature scaling: the fit, and the classifiers that contain it.</summary>
public sealed class TemperatureTests(TrainedStripes trained) : IClassFixture<TrainedStripes>
{
    private readonly MLContext _context = trained.Context;

    /// <summary>Images in so much noise, some with another label, that a classifier is often wrong.</summary>
    private IDataView Difficult(int count, int seed)
    {
        var random = new Random(seed);
        var rows = Stripes.Rows(count, seed);
        foreach (var row in rows)
        {
            row.Features = Array.ConvertAll(row.Features, value => Math.Clamp(value + random.Next(-120, 121), 0, 255));
            if (random.Next(5) == 0)
                row.Label = Stripes.Names[random.Next(3)];
        }
        return _context.Data.LoadFromEnumerable(rows);
    }

    /// <summary>Difficult images with the keys of the trained model.</summary>
    private IDataView Keyed(int count, int seed) => trained.Model.First().Transform(Difficult(count, seed));

    private static float[][] Scores(ITransformer model, IDataView data) => [.. model.Transform(data).GetColumn<float[]>("Score")];

    /// <summary>The mean of -ln p^(1/T) / sum(p^(1/T)), in double precision, from the probabilities.</summary>
    private static double LogLoss(IReadOnlyList<double[]> logits, IReadOnlyList<int> labels, double temperature) =>
        logits.Select((row, i) => Math.Log(row.Sum(value => Math.Exp((value - row.Max()) / temperature))) - (row[labels[i]] - row.Max()) / temperature).Average();

    /// <summary>The minimum of the log-loss over ln T by golden-section search.</summary>
    private static double GoldenSection(IReadOnlyList<double[]> logits, IReadOnlyList<int> labels)
    {
        double ratio = (Math.Sqrt(5) - 1) / 2, low = Math.Log(0.1), high = Math.Log(100);
        while (high - low > 1e-9)
        {
            double left = high - ratio * (high - low), right = low + ratio * (high - low);
            (low, high) = LogLoss(logits, labels, Math.Exp(left)) < LogLoss(logits, labels, Math.Exp(right)) ? (low, right) : (left, high);
        }
        return Math.Exp((low + high) / 2);
    }

    private static (float[][] Logits, int[] Labels) Random(int count, int classes, double scale, int seed)
    {
        var random = new Random(seed);
        float[][] logits = [.. Enumerable.Range(0, count).Select(_ => Enumerable.Range(0, classes).Select(_ => (float)(scale * (random.NextDouble() - 0.5))).ToArray())];
        // The label is the most probable class in about half of the cases.
        return (logits, [.. logits.Select(row => random.Next(2) == 0 ? Array.IndexOf(row, row.Max()) : random.Next(classes))]);
    }

    private static TemperatureScaling Fit(float[][] logits, int[] labels) =>
        TemperatureScaling.Fit([.. Enumerable.Range(0, logits[0].Length).Select(i => $"{i}")], logits, labels);

    [Theory]
    [InlineData(2, 3, 1)]
    [InlineData(10, 20, 2)]
    [InlineData(7, 300, 3)]
    [InlineData(4, 1.5, 4)]
    public void The_temperature_is_the_minimum_that_golden_section_search_finds(int classes, double scale, int seed)
    {
        var (logits, labels) = Random(200, classes, scale, seed);
        double[][] exact = [.. logits.Select(row => row.Select(value => (double)value).ToArray())];
        double expected = GoldenSection(exact, labels);
        var fit = Fit(logits, labels);
        // The minimum of a function is known to the square root of its precision only.
        Assert.Equal(1, fit.Temperature / expected, 1e-6);
        Assert.False(fit.IsAtLimit);
        Assert.Equal(200, fit.Images);
        Assert.Equal(LogLoss(exact, labels, 1), fit.LogLossBefore, 1e-12);
        Assert.Equal(LogLoss(exact, labels, fit.Temperature), fit.LogLossAfter, 1e-12);
        Assert.True(fit.LogLossAfter <= fit.LogLossBefore);
    }

    [Fact]
    public void Two_classes_have_a_closed_form()
    {
        // With the logits (m, 0) for all and a share a of the first class, softmax(m / T) = a, so T = m / ln(a / (1 - a)).
        var fit = Fit([.. Enumerable.Repeat(new[] { 5f, 0f }, 100)], [.. Enumerable.Range(0, 100).Select(i => i < 80 ? 0 : 1)]);
        Assert.Equal(1, fit.Temperature / (5 / Math.Log(4)), 1e-10);
        // All are predicted with the probability 1 / (1 + e^-5) before and 0.8 after; 80 % are right.
        Assert.Equal(1 / (1 + Math.Exp(-5)) - 0.8, fit.CalibrationErrorBefore, 1e-6);
        Assert.Equal(0, fit.CalibrationErrorAfter, 1e-6);
    }

    [Fact]
    public void Twice_the_logits_have_twice_the_temperature()
    {
        var (logits, labels) = Random(300, 5, 8, seed: 5);
        double once = Fit(logits, labels).Temperature, twice = Fit([.. logits.Select(row => Array.ConvertAll(row, value => 2 * value))], labels).Temperature;
        Assert.Equal(2, twice / once, 1e-9);
    }

    [Fact]
    public void Data_without_a_minimum_give_the_limit_and_say_so()
    {
        float[][] logits = [[3, 1], [0, 2]];
        var right = Fit(logits, [0, 1]);
        Assert.Equal(TemperatureScaling.MinimumTemperature, right.Temperature);
        Assert.True(right.IsAtLimit);
        Assert.Contains("all images are classified correctly", right.Describe(), StringComparison.Ordinal);
        var wrong = Fit(logits, [1, 0]);
        Assert.Equal(TemperatureScaling.MaximumTemperature, wrong.Temperature);
        Assert.True(wrong.IsAtLimit);
        var constant = Fit([[1, 1], [2, 2]], [0, 1]);
        Assert.Equal(1, constant.Temperature);
        Assert.False(constant.IsAtLimit);
    }

    [Fact]
    public void The_new_classifier_has_the_scaled_probabilities_also_when_it_is_saved()
    {
        var validation = Keyed(150, seed: 3);
        var original = trained.Model.LastTransformer;
        float[][] before = Scores(original, validation);
        using var calibrated = original.FitTemperature(validation);
        var result = calibrated.Calibration!;

        // From the probabilities: logits up to a constant.
        double[][] logits = [.. before.Select(row => row.Select(value => Math.Log(value)).ToArray())];
        int[] labels = [.. validation.GetColumn<uint>("Label").Select(key => (int)key - 1)];
        Assert.Equal(1, result.Temperature / GoldenSection(logits, labels), 1e-4);
        Assert.Equal(LogLoss(logits, labels, 1), result.LogLossBefore, 1e-5);
        Assert.Equal(LogLoss(logits, labels, result.Temperature), result.LogLossAfter, 1e-5);
        Assert.True(result.LogLossAfter < result.LogLossBefore && result.CalibrationErrorAfter < result.CalibrationErrorBefore, $"{result}");

        var test = Keyed(60, seed: 4);
        float[] expected = [.. Scores(original, test).SelectMany(row => Scaled(row, result.Temperature))];
        float[][] scores = Scores(calibrated, test);
        Compare.Close(expected, [.. scores.SelectMany(row => row)], 1e-5);
        Assert.Equal(original.Transform(test).GetColumn<uint>("PredictedLabel"), calibrated.Transform(test).GetColumn<uint>("PredictedLabel"));
        foreach (var (first, second) in Scores(original, test).Zip(scores))
            Assert.Equal(Order(first), Order(second));
        Assert.Null(original.Calibration);
        Assert.Equal(before, Scores(original, validation));
        Assert.Equal((original.BestEpoch, original.History), (calibrated.BestEpoch, calibrated.History));

        using var stream = new MemoryStream();
        _context.Model.Save(calibrated, test.Schema, stream);
        stream.Position = 0;
        using var loaded = _context.Model.LoadRepVgg(stream, out _);
        Compare.Close(expected, [.. Scores(loaded, test).SelectMany(row => row)], 1e-5);
        Assert.Null(((RepVggTransformer)loaded.Last()).Calibration);
        stream.Position = 0;
        Compare.Close(expected, [.. Scores(new MLContext().Model.Load(stream, out _), test).SelectMany(row => row)], 1e-5);

        // A model that is calibrated already needs no further temperature, also if it was loaded.
        using var again = ((RepVggTransformer)loaded.Last()).FitTemperature(validation);
        Assert.Equal(1, again.Calibration!.Temperature, 1e-5);

        static float[] Scaled(float[] row, double temperature)
        {
            double[] powers = Array.ConvertAll(row, value => Math.Pow(value, 1 / temperature));
            return Array.ConvertAll(powers, value => (float)(value / powers.Sum()));
        }

        static int[] Order(float[] row) => [.. Enumerable.Range(0, row.Length).OrderBy(i => row[i])];
    }

    [Fact]
    public void The_trainer_fits_it_to_the_validation_rows()
    {
        var data = trained.Model.First().Transform(trained.TrainingData);
        var validation = Keyed(90, seed: 5);
        var log = new List<string>();
        var context = new MLContext(seed: 1);
        context.Log += (_, line) => log.Add(line.RawMessage);
        var options = Stripes.Options(epochs: 2);
        options.ValidationSet = validation;
        using var plain = context.MulticlassClassification.Trainers.RepVgg(options).Fit(data);
        options.CalibrateTemperature = true;
        using var calibrated = context.MulticlassClassification.Trainers.RepVgg(options).Fit(data);

        using var expected = plain.FitTemperature(validation);
        Assert.Equal(1, calibrated.Calibration!.Temperature / expected.Calibration!.Temperature, 1e-4);
        Assert.NotEqual(1, calibrated.Calibration.Temperature, 1e-2);
        Compare.Close([.. Scores(expected, validation).SelectMany(row => row)], [.. Scores(calibrated, validation).SelectMany(row => row)], 1e-4);
        Assert.Null(plain.Calibration);
        Assert.Contains(log, line => line.StartsWith("Temperature ", StringComparison.Ordinal) && line.Contains("fitted to 90 images: log-loss", StringComparison.Ordinal));

        // The best model of a run that is cancelled has it, too.
        using var source = new CancellationTokenSource();
        options.CancellationToken = source.Token;
        options.OnCancellation = CancellationBehavior.ReturnBest;
        options.Epochs = 3;
        options.MetricsCallback = progress =>
        {
            if (progress.EpochResult is not null)
                source.Cancel();
        };
        using var cancelled = context.MulticlassClassification.Trainers.RepVgg(options).Fit(data);
        Assert.Equal(StopReason.Cancelled, cancelled.StopReason);
        Assert.NotNull(cancelled.Calibration);
    }

    [Fact]
    public void The_calibrated_model_has_the_results_of_the_training()
    {
        var options = Stripes.Options(epochs: 2);
        (options.ValidationSetFraction, options.AveragedCheckpoints) = (0, 2);
        using var model = _context.MulticlassClassification.Trainers.RepVgg(options).Fit(trained.Model.First().Transform(trained.TrainingData));
        using var calibrated = model.FitTemperature(Keyed(90, seed: 5));
        Assert.Equal([2, 1], model.AveragedEpochs);
        Assert.Equal(model.AveragedEpochs, calibrated.AveragedEpochs);
        Assert.Equal(model.History, calibrated.History);
        Assert.Equal((model.BestEpoch, model.StopReason), (calibrated.BestEpoch, calibrated.StopReason));
    }

    [TorchSharpFact]
    public void It_is_fitted_after_training_on_libtorch()
    {
        var options = Stripes.Options(epochs: 2);
        options.Device = TrainingDevice.TorchCpu;
        options.ValidationSet = Keyed(90, seed: 5);
        options.CalibrateTemperature = true;
        using var model = _context.MulticlassClassification.Trainers.RepVgg(options).Fit(trained.Model.First().Transform(trained.TrainingData));
        using var again = model.FitTemperature(options.ValidationSet);
        Assert.NotEqual(1, model.Calibration!.Temperature, 1e-2);
        Assert.Equal(1, again.Calibration!.Temperature, 1e-3);
    }

    [Fact]
    public void What_cannot_be_calibrated_is_refused()
    {
        var options = Stripes.Options();
        options.CalibrateTemperature = true;
        options.ValidationSetFraction = 0;
        Assert.Contains("no validation rows", Assert.Throws<ArgumentException>(() => _context.MulticlassClassification.Trainers.RepVgg(options)).Message, StringComparison.Ordinal);
        options.ValidationSetFraction = 0.2f;
        options.TrainingForm = Enum.GetValues<TrainingForm>().First(form => !global::RepVgg.Reparameterization.Fusion.CanFuse(form));
        Assert.Contains("cannot be fused", Assert.Throws<ArgumentException>(() => Stripes.Pipeline(_context, options).Fit(trained.TrainingData)).Message, StringComparison.Ordinal);

        var model = trained.Model.LastTransformer;
        var unmapped = _context.Transforms.Conversion.MapValueToKey("Label").Fit(_context.Data.LoadFromEnumerable(Stripes.Rows(2, seed: 1))).Transform(trained.TestData);
        Assert.Contains("other keys", Assert.Throws<ArgumentException>(() => model.FitTemperature(unmapped)).Message, StringComparison.Ordinal);
        Assert.Contains("label column 'Class'", Assert.Throws<ArgumentException>(() => model.FitTemperature(Keyed(9, 1), "Class")).Message, StringComparison.Ordinal);
        Assert.Contains("no row", Assert.Throws<ArgumentException>(() => model.FitTemperature(Keyed(0, seed: 1))).Message, StringComparison.Ordinal);
        var rows = Stripes.Rows(3, seed: 1);
        rows[1].Label = "none";
        var unknown = trained.Model.First().Transform(_context.Data.LoadFromEnumerable(rows));
        Assert.Contains("Row 1, column 'Label'", Assert.Throws<InvalidOperationException>(() => model.FitTemperature(unknown)).Message, StringComparison.Ordinal);
    }
}
