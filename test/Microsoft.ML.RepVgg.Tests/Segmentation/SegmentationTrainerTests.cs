using System.Drawing;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Segmentation;
using Microsoft.ML.Transforms.Image;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Weights.PyTorch;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Segmentation;

/// <summary>Data and options of the trainer, valid and invalid.</summary>
public sealed class SegmentationTrainerTests : IDisposable
{
    private readonly MLContext _context = new(seed: 1);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private sealed class LabelRow
    {
        [ImageType(ShapeFiles.Height, ShapeFiles.Width)]
        public MLImage? Image { get; set; }

        [VectorType(ShapeFiles.Height, ShapeFiles.Width)]
        public byte[] Mask { get; set; } = [];
    }

    private sealed class PixelRow
    {
        [VectorType(3, ShapeFiles.InputHeight, ShapeFiles.InputWidth)]
        public float[] Image { get; set; } = [];

        public byte[] Mask { get; set; } = [];

        public string Text { get; set; } = "";
    }

    private RepVggSegmentationTransformer Fit(RepVggSegmentationTrainer.Options options, IDataView data) => _context.Segmentation().Trainers.RepVggPsp(options).Fit(data);

    private string Refused<T>(RepVggSegmentationTrainer.Options options, IDataView data)
        where T : Exception => Assert.ThrowsAny<T>(() => Fit(options, data)).Message;

    [Fact]
    public void Columns_of_labels_and_of_images_are_read()
    {
        var files = ShapeFiles.Write(_folder.Path, 12, seed: 2);
        var rows = files.Training.Select(sample => new LabelRow { Image = MLImage.CreateFromFile(sample.ImagePath), Mask = MaskImage.Read(File.ReadAllBytes(sample.MaskPath), 10_000, null).Labels }).ToList();
        using var ofLabels = Fit(ShapeFiles.Options(epochs: 1), _context.Data.LoadFromEnumerable(rows));
        using var ofFiles = Fit(ShapeFiles.Options(epochs: 1), ShapeFiles.Load(_context, files.Training));
        Assert.Equal(ofFiles.History[0].TrainingLoss, ofLabels.History[0].TrainingLoss);
        Assert.Equal(3, ofLabels.Network.Classes);
        rows.ForEach(row => row.Image!.Dispose());
    }

    [Fact]
    public void Crops_of_images_of_different_sizes_are_trained()
    {
        var large = ShapeFiles.Write(_folder.File("large"), 6, seed: 3, height: 70, width: 90);
        var small = ShapeFiles.Write(_folder.File("small"), 6, seed: 4, height: 25, width: 30);
        var options = ShapeFiles.Options(epochs: 1);
        options.TrainOnCrops = true;
        var log = new List<string>();
        _context.Log += (_, entry) => log.Add(entry.RawMessage);
        using var model = Fit(options, ShapeFiles.Load(_context, [.. large.Training, .. small.Training]));
        var mask = model.Predict(File.ReadAllBytes(large.Training[0].ImagePath), slidingWindow: true);
        Assert.Equal((70, 90), (mask.Height, mask.Width));
        // A network of crops has the sliding window without being asked, also after it was loaded; its columns have resized images.
        byte[] image = File.ReadAllBytes(large.Training[1].ImagePath);
        Assert.Equal(model.Predict(image, slidingWindow: true).Classes.ToArray(), model.Predict(image).Classes.ToArray());
        _context.Model.SaveRepVgg(model, null, _folder.File("crops.zip"));
        using (var loaded = _context.Model.LoadRepVgg(_folder.File("crops.zip"), out _))
            Assert.True(Assert.IsType<RepVggSegmentationTransformer>(loaded.Single()).IsTrainedOnCrops);
        Assert.DoesNotContain(log, text => text.Contains("trained on crops", StringComparison.Ordinal));
        model.Transform(ShapeFiles.Load(_context, large.Training));
        Assert.Contains(log, text => text.Contains("trained on crops", StringComparison.Ordinal));
        Assert.Equal((25, 30), (model.Predict(File.ReadAllBytes(small.Training[0].ImagePath), slidingWindow: true).Height, model.Predict(File.ReadAllBytes(small.Training[0].ImagePath)).Width));
    }

