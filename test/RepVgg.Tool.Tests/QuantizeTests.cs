using RepVgg.Inference;
using RepVgg.Testing;
using RepVgg.Weights.Onnx;
using Xunit;

namespace RepVgg.Tool.Tests;

/// <summary>The command quantize.</summary>
[Collection(ConsoleCollection.Name)]
public sealed class QuantizeTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_trained_model_is_quantized_measured_and_described()
    {
        string data = Pictures.Folder(_folder, "data", 12), model = Path.Combine(_folder.File("runs"), "train", "model.zip"), output = _folder.File("quantized.onnx");
        Programs.Tool.Succeeds("train", data, "--output", _folder.File("runs"), "--epochs", "2", "--batch-size", "8", "--device", "cpu", "--threads", "2");
        string printed = Programs.Tool.Succeeds("quantize", model, output, "--data", data, "--sensitivity", "--calibrator", "minmax", "--quantize-classifier", "--float-blocks", "stage0");
        Assert.Contains("There are 30 images to calibrate with, fewer than 512.", printed, StringComparison.Ordinal);
        Assert.Contains("6 images; ", printed, StringComparison.Ordinal);
        Assert.Contains("in floating point: stage0.", printed, StringComparison.Ordinal);
        var network = OnnxReader.ReadQuantized(output);
        Assert.Equal((30, 6, "MinMax"), (network.Details!.Images, network.Details.TestImages, network.Details.Calibrator));
        Assert.NotNull(network.QuantizedClassifier);
        Assert.Equal(network.Blocks.Length - 1, network.IntegerBlocks);
        Assert.Equal(["blue", "green", "red"], OnnxReader.ReadDescription(output)!.ClassLabels.AsEnumerable());
        using (var engine = InferenceEngine.Open(output))
            Assert.Equal(3, engine.Classes);

        string described = Programs.Tool.Succeeds("inspect", output);
        Assert.Contains("MinMax, 30 images", described, StringComparison.Ordinal);
        Assert.Contains("blocks, and the classifier as well", described, StringComparison.Ordinal);

        Assert.Contains("it is quantized", Programs.Tool.Fails(1, "quantize", output, _folder.File("again.onnx"), "--data", data), StringComparison.Ordinal);
        Assert.Contains("--data is missing", Programs.Tool.Fails(2, "quantize", model, output), StringComparison.Ordinal);
        Assert.Contains("must end in .onnx", Programs.Tool.Fails(2, "quantize", model, _folder.File("out.zip"), "--data", data), StringComparison.Ordinal);
        Assert.Contains("--percentile is for", Programs.Tool.Fails(2, "quantize", model, output, "--data", data, "--percentile", "99"), StringComparison.Ordinal);
        Assert.Contains("no block 'stage9'", Programs.Tool.Fails(2, "quantize", model, output, "--data", data, "--float-blocks", "stage9"), StringComparison.Ordinal);
        string few = Pictures.Folder(_folder, "few", 3);
        Assert.Contains("at least 16 are needed", Programs.Tool.Fails(1, "quantize", model, output, "--data", few), StringComparison.Ordinal);
        Assert.False(File.Exists(_folder.File("again.onnx")));
    }

    /// <summary>A network of a form for quantization is trained, and fine-tuned with the rounding; the model and its files are quantized, and the commands read them.</summary>
    [Fact]
    public void A_network_is_fine_tuned_with_the_rounding()
    {
        string data = Pictures.Folder(_folder, "data", 12), runs = _folder.File("runs"), model = Path.Combine(runs, "aware", "model.zip"), output = _folder.File("exported.onnx");
        string[] common = ["--output", runs, "--batch-size", "8", "--device", "cpu", "--threads", "2"];
        Programs.Tool.Succeeds(["train", data, "--name", "float", "--epochs", "2", "--training-form", "qarepvgg", .. common]);
        string checkpoint = Directory.GetFiles(Path.Combine(runs, "float"), "*.checkpoint", SearchOption.AllDirectories).Single();
        string printed = Programs.Tool.Succeeds(["train", data, "--name", "aware", "--epochs", "2", "--preset", "quantization-aware", "--weights", checkpoint, .. common]);
        Assert.Contains("blocks are quantized.", printed, StringComparison.Ordinal);
        string settings = File.ReadAllText(Path.Combine(runs, "aware", "args.json"));
        Assert.Contains("\"training_form\": \"QARepVgg\"", settings, StringComparison.Ordinal);
        Assert.Contains("\"quantization\": \"Aware\"", settings, StringComparison.Ordinal);
        Assert.Contains("\"frozen_statistics_epochs\": 1", settings, StringComparison.Ordinal);

        Assert.False(File.Exists(Path.Combine(runs, "aware", "weights", "best.safetensors")));
        string aware = Path.Combine(runs, "aware", "weights", "last.checkpoint"), plain = _folder.File("plain.safetensors");
        Assert.Contains("ranges of its activations", Programs.Tool.Succeeds("inspect", aware), StringComparison.Ordinal);
        Programs.Tool.Succeeds("convert", aware, plain, "--form", "train");
        Assert.DoesNotContain("range", Programs.Tool.Succeeds("inspect", plain), StringComparison.Ordinal);
        Assert.Contains("Its ranges are not used", Programs.Tool.RunHere("quantize", aware, _folder.File("again.onnx"), "--data", data).Error, StringComparison.Ordinal);
        Assert.Contains("--precision", Programs.Tool.Fails(2, "export", model, output, "--precision", "half"), StringComparison.Ordinal);
        Assert.Contains("--opset", Programs.Tool.Fails(2, "export", model, output, "--opset", "12"), StringComparison.Ordinal);

        Programs.Tool.Succeeds("export", model, output);
        Assert.Contains("QuantizationAwareTraining", Programs.Tool.Succeeds("inspect", output), StringComparison.Ordinal);
        Programs.Tool.Succeeds("evaluate", model, data);
        Assert.Contains("is quantized already", Programs.Tool.Fails(1, "quantize", model, _folder.File("again.onnx"), "--data", data), StringComparison.Ordinal);
        printed = Programs.Tool.Succeeds(["train", data, "--name", "after", "--epochs", "1", "--quantization", "post-training", .. common]);
        Assert.Contains("blocks are quantized.", printed, StringComparison.Ordinal);

        Assert.Contains("--weights", Programs.Tool.Fails(2, ["train", data, "--preset", "quantization-aware", .. common]), StringComparison.Ordinal);
        Assert.Contains("none, post-training, aware", Programs.Tool.Fails(2, ["train", data, "--quantization", "later", .. common]), StringComparison.Ordinal);
        Assert.Contains("--training-form", Programs.Tool.Fails(2, ["train", data, "--training-form", "resnet", .. common]), StringComparison.Ordinal);
        Assert.Contains("ReluInBranches cannot be fused", Programs.Tool.Fails(2, ["train", data, "--training-form", "ReluInBranches", "--quantization", "post-training", .. common]), StringComparison.Ordinal);
        Assert.Contains("DiverseBranch", Programs.Tool.Fails(2, ["train", data, "--training-form", "DiverseBranch", "--quantization", "aware", .. common]), StringComparison.Ordinal);
    }
}
