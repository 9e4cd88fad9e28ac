using System.Diagnostics;
using System.Globalization;
using System.IO.Compression;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Tests.Weights.Onnx;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;
using RepVgg.Weights.Files;
using RepVgg.Weights.Naming;
using RepVgg.Weights.Onnx;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace RepVgg.Tests.Weights.Files;

/// <summary>What a file does not say, given by the caller or assumed.</summary>
public sealed class WeightsFileOptionsTests : IDisposable
{
    private static readonly WeightsFileOptions _quiet = new() { Warn = static _ => { } };

    private readonly TemporaryFolder _folder = new();

    /// <summary>Everything that opens a file with options; the first one reads weights without making a network of them.</summary>
    private static Action<string, WeightsFileOptions>[] Readers =>
    [
        (path, options) => WeightsFile.Read(path, options),
        (path, options) => WeightsFile.ReadDeployNetwork(path, options),
        (path, options) => InferenceEngine.Open(path, options).Dispose(),
    ];

    public void Dispose() => _folder.Dispose();

    /// <summary>The logits are PyTorch's.</summary>
    [Fact]
    public void An_epsilon_that_no_file_says_is_given()
    {
        string path = GoldenFiles.CaseOf("w-epsilon-1e-3.pth");
        var input = GoldenFiles.Floats("cases/w-input.npy");
        float[] expected = GoldenFiles.Floats("cases/w-epsilon-1e-3-logits.npy").Values, logits = new float[expected.Length];
        var options = _quiet with { BatchNormEpsilon = 1e-3f, ImageHeight = 32 };
        using (var engine = InferenceEngine.Open(path, options))
            engine.Run(input.Values, 2, logits);
        Compare.Close(expected, logits, 1e-5);
        using (var engine = new InferenceEngine(WeightsFile.ReadDeployNetwork(path, options)))
            engine.Run(input.Values, 2, logits);
        Compare.Close(expected, logits, 1e-5);

        using (var engine = InferenceEngine.Open(path, options with { BatchNormEpsilon = null }))
        {
            Assert.Contains(engine.Assumptions, assumption => assumption.Text == "batch norm epsilon 1e-05 (PyTorch's default): the file does not say it");
            engine.Run(input.Values, 2, logits);
        }
        Assert.True(expected.Zip(logits).Max(pair => Math.Abs(pair.First - pair.Second)) > 0.1);
    }

    [Theory]
    [InlineData(WeightsForm.Training, 1, 1, 2, 2, 2)]
    [InlineData(WeightsForm.Training, 1, 2, 1, 2, 1)]
    [InlineData(WeightsForm.Deploy, 1, 1, 2, 2, 1)]
    [InlineData(WeightsForm.Deploy, 2, 2, 2, 2, 1)]
    public void Strides_that_no_file_says_are_given(WeightsForm form, params int[] strides)
    {
        var variant = RepVggVariants.A0;
        var architecture = variant with { Name = "RepVGG", Stages = [.. variant.Stages.Zip(strides, (stage, stride) => stage with { Stride = stride })] };
        var state = RandomStates.Training(architecture, 3);
        var network = DeployNetwork.FromTrainingForm(architecture, state, 32, 32, Normalization.ImageNet);
        PthWriter.Write(form == WeightsForm.Training ? state : network.ExportState(), _folder.File("weights.pth"));

        var weights = WeightsFile.Read(_folder.File("weights.pth"), _quiet with { Strides = strides, ImageHeight = 32 });
        Assert.Equal(architecture, weights.Architecture);
        Assert.DoesNotContain(weights.Assumptions, assumption => assumption.Kind == WeightsAssumptionKind.Strides);
        OnnxRoundTripTests.AssertSame(network, weights.ToDeployNetwork());

        var guessed = WeightsFile.Read(_folder.File("weights.pth"), _quiet);
        Assert.NotEqual(architecture, guessed.Architecture);
        string used = string.Join(", ", guessed.Architecture.Stages.Select(stage => stage.Stride));
        Assert.Contains(guessed.Assumptions, assumption => assumption.Text.StartsWith($"strides {used} (", StringComparison.Ordinal));

        string message = Assert.Throws<InvalidDataException>(() => WeightsFile.Read(_folder.File("weights.pth"), _quiet with { Strides = [1, 1, 2, 2] })).Message;
        Assert.Contains("4 strides were given for 5 stages: stage0, stage1, stage2, stage3, stage4", message);
    }

