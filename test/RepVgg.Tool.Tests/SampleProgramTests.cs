using System.Text.RegularExpressions;
using RepVgg.Tool.Workflow;
using RepVgg.Testing;
using RepVgg.Training;
using Xunit;

namespace RepVgg.Tool.Tests;

[Collection(ConsoleCollection.Name)]
public class SampleProgramTests
{
    [Fact]
    public void The_quickstart_goes_the_whole_way()
    {
        using var folder = new TemporaryFolder();
        var (exitCode, output, error) = Programs.Samples.RunHere("--epochs", "2", "--out", folder.File("models"));
        Assert.True(exitCode == 0, error);
        Assert.Equal("", error);
        Assert.Equal(["model.onnx", "model.zip"], Directory.GetFileSystemEntries(folder.File("models")).Select(Path.GetFileName).Order());
        Assert.Contains(folder.File(Path.Combine("models", "model.zip")), output, StringComparison.Ordinal);
        Assert.Matches(new Regex(@"^RepVGG-S0, .* on .*: 3600 images of 1 x 28 x 28, 10 classes", RegexOptions.Multiline), output);
        Assert.Equal(2, Regex.Count(output, @"^Epoch \d of 2: loss \d\.\d+, accuracy \d\.\d+; validation .* training images/s, \d\d:\d\d:\d\d left", RegexOptions.Multiline));

        // Two epochs are far from enough, but far better than guessing.
        double accuracy = double.Parse(Regex.Match(output, @"1,000 test images: accuracy (0\.\d{4})").Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture);
        Assert.InRange(accuracy, 0.4, 1);

        // The confusion matrix of ML.NET: ten rows of a hundred images, and its diagonal is the accuracy.
        int[][] rows = [.. Regex.Matches(output, @"^ *\d\. .{1,12}\|\|((?: *\d+ \|){10}) ", RegexOptions.Multiline)
            .Select(m => m.Groups[1].Value.Split([' ', '|'], StringSplitOptions.RemoveEmptyEntries).Select(n => int.Parse(n, System.Globalization.CultureInfo.InvariantCulture)).ToArray())];
        Assert.Equal(10, rows.Length);
        Assert.All(rows, row => Assert.Equal(100, row.Sum()));
        Assert.Equal(accuracy, rows.Select((row, i) => row[i]).Sum() / 1000.0, 1e-9);

        // Ten images are scored by the loaded model; those that are wrong name their class.
        Assert.Equal(10, Regex.Count(output, @"^  \S.{11,} \d+\.\d %( +wrong, it is: .+)?$", RegexOptions.Multiline));
    }

    [Fact]
    public void The_linear_classifier_has_the_images_of_a_run()
    {
        using var folder = new TemporaryFolder();
        string data = Pictures.Folder(folder, "data", 10), run = folder.File(Path.Combine("runs", "run"));
        Programs.Tool.Succeeds("train", data, "--output", folder.File("runs"), "--name", "run", "--epochs", "1", "--batch-size", "8", "--device", "cpu", "--image-size", "16");
        var (exitCode, output, error) = Programs.Samples.RunHere("linear", "--run", run);
        Assert.True(exitCode == 0, error);
        Assert.Contains("LbfgsMaximumEntropy on the 768 values of 24 images of 3 classes", output, StringComparison.Ordinal);
        Assert.Contains(" 6 validation images: accuracy 1.0000", output, StringComparison.Ordinal);

        // An image that was not there in the training could be any, such as a copy of one for validation.
        File.Copy(Path.Combine(data, "red", "0.png"), Path.Combine(data, "red", "new.png"));
        (exitCode, _, error) = Programs.Samples.RunHere("linear", "--run", run);
        Assert.True(exitCode == 1 && error.Contains("The run has 24 training images, but ", StringComparison.Ordinal), error);
        (exitCode, _, error) = Programs.Samples.RunHere("linear", "--run", data);
        Assert.True(exitCode == 1 && error.Contains("is not the folder of a run with validation images", StringComparison.Ordinal), error);
    }