    [Fact]
    public void Training_starts_from_the_weights_of_a_classifier()
    {
        var files = ShapeFiles.Write(_folder.Path, 10, seed: 5);
        using (var backend = new global::RepVgg.Backends.Cpu.CpuBackend(1))
        using (var classifier = new TrainingNetwork(ShapeFiles.Backbone, 7, backend, seed: 9))
            PthWriter.Write(classifier.ExportState(), _folder.File("classifier.pth"));
        var log = new List<string>();
        _context.Log += (_, entry) => log.Add(entry.RawMessage);
        var options = ShapeFiles.Options(epochs: 1);
        options.PretrainedWeightsPath = _folder.File("classifier.pth");
        options.FrozenStages = 3;
        options.Normalization = Normalization.ImageNet;
        using var model = Fit(options, ShapeFiles.Load(_context, files.Training));
        Assert.Contains(log, text => text.Contains("classifier.pth", StringComparison.Ordinal) && text.Contains("7 classes", StringComparison.Ordinal));

        // The stages were frozen, so that the fused backbone is that of the file.
        var state = global::RepVgg.Weights.Files.WeightsFile.Read(_folder.File("classifier.pth")).State;
        var expected = global::RepVgg.Reparameterization.Fusion.Fuse(ShapeFiles.Backbone, state);
        var actual = model.Network.ExportState();
        Compare.Close(expected["stage1.0.rbr_reparam.weight"].Values, actual["stage1.0.rbr_reparam.weight"].Values, 1e-5);
    }

    [Fact]
    public void Frozen_batch_norms_are_those_of_the_pretrained_weights()
    {
        var architecture = PspNetArchitecture.Create(ShapeFiles.Backbone, ShapeFiles.Classes) with { Bins = [1, 2], HeadWidth = 16, AuxiliaryWidth = 8 };
        using var backend = new global::RepVgg.Backends.Cpu.CpuBackend(1);
        using var classifier = new TrainingNetwork(ShapeFiles.Backbone, 7, backend, seed: 9);
        using var network = new TrainingNetwork(architecture, backend, seed: 1, freezeBatchNorm: true);
        network.ImportPretrained(classifier.ExportState());
        foreach (bool freezesAll in (bool[])[false, true])
        {
            network.FreezesStatistics = freezesAll;
            var before = network.ExportState();
            using (backend.BeginStep(training: true))
                network.ForwardWithAuxiliary(backend.CreateInput([2, 3, 33, 41], [.. Enumerable.Range(0, 2 * 3 * 33 * 41).Select(i => (float)Math.Sin(i))]));
            var after = network.ExportState();
            foreach (var (name, tensor) in before)
            {
                if (!name.EndsWith("running_mean", StringComparison.Ordinal))
                    continue;
                bool isOfHead = !name.StartsWith("stage", StringComparison.Ordinal);
                Assert.Equal(isOfHead && !freezesAll, !tensor.Values.SequenceEqual(after[name].Values));
            }
        }
    }

    [Fact]
    public void Colours_with_two_labels_and_options_that_change_later_have_no_effect()
    {
        var options = ShapeFiles.Options(epochs: 1);
        options.MaskColors = new Dictionary<Color, byte> { [Color.Black] = 0, [Color.FromArgb(0, 0, 0)] = 1 };
        Assert.Contains("two labels for the colour (0, 0, 0)", Assert.Throws<ArgumentException>(() => _context.Segmentation().Trainers.RepVggPsp(options)).Message, StringComparison.Ordinal);
        options.MaskColors = new Dictionary<Color, byte>();
        Assert.Contains("no colour", Assert.Throws<ArgumentException>(() => _context.Segmentation().Trainers.RepVggPsp(options)).Message, StringComparison.Ordinal);
        options.MaskColors = null;
        var names = new List<string> { "ground", "disc", "square" };
        options.ClassNames = names;
        var trainer = _context.Segmentation().Trainers.RepVggPsp(options);
        names.Add("more");
        using var model = trainer.Fit(ShapeFiles.Load(_context, ShapeFiles.Write(_folder.Path, 4, seed: 12).Training));
        Assert.Equal(3, model.Labels.Count);
    }

