using System.Globalization;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Tests.Trainer;
using RepVgg.Inference;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Weights.Onnx;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Segmentation;

/// <summary>A trained network as part of ML.NET: scoring, evaluation, saving and loading.</summary>
public sealed class SegmentationModelTests(TrainedSegmentation trained) : IClassFixture<TrainedSegmentation>
{
    private const int Area = ShapeFiles.InputHeight * ShapeFiles.InputWidth;

    private readonly MLContext _context = trained.Context;

    private sealed class Prediction
    {
        [VectorType(ShapeFiles.InputHeight, ShapeFiles.InputWidth)]
        public byte[] PredictedMask { get; set; } = [];
    }

    private sealed class Picture
    {
        public byte[] Image { get; set; } = [];

        public byte[] Mask { get; set; } = [];
    }

    private ITransformer Reload(ITransformer model)
    {
        using var stream = new MemoryStream();
        _context.Model.Save(model, ShapeFiles.LoadDecoded(_context, trained.Validation).Schema, stream);
        stream.Position = 0;
        return new MLContext().Model.Load(stream, out _);
    }

    [Fact]
    public void The_network_has_learned_the_shapes()
    {
        var metrics = _context.Segmentation().Evaluate(trained.Model.Transform(ShapeFiles.Load(_context, trained.Validation)), "Mask");
        // The ground alone, about 0.78 of the pixels, gives 0.26.
        Assert.True(metrics.MeanIoU > 0.8, $"mean IoU {metrics.MeanIoU}");
        Assert.Equal(trained.Validation.Count * ShapeFiles.Height * ShapeFiles.Width, metrics.LabelledPixels);
        Assert.Equal(3, metrics.Classes);
        Assert.Equal(12, trained.Model.History.Count);
        Assert.Equal(trained.Model.History.Max(epoch => epoch.ValidationMeanIoU), trained.Model.History[trained.Model.BestEpoch - 1].ValidationMeanIoU);
        Assert.Equal(["ground", "disc", "square"], trained.Model.Labels);
    }

