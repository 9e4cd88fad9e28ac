using System.Collections.Immutable;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>Training that starts from a file of weights.</summary>
public sealed class FineTuningTests : IDisposable
{
    private static readonly Normalization _normalization = new([100], [0.02f]);

    /// <summary>Strides are as inference from names and shapes takes them.</summary>
    private static readonly RepVggArchitecture _inferable = Stripes.Tiny with { Name = "RepVGG", DefaultImageSize = 224, Stages = [new("stage0", 8, 1, 2), new("stage1", 8, 2, 2), new("stage2", 16, 1, 2)] };

    private readonly TemporaryFolder _folder = new();
    private readonly MLContext _context = new(seed: 1);
    private readonly List<string> _log = [];

    public FineTuningTests() => _context.Log += (_, line) => _log.Add(line.Message);

    public void Dispose() => _folder.Dispose();

    private static StateDict Weights(int classes = 3, RepVggArchitecture? architecture = null) => RandomStates.Training(architecture ?? Stripes.Tiny, classes);

    /// <summary>A self-describing file of the training form.</summary>
    private string Described(int classes = 3)
    {
        string path = _folder.File($"described-{classes}.safetensors");
        SafetensorsWriter.Write(Weights(classes), path, new ModelDescription(Stripes.Tiny, classes, Stripes.Size, Stripes.Size, _normalization, []));
        return path;
    }

    private static RepVggTrainer.Options FineTuning(string path, int epochs = 1)
    {
        var options = Stripes.Options(epochs);
        options.Architecture = null;
        options.PretrainedWeightsPath = path;
        return options;
    }

    private RepVggTransformer Fit(RepVggTrainer.Options options, int rows = 60) =>
        Stripes.Pipeline(_context, options).Fit(_context.Data.LoadFromEnumerable(Stripes.Rows(rows, seed: 1))).LastTransformer;

    private static void Same(ImmutableArray<float> expected, ImmutableArray<float> actual) => Assert.Equal(expected.AsEnumerable(), actual.AsEnumerable());

    private string Error(RepVggTrainer.Options options) => Assert.ThrowsAny<Exception>(() => Fit(options).Dispose()).Message;

    [Fact]
    public void All_stages_frozen_train_the_classifier_alone()
    {
        var options = FineTuning(Described());
        options.FrozenStages = 3;
        using var model = Fit(options);
        var start = DeployNetwork.FromTrainingForm(Stripes.Tiny, Weights(), Stripes.Size, Stripes.Size, _normalization);
        Assert.Equal(Stripes.Tiny, model.Architecture);
        foreach (var (expected, actual) in start.Blocks.Zip(model.Network.Blocks))
        {
            Same(expected.Kernel, actual.Kernel);
            Same(expected.Bias, actual.Bias);
        }
        Assert.False(start.Classifier.Weight.SequenceEqual(model.Network.Classifier.Weight));
        Same(_normalization.Mean, model.Network.Normalization.Mean);
        Same(_normalization.Scale, model.Network.Normalization.Scale);
        Assert.Contains(_log, line => line.Contains("described-3.safetensors") && line.Contains("classifier for 3 classes included"));
    }

    [Fact]
    public void Some_stages_frozen_leave_the_others_free()
    {
        var options = FineTuning(Described());
        options.FrozenStages = 2;
        using var model = Fit(options);
        var start = DeployNetwork.FromTrainingForm(Stripes.Tiny, Weights(), Stripes.Size, Stripes.Size, _normalization);
        Assert.Equal([true, true, true, false], start.Blocks.Zip(model.Network.Blocks, (before, after) => before.Kernel.SequenceEqual(after.Kernel)));
    }

    [Fact]
    public void Another_number_of_classes_starts_the_classifier_from_random_weights_and_logs_it()
    {
        using var model = Fit(FineTuning(Described(classes: 11)));
        Assert.Equal(3, model.Network.Classes);
        Assert.Contains(_log, line => line.Contains("11 classes and the data has 3, so the classifier starts from random weights (linear.weight, linear.bias)"));
    }

