using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Tests.Explanation;
using Microsoft.ML.Transforms.Image;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Quantizers;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Weights.Onnx;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>Classifiers of 8-bit integers: quantized afterwards, by the trainer, and in training; saved, loaded and exported.</summary>
public sealed class QuantizationTests(TrainedStripes trained) : IClassFixture<TrainedStripes>
{
    private readonly MLContext _context = trained.Context;

    private static float[][] Scores(ITransformer model, IDataView data) => [.. model.Transform(data).GetColumn<float[]>("Score")];

    private double Accuracy(ITransformer model) => _context.MulticlassClassification.Evaluate(model.Transform(trained.TestData)).MicroAccuracy;

    private IDataView Keyed(IDataView data) => trained.Model.First().Transform(data);

    private TransformerChain<RepVggTransformer> Fit(RepVggTrainer.Options options) => Stripes.Pipeline(_context, options).Fit(trained.TrainingData);

    [Fact]
    public void A_quantized_classifier_scores_as_its_engine_and_about_as_before()
    {
        var before = trained.Model.LastTransformer;
        Assert.Null(before.QuantizedNetwork);
        using var quantized = before.Quantize(Keyed(trained.TrainingData), new QuantizationOptions { QuantizeClassifier = true });
        Assert.Equal(nameof(Calibrator.MeanSquaredError), quantized.QuantizedNetwork!.Details!.Calibrator);
        Assert.Equal(240, quantized.QuantizedNetwork.Details.Images);
        Assert.Equal(before.History, quantized.History);
        Assert.Equal(before.BestEpoch, quantized.BestEpoch);

        var data = Keyed(trained.TestData);
        float[][] floats = Scores(before, data), integers = Scores(quantized, data);
        double difference = Compare.RelativeError([.. floats.SelectMany(row => row)], [.. integers.SelectMany(row => row)]);
        Assert.InRange(difference, 1e-5, 0.1);
        using var engine = new InferenceEngine(quantized.QuantizedNetwork, 1);
        foreach (var (row, i) in Stripes.Rows(75, seed: 2).Select((row, i) => (row, i)))
        {
            float[] logits = new float[3];
            engine.Run(row.Features, 1, logits);
            double sum = logits.Sum(logit => Math.Exp(logit));
            Compare.Close([.. logits.Select(logit => (float)(Math.Exp(logit) / sum))], integers[i], 1e-5);
        }
        Assert.Equal(Accuracy(trained.Model), _context.MulticlassClassification.Evaluate(quantized.Transform(data)).MicroAccuracy, 0.03);
    }

    [Fact]
    public void The_images_are_chosen_from_all_rows_in_the_same_way_each_time()
    {
        var before = trained.Model.LastTransformer;
        // Sorted by class, as folders of images are.
        var sorted = Keyed(_context.Data.LoadFromEnumerable(Stripes.Rows(240, seed: 1).OrderBy(row => row.Label)));
        using var quantized = before.Quantize(sorted, maximumImages: 30);
        using var again = before.Quantize(sorted, maximumImages: 30);
        using var first = before.Quantize(_context.Data.TakeRows(sorted, 30));
        Assert.Equal(30, quantized.QuantizedNetwork!.Details!.Images);
        var outputs = quantized.QuantizedNetwork.Blocks.Select(block => block.Output);
        Assert.Equal(outputs, again.QuantizedNetwork!.Blocks.Select(block => block.Output));
        Assert.NotEqual(outputs, first.QuantizedNetwork!.Blocks.Select(block => block.Output));
    }

