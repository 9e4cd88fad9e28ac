using System.Text.RegularExpressions;
using Microsoft.ML.RepVgg.Tests.Support;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Samples;

public class SampleProgramTests
{
    [Fact]
    public void TheQuickstartGoesTheWholeWay()
    {
        using var folder = new TemporaryFolder();
        var (exitCode, output, error) = SampleProgram.Run("--epochs", "2", "--out", folder.File("models"));
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
    public void AKilledRunGoesOnFromItsCheckpointAndEndsWithTheSameModel()
    {
        using var folder = new TemporaryFolder();
        string[] recipe = ["--epochs", "3", "--batch-size", "64"];
        Assert.Equal(0, SampleProgram.Run([.. recipe, "--out", folder.File("whole")]).ExitCode);

        string checkpoint = folder.File("run.checkpoint");
        string[] cut = [.. recipe, "--out", folder.File("cut"), "--checkpoint", checkpoint];
        using (var process = SampleProgram.Start(cut))
        {
            while (!File.Exists(checkpoint) && !process.HasExited)
                Thread.Sleep(5);
            process.Kill();
            process.WaitForExit();
        }
        Assert.True(File.Exists(checkpoint));
        Assert.False(File.Exists(Path.Combine(folder.File("cut"), "model.onnx")));

        var (exitCode, output, error) = SampleProgram.Run(cut);
        Assert.True(exitCode == 0, error);
        Assert.DoesNotContain("epoch   1/3  loss", output, StringComparison.Ordinal);
        Assert.Contains("epoch   3/3  loss", output, StringComparison.Ordinal);
        Assert.Equal(File.ReadAllBytes(Path.Combine(folder.File("whole"), "model.onnx")), File.ReadAllBytes(Path.Combine(folder.File("cut"), "model.onnx")));
    }

    [Fact]
    public void FailuresAreOneLineAndAnExitCode()
    {
        using var folder = new TemporaryFolder();
        string file = folder.Write("file", [1]);

        Fails(1, "There is no folder", "fashion-mnist", "--data", folder.File("missing"));
        Fails(1, "holds no train-images file", "fashion-mnist", "--data", folder.Path);
        Fails(1, "cannot be written", "--out", file);
        Fails(1, "There is no RepVGG variant named 'Z9'", "--architecture", "Z9");
        Fails(2, "--data is missing", "fashion-mnist");
        Fails(2, "There is no command 'train'", "train");
        Fails(2, "has no option '--epoch'", "--epoch", "3");
        Assert.Equal(["file"], Directory.GetFileSystemEntries(folder.Path).Select(Path.GetFileName));

        static void Fails(int code, string message, params string[] arguments)
        {
            var (exitCode, output, error) = SampleProgram.Run(arguments);
            Assert.Equal(code, exitCode);
            Assert.Equal("", output);
            Assert.Contains(message, error, StringComparison.Ordinal);
            Assert.Single(error.TrimEnd().Split('\n'));
        }
    }

    [Fact]
    public void EveryCommandHasHelp()
    {
        Assert.Contains("pack-data", SampleProgram.Run("--help").Output, StringComparison.Ordinal);
        var (exitCode, output, _) = SampleProgram.Run("fashion-mnist", "--help");
        Assert.Equal(0, exitCode);
        Assert.Contains("--data DIR", output, StringComparison.Ordinal);
    }
}