    [Fact]
    public void A_backbone_without_a_classifier_gets_a_fresh_one_and_logs_it()
    {
        var backbone = new StateDict();
        foreach (var (name, tensor) in Weights(architecture: _inferable))
        {
            if (!name.StartsWith("linear.", StringComparison.Ordinal))
                backbone["backbone." + name] = tensor;
        }
        PthWriter.Write(backbone, _folder.File("backbone.pth"));
        var options = FineTuning(_folder.File("backbone.pth"));
        options.FrozenStages = 3;
        using var model = Fit(options);
        Assert.Equal(3, model.Network.Classes);
        var start = DeployNetwork.FromTrainingForm(_inferable, Weights(architecture: _inferable), Stripes.Size, Stripes.Size, _normalization);
        foreach (var (expected, actual) in start.Blocks.Zip(model.Network.Blocks))
            Same(expected.Kernel, actual.Kernel);
        Assert.Contains(_log, line => line.Contains("they have no classifier, so that for 3 classes starts from random weights (linear.weight, linear.bias)"));
    }

    [Fact]
    public void Fine_tuning_starts_from_the_trained_weights()
    {
        var first = Stripes.Options(epochs: 4);
        first.CheckpointPath = _folder.File("first.checkpoint");
        using (Fit(first, rows: 240))
        {
        }
        var options = FineTuning(first.CheckpointPath, epochs: 1);
        options.LearningRate = 1e-6f;
        options.FreezeBatchNorm = true;
        using var model = Fit(options, rows: 60);
        Assert.Equal(Stripes.Tiny, model.Architecture);
        Assert.InRange(model.History.Single().TrainingAccuracy, 0.9, 1);
        // A network with random weights does not reach this accuracy with the same learning rate.
        var fresh = Stripes.Options(epochs: 1);
        fresh.LearningRate = 1e-6f;
        using var other = Fit(fresh, rows: 60);
        Assert.InRange(other.History.Single().TrainingAccuracy, 0, 0.75);
    }

    [Fact]
    public void Every_format_gives_the_same_start()
    {
        var state = Weights(architecture: _inferable);
        string zip = _folder.File("weights.pth"), tensors = _folder.File("weights.bin");
        PthWriter.Write(state, zip);
        SafetensorsWriter.Write(state, tensors);
        var kernels = new List<float[]>();
        foreach (string path in (string[])[zip, tensors])
        {
            var options = FineTuning(path);
            using var model = Fit(options);
            Assert.Equal(_inferable, model.Architecture);
            kernels.Add([.. model.Network.Blocks.SelectMany(block => block.Kernel), .. model.Network.Normalization.Mean]);
        }
        Assert.Equal(kernels[0], kernels[1]);
    }

    [Fact]
    public void A_cut_run_goes_on_to_the_same_bits_and_other_weights_are_refused()
    {
        RepVggTrainer.Options Options(string? checkpoint)
        {
            var options = FineTuning(Described(classes: 5), epochs: 3);
            (options.FrozenStages, options.FreezeBatchNorm, options.Dropout, options.HeadLearningRateScale) = (1, true, 0.2f, 10);
            options.CheckpointPath = checkpoint;
            return options;
        }
        using var whole = Fit(Options(null));
        using var source = new CancellationTokenSource();
        var cut = Options(_folder.File("run.checkpoint"));
        cut.CancellationToken = source.Token;
        cut.MetricsCallback = progress =>
        {
            if (progress is { Epoch: 2, Step: 1 })
                source.Cancel();
        };
        Assert.ThrowsAny<OperationCanceledException>(() => Fit(cut));
        foreach (var (expected, change) in new (string, Action<RepVggTrainer.Options>)[]
        {
            ("Pretrained weights was", options => options.PretrainedWeightsPath = Described(classes: 4)),
            ("FrozenStages was 1 and is 2", options => options.FrozenStages = 2),
            ("FreezeBatchNorm was true and is false", options => options.FreezeBatchNorm = false),
        })
        {
            var other = Options(cut.CheckpointPath);
            change(other);
            Assert.Contains(expected, Error(other));
        }
        using var resumed = Fit(Options(cut.CheckpointPath));
        Same(whole.Network.Classifier.Weight, resumed.Network.Classifier.Weight);
        Same(whole.Network.Blocks[^1].Kernel, resumed.Network.Blocks[^1].Kernel);
    }