    [Fact]
    public void Evaluation_counts_the_pixels_of_the_masks()
    {
        var scored = trained.Model.Transform(ShapeFiles.Load(_context, trained.Validation));
        byte[][] predicted = ShapeFiles.Masks(scored);
        long[] counts = new long[9];
        foreach (var (sample, mask) in trained.Validation.Zip(predicted))
        {
            var labels = Microsoft.ML.RepVgg.Segmentation.MaskImage.Read(File.ReadAllBytes(sample.MaskPath), 10_000, null).Labels;
            for (int p = 0; p < labels.Length; p++)
            {
                // The pixel of the small mask in which the middle of the label's pixel lies.
                double y = (p / ShapeFiles.Width + 0.5) * ShapeFiles.InputHeight / ShapeFiles.Height, x = (p % ShapeFiles.Width + 0.5) * ShapeFiles.InputWidth / ShapeFiles.Width;
                counts[labels[p] * 3 + mask[(int)y * ShapeFiles.InputWidth + (int)x]]++;
            }
        }
        var (expected, actual) = (new SegmentationMetrics(counts), _context.Segmentation().Evaluate(scored, "Mask"));
        for (int i = 0; i < 9; i++)
            Assert.Equal(counts[i], actual.Count(i / 3, i % 3));
        Assert.Equal(expected.MeanIoU, actual.MeanIoU);
        Assert.Equal(counts[0] + counts[4] + counts[8], (long)Math.Round(actual.PixelAccuracy * actual.LabelledPixels));

        // Without the ground.
        var ignored = _context.Segmentation().Evaluate(scored, "Mask", ignoredLabel: 0);
        Assert.Equal(counts[3..].Sum(), ignored.LabelledPixels);
        var colours = new Dictionary<System.Drawing.Color, byte>();
        foreach (var (label, color) in Microsoft.ML.RepVgg.Segmentation.MaskColors.Create(3).Index())
            colours[color] = (byte)(2 - label);
        Assert.Equal(counts[1], _context.Segmentation().Evaluate(scored, "Mask", maskColors: colours).Count(2, 1));
        Assert.Contains("'Nothing'", Assert.Throws<ArgumentException>(() => _context.Segmentation().Evaluate(scored, "Nothing")).Message, StringComparison.Ordinal);
        Assert.Contains("predicted mask column 'Image'", Assert.Throws<ArgumentException>(() => _context.Segmentation().Evaluate(scored, "Mask", "Image")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Rows_files_and_engines_have_the_same_masks()
    {
        var scored = trained.Model.Transform(ShapeFiles.Load(_context, trained.Validation));
        var type = Assert.IsType<VectorDataViewType>(scored.Schema["PredictedMask"].Type);
        Assert.Equal([ShapeFiles.InputHeight, ShapeFiles.InputWidth], type.Dimensions.ToArray());
        Assert.Equal(NumberDataViewType.Byte, type.ItemType);
        Assert.Equal([3, ShapeFiles.InputHeight, ShapeFiles.InputWidth], Assert.IsType<VectorDataViewType>(scored.Schema["Score"].Type).Dimensions.ToArray());
        byte[][] masks = ShapeFiles.Masks(scored);
        Assert.Equal(trained.Validation.Count, masks.Length);
        Assert.Contains(masks, mask => mask.Contains((byte)1));

        // The columns of decoded images are the same.
        Assert.Equal(masks, ShapeFiles.Masks(trained.Model.Transform(ShapeFiles.LoadDecoded(_context, trained.Validation))));
        using var engine = _context.Model.CreatePredictionEngine<Picture, Prediction>(trained.Model, new PredictionEngineOptions { OwnsTransformer = false });
        for (int i = 0; i < 5; i++)
            Assert.Equal(masks[i], engine.Predict(new Picture { Image = File.ReadAllBytes(trained.Validation[i].ImagePath) }).PredictedMask);

        int row = 0;
        foreach (var scores in scored.GetColumn<float[]>("Score"))
        {
            for (int p = 0; p < Area; p++)
            {
                float[] pixel = [scores[p], scores[Area + p], scores[2 * Area + p]];
                Assert.InRange(pixel.Sum(), 1 - 1e-5f, 1 + 1e-5f);
                Assert.Equal(pixel.Max(), pixel[masks[row][p]]);
            }
            row++;
        }
    }

    [Fact]
    public void The_saved_chain_is_of_MLNET_and_gives_the_same_masks()
    {
        var loaded = Reload(trained.Model);
        Assert.DoesNotContain(Flatten(loaded), part => part.GetType().Assembly == typeof(RepVggSegmentationTransformer).Assembly);
        var data = ShapeFiles.LoadDecoded(_context, trained.Validation);
        var (expected, actual) = (trained.Model.Transform(data), loaded.Transform(data));
        Assert.Equal(expected.Schema.Where(column => !column.IsHidden).Select(column => column.Name), actual.Schema.Where(column => !column.IsHidden).Select(column => column.Name));
        foreach (string column in (string[])["PredictedMask", "Score"])
            Assert.Equal(((VectorDataViewType)expected.Schema[column].Type).Dimensions.AsEnumerable(), ((VectorDataViewType)actual.Schema[column].Type).Dimensions);
        float[][] scores = [.. expected.GetColumn<float[]>("Score")], others = [.. actual.GetColumn<float[]>("Score")];
        var (masks, otherMasks) = (ShapeFiles.Masks(expected), ShapeFiles.Masks(actual));
        for (int i = 0; i < scores.Length; i++)
        {
            Compare.Close(scores[i], others[i], 1e-4);
            for (int p = 0; p < Area; p++)
                Assert.True(masks[i][p] == otherMasks[i][p] || Math.Abs(scores[i][masks[i][p] * Area + p] - scores[i][otherMasks[i][p] * Area + p]) < 1e-4);
        }
        Assert.Equal(_context.Segmentation().Evaluate(expected, "Mask").MeanIoU, _context.Segmentation().Evaluate(actual, "Mask").MeanIoU, 1e-3);

        static IEnumerable<ITransformer> Flatten(ITransformer transformer) => transformer is IEnumerable<ITransformer> parts ? parts.SelectMany(Flatten) : [transformer];
    }

    [Fact]
    public async Task Another_process_that_knows_only_mlnet_gives_the_same_masks()
    {
        using var folder = new TemporaryFolder();
        _context.Model.Save(trained.Model, ShapeFiles.LoadDecoded(_context, trained.Validation).Schema, folder.File("model.zip"));
        string[] lines = (await SavedModelTests.Consumer.RunAsync(["mask", folder.File("model.zip"), .. trained.Validation.Take(3).Select(sample => sample.ImagePath)])).Split('\n', StringSplitOptions.RemoveEmptyEntries);
        byte[][] masks = ShapeFiles.Masks(trained.Model.Transform(ShapeFiles.Load(_context, trained.Validation.Take(3))));
        Assert.Equal(masks.Length, lines.Length);
        for (int i = 0; i < lines.Length; i++)
            Assert.True(Convert.FromHexString(lines[i].Trim()).Zip(masks[i]).Count(pair => pair.First != pair.Second) <= 2);
    }

    [Fact]
    public void Models_are_loaded_with_this_library()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("model.zip");
        var data = ShapeFiles.Load(_context, trained.Validation);
        _context.Model.SaveRepVgg(trained.Model, data.Schema, path);
        using var model = new MLContext().Model.LoadRepVgg(path, out _);
        var loaded = Assert.IsType<RepVggSegmentationTransformer>(Assert.Single(model));
        Assert.Equal(["ground", "disc", "square"], loaded.Labels);
        Assert.Equal(("Image", "PredictedMask", "Score"), (loaded.FeatureColumnName, loaded.PredictedMaskColumnName, loaded.ScoreColumnName));
        Assert.Equal(ShapeFiles.Masks(trained.Model.Transform(data)), ShapeFiles.Masks(loaded.Transform(data)));
        using var upgraded = _context.Model.UpgradeRepVgg(Reload(trained.Model));
        Assert.IsType<RepVggSegmentationTransformer>(Assert.Single(upgraded));
    }

    [Fact]
    public void Masks_of_single_images_have_their_size()
    {
        byte[] image = File.ReadAllBytes(trained.Validation[0].ImagePath);
        var mask = trained.Model.Predict(image);
        Assert.Equal((ShapeFiles.Height, ShapeFiles.Width), (mask.Height, mask.Width));
        byte[] small = ShapeFiles.Masks(trained.Model.Transform(ShapeFiles.Load(_context, trained.Validation)))[0];
        Assert.Equal(small[(ShapeFiles.InputHeight - 1) * ShapeFiles.InputWidth], mask[ShapeFiles.Height - 1, 0]);
        Assert.Equal(small[^1], mask[ShapeFiles.Height - 1, ShapeFiles.Width - 1]);

        // Windows of the network's size, on the pixels of the image.
        byte[] planes = Microsoft.ML.RepVgg.Segmentation.ImagePlanes.Read(image, out int height, out int width), expected = new byte[height * width];
        using var engine = new SegmentationEngine(trained.Model.Network, threads: 1);
        new SlidingWindow(engine, trained.Model.Network.Normalization).Run(planes, height, width, expected);
        Assert.Equal(expected, trained.Model.Predict(image, slidingWindow: true).Classes.ToArray());
        Assert.Contains("The image cannot be used: its format is", Assert.Throws<InvalidDataException>(() => trained.Model.Predict([1, 2, 3])).Message, StringComparison.OrdinalIgnoreCase);

        byte[] drawing = mask.DrawOn(image, opacity: 1);
        byte[] colours = Microsoft.ML.RepVgg.Segmentation.ImagePlanes.Read(drawing, out _, out _);
        for (int p = 0; p < mask.Classes.Length; p++)
            Assert.Equal(Microsoft.ML.RepVgg.Segmentation.MaskColors.Create(3)[mask.Classes.Span[p]].R, colours[p]);
        Assert.Equal(planes, Microsoft.ML.RepVgg.Segmentation.ImagePlanes.Read(mask.DrawOn(image, opacity: 0), out _, out _));
        Assert.Throws<ArgumentException>(() => new SegmentationMask(2, 2, new byte[4]).DrawOn(image));
    }

    [Fact]
    public void The_exported_file_is_the_network()
    {
        using var folder = new TemporaryFolder();
        trained.Model.ExportToOnnx(folder.File("network.onnx"));
        var (network, labels) = OnnxReader.ReadSegmentation(folder.File("network.onnx"));
        Assert.Equal(["ground", "disc", "square"], labels.ToArray());
        Assert.Equal(trained.Model.Network.ExportState().Names, network.ExportState().Names);
    }

    [Fact]
    public void An_invalid_image_is_an_error_or_has_no_prediction()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("bad.png"), "no image");
        SegmentationSample[] samples = [trained.Validation[0], new() { ImagePath = folder.File("bad.png"), MaskPath = trained.Validation[1].MaskPath }];
        var data = ShapeFiles.Load(_context, samples);
        Assert.Contains("bad.png", Assert.ThrowsAny<Exception>(() => ShapeFiles.Masks(trained.Model.Transform(data))).ToString(), StringComparison.Ordinal);

        _context.Model.SaveRepVgg(trained.Model, data.Schema, folder.File("model.zip"));
        using var model = _context.Model.LoadRepVgg(folder.File("model.zip"), out _, new RepVggLoadOptions { InvalidRows = InvalidRowHandling.Skip });
        var scored = model.Transform(data);
        byte[][] masks = ShapeFiles.Masks(scored);
        Assert.All(masks[1], label => Assert.Equal(byte.MaxValue, label));
        Assert.Equal(ShapeFiles.Height * ShapeFiles.Width, _context.Segmentation().Evaluate(scored, "Mask").LabelledPixels);
        Assert.Equal(2, ((RepVggSegmentationTransformer)model.Single()).InvalidRowCount);
    }

