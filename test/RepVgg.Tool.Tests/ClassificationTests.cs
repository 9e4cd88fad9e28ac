using System.Globalization;
using System.Text.Json;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;
using Microsoft.ML.Transforms.Image;
using RepVgg.Testing;
using RepVgg.Tool.Classification;
using RepVgg.Tool.Images;
using Xunit;

namespace RepVgg.Tool.Tests;

/// <summary>The commands train, evaluate, predict and explain on a folder of images.</summary>
[Collection(ConsoleCollection.Name)]
public sealed class ClassificationTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private sealed class PathRow
    {
        public string Path { get; set; } = "";
    }

    private sealed class Row
    {
        [ImageType(Pictures.Size, Pictures.Size)]
        public MLImage ImageSource { get; set; } = null!;

        public string Label { get; set; } = "";
    }

    [Fact]
    public void A_folder_becomes_a_model_with_a_report()
    {
        string data = Data(perClass: 20), run = Path.Combine(_folder.Path, "runs", "first");
        string[] train = ["train", data, "--output", _folder.File("runs"), "--name", "first", "--epochs", "4", "--batch-size", "8", "--device", "cpu", "--threads", "2"];
        var (exitCode, output, error) = Programs.Tool.RunHere(train);
        Assert.True(exitCode == 0, error);
        Assert.Contains("3 classes, 48 training and 12 validation images", output, StringComparison.Ordinal);
        foreach (string file in new[] { "args.json", "results.csv", "metrics.json", "predictions.csv", "report.html", "model.zip", "model.onnx", "weights/best.safetensors", "weights/last.checkpoint" })
            Assert.True(new FileInfo(Path.Combine(run, file)).Length > 0, file);
        Assert.Equal(5, File.ReadAllLines(Path.Combine(run, "results.csv")).Length);
        using (var settings = JsonDocument.Parse(File.ReadAllText(Path.Combine(run, "args.json"))))
            Assert.Equal(4, settings.RootElement.GetProperty("epochs").GetInt32());

        // A run is never overwritten without a word.
        Assert.Contains("exists", Fails(1, train), StringComparison.Ordinal);

        // The accuracy of evaluate on the same images is that of the run.
        string model = Path.Combine(run, "model.zip"), evaluation = _folder.File("evaluation");
        (exitCode, output, error) = Programs.Tool.RunHere("evaluate", model, data, "--output", evaluation);
        Assert.True(exitCode == 0, error);
        using (var metrics = JsonDocument.Parse(File.ReadAllText(Path.Combine(evaluation, "metrics.json"))))
        {
            double accuracy = File.ReadAllLines(Path.Combine(evaluation, "predictions.csv"))[1..].Average(line => line.Split(',')[1] == line.Split(',')[2] ? 1 : 0);
            Assert.True(accuracy > 0.9);
            Assert.Contains(accuracy.ToString("p2", CultureInfo.InvariantCulture), output, StringComparison.Ordinal);
        }

        string picture = Path.Combine(data, "red", "3.png");
        (exitCode, output, _) = Programs.Tool.RunHere("predict", model, picture, "--top", "1");
        Assert.Equal(0, exitCode);
        Assert.StartsWith($"{picture}: red ", output, StringComparison.Ordinal);
        (_, output, _) = Programs.Tool.RunHere("predict", model, data, "--json");
        string[] lines = output.TrimEnd().Split('\n');
        Assert.Equal(60, lines.Length);
        using (var first = JsonDocument.Parse(lines[0]))
            Assert.Equal(1, first.RootElement.GetProperty("predictions").EnumerateArray().Sum(entry => entry.GetProperty("probability").GetDouble()), 1e-4);

        string heat = _folder.File("heat.png");
        (exitCode, output, error) = Programs.Tool.RunHere("explain", model, picture, heat, "--class", "blue");
        Assert.True(exitCode == 0, error);
        Assert.Contains("blue", output, StringComparison.Ordinal);
        using (var drawn = MLImage.CreateFromFile(heat))
            Assert.Equal((Pictures.Size, Pictures.Size), (drawn.Width, drawn.Height));

        Assert.Contains("--class: The model has no class 'violet'; it has 'blue', 'green', 'red'.", Fails(2, "explain", model, picture, heat, "--class", "violet"), StringComparison.Ordinal);

        // An application without this library loads the model.
        var context = new MLContext();
        var stock = context.Model.Load(model, out _);
        using var image = MLImage.CreateFromFile(picture);
        var scored = stock.Transform(context.Data.LoadFromEnumerable([new Row { ImageSource = image }]));
        Assert.Equal("red", scored.GetColumn<string>("PredictedLabel").Single());
    }

    /// <summary>ONNX Runtime computes the probabilities of the model from pixels that ML.NET's own transformers extract, with the size, the order and the values that the command prints.</summary>
    [Fact]
    public void An_exported_model_computes_the_same_probabilities_in_ONNX_Runtime()
    {
        const int Size = 24;
        string data = Data(perClass: 12), model = Path.Combine(_folder.File("runs"), "train", "model.zip"), onnx = _folder.File("model.onnx");
        var (exitCode, output, error) = Programs.Tool.RunHere("train", data, "--output", _folder.File("runs"), "--epochs", "3", "--batch-size", "8", "--device", "cpu", "--image-size", $"{Size}");
        Assert.True(exitCode == 0, error);
        (exitCode, output, error) = Programs.Tool.RunHere("export", model, onnx, "--activation-map", "--opset", "14");
        Assert.True(exitCode == 0, error);
        Assert.Contains($"Input   input, float32 [N, 3, {Size}, {Size}]: pixels from 0 to 255, first all red, then all green, then all blue ones. The graph normalises them.", output, StringComparison.Ordinal);
        Assert.Contains("scaled without distortion until they cover this size, and cropped (IsoCrop, Center)", output, StringComparison.Ordinal);

        string picture = Path.Combine(_folder.Path, "wide.png");
        Pictures.Write(picture, "green", 1, width: 50, height: 31);
        (_, output, _) = Programs.Tool.RunHere("predict", model, picture, "--json");
        using var predicted = JsonDocument.Parse(output);
        var expected = predicted.RootElement.GetProperty("predictions").EnumerateArray().ToDictionary(entry => entry.GetProperty("label").GetString()!, entry => entry.GetProperty("probability").GetDouble());

        var context = new MLContext();
        var pixels = context.Transforms.LoadImages("Image", "", "Path")
            .Append(context.Transforms.ResizeImages("Image", Size, Size, "Image", ImageResizingEstimator.ResizingKind.IsoCrop, ImageResizingEstimator.Anchor.Center))
            .Append(context.Transforms.ExtractPixels("Pixels", "Image"));
        var view = context.Data.LoadFromEnumerable([new PathRow { Path = picture }]);
        float[] input = pixels.Fit(view).Transform(view).GetColumn<float[]>("Pixels").Single();
        using var session = new InferenceSession(onnx);
        using var results = session.Run([NamedOnnxValue.CreateFromTensor("input", new DenseTensor<float>(input, [1, 3, Size, Size]))]);
        float[] logits = [.. results.Single(result => result.Name == "logits").AsEnumerable<float>()];
        double sum = logits.Sum(logit => Math.Exp(logit));
        string[] labels = ["blue", "green", "red"];
        foreach (var (i, label) in labels.Index())
            Assert.Equal(expected[label], Math.Exp(logits[i]) / sum, 1e-4);
        var map = results.Single(result => result.Name == "activation_map").AsTensor<float>();
        Assert.Equal([1, 3], map.Dimensions[..2].ToArray());

        Assert.Contains("its name must end in .onnx", Fails(2, "export", model, _folder.File("model.pth")), StringComparison.Ordinal);
        Assert.Contains("cannot be loaded", Fails(1, "export", onnx, _folder.File("other.onnx")), StringComparison.Ordinal);
        Assert.False(File.Exists(_folder.File("other.onnx")));
    }

    [Fact]
    public void What_cannot_be_trained_on_is_named()
    {
        string empty = Folder("empty"), one = Data(perClass: 2, "one", "red");
        string top = Data(perClass: 2, "top", "red", "blue");
        Pictures.Write(Path.Combine(top, "0.png"), "red", 0);
        string hollow = Data(perClass: 2, "hollow", "red", "blue");
        Directory.CreateDirectory(Path.Combine(hollow, "green"));
        Assert.Contains("no subfolders with images", Fails(1, "train", empty), StringComparison.Ordinal);
        Assert.Contains("one class only, 'red'", Fails(1, "train", one), StringComparison.Ordinal);
        Assert.Contains("beside the folders of the classes", Fails(1, "train", top), StringComparison.Ordinal);
        Assert.Contains("green' has no images", Fails(1, "train", hollow), StringComparison.Ordinal);
        Assert.Contains("There is no folder or file", Fails(1, "train", _folder.File("missing")), StringComparison.Ordinal);
        Assert.Contains("DIR is missing", Fails(2, "train"), StringComparison.Ordinal);
        Assert.Contains("--validation-fraction is '1'", Fails(2, "train", one, "--validation-fraction", "1"), StringComparison.Ordinal);
        Assert.Contains("Unrecognized command or argument 'trane'", Fails(2, "trane", one), StringComparison.Ordinal);
        Assert.Contains("--threads is '100000'", Fails(2, "train", one, "--threads", "100000"), StringComparison.Ordinal);
        Assert.Contains("no RepVGG variant named 'Foo'", Fails(2, "train", one, "--architecture", "Foo"), StringComparison.Ordinal);
        Assert.Contains("Images of 8x8 pixels are too small for RepVGG-A0", Fails(2, "train", one, "--architecture", "A0", "--image-size", "8"), StringComparison.Ordinal);
        Assert.Contains("--name: '../x' is not the name of a folder", Fails(2, "train", Data(perClass: 2, "two", "red", "blue"), "--name", "../x"), StringComparison.Ordinal);
        string text = _folder.Write("text.zip", "no model"u8.ToArray());
        Assert.Contains("text.zip", Fails(1, "evaluate", text, one), StringComparison.Ordinal);
        Assert.False(Directory.Exists("runs"));
    }

    [Fact]
    public void Sets_are_found_by_their_names_or_divided_by_class()
    {
        string data = Folder("divided");
        Data(perClass: 3, "divided/train", "red", "blue");
        Data(perClass: 1, "divided/val", "red", "blue");
        var divided = ImageDataset.Read(data, null, 0.5, 1);
        Assert.Equal((6, 2), (divided.Training.Count, divided.Validation.Count));

        string whole = Data(perClass: 10, "whole", "red", "blue");
        var split = ImageDataset.Read(whole, null, 0.2, 1);
        Assert.Equal(["blue", "red"], split.Classes);
        Assert.All(split.Classes, name => Assert.Equal(2, split.Validation.Count(row => row.Label == name)));
        Assert.Empty(split.Training.Select(row => row.ImagePath).Intersect(split.Validation.Select(row => row.ImagePath)));
        Assert.Equal(split.Validation.Select(row => row.ImagePath), ImageDataset.Read(whole, null, 0.2, 1).Validation.Select(row => row.ImagePath));
        Assert.NotEqual(split.Validation.Select(row => row.ImagePath), ImageDataset.Read(whole, null, 0.2, 2).Validation.Select(row => row.ImagePath));

        var other = Assert.Throws<InvalidDataException>(() => ImageDataset.Read(whole, Data(perClass: 1, "other", "red", "green"), 0, 1));
        Assert.Contains("green", other.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_csv_file_names_images_and_labels()
    {
        string path = _folder.Write("list.csv", "label,path\nred,a/1.png\n\"light, blue\",\"b \"\"x\"\".png\"\n"u8.ToArray());
        var rows = ImageDataset.ReadFiles(path);
        Assert.Equal([("red", Path.Combine(_folder.Path, "a/1.png")), ("light, blue", Path.Combine(_folder.Path, "b \"x\".png"))], rows.Select(row => (row.Label, row.ImagePath)));
        string bare = _folder.Write("bare.csv", "1.png,red\n2.png\n"u8.ToArray());
        Assert.Contains("Line 2 of", Assert.Throws<InvalidDataException>(() => ImageDataset.ReadFiles(bare)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Idx_files_are_images_of_grey_values()
    {
        string folder = Folder("idx");
        byte[] labels = [.. Enumerable.Range(0, 24).Select(i => (byte)(i % 2))], pixels = new byte[24 * 16 * 16];
        var random = new Random(1);
        for (int i = 0; i < pixels.Length; i++)
            pixels[i] = (byte)(random.Next(100) + (i / 256 % 2 == 1 ? 150 : 0));
        foreach (string prefix in new[] { "train", "t10k" })
        {
            File.WriteAllBytes(Path.Combine(folder, $"{prefix}-images-idx3-ubyte"), IdxBytes.Idx(pixels, 24, 16, 16));
            File.WriteAllBytes(Path.Combine(folder, $"{prefix}-labels-idx1-ubyte"), IdxBytes.Idx(labels, 24));
        }
        var data = ImageDataset.Read(folder, null, 0, 1);
        using (var picture = MLImage.CreateFromStream(new MemoryStream(data.Training[3].Read())))
            Assert.Equal(pixels.AsSpan(3 * 256, 256).ToArray(), picture.Pixels.ToArray().Where((_, i) => i % 4 == 0));

        var (exitCode, _, error) = Programs.Tool.RunHere("train", folder, "--output", _folder.File("runs"), "--epochs", "3", "--batch-size", "6", "--device", "cpu");
        Assert.True(exitCode == 0, error);
        string run = Path.Combine(_folder.File("runs"), "train");
        Assert.Contains("data:image/png", File.ReadAllText(Path.Combine(run, "report.html")), StringComparison.Ordinal);
        (exitCode, string output, error) = Programs.Tool.RunHere("evaluate", Path.Combine(run, "model.zip"), folder);
        Assert.True(exitCode == 0, error);
        Assert.StartsWith("24 images: top-1 ", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Images_that_cannot_be_read_are_left_out_of_training_and_evaluation()
    {
        string data = Data(perClass: 8), runs = _folder.File("runs");
        foreach (string name in new[] { "a.png", "m.png", "z.png" })
            File.WriteAllText(Path.Combine(data, "green", name), "no picture");
        string[] train = ["train", data, "--output", runs, "--epochs", "2", "--batch-size", "6", "--validation-fraction", "0.5", "--device", "cpu"];
        Assert.Contains("cannot be read", Fails(1, train, hasOutput: true), StringComparison.Ordinal);
        // A run that trained nothing leaves no folder.
        Assert.Empty(Directory.GetDirectories(runs));

        var (exitCode, output, error) = Programs.Tool.RunHere([.. train, "--skip-invalid"]);
        Assert.True(exitCode == 0, error);
        string run = Path.Combine(runs, "train"), settings = File.ReadAllText(Path.Combine(run, "args.json"));
        Assert.True(File.Exists(Path.Combine(run, "report.html")));

        string evaluation = _folder.File("evaluation");
        (exitCode, output, error) = Programs.Tool.RunHere("evaluate", Path.Combine(run, "model.zip"), data, "--skip-invalid", "--output", evaluation);
        Assert.True(exitCode == 0, error);
        Assert.Contains("Images that cannot be read and are left out: 3.", output, StringComparison.Ordinal);
        foreach (string name in new[] { "a.png", "m.png", "z.png" })
            Assert.Contains($"{Path.Combine(data, "green", name)}: the image cannot be read: its format is unknown", error, StringComparison.Ordinal);
        // Every prediction is that of its own image.
        string[] lines = File.ReadAllLines(Path.Combine(evaluation, "predictions.csv"))[1..];
        Assert.Equal(24, lines.Length);
        Assert.All(lines, line => Assert.Equal(Path.GetFileName(Path.GetDirectoryName(line.Split(',')[0])), line.Split(',')[1]));

        string model = Path.Combine(run, "model.zip"), picture = Path.Combine(data, "red", "3.png"), unreadable = Path.Combine(data, "green", "a.png");
        (exitCode, output, error) = Programs.Tool.RunHere("predict", model, unreadable, picture, "--skip-invalid", "--json");
        Assert.Equal(0, exitCode);
        Assert.Equal(picture, Assert.Single(output.TrimEnd().Split('\n').Select(line => JsonDocument.Parse(line).RootElement.GetProperty("path").GetString())));
        Assert.StartsWith($"{unreadable}: the image cannot be read: its format is unknown", error, StringComparison.Ordinal);
        Assert.EndsWith("Images that cannot be read: 1 of 2.", error.TrimEnd(), StringComparison.Ordinal);
        Assert.Equal((1, ""), (Programs.Tool.RunHere("predict", model, unreadable, "--skip-invalid") is var (code, text, _) ? (code, text) : default));
        Assert.StartsWith($"Error: {unreadable}: the image cannot be read", Fails(1, ["predict", model, picture, unreadable], hasOutput: true), StringComparison.Ordinal);

        // A run that does not fit changes nothing of the one that is there.
        Fails(1, [.. train, "--skip-invalid", "--name", "train", "--exist-ok", "--seed", "9"], hasOutput: true);
        Assert.Equal(settings, File.ReadAllText(Path.Combine(run, "args.json")));
    }

    [Fact]
    public void Sets_with_other_names_are_not_classes_and_hidden_files_are_no_images()
    {
        string data = Folder("roboflow");
        Data(perClass: 2, "roboflow/Train", "red", "blue");
        Data(perClass: 1, "roboflow/valid", "red", "blue");
        Assert.Equal(["blue", "red"], ImageDataset.Read(data, null, 0, 1).Classes);
        Directory.Move(Path.Combine(data, "valid"), Path.Combine(data, "held-out"));
        Assert.Contains("seems to be a set", Assert.Throws<InvalidDataException>(() => ImageDataset.Read(data, null, 0, 1)).Message, StringComparison.Ordinal);

        string vehicles = Data(perClass: 3, "vehicles", "red", "blue");
        Directory.Move(Path.Combine(vehicles, "red"), Path.Combine(vehicles, "train"));
        Directory.CreateDirectory(Path.Combine(vehicles, ".cache"));
        Directory.CreateDirectory(Path.Combine(vehicles, "train", ".ipynb_checkpoints"));
        File.Copy(Path.Combine(vehicles, "train", "1.png"), Path.Combine(vehicles, "train", ".ipynb_checkpoints", "1.png"));
        File.Copy(Path.Combine(vehicles, "train", "1.png"), Path.Combine(vehicles, ".cache", "1.png"));
        Assert.Equal(["blue", "blue", "blue", "train", "train", "train"], ImageDataset.ReadFiles(vehicles).Select(row => row.Label));
        Assert.Null(ImageDataset.FindSets(vehicles));

        string latin = _folder.Write("latin.csv", [(byte)'1', (byte)',', 0xe4, (byte)'\n']);
        Assert.Contains("not text in UTF-8", Assert.Throws<InvalidDataException>(() => ImageDataset.ReadFiles(latin)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Configurations_of_Model_Builder_are_read()
    {
        string path = _folder.Write("Model.mbconfig", """
            {
              "Scenario": "ImageClassification",
              "DataSource": { "Type": "Folder", "Version": 1, "FolderPath": "pictures\\all" },
              "RunHistory": { "Version": 3, "Trials": [
                { "Score": 0.5, "Parameter": { "_SCHEMA_": "e0 * e1", "e0": {}, "e1": { "BatchSize": 10, "Epoch": 200 } } },
                { "Score": 0.9, "Parameter": { "_SCHEMA_": "e0 * e1", "e0": {}, "e1": { "BatchSize": 20, "Epoch": 50 } } } ] },
              "Type": "TrainingConfig", "Version": 5,
              "TrainingOption": { "ValidationOption": { "Version": 0, "Type": "TrainValidateSplitValidationOption", "SplitRatio": 0.25 } }
            }
            """u8.ToArray());
        Assert.Equal(new MbConfig(Path.Combine(_folder.Path, $"pictures{Path.DirectorySeparatorChar}all"), 0.25, 50, 20), MbConfig.Read(path));
        string tabular = _folder.Write("Other.mbconfig", """{ "Scenario": "Regression" }"""u8.ToArray());
        Assert.Contains("Regression", Assert.Throws<InvalidDataException>(() => MbConfig.Read(tabular)).Message, StringComparison.Ordinal);
        string text = _folder.Write("Text.mbconfig", "text"u8.ToArray());
        Assert.Contains("is not a configuration of Model Builder", Assert.Throws<InvalidDataException>(() => MbConfig.Read(text)).Message, StringComparison.Ordinal);
    }

    private static string Fails(int code, params string[] arguments) => Fails(code, arguments, hasOutput: false);

    private static string Fails(int code, string[] arguments, bool hasOutput)
    {
        var (exitCode, output, error) = Programs.Tool.RunHere(arguments);
        Assert.Equal(code, exitCode);
        Assert.True(hasOutput || output.Length == 0, output);
        Assert.Single(error.TrimEnd().Split('\n'));
        return error;
    }

    private string Folder(string name) => Directory.CreateDirectory(_folder.File(name)).FullName;

    private string Data(int perClass, string name = "data", params string[] classes) => Pictures.Folder(_folder, name, perClass, classes);
}