    [Fact]
    public void The_deploy_form_is_refused_with_the_reason()
    {
        var network = DeployNetwork.FromTrainingForm(_inferable, Weights(architecture: _inferable), Stripes.Size, Stripes.Size, _normalization);
        string pth = _folder.File("fused.pth"), onnx = _folder.File("fused.onnx");
        PthWriter.Write(network.ExportState(), pth);
        OnnxWriter.Write(network, onnx);
        foreach (string path in (string[])[pth, onnx])
        {
            string message = Error(FineTuning(path));
            Assert.Contains(path, message);
            Assert.Contains("deploy form", message);
            Assert.Contains("Give the training form", message);
        }
    }

    [Fact]
    public void Weights_that_do_not_fit_are_listed_by_name_all_at_once()
    {
        var options = FineTuning(Described());
        options.Architecture = Stripes.Tiny with { Stages = [new("stage0", 8, 1, 1), new("stage1", 8, 1, 2), new("stage2", 12, 2, 2)] };
        string message = Error(options);
        Assert.Contains("described-3.safetensors", message);
        Assert.Contains("stage1.1.rbr_dense.conv.weight", message);
        Assert.Contains("stage2.1.rbr_identity.weight", message);
        Assert.Contains("linear.weight is [3, 16], not [3, 12]", message);
    }

    [Fact]
    public void Files_that_are_not_there_or_no_weights_are_said()
    {
        Assert.Contains("missing.pth", Error(FineTuning(_folder.File("missing.pth"))));
        Assert.Contains("noise.pth", Error(FineTuning(_folder.Write("noise.pth", [1, 2, 3, 4, 5, 6, 7, 8, 9]))));
        byte[] checkpoint = [.. "RVGGCKP1"u8, .. new byte[100]];
        Assert.Contains("truncated or damaged", Error(FineTuning(_folder.Write("cut.checkpoint", checkpoint))));
    }

    [Fact]
    public void Files_beyond_the_limits_are_refused()
    {
        var options = FineTuning(Described());
        options.PretrainedWeightsOptions = new WeightsFileOptions { Limits = new WeightsFileLimits { MaximumImageSide = Stripes.Size - 1 } };
        Assert.Contains($"the limit is {Stripes.Size - 1} pixels per side", Error(options));
    }

    [Fact]
    public void Channels_must_agree()
    {
        var colour = _inferable with { InputChannels = 3 };
        string path = _folder.File("colour.pth");
        PthWriter.Write(Weights(architecture: colour), path);
        Assert.Contains("'Features' has 1 channel(s), but the weights in", Error(FineTuning(path)));
    }

