using Microsoft.ML.OnnxRuntime;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.Onnx;
using Xunit;

namespace RepVgg.Tests.Weights.Onnx;

/// <summary>One network in the ways in which exporters write it (Golden/onnx/variants.py says how), and files from users' reports.</summary>
public sealed class OnnxVariantTests : IDisposable
{
    private const int Height = 16, Width = 12, Images = 2;

    private static readonly WeightsFileOptions _sized = new() { ImageHeight = Height, ImageWidth = Width, Warn = static _ => { } };

    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Variants => [.. Directory.GetFiles(FolderOf("variants"), "*.onnx").Select(file => Path.GetFileNameWithoutExtension(file)).Order(StringComparer.Ordinal)];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Variants))]
    public void The_logits_are_those_of_ONNX_Runtime(string name)
    {
        string path = Path.Combine(FolderOf("variants"), $"{name}.onnx");
        var random = new Random(3);
        float[] pixels = [.. Enumerable.Range(0, Images * 3 * Height * Width).Select(_ => (float)random.Next(256))];
        // ONNX Runtime rounds every result of a network of 16-bit floats to 16 bits; the engine computes in 32 bits.
        double tolerance = name.Contains("half-inside", StringComparison.Ordinal) || name.Contains("half-outside", StringComparison.Ordinal) || name.Contains("half-Sub", StringComparison.Ordinal) ? 5e-3 : 1e-5;
        foreach (int count in (int[])[1, name == "size-batch" ? 1 : Images])
        {
            float[] images = pixels[..(count * 3 * Height * Width)], expected = OnnxRuntimeLogits(path, images, count);
            var logits = new float[expected.Length];
            using (var engine = InferenceEngine.Open(path, _sized))
                engine.Run(images, count, logits);
            Compare.Close(expected, logits, tolerance, "the engine that was opened from the file");
            var network = WeightsFile.ReadDeployNetwork(path, _sized);
            Assert.Equal((Height, Width, 3), (network.ImageHeight, network.ImageWidth, network.Classes));
            using (var engine = new InferenceEngine(network))
                engine.Run(images, count, logits);
            Compare.Close(expected, logits, tolerance, "the network that was read from the file");
        }
    }

    [Theory]
    [InlineData("o-plain", false)]
    [InlineData("o-external", false)]
    [InlineData("o-transposed-weight", false)]
    [InlineData("o-dynamic-size", true)]
    public void Files_of_users_are_read(string name, bool needsSize)
    {
        string path = GoldenFiles.CaseOf($"{name}.onnx");
        var input = GoldenFiles.Floats("cases/w-input.npy");
        float[] expected = GoldenFiles.Floats("cases/w-logits.npy").Values, logits = new float[expected.Length];
        using (var engine = InferenceEngine.Open(path, needsSize ? new WeightsFileOptions { ImageHeight = 32 } : null))
        {
            Assert.Empty(engine.Assumptions);
            engine.Run(input.Values, 2, logits);
        }
        Compare.Close(expected, logits, 1e-5);
        if (needsSize)
        {
            Assert.Contains("give the image size (the option ImageHeight)", Assert.Throws<InvalidDataException>(() => InferenceEngine.Open(path)).Message);
            Assert.Contains("the option ImageHeight", Assert.Throws<InvalidDataException>(() => WeightsFile.Read(path)).Message);
        }
    }

    [Fact]
    public void A_ReLU6_is_named() =>
        Assert.Contains("Clip 'relu6' is neither part of a RepVGG block", Assert.Throws<InvalidDataException>(() => OnnxReader.Read(GoldenFiles.CaseOf("o-relu6.onnx"))).Message);

    [Theory]
    [InlineData("relu6", "Clip 'relu1' is neither part of a RepVGG block")]
    [InlineData("last-relu6", "Clip 'relu3'")]
    [InlineData("leaky", "LeakyRelu 'relu0' is neither part of a RepVGG block")]
    [InlineData("maximum", "GlobalMaxPool 'pool'")]
    [InlineData("rows", "ReduceMean 'pool'")]
    [InlineData("rows-twice", "ReduceMean 'pool'")]
    [InlineData("window", "AveragePool 'pool' is not the mean of its whole map: it has a window of 2 x 3 in a map of 4 x 3")]
    [InlineData("integers", "Cast 'rounded' is neither part of a RepVGG block")]
    [InlineData("padded-with-ones", "Pad 'conv1.pad' pads a map in a way that is not supported")]
    [InlineData("reflected", "Pad 'conv1.pad' pads a map in a way that is not supported")]
    [InlineData("padded-on-one-side", "Conv 'conv2' is padded on one side only (SAME_UPPER in a map of 8 x 6 pixels)")]
    [InlineData("divided", "'z' must be the output of a linear layer, but it is the output of Div 'z'")]
    [InlineData("log", "LogSoftmax 'z'")]
    [InlineData("two-classifiers", "2 outputs, 'y', 'z', of which 2 end in a classifier of their own; give the name of one")]
    [InlineData("training-mode-opset-9", "BatchNormalization 'b3.0.bn' is in training mode; export the network in evaluation mode")]
    [InlineData("training-mode-opset-13", "BatchNormalization 'b3.0.bn' is in training mode")]
    [InlineData("padded-on-one-side-by-PyTorch", "Conv 'conv1' is padded by [2, 2, 0, 0], not by 1 on all sides")]
    [InlineData("rounded-map", "Cast 'relu1.narrow' rounds values to 16 bits in a network that is not of 16 bits throughout")]
    [InlineData("rounded-features", "Cast 'flat.narrow' rounds values to 16 bits")]
    [InlineData("rounded-input", "Cast 'x.narrow' rounds values to 16 bits")]
    [InlineData("rounded-logits", "Cast 'y.narrow' rounds values to 16 bits")]
    [InlineData("half-without-the-classifier", "Cast 'narrow' rounds values to 16 bits")]
    [InlineData("NaN-in-a-kernel", "'conv1.weight' holds NaN at index 5")]
    [InlineData("infinity-in-a-bias", "'conv2.bias' holds a value that is infinite or too large for a 32-bit float at index 5")]
    [InlineData("NaN-in-the-classifier", "'linear.weight' holds NaN at index 5")]
    [InlineData("infinity-in-the-classifier", "'linear.bias' holds a value that is infinite or too large for a 32-bit float at index 2")]
    [InlineData("infinite-variance", "'b1.0.bn.var' holds a value that is infinite or too large for a 32-bit float at index 3")]
    [InlineData("NaN-in-a-mean", "'b1.identity.mean' holds NaN at index 3")]
    [InlineData("NaN-in-a-branch", "'b2.1.weight' holds NaN at index 5")]
    [InlineData("too-large", "'conv3.weight' holds a value that is infinite or too large for a 32-bit float at index 5")]
    [InlineData("training-mode-opset-6", "BatchNormalization 'b3.0.bn' is in training mode")]
    [InlineData("SiLU", "Mul 'conv1.after' is the activation x * sigmoid(x) (SiLU)")]
    [InlineData("last-SiLU", "Mul 'conv3.after' is the activation x * sigmoid(x) (SiLU)")]
    [InlineData("halved-map", "Mul 'relu1.after' follows Relu 'relu1', but between two RepVGG blocks is no other operation")]
    [InlineData("kernel-shape", "the kernel_shape of Conv 'conv1' is [5, 5], but its kernel has shape [4, 4, 3, 3]")]
    [InlineData("operator-set-0", "it is of operator set 0; the sets 1 to 25 are supported")]
    [InlineData("operator-set--1", "it is of operator set -1")]
    [InlineData("operator-set-26", "it is of operator set 26")]
    [InlineData("operator-set-100", "it is of operator set 100")]
    [InlineData("no-classifier-among-two", "2 outputs, 'relu3', 'flat', of which 0 end in a classifier")]
    public void What_is_not_understood_is_named(string name, string expected)
    {
        string path = Path.Combine(FolderOf("refused"), $"{name}.onnx");
        Assert.Contains(expected, Assert.Throws<InvalidDataException>(() => OnnxReader.Read(path)).Message);
        string message = Assert.Throws<InvalidDataException>(() => InferenceEngine.Open(path, _sized)).Message;
        Assert.Contains(expected, message);
        Assert.StartsWith($"'{path}'", message);
    }

    [Fact]
    public void A_block_with_other_groups_is_named() => Assert.Contains(
        "its block 1 (with the output 'relu1') has 2 groups, not 1", Assert.Throws<InvalidDataException>(() => OnnxReader.Read(Path.Combine(FolderOf("refused"), "groups-in-one-block.onnx"))).Message);

    [Theory]
    [InlineData("size-too-large", "images of 3 channels and 20000 x 20000 pixels are too large: they have 1200000000 values, of at most 536870912")]
    [InlineData("height-too-large", "its input 'x' has a height of 1048576 pixels, which must be from 1 to 65535")]
    [InlineData("height-beyond-an-int", "its input 'x' has a height of 1099511627776 pixels")]
    public void Images_that_are_too_large_are_refused(string name, string expected)
    {
        string path = Path.Combine(FolderOf("refused"), $"{name}.onnx");
        Assert.Contains(expected, Assert.Throws<InvalidDataException>(() => InferenceEngine.Open(path)).Message);
        Assert.Contains(expected, Assert.Throws<InvalidDataException>(() => WeightsFile.Read(path)).Message);
        string variable = Path.Combine(FolderOf("variants"), "size-parameters.onnx");
        Assert.Contains("20000 x 20000 pixels are too large", Assert.Throws<InvalidDataException>(() => InferenceEngine.Open(variable, new WeightsFileOptions { ImageHeight = 20000, ImageWidth = 20000 })).Message);
    }

    [Fact]
    public void A_softmax_at_the_end_is_left_out_and_this_is_said()
    {
        string path = Path.Combine(FolderOf("variants"), "outputs-probabilities.onnx");
        var options = _sized with { Output = "p", Normalization = Normalization.Identity(3) };
        var expected = (WeightsAssumptionKind.Softmax, "Softmax 'p' at the end is left out: the results are logits, not probabilities");
        float[] pixels = [.. Enumerable.Range(0, 3 * Height * Width).Select(i => i * 5 % 256f)], logits = new float[3];
        using (var engine = InferenceEngine.Open(path, options))
        {
            engine.Run(pixels, 1, logits);
            var assumption = Assert.Single(engine.Assumptions);
            Assert.Equal(expected, (assumption.Kind, assumption.Text));
        }
        Compare.Close(OnnxRuntimeLogits(path, pixels, 1), logits, 1e-5);
        var read = Assert.Single(WeightsFile.Read(path, options).Assumptions);
        Assert.Equal(expected, (read.Kind, read.Text));
        using (var engine = InferenceEngine.Open(path, options with { Output = "y" }))
            Assert.Empty(engine.Assumptions);
    }

    [Fact]
    public void Of_several_outputs_the_classifier_is_chosen_or_the_given_one()
    {
        string path = Path.Combine(FolderOf("variants"), "outputs-features.onnx");
        using (var engine = InferenceEngine.Open(path, _sized with { Normalization = Normalization.Identity(3) }))
            Assert.Equal("output 'y', which ends in the classifier: left out is 'relu3', 'flat'", Assert.Single(engine.Assumptions).Text);
        using (var engine = InferenceEngine.Open(Path.Combine(FolderOf("variants"), "outputs-several-sums.onnx"), _sized with { Normalization = Normalization.Identity(3) }))
            Assert.Equal("output 'y', which ends in the classifier: left out is 'flat'", Assert.Single(engine.Assumptions).Text);
        using (var engine = InferenceEngine.Open(path, _sized with { Output = "flat" }))
            Assert.Equal((NetworkOutput.PooledFeatures, 8), (engine.Output, engine.OutputLength));
        using (var engine = InferenceEngine.Open(path, _sized with { Output = "relu3" }))
            Assert.Equal((NetworkOutput.FeatureMap, 8 * 4 * 3), (engine.Output, engine.OutputLength));
        Assert.Contains("it has no output 'other'; it has 'relu3', 'flat', 'y'", Assert.Throws<InvalidDataException>(() => InferenceEngine.Open(path, _sized with { Output = "other" })).Message);

        string two = Path.Combine(FolderOf("refused"), "two-classifiers.onnx");
        float[] pixels = [.. Enumerable.Range(0, 3 * Height * Width).Select(i => i % 256f)];
        var logits = new float[3];
        foreach (string output in (string[])["y", "z"])
        {
            using (var engine = InferenceEngine.Open(two, _sized with { Output = output }))
                engine.Run(pixels, 1, logits);
            Compare.Close(OnnxRuntimeLogits(two, pixels, 1, output), logits, 1e-5);
        }
    }

    [Fact]
    public void A_normalisation_is_warned_about_if_the_graph_has_none_and_must_not_contradict_it()
    {
        var warnings = new List<string>();
        var options = new WeightsFileOptions { Warn = warnings.Add };
        string plain = Path.Combine(FolderOf("variants"), "classifier-MatMul.onnx"), normalised = Path.Combine(FolderOf("variants"), "normalisation-Sub-Div.onnx");
        using (InferenceEngine.Open(plain, options))
            Assert.StartsWith($"'{plain}': no normalisation of the pixels: the graph has none.", Assert.Single(warnings));
        warnings.Clear();
        using (InferenceEngine.Open(normalised, options))
            Assert.Empty(warnings);
        using (InferenceEngine.Open(normalised, options with { Normalization = Normalization.ImageNet }))
            Assert.Empty(warnings);
        using (InferenceEngine.Open(plain, options with { Normalization = Normalization.Identity(3) }))
            Assert.Empty(warnings);

        // The plain network with the normalisation of the other one, which the engine applies.
        var given = new Normalization([1, 2, 3], [0.5f, 0.25f, 0.125f]);
        float[] pixels = [.. Enumerable.Range(0, 3 * Height * Width).Select(i => i * 7 % 256f)], logits = new float[3];
        using (var engine = InferenceEngine.Open(plain, options with { Normalization = given }))
            engine.Run(pixels, 1, logits);
        float[] scaled = [.. pixels.Select((pixel, i) => (pixel - given.Mean[i / (Height * Width)]) * given.Scale[i / (Height * Width)])];
        Compare.Close(OnnxRuntimeLogits(plain, scaled, 1), logits, 1e-5);

        foreach (var open in (Action<WeightsFileOptions>[])[o => InferenceEngine.Open(normalised, o), o => WeightsFile.Read(normalised, o), o => WeightsFile.ReadDeployNetwork(normalised, o)])
        {
            string message = Assert.Throws<ArgumentException>(() => open(options with { Normalization = given })).Message;
            Assert.Contains("The option Normalization is mean 1, 2, 3, standard deviation 2, 4, 8, but the graph of", message);
            Assert.Contains("already normalises its input, with mean 123.675", message);
        }
    }

    [Fact]
    public void Options_that_contradict_a_graph_are_refused()
    {
        string path = Path.Combine(FolderOf("variants"), "classifier-MatMul.onnx");
        using (InferenceEngine.Open(path, _sized with { Strides = [2, 1, 2] }))
            Assert.Equal([2, 1, 2], WeightsFile.Read(path, _sized with { Strides = [2, 1, 2] }).Architecture.Stages.Select(stage => stage.Stride));
        foreach (var open in (Action<WeightsFileOptions>[])[o => InferenceEngine.Open(path, o).Dispose(), o => WeightsFile.Read(path, o), o => WeightsFile.ReadDeployNetwork(path, o)])
        {
            Assert.Contains($"The option Strides is 2, 2, 2, 2, but '{path}' says that it is 2, 1, 2.", Assert.Throws<ArgumentException>(() => open(_sized with { Strides = [2, 2, 2, 2] })).Message);
            Assert.Contains("whose batch norms are fused", Assert.Throws<ArgumentException>(() => open(_sized with { BatchNormEpsilon = 1e-3f })).Message);
        }
        // The maps of a stage are no weights, but options can contradict them as well.
        string features = Path.Combine(FolderOf("variants"), "outputs-features.onnx");
        using (InferenceEngine.Open(features, _sized with { Output = "relu3", Strides = [2, 1, 2] }))
            Assert.Throws<ArgumentException>(() => InferenceEngine.Open(features, _sized with { Output = "relu3", Strides = [1, 1, 2] }));
    }

    [Theory]
    [InlineData("../outside.data")]
    [InlineData("sub/../../outside.data")]
    [InlineData("/etc/hostname")]
    [InlineData("C:\\outside.data")]
    [InlineData("..\\outside.data")]
    [InlineData("link.data")]
    [InlineData("linked/outside.data")]
    [InlineData("link-to-linked.data")]
    [InlineData("link-to-itself.data")]
    [InlineData(".")]
    [InlineData("")]
    public void A_file_outside_of_the_folder_is_not_read(string location)
    {
        string inside = Directory.CreateDirectory(_folder.File("inside")).FullName, outside = Directory.CreateDirectory(_folder.File("elsewhere")).FullName;
        File.WriteAllBytes(_folder.File("outside.data"), new byte[64]);
        File.WriteAllBytes(Path.Combine(outside, "outside.data"), new byte[64]);
        if (location.StartsWith("link", StringComparison.Ordinal))
        {
            File.CreateSymbolicLink(Path.Combine(inside, "link.data"), _folder.File("outside.data"));
            Directory.CreateSymbolicLink(Path.Combine(inside, "linked"), outside);
            File.CreateSymbolicLink(Path.Combine(inside, "link-to-linked.data"), Path.Combine("linked", "outside.data"));
            File.CreateSymbolicLink(Path.Combine(inside, "link-to-itself.data"), "link-to-itself.data");
        }
        string refusal = Refusal(Path.Combine(inside, "a.onnx"), location, "0", "16");
        Assert.Contains("which is not allowed: it must be in the folder of the ONNX file", refusal);
        Assert.Equal(location.StartsWith("link", StringComparison.Ordinal), refusal.Contains("' is a link to '", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("./a.data")]
    [InlineData("sub/../a.data")]
    [InlineData("sub/./b.data")]
    [InlineData("link.data")]
    [InlineData("linked/b.data")]
    public void A_file_in_the_folder_is_read_however_it_is_named(string location)
    {
        Directory.CreateDirectory(_folder.File("sub"));
        foreach (string name in (string[])["a.data", "sub/b.data"])
            File.WriteAllBytes(_folder.File(name), new byte[64]);
        File.CreateSymbolicLink(_folder.File("link.data"), "sub/b.data");
        Directory.CreateSymbolicLink(_folder.File("linked"), _folder.File("sub"));
        // The values are found; then the graph, which has only them, is refused.
        Assert.Contains("it has 0 inputs", Refusal(_folder.File("a.onnx"), location, "0", "16"));
    }

    [Theory]
    [InlineData("0", "16", "its")]
    [InlineData("48", "16", "its")]
    [InlineData("0", null, "its")]
    [InlineData("49", "16", "are 16 bytes at position 49 of 'a.data', which has 64 bytes")]
    [InlineData("9223372036854775807", "16", "are 16 bytes at position 9223372036854775807")]
    [InlineData("-1", "16", "the offset of the values of 'w' in 'a.data' is '-1'")]
    [InlineData("0", "15", "are said to be 15 bytes")]
    [InlineData("0", "many", "the length of the values of 'w' in 'a.data' is 'many'")]
    public void A_part_outside_of_the_file_is_not_read(string offset, string? length, string expected)
    {
        File.WriteAllBytes(_folder.File("a.data"), new byte[64]);
        string refusal = Refusal(_folder.File("a.onnx"), "a.data", offset, length);
        // A part that is in the file is read; then the graph, which has only this tensor, is refused.
        Assert.Contains(expected == "its" ? "it has 0 inputs" : expected, refusal);
        Assert.Contains("'b.data', which is not in the folder", Refusal(_folder.File("a.onnx"), "b.data", "0", "16"));
        byte[] file = File.ReadAllBytes(_folder.File("a.onnx"));
        Assert.Contains("read the file by its path", Assert.Throws<InvalidDataException>(() => OnnxReader.Read(new MemoryStream(file))).Message);
    }

    /// <summary>Writes a model with one tensor of four floats in another file, and returns why it is refused.</summary>
    private static string Refusal(string path, string location, string offset, string? length)
    {
        var tensor = new ProtoMessage();
        tensor.Integer(OnnxSchema.Tensor.Dims, 4);
        tensor.Integer(OnnxSchema.Tensor.DataType, OnnxSchema.Tensor.Float);
        tensor.Text(OnnxSchema.Tensor.Name, "w");
        foreach (var (key, value) in ((string, string?)[])[("location", location), ("offset", offset), ("length", length)])
        {
            if (value is null)
                continue;
            var pair = new ProtoMessage();
            pair.Text(OnnxSchema.Property.Key, key);
            pair.Text(OnnxSchema.Property.Value, value);
            tensor.Message(OnnxSchema.Tensor.ExternalData, pair);
        }
        tensor.Integer(OnnxSchema.Tensor.DataLocation, 1);
        ProtoMessage graph = new(), model = new();
        graph.Message(OnnxSchema.Graph.Initializer, tensor);
        model.Message(OnnxSchema.Model.Graph, graph);
        using (var file = File.Create(path))
            model.WriteTo(file);
        return Assert.Throws<InvalidDataException>(() => OnnxReader.Read(path)).Message;
    }

    private static string FolderOf(string name) => GoldenFiles.PathOf(Path.Combine("onnx", name));

    private static float[] OnnxRuntimeLogits(string path, float[] pixels, int count, string output = "y")
    {
        using var session = new InferenceSession(path);
        long[] shape = [count, 3, Height, Width];
        bool isHalf = session.InputMetadata["x"].ElementType == typeof(Float16);
        using var input = isHalf
            ? OrtValue.CreateTensorValueFromMemory(Array.ConvertAll(pixels, pixel => (Float16)pixel), shape)
            : OrtValue.CreateTensorValueFromMemory(pixels, shape);
        using var run = new RunOptions();
        using var results = session.Run(run, new Dictionary<string, OrtValue> { ["x"] = input }, [output]);
        return isHalf ? [.. results[0].GetTensorDataAsSpan<Float16>().ToArray().Select(value => (float)value)] : results[0].GetTensorDataAsSpan<float>().ToArray();
    }
}