    [Fact]
    public void Limits_of_memory_hold_for_models_that_are_loaded()
    {
        using var folder = new TemporaryFolder();
        _context.Model.SaveRepVgg(trained.Model, null, folder.File("model.zip"));
        foreach (var limits in (global::RepVgg.Weights.WeightsFileLimits[])[new() { MaximumWorkspaceBytes = 1000 }, new() { MaximumImageSide = 40 }])
            Assert.Throws<InvalidDataException>(() => _context.Model.LoadRepVgg(folder.File("model.zip"), out _, new RepVggLoadOptions { ModelLimits = limits }));
    }

    [Fact]
    public void The_report_counts_the_pixels_of_all_images_and_names_the_worst()
    {
        using var folder = new TemporaryFolder();
        var report = trained.Model.Evaluate(trained.Validation)!;
        // The masks of single images are enlarged as those of the evaluation are.
        Assert.Equal(_context.Segmentation().Evaluate(trained.Model.Transform(ShapeFiles.Load(_context, trained.Validation)), "Mask").MeanIoU, report.Metrics.MeanIoU);
        var worst = report.Worst(3);
        Assert.Equal(report.Images.Min(image => image.MeanIoU), worst[0].MeanIoU);
        Assert.Equal(3, worst.Count);
        Assert.All(report.Draw(worst[0], largestSide: 24), drawing =>
        {
            Microsoft.ML.RepVgg.Segmentation.ImagePlanes.Read(drawing, out int height, out int width);
            Assert.Equal((20, 24), (height, width));
        });

        File.WriteAllText(folder.File("bad.png"), "no image");
        SegmentationSample[] samples = [trained.Validation[0], new() { ImagePath = folder.File("bad.png"), MaskPath = trained.Validation[1].MaskPath }, new() { ImagePath = trained.Validation[1].ImagePath, MaskPath = folder.File("bad.png") }];
        Assert.Contains("bad.png", Assert.Throws<InvalidDataException>(() => trained.Model.Evaluate(samples)).Message, StringComparison.Ordinal);
        var skipping = trained.Model.Evaluate(samples, new() { SkipInvalid = true })!;
        Assert.Equal((1, 2), (skipping.Images.Count, skipping.SkippedImages));
        Assert.Null(trained.Model.Evaluate(samples[1..], new() { SkipInvalid = true }));
    }

    [Fact]
    public void Progress_reports_the_mean_IoU()
    {
        var log = new List<string>();
        var context = new MLContext(seed: 1);
        context.Log += (_, entry) => log.Add(entry.RawMessage);
        var options = ShapeFiles.Options(epochs: 1);
        double? last = null;
        options.MetricsCallback = progress => last = progress.MeanIoU;
        using var model = context.Segmentation().Trainers.RepVggPsp(options).Fit(ShapeFiles.Load(context, trained.Files));
        Assert.Equal(model.History[0].ValidationMeanIoU, last);
        Assert.Contains(log, text => text.Contains(string.Create(CultureInfo.InvariantCulture, $"mean IoU {last:f4}"), StringComparison.Ordinal));
    }
}
