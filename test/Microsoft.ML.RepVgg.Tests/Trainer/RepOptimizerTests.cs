using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Optimizers;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Weights;
using RepVgg.Weights.PyTorch;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>From the search for scales to a model that was trained with them.</summary>
public sealed class RepOptimizerTests : IDisposable
{
    private static readonly RepVggArchitecture _plain = Stripes.Tiny with { TrainingForm = TrainingForm.Plain };

    private readonly TemporaryFolder _folder = new();
    private readonly MLContext _context = new(seed: 1);
    private readonly List<string> _log = [];

    public RepOptimizerTests() => _context.Log += (_, line) => { lock (_log) _log.Add(line.Message); };

    public void Dispose() => _folder.Dispose();

    private IDataView Keyed(IDataView data) => _context.Transforms.Conversion.MapValueToKey("Label").Fit(data).Transform(data);

    private IDataView Rows(int count = 60, int seed = 1) => Keyed(_context.Data.LoadFromEnumerable(Stripes.Rows(count, seed)));

    private static RepOptimizerSearch.Options Search(int epochs = 2) => new()
    {
        Architecture = _plain,
        Epochs = epochs,
        BatchSize = 16,
        Augmentation = Augmentation.None,
        Seed = 7,
        NumberOfThreads = 2,
        Device = TrainingDevice.Cpu,
    };

    private static RepVggTrainer.Options Options(OptimizerOptions optimizer, int epochs = 4)
    {
        var options = Stripes.Options(epochs);
        options.TrainingForm = TrainingForm.Plain;
        options.Optimizer = optimizer;
        options.Device = TrainingDevice.Cpu;
        return options;
    }

    private RepVggTransformer Fit(RepVggTrainer.Options options) => _context.MulticlassClassification.Trainers.RepVgg(options).Fit(Rows());

    private string Error(RepVggTrainer.Options options) => Assert.ThrowsAny<Exception>(() => Fit(options).Dispose()).Message;

    [Theory]
    [InlineData("scales.pth", false)]
    [InlineData("scales.safetensors", true)]
    public void Searched_scales_train_a_model_that_scores(string name, bool adamW)
    {
        var search = Search();
        search.ScalesPath = _folder.File(name);
        int reports = 0;
        search.MetricsCallback = _ => reports++;
        var scales = RepOptimizerSearch.Run(_context, Rows(), search);
        scales.Validate(_plain);
        Assert.Equal(2 * (4 + 1), reports);
        Assert.Equal(RepOptimizerScales.Load(search.ScalesPath).Hash, scales.Hash);
        var initial = RepOptimizerScales.Initial(_plain).ToState();
        Assert.All(scales.ToState(), pair => Assert.NotEqual(initial[pair.Key].Values, pair.Value.Values));
        Assert.Contains(_log, line => line.Contains("Epoch 2 of 2: loss"));

        var options = Options(new RepOptimizerOptions { ScalesPath = search.ScalesPath, Base = adamW ? new AdamWOptions() : new SgdOptions(0.9f, Nesterov: true) });
        if (adamW)
            options.LearningRate = 0.01f;
        using var model = Fit(options);
        Assert.Equal(TrainingForm.Plain, model.Architecture.TrainingForm);
        var predictions = _context.Data.CreateEnumerable<Stripes.Prediction>(model.Transform(Rows(60, seed: 2)), reuseRowObject: false).ToList();
        Assert.InRange(predictions.Count(row => row.PredictedLabel == row.Number % 3 + 1), 55, 60);
    }

    [Fact]
    public void The_same_seed_finds_the_same_scales_for_any_number_of_threads()
    {
        var one = Search();
        one.NumberOfThreads = 1;
        var scales = RepOptimizerSearch.Run(_context, Rows(), Search());
        Assert.Equal(scales.Hash, RepOptimizerSearch.Run(_context, Rows(), one).Hash);
        var other = Search();
        other.Seed = 8;
        Assert.NotEqual(scales.Hash, RepOptimizerSearch.Run(_context, Rows(), other).Hash);
    }

