using Microsoft.ML.OnnxRuntime;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights.Files;
using RepVgg.Weights.Onnx;
using Xunit;

namespace RepVgg.Tests.Weights.Onnx;

public sealed class OnnxSegmentationTests
{
    [Theory]
    [InlineData(65, 65, 5, true, null, 17, false)] // the map has 9 x 9 pixels, of which the bins 2 and 6 are no divisors
    [InlineData(89, 89, 21, true, 2, 17, false)] // 12 x 12: all are
    [InlineData(64, 72, 3, false, null, 21, false)]
    [InlineData(57, 49, 1, true, 2, 13, false)]
    [InlineData(49, 57, 4, true, null, 12, false)]
    [InlineData(49, 57, 4, false, 1, 11, true)]
    public void ONNX_Runtime_computes_the_same(int height, int width, int classes, bool alignCorners, int? batch, int opset, bool omitsBatch)
    {
        int count = batch ?? 3;
        var network = RandomSegmentation.Create(RandomSegmentation.Architecture(classes, 16, 1, 2, 3, 6) with { AlignCorners = alignCorners }, height, width);
        float[] pixels = RandomNetworks.Pixels(network.Backbone, count), expected = ReferenceSegmentation.Logits(network, pixels, count);
        using var file = new MemoryStream();
        OnnxWriter.Write(network, file, new SegmentationExportOptions { BatchSize = batch, OpsetVersion = opset, LogitsName = "scores", OmitOutputBatch = omitsBatch });

        using var session = new InferenceSession(file.ToArray());
        using var input = OrtValue.CreateTensorValueFromMemory(pixels, [count, 3, height, width]);
        using var run = new RunOptions();
        using var results = session.Run(run, new Dictionary<string, OrtValue> { ["input"] = input }, ["mask", "scores"]);

        long[] area = [height, width];
        Assert.Equal(omitsBatch ? area : [count, .. area], results[0].GetTensorTypeAndShape().Shape);
        Assert.Equal(omitsBatch ? [classes, .. area] : [count, classes, .. area], results[1].GetTensorTypeAndShape().Shape);
        Compare.Close(expected, results[1].GetTensorDataAsSpan<float>(), 1e-5, "logits");
        var best = ReferenceSegmentation.Classes(expected, classes, height * width);
        Assert.All(results[0].GetTensorDataAsSpan<byte>().ToArray().Zip(best), pair => Assert.True(pair.First == pair.Second.Class || pair.Second.IsClose));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_second_output_can_be_probabilities(bool omitsBatch)
    {
        const int Height = 41, Width = 33, Classes = 5;
        var network = RandomSegmentation.Create(RandomSegmentation.Architecture(Classes, 8, 1, 2), Height, Width);
        float[] pixels = RandomNetworks.Pixels(network.Backbone, 1), logits = ReferenceSegmentation.Logits(network, pixels, 1);
        using var file = new MemoryStream();
        OnnxWriter.Write(network, file, new SegmentationExportOptions { BatchSize = 1, LogitsName = "scores", Softmax = true, OmitOutputBatch = omitsBatch });

        using var session = new InferenceSession(file.ToArray());
        using var input = OrtValue.CreateTensorValueFromMemory(pixels, [1, 3, Height, Width]);
        using var run = new RunOptions();
        using var results = session.Run(run, new Dictionary<string, OrtValue> { ["input"] = input }, ["scores"]);
        const int Area = Height * Width;
        double[] expected = new double[logits.Length];
        for (int p = 0; p < Area; p++)
        {
            double sum = Enumerable.Range(0, Classes).Sum(c => Math.Exp(logits[c * Area + p]));
            for (int c = 0; c < Classes; c++)
                expected[c * Area + p] = Math.Exp(logits[c * Area + p]) / sum;
        }
        Compare.Close([.. expected.Select(value => (float)value)], results[0].GetTensorDataAsSpan<float>(), 1e-5, "probabilities");
    }

    [Theory]
    [InlineData(null, false, null)]
    [InlineData(1, true, "scores")]
    [InlineData(4, false, "scores")]
    [InlineData(1, true, "scores", true)]
    [InlineData(null, false, "scores", true)]
    public void Networks_come_back_bit_for_bit(int? batch, bool omitsBatch, string? logits, bool softmax = false)
    {
        var architecture = RandomSegmentation.Architecture(6, 12, 1, 2, 3) with { Backbone = RandomSegmentation.Architecture(6, 12, 1).Backbone with { DilatedBlocks = 2 } };
        var network = RandomSegmentation.Create(architecture, 57, 64);
        string[] labels = ["a", "b", "c", "d", "e", "f"];
        using var folder = new TemporaryFolder();
        string path = folder.File("network.onnx");
        OnnxWriter.Write(network, path, new SegmentationExportOptions { BatchSize = batch, OmitOutputBatch = omitsBatch, LogitsName = logits, Softmax = softmax, ClassLabels = labels, InputName = "pixels", MaskName = "classes" });

        var (read, readLabels) = OnnxReader.ReadSegmentation(path);

        Assert.Equal(architecture with { BranchWidth = read.Architecture.BranchWidth }, read.Architecture);
        Assert.Equal((57, 64), (read.ImageHeight, read.ImageWidth));
        var (expected, actual) = (network.ExportState(), read.ExportState());
        Assert.Equal(expected.Names, actual.Names);
        foreach (var (name, tensor) in expected)
            Assert.Equal(tensor.Values, actual[name].Values);
        Assert.Equal(labels, readLabels);
    }

    [Fact]
    public void Readers_of_classifiers_refuse_networks_for_segmentation_and_the_reverse()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("network.onnx"), other = folder.File("classifier.onnx");
        OnnxWriter.Write(RandomSegmentation.Create(RandomSegmentation.Architecture(3, 8, 1, 2), 33, 33), path);
        OnnxWriter.Write(RandomNetworks.Create(RepVggVariants.S0, 32, 32, 5), other);

        foreach (var read in (Action[])[() => WeightsFile.Read(path), () => InferenceEngine.Open(path), () => OnnxReader.Read(path)])
            Assert.Contains("a network for segmentation", Assert.Throws<InvalidDataException>(read).Message);
        Assert.Contains("no network for segmentation", Assert.Throws<InvalidDataException>(() => OnnxReader.ReadSegmentation(other)).Message);
    }