    [Fact]
    public void Options_that_make_no_sense_are_refused_at_once()
    {
        void Refused(string expected, Action<RepVggTrainer.Options> change)
        {
            var options = Stripes.Options(epochs: 1);
            change(options);
            Assert.Contains(expected, Assert.ThrowsAny<ArgumentException>(() => _context.MulticlassClassification.Trainers.RepVgg(options)).Message);
        }
        Refused("PretrainedWeightsPath is empty", options => options.PretrainedWeightsPath = " ");
        Refused("FrozenStages is -1", options => options.FrozenStages = -1);
        Refused("FrozenStages is 2, but there is no PretrainedWeightsPath", options => options.FrozenStages = 2);
        Refused("PretrainedWeightsOptions needs PretrainedWeightsPath", options => options.PretrainedWeightsOptions = new());
        Refused("BatchNormEpsilon is -1", options => (options.PretrainedWeightsPath, options.PretrainedWeightsOptions) = ("a.pth", new() { BatchNormEpsilon = -1 }));
        Refused("FreezeBatchNorm needs PretrainedWeightsPath", options => options.FreezeBatchNorm = true);
        var many = FineTuning(Described());
        many.FrozenStages = 4;
        Assert.Contains("FrozenStages is 4, but Tiny has 3 stages", Error(many));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_the_file_does_not_say_is_given(bool isArchitectureGiven)
    {
        var odd = _inferable with { BatchNormEpsilon = 0.25f, Stages = [new("stage0", 8, 1, 1), new("stage1", 8, 2, 2), new("stage2", 16, 1, 1)] };
        string path = _folder.File("odd.pth");
        PthWriter.Write(Weights(architecture: odd), path);
        var options = FineTuning(path);
        options.Architecture = isArchitectureGiven ? _inferable : null;
        options.FrozenStages = 3;
        options.PretrainedWeightsOptions = new WeightsFileOptions { BatchNormEpsilon = 0.25f, Strides = [1, 2, 1], Normalization = _normalization };
        using var model = Fit(options);
        Assert.Equal(odd, model.Architecture);
        var start = DeployNetwork.FromTrainingForm(odd, Weights(architecture: odd), Stripes.Size, Stripes.Size, _normalization);
        foreach (var (expected, actual) in start.Blocks.Zip(model.Network.Blocks))
            Same(expected.Kernel, actual.Kernel);
        Same(_normalization.Mean, model.Network.Normalization.Mean);
        Assert.DoesNotContain(_log, line => line.Contains("does not say") || line.Contains("do not say"));
    }

    [Fact]
    public void What_is_assumed_about_the_file_is_logged_and_where_the_given_architecture_differs()
    {
        string path = _folder.File("own.pth");
        PthWriter.Write(Weights(architecture: _inferable), path);
        using (Fit(FineTuning(path)))
        {
            Assert.Contains(_log, line => line.Contains("own.pth' are taken to have batch norm epsilon 1e-05 (PyTorch's default): the file does not say it"));
            Assert.Contains(_log, line => line.Contains("own.pth' are taken to have strides 2, 2, 2 ("));
            Assert.Contains(_log, line => line.Contains("do not say with which normalisation they were trained; that of the training images is used"));
        }
        _log.Clear();
        var options = FineTuning(Described());
        options.Architecture = Stripes.Tiny with { BatchNormEpsilon = 0.125f, Stages = [new("stage0", 8, 1, 1), new("stage1", 8, 2, 2), new("stage2", 16, 1, 1)] };
        using (Fit(options))
        {
            Assert.Contains(_log, line => line.Contains("were trained with a batch norm epsilon of 1e-05; the architecture that was given has 0.125, which is used"));
            Assert.Contains(_log, line => line.Contains("were trained with the strides 1, 2, 2; the architecture that was given has 1, 2, 1, which are used"));
            Assert.DoesNotContain(_log, line => line.Contains("not say"));
        }
        options = FineTuning(Described());
        options.PretrainedWeightsOptions = new WeightsFileOptions { Strides = [1, 2, 1] };
        Assert.Contains("The option Strides is 1, 2, 1, but", Error(options));
        options = FineTuning(path);
        options.Architecture = _inferable;
        options.PretrainedWeightsOptions = new WeightsFileOptions { Strides = [1, 2] };
        Assert.Contains("2 strides were given for 3 stages", Error(options));
    }

    [Fact]
    public void Published_weights_come_with_ImageNets_normalisation()
    {
        string path = _folder.File("RepVGG-A0-train.pth");
        PthWriter.Write(Initialization.Draw(RepVggVariants.A0, 10, seed: 1), path);
        var start = PretrainedWeights.Read(path)!;
        Assert.Equal(RepVggVariants.A0, start.Architecture);
        Assert.Null(start.ImageSize);
        Assert.Equal(255 * 0.485f, start.Normalization!.Mean[0], 1e-3f);
        Assert.Equal(1 / (255 * 0.225f), start.Normalization.Scale[2], 1e-6f);

        string own = _folder.File("own.pth");
        PthWriter.Write(Weights(architecture: _inferable), own);
        Assert.Null(PretrainedWeights.Read(own)!.Normalization);
    }
}