    [Fact]
    public void The_search_is_the_published_recipe()
    {
        var options = new RepOptimizerSearch.Options { Architecture = RepVggVariants.RepOptB1 };
        var trainer = options.ToTrainerOptions(isImage: true);
        Assert.Equal((32, 32), (trainer.ImageHeight, trainer.ImageWidth));
        Assert.Null(options.ToTrainerOptions(isImage: false).ImageHeight);
        Assert.Equal(RepVggVariants.RepOptB1 with { TrainingForm = TrainingForm.HyperSearch }, trainer.Architecture);
        Assert.Equal(new SgdOptions(0.9f, Nesterov: true), trainer.Optimizer);
        Assert.Equal(new LearningRateScheduler { WarmUpEpochs = 10 }, trainer.LearningRateScheduler);
        Assert.Equal(new Augmentation { HorizontalFlip = true, CropPadding = 4 }, trainer.Augmentation);
        Assert.Equal((240, 128, 0.05f, 4e-5f, 5f, 0.1f, 0f), (trainer.Epochs, trainer.BatchSize, trainer.LearningRate, trainer.WeightDecay, trainer.GradientClipNorm, trainer.LabelSmoothing, trainer.ValidationSetFraction));
    }

    private sealed class ImageRow
    {
        public string Label { get; set; } = "";

        [ImageType(40, 48)]
        public MLImage? Features { get; set; }
    }

    /// <summary>Images of any size become 32 x 32 pixels, whatever the default size of the architecture is.</summary>
    [Fact]
    public void Images_are_searched_at_32_pixels()
    {
        var rows = new List<ImageRow>();
        for (int i = 0; i < 8; i++)
        {
            byte[] pixels = new byte[40 * 48 * 4];
            Array.Fill(pixels, (byte)(i % 2 == 0 ? 60 + i : 200 - i));
            rows.Add(new ImageRow { Label = i % 2 == 0 ? "dark" : "bright", Features = MLImage.CreateFromPixels(40, 48, MLPixelFormat.Bgra32, pixels) });
        }
        var search = Search(epochs: 1);
        search.BatchSize = 4;
        search.Architecture = RepVggVariants.Create("narrow", [1, 2, 1, 1], 1 / 16.0, 1 / 64.0);
        var scales = RepOptimizerSearch.Run(_context, Keyed(_context.Data.LoadFromEnumerable(rows)), search);
        scales.Validate(search.Architecture);
        Assert.Contains(_log, line => line.Contains("8 images of 3 x 32 x 32"));
    }

    [Fact]
    public void A_search_is_cancelled_and_resumed()
    {
        var whole = RepOptimizerSearch.Run(_context, Rows(), Search(epochs: 3));
        using var source = new CancellationTokenSource();
        var search = Search(epochs: 3);
        search.ScalesPath = _folder.File("scales.pth");
        search.CheckpointPath = _folder.File("search.checkpoint");
        search.CancellationToken = source.Token;
        search.MetricsCallback = progress =>
        {
            if (progress.Epoch == 3)
                source.Cancel();
        };
        Assert.Throws<OperationCanceledException>(() => RepOptimizerSearch.Run(_context, Rows(), search));
        Assert.False(File.Exists(search.ScalesPath));
        (search.CancellationToken, search.MetricsCallback) = (default, null);
        Assert.Equal(whole.Hash, RepOptimizerSearch.Run(_context, Rows(), search).Hash);
        // The checkpoint of the search is a file of scales.
        Assert.Equal(whole.Hash, RepOptimizerScales.Load(search.CheckpointPath).Hash);
    }

    [Fact]
    public void Branches_with_constant_scales_are_trained()
    {
        var state = RepOptimizerScales.Initial(_plain).ToState();
        foreach (ref float value in state["stage1.1.scale_conv.weight"].Values.AsSpan())
            value = -0.25f;
        var options = Options(new SgdOptions(0.9f, Nesterov: true));
        options.TrainingForm = TrainingForm.Csla;
        options.BranchScales = RepOptimizerScales.FromState(state);
        options.CheckpointPath = _folder.File("run.checkpoint");
        using var model = Fit(options);
        var trained = RepOptimizerScales.Load(options.CheckpointPath).ToState();
        foreach (var (name, tensor) in state)
            Assert.Equal(!name.Contains("identity", StringComparison.Ordinal), tensor.Values.AsSpan().SequenceEqual(trained[name].Values));
    }