    [Fact]
    public void The_epoch_line_gives_the_training_speed()
    {
        // The report that ends an epoch is the validation pass's, which here is ten times as fast.
        var progress = new TrainingProgress
        {
            Epoch = 2, Epochs = 3, Step = 5, Steps = 5, IsValidation = true, Loss = 0.5, Accuracy = 0.75, LearningRate = 0.1f,
            ImagesPerSecond = 2000, Elapsed = TimeSpan.FromSeconds(9), Remaining = TimeSpan.FromSeconds(4),
            EpochResult = new EpochResult(2, 0.1f, 0.6, 0.7, 0.5, 0.75) { TrainingImages = 800, TrainingTime = TimeSpan.FromSeconds(4), ValidationTime = TimeSpan.FromSeconds(0.05) },
        };
        var output = Console.Out;
        using var written = new StringWriter();
        Console.SetOut(written);
        try
        {
            TrainingDisplay.Run(report =>
            {
                report(progress);
                return 0;
            });
        }
        finally
        {
            Console.SetOut(output);
        }
        Assert.Equal("epoch   2/3  loss 0.600  accuracy 70.0 %  validation 75.0 %      200 images/s  left 00:04", written.ToString().TrimEnd());
    }

    [Fact]
    public void A_killed_run_goes_on_from_its_checkpoint_and_ends_with_the_same_model()
    {
        using var folder = new TemporaryFolder();
        string data = FashionMnistFolder(folder, 400);
        string[] Arguments(string output) => ["fashion-mnist", "--data", data, "--epochs", "3", "--device", "cpu", "--out", folder.File(output)];
        string File(string output, string name) => Path.Combine(folder.File(output), "fashion-mnist", name);
        Assert.Equal(0, Programs.Samples.Run(Arguments("whole")).ExitCode);

        string checkpoint = File("cut", "weights/last.checkpoint");
        using (var process = Programs.Samples.Start(Arguments("cut")))
        {
            while (!System.IO.File.Exists(checkpoint) && !process.HasExited)
                Thread.Sleep(5);
            process.Kill();
            process.WaitForExit();
        }
        Assert.True(System.IO.File.Exists(checkpoint));
        Assert.False(System.IO.File.Exists(File("cut", "model.onnx")));

        var (exitCode, output, error) = Programs.Samples.Run(Arguments("cut"));
        Assert.True(exitCode == 0, error);
        Assert.DoesNotContain("Epoch 1 of 3", output, StringComparison.Ordinal);
        Assert.Contains("Epoch 3 of 3", output, StringComparison.Ordinal);
        Assert.Equal(System.IO.File.ReadAllBytes(File("whole", "model.onnx")), System.IO.File.ReadAllBytes(File("cut", "model.onnx")));
        foreach (string name in new[] { "model.zip", "results.csv", "metrics.json", "predictions.csv", "report.html" })
            Assert.True(new FileInfo(File("cut", name)).Length > 0, name);
        Assert.StartsWith("3,", System.IO.File.ReadAllLines(File("cut", "results.csv"))[^1], StringComparison.Ordinal);
    }