    [Fact]
    public void A_file_that_is_cut_off_is_invalid_in_both_kinds_of_columns()
    {
        var files = ShapeFiles.Write(_folder.Path, 6, seed: 13).Training;
        byte[] content = File.ReadAllBytes(files[1].ImagePath);
        File.WriteAllBytes(files[1].ImagePath, content[..(content.Length * 2 / 3)]);
        foreach (var data in (IDataView[])[ShapeFiles.Load(_context, files), ShapeFiles.LoadDecoded(_context, files)])
            Assert.Contains("001.png", Refused<InvalidOperationException>(ShapeFiles.Options(epochs: 1), data), StringComparison.Ordinal);
    }

    [Fact]
    public void Labels_that_are_not_consecutive_are_a_warning_and_255_a_refusal()
    {
        var files = ShapeFiles.Write(_folder.Path, 4, seed: 14).Training;
        foreach (var sample in files)
            new SegmentationMask(ShapeFiles.Height, ShapeFiles.Width, [.. SegmentationMask.Load(sample.MaskPath).Classes.ToArray().Select(label => label == 2 ? (byte)9 : label)]).Save(sample.MaskPath);
        var log = new List<string>();
        _context.Log += (_, entry) => log.Add(entry.RawMessage);
        using (var model = Fit(ShapeFiles.Options(epochs: 1), ShapeFiles.Load(_context, files)))
            Assert.Equal(10, model.Network.Classes);
        Assert.Contains(log, text => text.Contains("3 different labels, but the largest is 9", StringComparison.Ordinal));
        new SegmentationMask(ShapeFiles.Height, ShapeFiles.Width, [.. Enumerable.Range(0, ShapeFiles.Height * ShapeFiles.Width).Select(p => p % 2 == 0 ? (byte)255 : (byte)1)]).Save(files[0].MaskPath);
        var options = ShapeFiles.Options(epochs: 1);
        options.IgnoredLabel = 7;
        Assert.Contains("set IgnoredLabel to 255", Refused<InvalidOperationException>(options, ShapeFiles.Load(_context, files)), StringComparison.Ordinal);
    }

    [Fact]
    public void Cancelled_training_returns_the_best_model_or_throws()
    {
        var data = ShapeFiles.Load(_context, ShapeFiles.Write(_folder.Path, 12, seed: 6).Training);
        foreach (bool returnsBest in (bool[])[true, false])
        {
            using var source = new CancellationTokenSource();
            var options = ShapeFiles.Options(epochs: 50);
            options.CancellationToken = source.Token;
            options.OnCancellation = returnsBest ? CancellationBehavior.ReturnBest : CancellationBehavior.Throw;
            options.MetricsCallback = progress =>
            {
                if (progress.Epoch == 3)
                    source.Cancel();
            };
            if (!returnsBest)
            {
                Assert.Throws<OperationCanceledException>(() => Fit(options, data));
                continue;
            }
            using var model = Fit(options, data);
            Assert.Equal((StopReason.Cancelled, 2), (model.StopReason, model.History.Count));
        }
    }

