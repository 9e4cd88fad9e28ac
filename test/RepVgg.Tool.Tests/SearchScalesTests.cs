using RepVgg.Architectures;
using RepVgg.Optimizers;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tool.Tests;

[Collection(ConsoleCollection.Name)]
public sealed class SearchScalesTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("scales.pth")]
    [InlineData("scales.safetensors")]
    public void The_scales_are_those_of_the_architecture_and_of_the_last_epoch_of_the_checkpoint(string name)
    {
        string data = AblationTests.WriteStripes(_folder, 64, 8), path = _folder.File(name);
        string[] arguments = ["--data", data, "--out", path, "--checkpoint", _folder.File("search.checkpoint"), "--epochs", "2", "--batch-size", "8"];
        var (exitCode, output, error) = Search(arguments);
        Assert.True(exitCode == 0, error);
        Assert.StartsWith("Searching the scales of RepVGG-S0 on 64 images of 12x12 pixels, 4 classes, 2 epochs.", output, StringComparison.Ordinal);
        Assert.Contains("epoch   2/2  loss ", output, StringComparison.Ordinal);
        Assert.Matches(@"Scales of the 1x1 branches: mean -?\d\.\d{3}, from -?\d\.\d{3} to \d\.\d{3}, \d+\.\d % negative\.", output);
        Assert.EndsWith($"The scales: {path}", output.TrimEnd(), StringComparison.Ordinal);

        var architecture = RepVggVariants.S0 with { InputChannels = 1 };
        var scales = RepOptimizerScales.Load(path);
        scales.Validate(architecture);
        Assert.NotEqual(RepOptimizerScales.Initial(architecture).Hash, scales.Hash);
        Assert.Equal(scales.Hash, RepOptimizerScales.Load(_folder.File("search.checkpoint")).Hash);

        // The checkpoint is complete: the same command trains no epoch, and one with another seed belongs to another run.
        File.Delete(path);
        (exitCode, output, error) = Search(arguments);
        Assert.True(exitCode == 0, error);
        Assert.DoesNotContain("epoch ", output, StringComparison.Ordinal);
        Assert.Equal(scales.Hash, RepOptimizerScales.Load(path).Hash);
        (exitCode, _, error) = Search([.. arguments, "--seed", "2"]);
        Assert.Equal(1, exitCode);
        Assert.Contains("Seed", error, StringComparison.Ordinal);
    }

    /// <summary>Without --learning-rate, it is that of the published searches, 0.1 for 256 images of a batch.</summary>
    [Fact]
    public void The_options_change_the_search()
    {
        string data = AblationTests.WriteStripes(_folder, 64, 8);
        string usual = Hash();
        Assert.Equal(usual, Hash("--seed", "1", "--threads", "2", "--fraction", "1"));
        Assert.Equal(usual, Hash("--learning-rate", "0.003125"));
        Assert.NotEqual(usual, Hash("--learning-rate", "0.1"));
        Assert.NotEqual(usual, Hash("--seed", "2"));
        Assert.NotEqual(usual, Hash("--batch-size", "16"));

        string path = _folder.File("quarter.pth");
        var (exitCode, output, error) = Search("--data", data, "--out", path, "--epochs", "1", "--batch-size", "8", "--fraction", "0.25");
        Assert.True(exitCode == 0, error);
        Assert.Contains(" on 16 images ", output, StringComparison.Ordinal);

        string Hash(params string[] arguments)
        {
            string path = _folder.File("scales.pth");
            string[] size = arguments.Contains("--batch-size") ? [] : ["--batch-size", "8"];
            var (exitCode, _, error) = Search(["--data", data, "--out", path, "--epochs", "1", .. size, .. arguments]);
            Assert.True(exitCode == 0, error);
            return RepOptimizerScales.Load(path).Hash;
        }
    }

    [Theory]
    [InlineData("--out is missing.")]
    [InlineData("--fraction is 1.5; it must be more than 0 and at most 1.", "--out", "scales.pth", "--fraction", "1.5")]
    [InlineData("--fraction is '0'; it must be a number above 0.", "--out", "scales.pth", "--fraction", "0")]
    [InlineData("--fraction is 'nan'; it must be a number above 0.", "--out", "scales.pth", "--fraction", "nan")]
    [InlineData("--epochs is '0'; it must be a whole number of 1 or more.", "--out", "scales.pth", "--epochs", "0")]
    [InlineData("--seed is '-1'; it must be a whole number of 0 or more.", "--out", "scales.pth", "--seed", "-1")]
    [InlineData("--device is 'gpu'; it must be one of: ", "--out", "scales.pth", "--device", "gpu")]
    public void Says_what_is_wrong_with_the_command_line(string expected, params string[] arguments)
    {
        var (exitCode, output, error) = Programs.Tool.RunHere(["search-scales", .. arguments]);
        Assert.Equal((2, ""), (exitCode, output));
        Assert.StartsWith(expected, error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_cannot_be_written_is_refused_before_the_images_are_read()
    {
        Directory.CreateDirectory(_folder.File("folder.pth"));
        Refused(2, "scales.onnx", "the extension must be .pth, .pt or .safetensors");
        Refused(1, Path.Combine("missing", "scales.pth"), $"the folder '{_folder.File("missing")}' does not exist");
        Refused(1, "folder.pth", "it is a folder");

        void Refused(int code, string name, string message)
        {
            var (exitCode, output, error) = Search("--data", _folder.File("no data"), "--out", _folder.File(name));
            Assert.Equal((code, ""), (exitCode, output));
            Assert.Contains(message, error, StringComparison.Ordinal);
        }
    }

    private static (int ExitCode, string Output, string Error) Search(params string[] arguments) =>
        Programs.Tool.RunHere(["search-scales", "--architecture", "S0", "--device", "cpu", .. arguments.Contains("--threads") ? (string[])[] : ["--threads", "1"], .. arguments]);
}