    [Fact]
    public void Failures_are_one_line_and_an_exit_code()
    {
        using var folder = new TemporaryFolder();
        string file = folder.Write("file", [1]);
        string damaged = FashionMnistFolder(folder, 20);
        System.IO.File.WriteAllBytes(Path.Combine(damaged, "train-labels-idx1-ubyte"), IdxBytes.Idx(new byte[19], 19));
        string text = Directory.CreateDirectory(folder.File("text")).FullName;
        System.IO.File.WriteAllText(Path.Combine(text, "train-images-idx3-ubyte"), "text");

        Fails(Programs.Samples.Run, 1, "train-images-idx3-ubyte", "fashion-mnist", "--data", folder.File("missing"));
        Fails(Programs.Samples.RunHere, 1, "is not an IDX file of bytes with the dimensions [N, 28, 28]", "fashion-mnist", "--data", text);
        Fails(Programs.Samples.RunHere, 1, "do not have the same number of items", "fashion-mnist", "--data", damaged);
        Fails(Programs.Samples.RunHere, 1, file, "--out", file);
        Fails(Programs.Samples.Run, 2, "--data is missing", "fashion-mnist");
        Fails(Programs.Samples.RunHere, 2, "There is no sample 'trane'", "trane");
        Fails(Programs.Samples.RunHere, 2, "There is no option '--epoch'", "--epoch", "3");
        Fails(Programs.Samples.RunHere, 2, "--epochs is '0'", "--epochs", "0");
        Fails(Programs.Samples.RunHere, 2, "--epochs is ''", "--epochs");
        Fails(Programs.Samples.RunHere, 2, "--device is 'cuda:x'", "--device", "cuda:x");
        Fails(Programs.Samples.RunHere, 2, "--out has no value", "quickstart", "--out");
        Fails(Programs.Samples.RunHere, 2, "quickstart does not have this option", "--data", folder.Path);
        Fails(Programs.Samples.RunHere, 2, "reparameterize does not have this option", "reparameterize", "--epochs", "3");
        Assert.Equal(["fashion-mnist", "file", "text"], Directory.GetFileSystemEntries(folder.Path).Select(Path.GetFileName).Order());

        static void Fails(Func<string[], (int, string, string)> run, int code, string message, params string[] arguments)
        {
            var (exitCode, output, error) = run(arguments);
            Assert.Equal(code, exitCode);
            Assert.Equal("", output);
            Assert.Contains(message, error, StringComparison.Ordinal);
            Assert.Single(error.TrimEnd().Split('\n'));
        }
    }

    [Fact]
    public void Packs_another_selection()
    {
        using var folder = new TemporaryFolder();
        string data = FashionMnistFolder(folder, 30);
        var (exitCode, _, error) = Programs.Tool.RunHere("pack-data", "--data", data, "--out", folder.File("small.zip"), "--training", "20", "--test", "10");
        Assert.True(exitCode == 0, error);
        using var archive = System.IO.Compression.ZipFile.OpenRead(folder.File("small.zip"));
        Assert.Equal([16 + 20 * 784, 8 + 20, 16 + 10 * 784, 8 + 10], archive.Entries.Select(entry => entry.Length));
        Assert.Contains("cannot be divided evenly", Programs.Tool.RunHere("pack-data", "--data", data, "--out", folder.File("odd.zip"), "--training", "25").Error, StringComparison.Ordinal);
        Assert.False(File.Exists(folder.File("odd.zip")));
    }

    [Fact]
    public void The_help_names_every_sample_and_option()
    {
        var (exitCode, output, _) = Programs.Samples.RunHere("fashion-mnist", "--help");
        Assert.Equal(0, exitCode);
        Assert.All(["quickstart", "fashion-mnist", "reparameterize", "--out", "--epochs", "--device", "--data"], word => Assert.Contains(word, output, StringComparison.Ordinal));
    }

    /// <summary>Makes a folder with files as Fashion-MNIST has them. The brightness of an image tells its class.</summary>
    /// <returns>The path of the folder.</returns>
    internal static string FashionMnistFolder(TemporaryFolder folder, int images)
    {
        string data = Directory.CreateDirectory(folder.File("fashion-mnist")).FullName;
        byte[] labels = [.. Enumerable.Range(0, images).Select(i => (byte)(i % 10))];
        byte[] pixels = [.. labels.SelectMany((label, i) => Enumerable.Range(0, 28 * 28).Select(pixel => (byte)(20 * label + (31 * i + 7 * pixel) % 40)))];
        foreach (string prefix in new[] { "train", "t10k" })
        {
            System.IO.File.WriteAllBytes(Path.Combine(data, $"{prefix}-images-idx3-ubyte"), IdxBytes.Idx(pixels, images, 28, 28));
            System.IO.File.WriteAllBytes(Path.Combine(data, $"{prefix}-labels-idx1-ubyte"), IdxBytes.Idx(labels, images));
        }
        return data;
    }
}