    [Fact]
    public void Pretrained_weights_are_not_initialised_again_and_the_log_says_so()
    {
        string path = _folder.File("plain.pth");
        var weights = RandomStates.Training(_plain, 3);
        PthWriter.Write(weights, path, new ModelDescription(_plain, 3, Stripes.Size, Stripes.Size, new Normalization([128], [1 / 64f]), []));
        var options = Options(new RepOptimizerOptions { Scales = RepOptimizerScales.Initial(_plain) }, epochs: 1);
        options.PretrainedWeightsPath = path;
        options.LearningRate = 1e-7f;
        options.CheckpointPath = _folder.File("run.checkpoint");
        using var model = Fit(options);
        Assert.Contains(_log, line => line.Contains("The kernels are not initialised from its scales"));
        var trained = global::RepVgg.Weights.Files.WeightsFile.Read(options.CheckpointPath).State;
        Compare.Close(weights["stage1.1.conv.weight"].Values, trained["stage1.1.conv.weight"].Values, 1e-3);
    }

    [Fact]
    public void Invalid_options_are_refused_before_the_images_are_read()
    {
        var scales = RepOptimizerScales.Initial(_plain);
        var valid = new RepOptimizerOptions { Scales = scales };
        Assert.Contains("neither Scales nor ScalesPath", Error(Options(new RepOptimizerOptions())));
        Assert.Contains("both Scales and ScalesPath", Error(Options(valid with { ScalesPath = "scales.pth" })));
        Assert.Contains("missing.pth", Error(Options(new RepOptimizerOptions { ScalesPath = _folder.File("missing.pth") })));
        Assert.Contains("do not fit Tiny", Error(Options(valid with { Scales = RepOptimizerScales.Initial(RepVggVariants.S1) })));

        var branches = Options(valid);
        branches.TrainingForm = null;
        Assert.Contains("in the training form RepVgg", Error(branches));
        var clipped = Options(valid);
        clipped.GradientClipNorm = 5;
        Assert.Contains("RepOptimizer cannot be used with it", Error(clipped));
        var plainScales = Options(new SgdOptions());
        plainScales.BranchScales = scales;
        Assert.Contains("has no scaled branches", Error(plainScales));
        plainScales.PretrainedWeightsPath = "weights.pth";
        Assert.Contains("BranchScales cannot be given with PretrainedWeightsPath", Error(plainScales));
        Assert.DoesNotContain(_log, line => line.Contains(" images of "));
    }

    [Theory]
    [InlineData("missing/scales.pth", "does not exist")]
    [InlineData("folder.safetensors", "it is a folder")]
    public void Scales_that_cannot_be_written_are_refused_before_the_search(string name, string message)
    {
        Directory.CreateDirectory(_folder.File("folder.safetensors"));
        var search = Search(epochs: 1);
        search.ScalesPath = _folder.File(name);
        search.CheckpointPath = _folder.File("search.checkpoint");
        var error = Assert.ThrowsAny<IOException>(() => RepOptimizerSearch.Run(_context, Rows(), search));
        Assert.Contains("The file of scales", error.Message);
        Assert.Contains(message, error.Message);
        Assert.DoesNotContain(_log, line => line.Contains(" images of "));
        Assert.False(File.Exists(search.CheckpointPath));
    }

    [Fact]
    public void Invalid_options_of_a_search_are_refused()
    {
        string SearchError(Action<RepOptimizerSearch.Options> change)
        {
            var search = Search(epochs: 1);
            change(search);
            return Assert.ThrowsAny<ArgumentException>(() => RepOptimizerSearch.Run(_context, Rows(), search)).Message;
        }

        Assert.Contains("Architecture is null", SearchError(search => search.Architecture = null!));
        Assert.Contains("must be .pth, .pt or .safetensors", SearchError(search => search.ScalesPath = "scales.onnx"));
        Assert.Contains("must be .pth, .pt or .safetensors", SearchError(search => search.ScalesPath = _folder.File("scales")));
        Assert.Contains("'Picture'", SearchError(search => search.FeatureColumnName = "Picture"));
        Assert.Contains("'Class'", SearchError(search => search.LabelColumnName = "Class"));
        Assert.Contains("Epochs is 0", SearchError(search => search.Epochs = 0));
        Assert.Contains("GradientClipNorm is 0", SearchError(search => search.GradientClipNorm = 0));
        Assert.Contains("Augmentation is null", SearchError(search => search.Augmentation = null!));
    }
}