    [Fact]
    public void A_graph_that_was_changed_is_refused()
    {
        using var folder = new TemporaryFolder();
        string path = folder.File("network.onnx");
        OnnxWriter.Write(RandomSegmentation.Create(RandomSegmentation.Architecture(3, 8, 1, 2), 33, 33), path);
        byte[] sound = File.ReadAllBytes(path);

        Assert.Contains("graph is not that of its description", Changed("linear", "cubic\0"));
        Assert.Contains("graph is not that of its description", Changed("ArgMax", "ArgMin"));
        Assert.Contains("'stage1.0.rbr_reparam.weight'", Changed("stage1.0.rbr_reparam.weight", "stage9.0.rbr_reparam.weight"));
        Assert.Contains("damaged", Changed("\"head_width\"", "\"head_widht\""));

        string Changed(string from, string to)
        {
            byte[] bytes = (byte[])sound.Clone();
            byte[] old = System.Text.Encoding.ASCII.GetBytes(from), @new = System.Text.Encoding.ASCII.GetBytes(to);
            int count = 0;
            for (int at = 0; (at = bytes.AsSpan(at).IndexOf(old) is >= 0 and var found ? at + found : -1) >= 0; at += old.Length, count++)
                @new.AsSpan(0, old.Length).CopyTo(bytes.AsSpan(at));
            Assert.True(count > 0);
            return Assert.Throws<InvalidDataException>(() => OnnxReader.ReadSegmentation(folder.Write("changed.onnx", bytes))).Message;
        }
    }

    [Fact]
    public void Options_that_are_not_possible_are_refused()
    {
        var network = RandomSegmentation.Create(RandomSegmentation.Architecture(3, 8, 1, 2), 33, 33);

        Assert.Contains("Operator set 10", Refused(new SegmentationExportOptions { OpsetVersion = 10 }));
        Assert.Contains("batch size of 1", Refused(new SegmentationExportOptions { OmitOutputBatch = true }));
        Assert.Contains("2 names were given for 3 classes", Refused(new SegmentationExportOptions { ClassLabels = ["a", "b"] }));
        Assert.Contains("need names", Refused(new SegmentationExportOptions { MaskName = " " }));

        string Refused(SegmentationExportOptions options) => Assert.Throws<ArgumentException>(() => OnnxWriter.Write(network, new MemoryStream(), options)).Message;
    }
}