    [Fact]
    public void Misuse_is_refused()
    {
        var before = trained.Model.LastTransformer;
        var data = Keyed(trained.TrainingData);
        using var quantized = before.Quantize(data, maximumImages: 10);
        Assert.Contains("quantized already", Assert.Throws<InvalidOperationException>(() => quantized.Quantize(data)).Message, StringComparison.Ordinal);
        Assert.Contains("no row", Assert.Throws<ArgumentException>(() => before.Quantize(_context.Data.SkipRows(data, 1000))).Message, StringComparison.Ordinal);
        Assert.Contains("'stage9'", Assert.Throws<ArgumentException>(() => before.Quantize(data, new QuantizationOptions { FloatBlocks = ["stage9"] })).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentOutOfRangeException>(() => before.Quantize(data, maximumImages: 0));
        Assert.ThrowsAny<ArgumentException>(() => before.Quantize(_context.Data.LoadFromEnumerable([new { Other = 1f }])));

        Refused(options => options.QuantizationOptions = new QuantizationOptions(), "needs Quantization");
        Refused(options => (options.Quantization, options.CalibrationImages) = (QuantizationMode.PostTraining, 0), "CalibrationImages is 0");
        Refused(options => options.Quantization = (QuantizationMode)7, "7");
        Refused(options => (options.Quantization, options.TrainingForm) = (QuantizationMode.PostTraining, TrainingForm.ResidualReorg), "cannot be fused");
        Refused(options => (options.Quantization, options.TrainingForm) = (QuantizationMode.Aware, TrainingForm.DiverseBranch), "DiverseBranch");
        Refused(options => (options.Quantization, options.FrozenStatisticsEpochs) = (QuantizationMode.Aware, 2), "the number of all epochs");
        Refused(options => options.FrozenStatisticsEpochs = 3, "FrozenStatisticsEpochs is 3");
        Refused(options => options.FrozenStatisticsEpochs = 2, "no PretrainedWeightsPath");
        Refused(options => (options.Quantization, options.StochasticDepth) = (QuantizationMode.Aware, 0.1f), "StochasticDepth");
        // Before the training, whose result would be lost.
        foreach (var mode in new[] { QuantizationMode.Aware, QuantizationMode.PostTraining })
        {
            Refused(options => (options.Quantization, options.QuantizationOptions) = (mode, new QuantizationOptions { FloatBlocks = ["stage9"] }), "'stage9'");
            Refused(options => (options.Quantization, options.QuantizationOptions) = (mode, new QuantizationOptions { Percentile = 30 }), "percentile is 30");
        }

        void Refused(Action<RepVggTrainer.Options> change, string part)
        {
            var options = Stripes.Options(epochs: 2);
            change(options);
            options.MetricsCallback = _ => Assert.Fail("Training has begun.");
            Assert.Contains(part, Assert.ThrowsAny<ArgumentException>(() => Fit(options)).Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(QuantizationMode.PostTraining)]
    [InlineData(QuantizationMode.Aware)]
    public void The_trainer_quantizes(QuantizationMode mode)
    {
        var options = Stripes.Options();
        (options.Quantization, options.CalibrationImages, options.CalibrateTemperature) = (mode, 50, true);
        options.QuantizationOptions = new QuantizationOptions { FloatBlocks = ["stage0"], QuantizeClassifier = true };
        using var model = Fit(options);
        var network = model.LastTransformer.QuantizedNetwork!;
        Assert.Equal(mode == QuantizationMode.Aware ? ("QuantizationAwareTraining", 0) : (nameof(Calibrator.MeanSquaredError), 50), (network.Details!.Calibrator, network.Details.Images));
        Assert.Equal(3, network.IntegerBlocks);
        Assert.NotNull(network.QuantizedClassifier);
        Assert.NotNull(model.LastTransformer.Calibration);
        Assert.True(Accuracy(model) > 0.9);
        Assert.Equal(4, model.LastTransformer.History.Count);
    }

    /// <summary>Images of several sizes, which are cut out at random in training, are calibrated with as they are scored, whether they are decoded or not.</summary>
    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(false, false)]
    public void Whole_images_are_calibrated_as_they_are_scored(bool isEncoded, bool hasValidationSet)
    {
        const int Count = 24;
        MLImage[] pictures = [.. Enumerable.Range(0, Count).Select(i => ImageModels.Picture(30 + i, 40, (x, y) => System.Drawing.Color.FromArgb(60 * (i % 3), x * 4 % 255, y * 5 % 255)))];
        var rows = isEncoded
            ? _context.Data.LoadFromEnumerable(pictures.Select((picture, i) => new FileRow { Features = ImageModels.Png(picture), Label = $"{i % 3}" }).ToArray())
            : _context.Data.LoadFromEnumerable(pictures.Select((picture, i) => new PictureRow { Features = picture, Label = $"{i % 3}" }));
        var data = _context.Transforms.Conversion.MapValueToKey("Label").Fit(rows).Transform(rows);
        var options = Stripes.Options(epochs: 1);
        (options.Architecture, options.ImageChannels, options.ImageHeight, options.ImageWidth) = (Stripes.Tiny with { InputChannels = 3 }, 3, 24, 24);
        options.Augmentation = new Augmentation { RandomResizedCrop = new() };
        options.ValidationSet = hasValidationSet ? data : null;
        options.ValidationSetFraction = 0.25f;
        options.Normalization = Normalization.FromMeanStd([128, 128, 128], [60, 60, 60], 1);
        using var plain = _context.MulticlassClassification.Trainers.RepVgg(options).Fit(data);
        options.Quantization = QuantizationMode.PostTraining;
        using var quantized = _context.MulticlassClassification.Trainers.RepVgg(options).Fit(data);
        Assert.Equal(hasValidationSet ? Count : 18, quantized.QuantizedNetwork!.Details!.Images);
        using var expected = plain.Quantize(data);
        var (input, all) = (quantized.QuantizedNetwork.Input!.Value, expected.QuantizedNetwork!.Input!.Value);
        // Of a part of the images, the range is a part as well.
        Assert.True(hasValidationSet ? input == all : input.Scale <= all.Scale && input.Scale > 0.8 * all.Scale, $"{input} {all}");
        if (hasValidationSet)
            Assert.Equal(expected.QuantizedNetwork.Blocks.Select(block => block.Output), quantized.QuantizedNetwork.Blocks.Select(block => block.Output));
    }

    private sealed class FileRow
    {
        public byte[] Features { get; set; } = [];

        public string Label { get; set; } = "";
    }

    private sealed class PictureRow
    {
        [ImageType(40, 30)]
        public MLImage? Features { get; set; }

        public string Label { get; set; } = "";
    }

    [Fact]
    public void A_saved_model_is_of_mlnets_types_and_a_quarter_of_the_size()
    {
        using var folder = new TemporaryFolder();
        var keyed = Keyed(trained.TrainingData);
        using var quantized = trained.Model.LastTransformer.Quantize(keyed, new QuantizationOptions { QuantizeClassifier = true });
        string file = folder.File("model.zip");
        _context.Model.SaveRepVgg(quantized, keyed.Schema, file);
        var stock = _context.Model.Load(file, out _);
        Assert.DoesNotContain(Flatten(stock), part => part.GetType().Assembly == typeof(RepVggTransformer).Assembly);

        var data = Keyed(trained.TestData);
        float[][] expected = Scores(quantized, data);
        Compare.Close([.. expected.SelectMany(row => row)], [.. Scores(stock, data).SelectMany(row => row)], 1e-5);
        using var loaded = _context.Model.LoadRepVgg(file, out _);
        var classifier = loaded.OfType<RepVggTransformer>().Single();
        Assert.Equal(quantized.QuantizedNetwork!.Details, classifier.QuantizedNetwork!.Details);
        Assert.Equal(quantized.QuantizedNetwork.Blocks.SelectMany(block => block.Convolution!.Weights), classifier.QuantizedNetwork.Blocks.SelectMany(block => block.Convolution!.Weights));
        Assert.Equal(expected, Scores(loaded, data));
        using var upgraded = _context.Model.UpgradeRepVgg(stock);
        Assert.Equal(expected, Scores(upgraded, data));

        static IEnumerable<ITransformer> Flatten(ITransformer transformer) => transformer is IEnumerable<ITransformer> parts ? parts.SelectMany(Flatten) : [transformer];
    }

    [Fact]
    public void The_exported_file_is_that_of_the_quantized_network()
    {
        using var folder = new TemporaryFolder();
        using var quantized = trained.Model.LastTransformer.Quantize(Keyed(trained.TrainingData));
        string file = folder.File("model.onnx");
        quantized.ExportToOnnx(file);
        var read = OnnxReader.ReadQuantized(file);
        Assert.Equal(quantized.QuantizedNetwork!.Blocks.SelectMany(block => block.Convolution!.Biases), read.Blocks.SelectMany(block => block.Convolution!.Biases));
        Assert.Equal(Stripes.Names.Order(), OnnxReader.ReadDescription(file)!.ClassLabels.Order());
    }

    [Fact]
    public void The_network_in_floating_point_has_the_weights_of_the_integers()
    {
        var before = trained.Model.LastTransformer;
        using var quantized = before.Quantize(Keyed(trained.TrainingData), new QuantizationOptions { BiasCorrection = false, QuantizeClassifier = true });
        var network = quantized.Network;
        foreach (var (expected, actual) in before.Network.Blocks.Zip(network.Blocks))
        {
            Compare.Close(expected.Kernel.AsSpan(), actual.Kernel.AsSpan(), 0.5 / 127 + 1e-6);
            Compare.Close(expected.Bias.AsSpan(), actual.Bias.AsSpan(), 1e-3);
            Assert.NotEqual(expected.Kernel.AsEnumerable(), actual.Kernel);
        }
        Compare.Close(before.Network.Classifier.Weight.AsSpan(), network.Classifier.Weight.AsSpan(), 0.5 / 127 + 1e-6);
        Compare.Close(before.Network.Classifier.Bias.AsSpan(), network.Classifier.Bias.AsSpan(), 1e-3);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_temperature_is_fitted_to_a_quantized_classifier(bool quantizesClassifier)
    {
        using var quantized = trained.Model.LastTransformer.Quantize(Keyed(trained.TrainingData), new QuantizationOptions { QuantizeClassifier = quantizesClassifier });
        var data = Keyed(trained.TestData);
        using var calibrated = quantized.FitTemperature(data);
        Assert.NotNull(calibrated.QuantizedNetwork);
        double temperature = calibrated.Calibration!.Temperature;
        foreach (var (before, after) in Scores(quantized, data).Zip(Scores(calibrated, data)))
        {
            double[] powers = [.. before.Select(value => Math.Pow(value, 1 / temperature))];
            Compare.Close([.. powers.Select(value => (float)(value / powers.Sum()))], after, 1e-3);
        }
    }

    [Fact]
    public void Fine_tuning_has_a_hundredth_of_the_usual_rate_and_a_large_one_with_fixed_statistics_is_warned_of()
    {
        var options = new RepVggTrainer.Options { Quantization = QuantizationMode.Aware, Epochs = 6 };
        Assert.Equal((0.1f, 0), Effective(options));
        options.PretrainedWeightsPath = "some.pth";
        Assert.Equal((0.001f, 2), Effective(options));
        options.LearningRate = 0.02f;
        Assert.Equal((0.02f, 2), Effective(options));
        options.Quantization = QuantizationMode.PostTraining;
        Assert.Equal((0.02f, 0), Effective(options));

        var context = new MLContext(seed: 1);
        var warnings = new List<string>();
        context.Log += (_, entry) => warnings.Add(entry.Message);
        var run = Stripes.Options(epochs: 2);
        (run.Quantization, run.FrozenStatisticsEpochs, run.LearningRate) = (QuantizationMode.Aware, 1, 0.024f);
        Stripes.Pipeline(context, run).Fit(trained.TrainingData).Dispose();
        Assert.Contains(warnings, text => text.Contains("0.012 in epoch 2", StringComparison.Ordinal) && text.Contains("statistics of batch norms are fixed", StringComparison.Ordinal));
        warnings.Clear();
        run.LearningRate = 0.019f;
        Stripes.Pipeline(context, run).Fit(trained.TrainingData).Dispose();
        Assert.DoesNotContain(warnings, text => text.Contains("statistics of batch norms", StringComparison.Ordinal));

        static (float, int) Effective(RepVggTrainer.Options options) => options.ToTrainingOptions(1, 32, 32) is var training ? (training.ActualLearningRate, training.FrozenStatisticsEpochs) : default;
    }

    /// <summary>Fine-tuning of a checkpoint with the preset: the classifier starts where the trained one ended.</summary>
    [Fact]
    public void A_trained_checkpoint_is_fine_tuned()
    {
        using var folder = new TemporaryFolder();
        var options = Stripes.Options();
        options.CheckpointPath = folder.File("run.checkpoint");
        Fit(options).Dispose();
        var tuning = Stripes.Options().Apply(TrainingPreset.QuantizationAware);
        (tuning.Epochs, tuning.PretrainedWeightsPath, tuning.Architecture, tuning.Augmentation) = (2, options.CheckpointPath, null, Augmentation.None);
        using var model = Fit(tuning);
        Assert.Equal(QuantizationMode.Aware, tuning.Quantization);
        Assert.NotNull(model.LastTransformer.QuantizedNetwork);
        Assert.True(model.LastTransformer.History[0].TrainingAccuracy > 0.9);
        Assert.True(Accuracy(model) > 0.9);
    }
}