    [Fact]
    public void Masks_that_cannot_be_used_are_named_or_skipped()
    {
        var files = ShapeFiles.Write(_folder.Path, 8, seed: 7).Training;
        string mask = files[2].MaskPath;
        byte[] good = File.ReadAllBytes(mask);
        foreach (var (content, reason) in ((byte[], string)[])
        [
            (new SegmentationMask(20, 24, new byte[480]).ToPng(), "the mask has 24 x 20 pixels, but its image has 48 x 40"),
            (new SegmentationMask(48, 40, new byte[1920]).ToPng(), "turned by its EXIF orientation"),
            (new SegmentationMask(40, 48, [.. Enumerable.Range(0, 1920).Select(p => (byte)(p == 100 ? 9 : 0))]).ToPng(), "the pixel in column 4 and row 2 of the mask has the label 9, but there are 3 classes"),
            (Convert.FromBase64String(MaskFiles.Colours), "Give MaskColors"),
            (File.ReadAllBytes(files[0].MaskPath)[..60], "cut off"),
            ([], "empty"),
        ])
        {
            File.WriteAllBytes(mask, content);
            var options = ShapeFiles.Options(epochs: 1);
            options.NumberOfClasses = 3;
            string message = Refused<InvalidOperationException>(options, ShapeFiles.Load(_context, files));
            Assert.Contains(reason, message, StringComparison.Ordinal);
            Assert.Contains("Row 2", message, StringComparison.Ordinal);
            Assert.Contains("002.png", message, StringComparison.Ordinal);
            options.InvalidRows = InvalidRowHandling.Skip;
            using var model = Fit(options, ShapeFiles.Load(_context, files));
            Assert.Equal(1, model.SkippedTrainingRowCount);
        }
        File.WriteAllBytes(mask, good);
    }

    [Fact]
    public void Masks_without_two_classes_are_refused()
    {
        var files = ShapeFiles.Write(_folder.Path, 4, seed: 8).Training;
        foreach (var (label, reason) in ((byte, string)[])[(255, "No pixel of the masks in column 'Mask' has a label"), (0, "All labelled pixels of the masks in column 'Mask' have the label 0")])
        {
            byte[] labels = [.. Enumerable.Range(0, ShapeFiles.Height * ShapeFiles.Width).Select(p => p < 500 ? label : byte.MaxValue)];
            foreach (var sample in files)
                new SegmentationMask(ShapeFiles.Height, ShapeFiles.Width, labels).Save(sample.MaskPath);
            Assert.Contains(reason, Refused<InvalidOperationException>(ShapeFiles.Options(), ShapeFiles.Load(_context, files)), StringComparison.Ordinal);
        }
        // The same masks with colours: black and the last colour of the palette.
        foreach (var sample in files)
            new SegmentationMask(ShapeFiles.Height, ShapeFiles.Width, [.. Enumerable.Range(0, ShapeFiles.Height * ShapeFiles.Width).Select(p => p < 500 ? (byte)0 : byte.MaxValue)]).Save(sample.MaskPath, [.. Enumerable.Repeat(Color.Black, 255), Color.White]);
        var options = ShapeFiles.Options(epochs: 1);
        options.MaskColors = new Dictionary<Color, byte> { [Color.Black] = 0, [Color.White] = 1 };
        using var model = Fit(options, ShapeFiles.Load(_context, files));
        Assert.Equal(2, model.Network.Classes);
    }

    [Fact]
    public void A_class_can_be_ignored()
    {
        var files = ShapeFiles.Write(_folder.Path, 8, seed: 15).Training;
        var options = ShapeFiles.Options(epochs: 1);
        options.IgnoredLabel = 0;
        using var model = Fit(options, ShapeFiles.Load(_context, files));
        Assert.Equal(3, model.Network.Classes);
        var metrics = _context.Segmentation().Evaluate(model.Transform(ShapeFiles.Load(_context, files)), "Mask", ignoredLabel: 0);
        Assert.Equal(files.Sum(file => SegmentationMask.Load(file.MaskPath).Classes.ToArray().Count(label => label != 0)), metrics.LabelledPixels);
    }