    [Fact]
    public void Strides_that_the_branches_exclude_are_refused()
    {
        PthWriter.Write(RandomStates.Training(RepVggVariants.A0, 3), _folder.File("a.pth"));
        string message = Assert.Throws<InvalidDataException>(() => WeightsFile.Read(_folder.File("a.pth"), _quiet with { Strides = [2, 1, 2, 2, 2] })).Message;
        Assert.Contains("with strides 2, 1, 2, 2, 2", message);
        Assert.Contains("Missing (4): stage1.0.rbr_identity.weight", message);
    }

    [Theory]
    [InlineData("pth", WeightsForm.Training, false)]
    [InlineData("pth", WeightsForm.Deploy, false)]
    [InlineData("pth", WeightsForm.Training, true)]
    [InlineData("pth", WeightsForm.Deploy, true)]
    [InlineData("safetensors", WeightsForm.Training, false)]
    [InlineData("safetensors", WeightsForm.Training, true)]
    [InlineData("onnx", WeightsForm.Deploy, false)]
    public void Files_of_this_library_say_everything(string format, WeightsForm form, bool timm)
    {
        var architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 1), (8, 2, 1), (16, 2, 2)) with { BatchNormEpsilon = 2e-3f, DefaultImageSize = 20 };
        var training = RandomStates.Training(architecture, 2);
        var network = DeployNetwork.FromTrainingForm(architecture, training, 20, 24, new Normalization([1, 2, 3], [0.25f, 0.5f, 0.125f]));
        var description = network.Describe(["no", "yes"]);
        string path = _folder.File("weights");
        var state = form == WeightsForm.Training ? training : network.ExportState();
        state = timm ? TimmNames.FromAuthors(state) : state;
        if (format == "pth")
            PthWriter.Write(state, path, description);
        else if (format == "safetensors")
            SafetensorsWriter.Write(state, path, description);
        else
            OnnxWriter.Write(network, path, new OnnxExportOptions { ClassLabels = ["no", "yes"] });

        // A warning would be an assumption.
        var options = new WeightsFileOptions { Warn = static text => Assert.Fail(text) };
        var weights = WeightsFile.Read(path, options);
        Assert.Empty(weights.Assumptions);
        Assert.Equal((architecture, form), (weights.Architecture, weights.Form));
        Assert.Equal(["no", "yes"], weights.Describe().ClassLabels.ToArray());
        OnnxRoundTripTests.AssertSame(network, weights.ToDeployNetwork());
        using (var engine = InferenceEngine.Open(path, options))
            Assert.Equal((0, 20, 24), (engine.Assumptions.Count, engine.ImageHeight, engine.ImageWidth));

        // Values that agree are no contradiction.
        Assert.Empty(WeightsFile.Read(path, options with { BatchNormEpsilon = 2e-3f, Strides = [1, 1, 2], TrainingForm = TrainingForm.RepVgg }).Assumptions);
        using (var engine = InferenceEngine.Open(path, options with { BatchNormEpsilon = 2e-3f, Strides = [1, 1, 2], TrainingForm = TrainingForm.RepVgg }))
            Assert.Empty(engine.Assumptions);
        Contradicted($"The option Strides is 1, 2, 2, but '{path}' says that it is 1, 1, 2.", options with { Strides = [1, 2, 2] });
        Contradicted(
            form == WeightsForm.Training ? $"The option BatchNormEpsilon is 0.5, but '{path}' says that it is 0.002." : "holds the deploy form, whose batch norms are fused, so that the option BatchNormEpsilon, 0.5,",
            options with { BatchNormEpsilon = 0.5f });
        if (form == WeightsForm.Training)
            Contradicted($"The option TrainingForm is IdentityWithoutNorm, but '{path}' says that it is RepVgg.", options with { TrainingForm = TrainingForm.IdentityWithoutNorm });

        void Contradicted(string expected, WeightsFileOptions given)
        {
            foreach (var read in Readers)
                Assert.Contains(expected, Assert.Throws<ArgumentException>(() => read(path, given)).Message);
        }
    }

    [Theory]
    [InlineData("pth")]
    [InlineData("safetensors")]
    [InlineData("checkpoint")]
    [InlineData("onnx")]
    public void What_a_format_does_not_have_is_refused(string format)
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 1), (8, 2, 2)), 8, 8, 2);
        string path = _folder.File("weights");
        if (format == "pth")
            PthWriter.Write(network.ExportState(), path);
        else if (format == "safetensors")
            SafetensorsWriter.Write(network.ExportState(), path);
        else if (format == "checkpoint")
            WriteCheckpoint(network, path);
        else
            OnnxWriter.Write(network, path);
        foreach (var read in Readers)
        {
            string message = Assert.Throws<InvalidDataException>(() => read(path, _quiet with { Entry = "ema" })).Message;
            Assert.StartsWith($"'{path}' has no entry 'ema' of weights", message);
            message = Assert.Throws<InvalidDataException>(() => read(path, _quiet with { Output = "other" })).Message;
            Assert.Contains($"has no output 'other'", message);
            Assert.Contains($"'{path}'", message);
        }
        // A normalisation for another number of channels is an error of the caller, not of the file.
        foreach (var read in Readers[1..])
            Assert.Contains("3 means and scales", Assert.Throws<ArgumentException>(() => read(path, _quiet with { Normalization = Normalization.Identity(1) })).Message);
    }

    private static void WriteCheckpoint(DeployNetwork network, string path)
    {
        var tensors = new StateDict();
        foreach (var (name, tensor) in network.ExportState())
            tensors[CheckpointFile.WeightsPrefix + name] = tensor;
        CheckpointFile.Write(path, "{}", tensors);
    }

    /// <summary>Messages do not depend on the culture, so that the numbers in them can be given as options.</summary>
    [Fact]
    public void Numbers_in_messages_have_a_decimal_point_in_every_culture()
    {
        var architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 1), (8, 2, 2)) with { BatchNormEpsilon = 0.25f };
        var training = RandomStates.Training(architecture, 2);
        var network = DeployNetwork.FromTrainingForm(architecture, training, 8, 8, Normalization.Identity(3));
        string path = _folder.File("train.pth"), fused = _folder.File("fused.pth");
        PthWriter.Write(training, path, network.Describe());
        PthWriter.Write(network.ExportState(), fused);
        var culture = (CultureInfo)CultureInfo.InvariantCulture.Clone();
        culture.NumberFormat.NumberDecimalSeparator = ",";
        var before = CultureInfo.CurrentCulture;
        CultureInfo.CurrentCulture = culture;
        try
        {
            Assert.Equal("0,5", $"{0.5f}");
            Check("is 0.5, but", () => WeightsFile.Read(path, _quiet with { BatchNormEpsilon = 0.5f }));
            Check("says that it is 0.25.", () => WeightsFile.Read(path, _quiet with { BatchNormEpsilon = 0.5f }));
            Check("BatchNormEpsilon, 0.5, cannot", () => WeightsFile.Read(fused, _quiet with { BatchNormEpsilon = 0.5f }));
            Check("BatchNormEpsilon is -0.5;", () => WeightsFile.Read(path, _quiet with { BatchNormEpsilon = -0.5f }));
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }

        static void Check(string expected, Action read) => Assert.Contains(expected, Assert.Throws<ArgumentException>(read).Message);
    }

    [Fact]
    public void Everything_that_is_assumed_is_listed_and_given_values_are_not()
    {
        var variant = RepVggVariants.S2;
        PthWriter.Write(RandomStates.Training(variant, 4), _folder.File("a.pth"));
        var warnings = new List<string>();
        var weights = WeightsFile.Read(_folder.File("a.pth"), new WeightsFileOptions { Warn = warnings.Add });
        Assert.Equal(
            [
                "strides 1, 2, 2, 2, 1 (those of RepVGG-S2): the file does not say them",
                "batch norm epsilon 1e-05 (PyTorch's default): the file does not say it",
                "images of 64 x 64 pixels (the default of RepVGG-S2): the file does not say it",
                "normalisation mean 123.675, 116.28, 103.53, standard deviation 58.395, 57.12, 57.375 (ImageNet's, for pixels 0 to 255): the file does not say it",
            ],
            weights.Assumptions.Select(assumption => assumption.ToString()));
        string warning = Assert.Single(warnings);
        Assert.StartsWith($"'{_folder.File("a.pth")}': normalisation mean 123.675", warning);
        Assert.EndsWith("give it as the option Normalization.", warning);

        Assert.Empty(WeightsFile.Read(_folder.File("a.pth"), new WeightsFileOptions
        {
            BatchNormEpsilon = 1e-5f, Strides = [1, 2, 2, 2, 1], ImageWidth = 48, Normalization = Normalization.Identity(3), Warn = static text => Assert.Fail(text),
        }).Assumptions);
        // A file with one channel has no usual normalisation: it is not assumed, and needed.
        PthWriter.Write(RandomStates.Training(RepVggVariants.S0, 4), _folder.File("gray.pth"));
        Assert.DoesNotContain(WeightsFile.Read(_folder.File("gray.pth")).Assumptions, assumption => assumption.IsWarning);
        Assert.Contains("normalisation", Assert.Throws<ArgumentException>(() => InferenceEngine.Open(_folder.File("gray.pth"))).Message);
    }

    [Fact]
    public void Warnings_without_a_receiver_are_traced()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 1), (8, 2, 2)), 8, 8, 2);
        PthWriter.Write(network.ExportState(), _folder.File("{0}.pth"));
        using var listener = new RecordingListener();
        Trace.Listeners.Add(listener);
        try
        {
            using var engine = InferenceEngine.Open(_folder.File("{0}.pth"));
        }
        finally
        {
            Trace.Listeners.Remove(listener);
        }
        Assert.Contains(listener.Texts, text => text.Contains($"'{_folder.File("{0}.pth")}': normalisation mean 123.675", StringComparison.Ordinal));
    }

    [Fact]
    public void An_invalid_option_is_refused_before_the_file_is_opened()
    {
        Refused("BatchNormEpsilon is 0", new() { BatchNormEpsilon = 0 });
        Refused("BatchNormEpsilon is NaN", new() { BatchNormEpsilon = float.NaN });
        Refused("Strides is [1, 3]", new() { Strides = [1, 3] });
        Refused("Strides is []", new() { Strides = [] });
        Refused("0 x 0", new() { ImageHeight = 0 });
        Refused("8 x -1", new() { ImageHeight = 8, ImageWidth = -1 });
        Refused("1048576x1048576 pixels cannot be used", new() { ImageHeight = 1 << 20 });
        Refused("TrainingForm is 99", new() { TrainingForm = (TrainingForm)99 });
        Refused("Entry is empty", new() { Entry = " " });
        Refused("Output is empty", new() { Output = "" });
        Refused("Normalization must have one finite mean", new() { Normalization = new Normalization([1, 2, 3], [1, 2]) });
        Refused("Normalization must have one finite mean", new() { Normalization = new Normalization([1, float.NaN, 3], [1, 2, 3]) });
        Refused("Normalization must have one finite mean", new() { Normalization = new Normalization(default, [1, 2, 3]) });

        static void Refused(string expected, WeightsFileOptions options)
        {
            Assert.Contains(expected, Assert.Throws<ArgumentException>(() => WeightsFile.Read("none", options)).Message);
            Assert.Throws<ArgumentException>(() => InferenceEngine.Open("none", options));
        }
    }

    [Fact]
    public void The_description_of_a_checkpoint_may_be_missing_but_not_damaged()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (8, 1, 1), (8, 2, 2)), 8, 8, 2);
        string path = _folder.File("a.pth");
        foreach (string content in (string[])["", "[1]", "{\"repvgg.architecture\": 1}", "{\"repvgg.architecture\": \"{}\"}"])
        {
            PthWriter.Write(network.ExportState(), path, network.Describe());
            using (var zip = ZipFile.Open(path, ZipArchiveMode.Update))
            {
                zip.GetEntry("archive/extra/repvgg.json")!.Delete();
                using var writer = new StreamWriter(zip.CreateEntry("archive/extra/repvgg.json", CompressionLevel.NoCompression).Open());
                writer.Write(content);
            }
            Assert.Contains("contains a description of its network, 'archive/extra/repvgg.json', that cannot be read", Assert.Throws<InvalidDataException>(() => WeightsFile.Read(path, _quiet)).Message);
        }
        PthWriter.Write(network.ExportState(), path);
        Assert.Null(WeightsFile.Read(path, _quiet).Description);
    }

    private sealed class RecordingListener : TraceListener
    {
        public List<string> Texts { get; } = [];

        public override void Write(string? message) => WriteLine(message);

        public override void WriteLine(string? message)
        {
            lock (Texts)
                Texts.Add(message ?? "");
        }
    }
}
