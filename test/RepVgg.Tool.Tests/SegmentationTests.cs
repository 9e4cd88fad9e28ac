using System.Globalization;
using System.Text.Json;
using System.Xml.Linq;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;
using RepVgg.Samples;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tool.Tests;

/// <summary>The commands segment-train, segment-evaluate and segment on the images that the sample writes, and the sample itself.</summary>
[Collection(ConsoleCollection.Name)]
public sealed class SegmentationTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private sealed class PathRow
    {
        public string ImagePath { get; set; } = "";
    }

    private sealed class Mask
    {
        [VectorType(48, 48)]
        public byte[] PredictedMask { get; set; } = [];
    }

    [Fact]
    public void A_folder_becomes_a_model_with_a_report_and_masks()
    {
        string data = _folder.File("shapes"), run = Path.Combine(_folder.Path, "runs", "first"), model = Path.Combine(run, "model.zip");
        ShapeImages.Write(data, training: 24, validation: 6, seed: 1, CancellationToken.None);
        string[] train = ["segment-train", data, "--output", _folder.File("runs"), "--name", "first", "--architecture", "RepVGG-S0", "--output-stride", "4", "--image-size", "48", "--epochs", "2", "--device", "cpu", "--threads", "2"];
        string output = Programs.Tool.Succeeds(train);
        Assert.Contains("24 training and 6 validation images", output, StringComparison.Ordinal);
        foreach (string file in new[] { "args.json", "results.csv", "metrics.json", "report.html", "model.zip", "model.onnx", "weights/last.checkpoint" })
            Assert.True(new FileInfo(Path.Combine(run, file)).Length > 0, file);
        string[] results = File.ReadAllLines(Path.Combine(run, "results.csv"));
        Assert.Equal(3, results.Length);
        Assert.EndsWith("metrics/mean_iou", results[0], StringComparison.Ordinal);
        using (var settings = JsonDocument.Parse(File.ReadAllText(Path.Combine(run, "args.json"))))
        {
            Assert.Equal((2, 5, 0.1), (settings.RootElement.GetProperty("epochs").GetInt32(), settings.RootElement.GetProperty("classes").GetInt32(), Math.Round(settings.RootElement.GetProperty("learning_rate").GetDouble(), 6)));
            Assert.Equal(10, settings.RootElement.GetProperty("segmentation_augmentation").GetProperty("rotation").GetDouble());
        }
        Assert.Contains("exists. Choose another name", Programs.Tool.Fails(1, train), StringComparison.Ordinal);

        // The report is a page with a row for each class and three drawings of each of the worst images.
        var page = XDocument.Parse(File.ReadAllText(Path.Combine(run, "report.html")).Replace("<!DOCTYPE html>", "", StringComparison.Ordinal));
        Assert.Equal(["photograph", "striped disc", "checked square", "dotted triangle", "plain cross"], page.Descendants("tr").Select(row => row.Attribute("data-class")?.Value).OfType<string>());
        Assert.Equal(3 * 6, page.Descendants("img").Count());

        // The same figures, from the saved model.
        string evaluation = Programs.Tool.Succeeds("segment-evaluate", model, data, "--output", _folder.File("evaluation"));
        double meanIoU = MeanIoU(Path.Combine(run, "metrics.json"));
        Assert.Contains(string.Create(CultureInfo.InvariantCulture, $"6 images: mean IoU {meanIoU:f4}"), evaluation, StringComparison.Ordinal);
        Assert.Equal(meanIoU, MeanIoU(Path.Combine(_folder.File("evaluation"), "metrics.json")));

        // The masks are those of the model, whose saved chain reads paths.
        string images = Path.Combine(data, "images", "val"), masks = _folder.File("masks");
        Assert.Contains("photograph", Programs.Tool.Succeeds("segment", model, images, "--output", masks), StringComparison.Ordinal);
        Assert.Equal(12, Directory.GetFiles(masks).Length);
        var context = new MLContext();
        using (var engine = context.Model.CreatePredictionEngine<PathRow, Mask>(context.Model.Load(model, out _)))
        {
            string image = Path.Combine(images, "0003.png");
            byte[] expected = engine.Predict(new PathRow { ImagePath = image }).PredictedMask, written = Labels(Path.Combine(masks, "0003.png"));
            int different = Enumerable.Range(0, ShapeImages.Size * ShapeImages.Size).Count(p => written[p] != expected[p / ShapeImages.Size / 2 * 48 + p % ShapeImages.Size / 2]);
            Assert.InRange(different, 0, 20);
        }

        // Masks in colours are the same data.
        string coloured = _folder.File("coloured");
        Directory.CreateDirectory(Path.Combine(coloured, "images"));
        Directory.CreateDirectory(Path.Combine(coloured, "masks"));
        var colors = SegmentationDataSet.FromFolder(data).ClassColors;
        File.Copy(Path.Combine(data, "classes.txt"), Path.Combine(coloured, "classes.txt"));
        foreach (string file in Directory.GetFiles(images))
        {
            File.Copy(file, Path.Combine(coloured, "images", Path.GetFileName(file)));
            var labels = SegmentationMask.Load(Path.Combine(data, "masks", "val", Path.GetFileName(file)));
            // Every index of the palette is another one, so that only the colours tell the classes.
            new SegmentationMask(labels.Height, labels.Width, [.. labels.Classes.ToArray().Select(label => (byte)(200 - label))]).Save(Path.Combine(coloured, "masks", Path.GetFileName(file)), [.. Enumerable.Range(0, 256).Select(index => index is > 195 and <= 200 ? colors[200 - index] : System.Drawing.Color.White)]);
        }
        Assert.Equal(evaluation.Split('\n')[0].Split('(')[0], Programs.Tool.Succeeds("segment-evaluate", model, coloured, "--color-masks").Split('\n')[0].Split('(')[0]);
        File.WriteAllLines(Path.Combine(coloured, "classes.txt"), File.ReadAllLines(Path.Combine(coloured, "classes.txt")).Reverse());
        Assert.Contains("Their order tells the labels", Programs.Tool.Fails(1, "segment-evaluate", model, coloured, "--color-masks"), StringComparison.Ordinal);
        File.Delete(Path.Combine(coloured, "classes.txt"));
        Assert.Contains("the label 200", Programs.Tool.Fails(1, "segment-evaluate", model, coloured), StringComparison.Ordinal);

        // Masks of the images of a folder keep their subfolders; single ones with the same name are refused.
        Programs.Tool.Succeeds("segment", model, Path.Combine(data, "images"), "--output", _folder.File("all"), "--no-overlay", "--sliding-window");
        Assert.Equal(30, Directory.GetFiles(_folder.File("all"), "*.png", SearchOption.AllDirectories).Length);
        Assert.True(File.Exists(Path.Combine(_folder.File("all"), "val", "0000.png")));
        string first = Path.Combine(images, "0000.png");
        Assert.Contains("the same name", Programs.Tool.Fails(1, "segment", model, first, Path.Combine(data, "images", "train", "0000.png"), "--output", masks), StringComparison.Ordinal);
        Assert.Contains("is one of the images", Programs.Tool.Fails(1, "segment", model, first, "--output", images), StringComparison.Ordinal);
        Assert.Contains("exists. Give another folder", Programs.Tool.Fails(1, "segment", model, first, "--output", masks), StringComparison.Ordinal);
        Programs.Tool.Succeeds("segment", model, first, "--output", masks, "--exist-ok", "--classes", Path.Combine(data, "classes.txt"));
        byte[] palette = File.ReadAllBytes(Path.Combine(masks, "0000.png"));
        Assert.True(palette.AsSpan().IndexOf("PLTE"u8) is var at and > 0 && palette.AsSpan(at + 4, 6).SequenceEqual((ReadOnlySpan<byte>)[0, 0, 0, 230, 60, 60]));
        Assert.Contains("The commands segment and segment-evaluate", Programs.Tool.Fails(1, "predict", model, first), StringComparison.Ordinal);
        File.WriteAllText(_folder.File("bad.png"), "no image");
        Assert.Contains("bad.png", Programs.Tool.Fails(1, "segment", model, _folder.File("bad.png"), "--output", masks), StringComparison.Ordinal);
        var (exitCode, _, error) = Programs.Tool.RunHere("segment", model, _folder.File("bad.png"), first, "--output", _folder.File("others"), "--skip-invalid");
        Assert.Equal(0, exitCode);
        Assert.Contains("bad.png", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Wrong_command_lines_and_data_are_refused()
    {
        Assert.Contains("--architecture", Programs.Tool.Fails(2, "segment-train", _folder.Path, "--output-stride", "8"), StringComparison.Ordinal);
        Assert.Contains("--output-stride", Programs.Tool.Fails(2, "segment-train", _folder.Path, "--architecture", "RepVGG-A0", "--output-stride", "3"), StringComparison.Ordinal);
        Assert.Contains("--exist-ok needs --name", Programs.Tool.Fails(2, "segment-train", _folder.Path, "--exist-ok"), StringComparison.Ordinal);
        Assert.Contains("no data set for segmentation", Programs.Tool.Fails(1, "segment-train", _folder.Path), StringComparison.Ordinal);
        Assert.Contains("--opacity is 2", Programs.Tool.Fails(2, "segment", "model.zip", "a.png", "--opacity", "2"), StringComparison.Ordinal);
        string data = _folder.File("shapes");
        ShapeImages.Write(data, training: 4, validation: 0, seed: 2, CancellationToken.None);
        File.Delete(Path.Combine(data, "masks", "train", "0002.png"));
        Assert.Contains("'0002.png'", Programs.Tool.Fails(1, "segment-train", data, "--output", _folder.File("runs")), StringComparison.Ordinal);
        File.WriteAllBytes(Path.Combine(data, "masks", "train", "0002.png"), new SegmentationMask(2, 2, new byte[4]).ToPng());
        var (exitCode, _, error) = Programs.Tool.RunHere("segment-train", data, "--output", _folder.File("runs"), "--image-size", "48");
        Assert.Equal(1, exitCode);
        Assert.Contains("the mask has 2 x 2 pixels, but its image has 96 x 96", error, StringComparison.Ordinal);
        // A run without a result leaves no folder.
        Assert.Empty(Directory.GetDirectories(_folder.File("runs")));
    }

    [Fact]
    public void The_same_seed_gives_the_same_images_with_all_classes()
    {
        ShapeImages.Write(_folder.File("a"), training: 12, validation: 2, seed: 3, CancellationToken.None);
        ShapeImages.Write(_folder.File("b"), training: 12, validation: 2, seed: 3, CancellationToken.None);
        var (first, second) = (SegmentationDataSet.FromFolder(_folder.File("a")), SegmentationDataSet.FromFolder(_folder.File("b")));
        Assert.Equal((12, 2, 5), (first.Training.Count, first.Validation.Count, first.ClassColors.Count));
        long[] counts = new long[5];
        foreach (var (one, other) in first.Training.Zip(second.Training))
        {
            Assert.Equal(File.ReadAllBytes(one.ImagePath), File.ReadAllBytes(other.ImagePath));
            Assert.Equal(File.ReadAllBytes(one.MaskPath), File.ReadAllBytes(other.MaskPath));
            foreach (byte label in Labels(one.MaskPath))
                counts[label]++;
        }
        // A constant guess has a mean IoU of less than 0.1.
        Assert.All(counts, count => Assert.InRange(count, 1000, 12 * ShapeImages.Size * ShapeImages.Size / 2 - 1));
    }

    [Fact]
    public void The_sample_trains_evaluates_and_draws()
    {
        string data = _folder.File("shapes"), output = _folder.File("output");
        ShapeImages.Write(data, training: 16, validation: 12, seed: 4, CancellationToken.None);
        string text = Programs.Samples.Succeeds("segmentation", "--data", data, "--out", output, "--epochs", "1", "--device", "cpu", "--dilated-blocks", "2");
        Assert.Contains("This library: mean IoU", text, StringComparison.Ordinal);
        Assert.Contains("A constant guess: mean IoU 0.0", text, StringComparison.Ordinal);
        Assert.Equal(4, Directory.GetFiles(output, "*-mask.png").Length);
        Assert.True(File.Exists(Path.Combine(output, "segmentation.zip")));
    }

    private static byte[] Labels(string path) => SegmentationMask.Load(path).Classes.ToArray();

    private static double MeanIoU(string path)
    {
        using var metrics = JsonDocument.Parse(File.ReadAllText(path));
        return metrics.RootElement.GetProperty("mean_iou").GetDouble();
    }
}