    [Fact]
    public void Columns_of_other_types_are_refused_with_advice()
    {
        var files = ShapeFiles.Write(_folder.Path, 4, seed: 9).Training;
        var data = ShapeFiles.Load(_context, files);
        var decoded = _context.Transforms.LoadImages("Mask", "", "MaskPath").Fit(data).Transform(data);
        Assert.Contains("LoadRawImageBytes", Refused<ArgumentException>(ShapeFiles.Options(), decoded), StringComparison.Ordinal);
        var options = ShapeFiles.Options();
        options.LabelColumnName = "Nothing";
        Assert.Contains("'Nothing'", Refused<ArgumentException>(options, data), StringComparison.Ordinal);
        options = ShapeFiles.Options();
        options.FeatureColumnName = "Nothing";
        Assert.Contains("'Nothing'", Refused<ArgumentException>(options, data), StringComparison.Ordinal);
        Assert.Contains("ConvertToImage", Refused<ArgumentException>(ShapeFiles.Options(), _context.Data.LoadFromEnumerable([new PixelRow()])), StringComparison.Ordinal);
        options.FeatureColumnName = "Text";
        Assert.Contains("LoadImages", Refused<ArgumentException>(options, _context.Data.LoadFromEnumerable([new PixelRow()])), StringComparison.Ordinal);
        Assert.Contains("has no rows", Refused<InvalidOperationException>(ShapeFiles.Options(), ShapeFiles.Load(_context, [])), StringComparison.Ordinal);
        Assert.Contains("too few", Refused<InvalidOperationException>(ShapeFiles.Options(), ShapeFiles.Load(_context, files.Take(2))), StringComparison.Ordinal);
    }

    [Fact]
    public void Options_out_of_range_are_refused()
    {
        foreach (var (change, reason) in ((Action<RepVggSegmentationTrainer.Options>, string)[])
        [
            (options => options.NumberOfClasses = 1, "NumberOfClasses is 1"),
            (options => options.NumberOfClasses = 256, "NumberOfClasses is 256"),
            (options => (options.NumberOfClasses, options.ClassNames) = (3, ["a", "b"]), "2 names"),
            (options => options.ScoreColumnName = "PredictedMask", "must differ"),
            (options => options.PredictedMaskColumnName = " ", "PredictedMaskColumnName is empty"),
            (options => options.ImageHeight = 0, "image size"),
            (options => options.ImageChannels = 2, "ImageChannels is 2"),
            (options => options.ValidationSetFraction = 1, "ValidationSetFraction is 1"),
            (options => options.FrozenStages = 1, "need PretrainedWeightsPath"),
            (options => options.TestTimeAugmentation = TestTimeAugmentation.HorizontalFlip, "for classifiers"),
        ])
        {
            var options = ShapeFiles.Options();
            change(options);
            Assert.Contains(reason, Assert.Throws<ArgumentException>(() => _context.Segmentation().Trainers.RepVggPsp(options)).Message, StringComparison.Ordinal);
        }
        var data = ShapeFiles.Load(_context, ShapeFiles.Write(_folder.Path, 4, seed: 10).Training);
        foreach (var (change, reason) in ((Action<RepVggSegmentationTrainer.Options>, string)[])
        [
            (options => options.ImageHeight = options.ImageWidth = 4, "too small"),
            (options => options.Epochs = 0, "Epochs is 0"),
            (options => options.ClassWeights = [1, 2], "ClassWeights has 2 weights, but there are 3 classes"),
            (options => options.Augmentation = new SegmentationAugmentation { MinimumScale = 3 }, "MinimumScale is 3"),
            (options => options.Bins = [3, 2], "bins"),
            (options => options.PretrainedWeightsPath = _folder.File("none.pth"), "none.pth"),
        ])
        {
            var options = ShapeFiles.Options();
            change(options);
            Assert.Contains(reason, Assert.ThrowsAny<Exception>(() => Fit(options, data)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_checkpoint_is_resumed()
    {
        var data = ShapeFiles.Load(_context, ShapeFiles.Write(_folder.Path, 10, seed: 11).Training);
        var options = ShapeFiles.Options(epochs: 3);
        using var whole = Fit(options, data);
        options.CheckpointPath = _folder.File("run.checkpoint");
        using var source = new CancellationTokenSource();
        options.CancellationToken = source.Token;
        options.MetricsCallback = progress =>
        {
            if (progress.EpochResult is { Epoch: 2 })
                source.Cancel();
        };
        Assert.Throws<OperationCanceledException>(() => Fit(options, data));
        options.CancellationToken = default;
        using var resumed = Fit(options, data);
        Assert.Equal(whole.Network.ExportState()["cls.0.weight"].Values, resumed.Network.ExportState()["cls.0.weight"].Values);
    }
}
