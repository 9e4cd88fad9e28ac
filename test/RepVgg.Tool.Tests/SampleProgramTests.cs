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
        Assert.Equal(2, Regex.Count(output, @"^epoch   \d/2  loss \d\.\d+  accuracy \d+\.\d %  validation .* images/s  left \d\d:\d\d", RegexOptions.Multiline));

        // Two epochs are far from enough, but far better than guessing.
        double accuracy = double.Parse(Regex.Match(output, @"1,000 test images: accuracy (0\.\d{4})").Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture);
        Assert.InRange(accuracy, 0.4, 1);

        // The confusion matrix: ten rows of a hundred images, and its diagonal is the accuracy.
        int[][] rows = [.. Regex.Matches(output, @"^ \d .{16} ((?: *(?:\d+|\.)){10})  ", RegexOptions.Multiline)
            .Select(m => m.Groups[1].Value.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(n => n == "." ? 0 : int.Parse(n, System.Globalization.CultureInfo.InvariantCulture)).ToArray())];
        Assert.Equal(10, rows.Length);
        Assert.All(rows, row => Assert.Equal(100, row.Sum()));
        Assert.Equal(accuracy, rows.Select((row, i) => row[i]).Sum() / 1000.0, 1e-9);
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
        string[] recipe = ["--epochs", "3", "--batch-size", "64", "--device", "cpu"];
        Assert.Equal(0, Programs.Samples.Run([.. recipe, "--out", folder.File("whole")]).ExitCode);

        string checkpoint = folder.File("run.checkpoint");
        string[] cut = [.. recipe, "--out", folder.File("cut"), "--checkpoint", checkpoint];
        using (var process = Programs.Samples.Start(cut))
        {
            while (!File.Exists(checkpoint) && !process.HasExited)
                Thread.Sleep(5);
            process.Kill();
            process.WaitForExit();
        }
        Assert.True(File.Exists(checkpoint));
        Assert.False(File.Exists(Path.Combine(folder.File("cut"), "model.onnx")));

        var (exitCode, output, error) = Programs.Samples.Run(cut);
        Assert.True(exitCode == 0, error);
        Assert.DoesNotContain("epoch   1/3  loss", output, StringComparison.Ordinal);
        Assert.Contains("epoch   3/3  loss", output, StringComparison.Ordinal);
        Assert.Equal(File.ReadAllBytes(Path.Combine(folder.File("whole"), "model.onnx")), File.ReadAllBytes(Path.Combine(folder.File("cut"), "model.onnx")));
    }

    [Fact]
    public void Failures_are_one_line_and_an_exit_code()
    {
        using var folder = new TemporaryFolder();
        string file = folder.Write("file", [1]);

        Fails(Programs.Samples.Run, 1, "There is no folder", "fashion-mnist", "--data", folder.File("missing"));
        Fails(Programs.Samples.RunHere, 1, "holds no train-images file", "fashion-mnist", "--data", folder.Path);
        Fails(Programs.Samples.RunHere, 1, "cannot be written", "--out", file);
        Fails(Programs.Samples.RunHere, 2, "There is no RepVGG variant named 'Z9'", "--architecture", "Z9");
        Fails(Programs.Samples.Run, 2, "--data is missing", "fashion-mnist");
        Fails(Programs.Samples.RunHere, 2, "Unrecognized command or argument 'trane'", "trane");
        Fails(Programs.Samples.RunHere, 2, "Unrecognized command or argument '--epoch'", "--epoch", "3");
        Assert.Equal(["file"], Directory.GetFileSystemEntries(folder.Path).Select(Path.GetFileName));

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
        byte[] labels = [.. Enumerable.Range(0, 30).Select(i => (byte)(i % 10))];
        foreach (string prefix in new[] { "train", "t10k" })
        {
            folder.Write($"{prefix}-images-idx3-ubyte", IdxBytes.Idx(new byte[30 * 28 * 28], 30, 28, 28));
            folder.Write($"{prefix}-labels-idx1-ubyte", IdxBytes.Idx(labels, 30));
        }
        var (exitCode, _, error) = Programs.Tool.RunHere("pack-data", "--data", folder.Path, "--out", folder.File("small.zip"), "--training", "20", "--test", "10");
        Assert.True(exitCode == 0, error);
        using var archive = System.IO.Compression.ZipFile.OpenRead(folder.File("small.zip"));
        Assert.Equal([16 + 20 * 784, 8 + 20, 16 + 10 * 784, 8 + 10], archive.Entries.Select(entry => entry.Length));
        Assert.Contains("cannot be divided evenly", Programs.Tool.RunHere("pack-data", "--data", folder.Path, "--out", folder.File("odd.zip"), "--training", "25").Error, StringComparison.Ordinal);
        Assert.False(File.Exists(folder.File("odd.zip")));
    }

    [Fact]
    public void Every_command_has_help()
    {
        Assert.Contains("fashion-mnist", Programs.Samples.RunHere("--help").Output, StringComparison.Ordinal);
        var (exitCode, output, _) = Programs.Samples.RunHere("fashion-mnist", "--help");
        Assert.Equal(0, exitCode);
        Assert.Contains("--data <DIR>", output, StringComparison.Ordinal);
    }
}
