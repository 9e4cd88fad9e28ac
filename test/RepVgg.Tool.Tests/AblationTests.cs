using System.Globalization;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Tool.Ablation;
using RepVgg.Tool.Images;
using RepVgg.Testing;
using RepVgg.Training;
using Xunit;

namespace RepVgg.Tool.Tests;

[Collection(ConsoleCollection.Name)]
public sealed class AblationTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Forms_are_compared_in_their_order_over_all_seeds()
    {
        string data = WriteStripes(_folder, 64, 40), output = _folder.File("results");
        var (exitCode, console, error) = Programs.Tool.RunHere("ablation", "--data", data, "--out", output, "--forms", "Plain,reluInBranches", "--seeds", "7,5", "--epochs", "1", "--batch-size", "8", "--architecture", "S0", "--device", "cpu", "--threads", "1");
        Assert.True(exitCode == 0, error);
        Assert.Equal(["ablation.csv", "ablation.md", "ablation.svg"], Directory.GetFiles(output).Select(Path.GetFileName).Order());

        string markdown = File.ReadAllText(Path.Combine(output, "ablation.md"));
        Assert.Contains(markdown, console, StringComparison.Ordinal);
        Assert.DoesNotContain("Incomplete", markdown, StringComparison.Ordinal);
        Assert.Equal(4, Regex.Count(console, @"^epoch   1/1  loss ", RegexOptions.Multiline));
        Assert.StartsWith("RepVGG-S0, 64 training and 40 test images of 12x12 pixels, 4 classes; 1 epochs of batches of 8, peak learning rate 0.1; on CPU, 1 thread", markdown, StringComparison.Ordinal);

        string[][] lines = [.. File.ReadAllLines(Path.Combine(output, "ablation.csv")).Select(line => line.Split(','))];
        Assert.Equal(["form", "seed", "accuracy", "training_images_per_second", "processor_ms_per_image", "training_parameters", "deploy_parameters", "fused_difference", "failure"], lines[0]);
        Assert.Equal([("Plain", "7"), ("ReluInBranches", "7"), ("Plain", "5"), ("ReluInBranches", "5")], lines[1..].Select(line => (line[0], line[1])));
        Assert.All(lines[1..], line => Assert.True(Number(line[2]) is >= 0 and <= 1 && Number(line[3]) > 0 && Number(line[4]) > 0 && line[8].Length == 0));
        // 3x3 kernels of 1-16-24-48-48-96 channels; with a batch norm (2 values per channel) or a bias (1); and the classifier.
        const int Kernels = 9 * (1 * 16 + 16 * 24 + 24 * 48 + 48 * 48 + 48 * 96), Channels = 16 + 24 + 48 + 48 + 96, Classifier = 97 * 4;
        Assert.All(lines.Where(line => line[0] == "Plain"), line =>
        {
            Assert.Equal((Kernels + 2 * Channels + Classifier, Kernels + Channels + Classifier), (Number(line[5]), Number(line[6])));
            Assert.InRange(Number(line[7]), 0, 1e-5);
        });
        Assert.All(lines.Where(line => line[0] == "ReluInBranches"), line => Assert.Equal(("", ""), (line[6], line[7])));

        string[] rows = [.. markdown.Split('\n').Where(line => line.StartsWith('|'))];
        Assert.Equal(4, rows.Length);
        Assert.Contains("Seeds 7, 5", rows[0], StringComparison.Ordinal);
        Assert.StartsWith("| Plain ", rows[2], StringComparison.Ordinal);
        Assert.StartsWith("| ReluInBranches ", rows[3], StringComparison.Ordinal);
        Assert.Contains("does not fuse", rows[3], StringComparison.Ordinal);

        var circles = XDocument.Load(Path.Combine(output, "ablation.svg")).Descendants().Where(element => element.Name.LocalName == "circle");
        Assert.Equal(1 + 4, circles.Count());
    }

    [Fact]
    public void With_scales_the_plain_form_is_also_trained_with_RepOptimizer()
    {
        string data = WriteStripes(_folder, 64, 40), scales = _folder.File("scales.pth"), output = _folder.File("results");
        string[] options = ["--data", data, "--epochs", "1", "--batch-size", "8", "--architecture", "S0", "--device", "cpu", "--threads", "1"];
        var (exitCode, _, error) = Programs.Tool.RunHere(["search-scales", "--out", scales, .. options]);
        Assert.True(exitCode == 0, error);
        (exitCode, string console, error) = Programs.Tool.RunHere(["ablation", "--out", output, "--forms", "Plain", "--seeds", "1,2", "--scales", scales, .. options]);
        Assert.True(exitCode == 0, error);

        string[][] lines = [.. File.ReadAllLines(Path.Combine(output, "ablation.csv")).Select(line => line.Split(','))];
        Assert.All(lines, line => Assert.Equal(lines[0].Length, line.Length));
        Assert.Equal([("Plain", "1"), ("Plain+RepOptimizer", "1"), ("Plain", "2"), ("Plain+RepOptimizer", "2")], lines[1..].Select(line => (line[0], line[1])));
        Assert.Single(lines[1..].Select(line => (line[5], line[6])).Distinct());
        Assert.All(lines[1..], line => Assert.InRange(Number(line[7]), 0, 1e-5));
        // The optimizers start from other kernels and take other steps.
        double[] losses = [.. Regex.Matches(console, @"^epoch   1/1  loss ([\d.]+)", RegexOptions.Multiline).Select(match => Number(match.Groups[1].Value))];
        Assert.Equal(4, losses.Length);
        Assert.NotEqual(losses[0], losses[1]);

        string[][] rows = [.. File.ReadAllLines(Path.Combine(output, "ablation.md")).Where(line => line.StartsWith('|')).Select(line => line.Trim('|', ' ').Split('|', StringSplitOptions.TrimEntries))];
        Assert.Equal(["Plain", "Plain+RepOptimizer"], rows[2..].Select(row => row[0]));
        Assert.Equal(rows[2][6..8], rows[3][6..8]);
        Assert.Equal(["Plain", "Plain+RepOptimizer"], XDocument.Load(Path.Combine(output, "ablation.svg")).Descendants().Where(element => element.Name.LocalName == "text" && element.Value.StartsWith("Plain", StringComparison.Ordinal)).Select(element => element.Value));

        // Scales of another architecture.
        (exitCode, console, error) = Programs.Tool.RunHere(["ablation", "--out", output, "--scales", scales, "--data", data, "--architecture", "S1", "--device", "cpu"]);
        Assert.Equal((1, ""), (exitCode, console));
        Assert.Contains("do not fit RepVGG-S1", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_that_cannot_be_written_is_refused_before_the_images_are_read()
    {
        File.WriteAllText(_folder.File("file"), "");
        var (exitCode, output, error) = Programs.Tool.RunHere("ablation", "--data", _folder.File("no data"), "--out", Path.Combine(_folder.File("file"), "results"));
        Assert.Equal((1, ""), (exitCode, output));
        Assert.Contains($"The output folder '{Path.Combine(_folder.File("file"), "results")}' cannot be written", error, StringComparison.Ordinal);
    }

    /// <summary>The validation pass of the training loop is independent of the inference engine and of the command's own evaluation.</summary>
    [Theory]
    [InlineData(TrainingForm.Dirac)]
    [InlineData(TrainingForm.ResidualReorg)]
    public void The_accuracy_is_that_of_the_last_epoch_on_the_test_images(TrainingForm form)
    {
        // 210 test images are two batches of 100 and a smaller one.
        var images = new DecodedImages(SyntheticTask.Samples(160, 1), SyntheticTask.Samples(210, 2));
        var architecture = SyntheticTask.Architecture with { TrainingForm = form };
        var options = SyntheticTask.Options with { Epochs = 2, BatchSize = 16 };
        var run = Trainer(images).Run(new AblationCase("a row", architecture, options), 3);
        Assert.Null(run.Failure);

        var result = SyntheticTask.Train(images.Training, images.Test, options with { Seed = 3 }, networkSeed: 3, architecture: architecture);
        double expected = result.History[^1].ValidationAccuracy!.Value;
        Assert.InRange(expected, 0.3, 0.99);
        Assert.Equal(expected, run.Accuracy, 1e-9);
        Assert.Equal((2, 2), (run.ImagesPerSecond.Count, run.ProcessorMilliseconds.Count));
        Assert.Equal(form == TrainingForm.Dirac, run.FusedDifference < 1e-5);
        Assert.Equal(form == TrainingForm.ResidualReorg, run.FusedDifference is null);
    }

    [Fact]
    public void A_form_that_fails_does_not_lose_the_others()
    {
        var images = new DecodedImages(SyntheticTask.Samples(32, 1), SyntheticTask.Samples(20, 2));
        var grouped = SyntheticTask.Architecture with { Groups = 2 };
        var options = SyntheticTask.Options with { Epochs = 1, BatchSize = 8 };
        AblationCase[] cases =
        [
            new("grouped", grouped with { TrainingForm = TrainingForm.ResidualReorg }, options),
            new("diverges", grouped, options with { LearningRate = 1e30f }),
            new("plain", grouped with { TrainingForm = TrainingForm.Plain }, options),
        ];
        var table = new AblationTable("Some \"images\".", cases, [1], entry => entry.CountParameters(4, SyntheticTask.Size, SyntheticTask.Size));
        foreach (var entry in cases)
            table.Add(Trainer(images).Run(entry, 1));
        string markdown = table.ToMarkdown();
        Assert.Matches(@"\| grouped +\| +- \| +- \| +failed \| +- \|", markdown);
        Assert.Matches(@"\| plain +\| +\d+\.\d\d \| +- \| +\d+\.\d \| +[\d,]+ \| +\d+\.\d\d \|", markdown);
        Assert.Contains("grouped, seed 1, failed: The architecture 'tiny' cannot be built", markdown, StringComparison.Ordinal);
        Assert.Contains("diverges, seed 1, failed: Training diverged in epoch 1", markdown, StringComparison.Ordinal);
        Assert.Equal(["grouped,1,,,,,,,", "diverges,1,,,,,,,", "plain,1,0."], table.ToCsv().Split('\n')[1..4].Select((line, i) => line[..(i < 2 ? line.IndexOf(",,,,,,,", StringComparison.Ordinal) + 7 : 10)]));
        Assert.Single(XDocument.Parse(AblationChart.Draw(table)).Descendants(), element => element.Name.LocalName == "text" && element.Value == "plain");
    }

    [Fact]
    public void Means_deviations_and_medians_are_those_found_by_hand_under_every_culture()
    {
        var before = CultureInfo.CurrentCulture;
        CultureInfo.CurrentCulture = CultureInfo.GetCultureInfo("de-DE") is { NumberFormat.NumberDecimalSeparator: "," } german ? german : WithCommas();
        try
        {
            var entry = new AblationCase("Plain", RepVggVariants.S0 with { TrainingForm = TrainingForm.Plain }, new TrainingOptions());
            var table = new AblationTable("Described.", [entry], [1, 2, 3], _ => (123456, 7890));
            table.Add(new AblationRun(entry, 1) { Accuracy = 0.81, ImagesPerSecond = [1000, 3000], ProcessorMilliseconds = [0.5, 0.25], FusedDifference = 2e-7 });
            table.Add(new AblationRun(entry, 2) { Accuracy = 0.85, ImagesPerSecond = [1400, 1202], ProcessorMilliseconds = [0.75, 0.125], FusedDifference = 3e-7 });
            // Mean 83 %; standard deviation sqrt(2 * 2^2 / 1) = 2.83 %; medians of 1000, 1202, 1400, 3000 and of 0.125, 0.25, 0.5, 0.75.
            string[] rows = table.ToMarkdown().Split('\n');
            Assert.Equal("Incomplete: 2 of 3 runs are done.", rows[2]);
            Assert.Equal(["Plain", "83.00", "2.83", "81.0, 85.0, -", "1,301", "0.38", "123,456", "7,890", "3.0e-07"], rows[6].Trim('|', ' ').Split('|').Select(cell => cell.Trim()));
            Assert.Equal(
                "form,seed,accuracy,training_images_per_second,processor_ms_per_image,training_parameters,deploy_parameters,fused_difference,failure\nPlain,1,0.8100,2000.0,0.375,123456,7890,2.0e-07,\nPlain,2,0.8500,1301.0,0.438,123456,7890,3.0e-07,\n",
                table.ToCsv());
            var svg = XDocument.Parse(AblationChart.Draw(table));
            Assert.All(svg.Descendants().Where(element => element.Name.LocalName == "circle"), circle => Assert.Matches(@"^\d+(\.\d)?$", circle.Attribute("cx")!.Value));
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }

        static CultureInfo WithCommas()
        {
            var culture = (CultureInfo)CultureInfo.InvariantCulture.Clone();
            (culture.NumberFormat.NumberDecimalSeparator, culture.NumberFormat.NumberGroupSeparator) = (",", ".");
            return culture;
        }
    }

    [Fact]
    public void Texts_with_commas_and_quotation_marks_are_one_field_of_the_csv()
    {
        AblationCase[] cases = [new("a, b", SyntheticTask.Architecture, SyntheticTask.Options), new("c", SyntheticTask.Architecture, SyntheticTask.Options)];
        var table = new AblationTable("Described.", cases, [1], _ => (5, 4));
        table.Add(new AblationRun(cases[0], 1) { Accuracy = 0.5, ImagesPerSecond = [10], ProcessorMilliseconds = [0.5], FusedDifference = 1e-7 });
        table.Add(new AblationRun(cases[1], 1) { Failure = "'x' is \"y\", not z" });
        Assert.Equal(["\"a, b\",1,0.5000,10.0,0.500,5,4,1.0e-07,", "c,1,,,,,,,\"'x' is \"\"y\"\", not z\""], table.ToCsv().TrimEnd().Split('\n')[1..]);
    }

    [Theory]
    [InlineData("--forms contains 'Resnet', which is not a training form. The forms are: RepVgg, IdentityWithoutNorm, ", "--forms", "Plain,Resnet")]
    [InlineData("--forms contains '3', which is not a training form.", "--forms", "3")]
    [InlineData("--forms contains 'Plain' twice.", "--forms", "Plain,RepVgg,plain")]
    [InlineData("--forms is 'Plain,'; it must be words that are separated by commas.", "--forms", "Plain,")]
    [InlineData("--seeds contains '1.5'; it must be whole numbers of 0 or more", "--seeds", "1.5")]
    [InlineData("--seeds contains 1 twice.", "--seeds", "1,01")]
    [InlineData("--epochs is '0'; it must be a whole number of 1 or more.", "--epochs", "0")]
    [InlineData("--device is 'gpu'; it must be one of: ", "--device", "gpu")]
    public void Says_what_is_wrong_with_the_command_line(string expected, params string[] arguments)
    {
        var (exitCode, output, error) = Programs.Tool.RunHere(["ablation", "--out", _folder.File("results"), .. arguments]);
        Assert.Equal(2, exitCode);
        Assert.Equal("", output);
        Assert.StartsWith(expected, error, StringComparison.Ordinal);
        Assert.False(Directory.Exists(_folder.File("results")));
    }

    [Fact]
    public void Data_that_no_form_can_train_on_is_one_error()
    {
        string data = WriteStripes(_folder, 16, 8);
        Fails(2, "too small for RepVGG-A0", "--architecture", "A0");
        File.WriteAllBytes(Path.Combine(data, "t10k-images-idx3-ubyte"), IdxBytes.Idx(new byte[8 * 9], 8, 3, 3));
        Fails(1, "the training images are 12x12 pixels and the test images 3x3", "--architecture", "S0");

        void Fails(int code, string message, params string[] arguments)
        {
            var (exitCode, output, error) = Programs.Tool.RunHere(["ablation", "--data", data, "--out", _folder.File("results"), "--device", "cpu", .. arguments]);
            Assert.Equal(code, exitCode);
            Assert.Equal("", output);
            Assert.Contains(message, error, StringComparison.Ordinal);
            Assert.Single(error.TrimEnd().Split('\n'));
        }
    }

    /// <summary>Writes the four IDX files of a task that a network learns quickly.</summary>
    internal static string WriteStripes(TemporaryFolder folder, int training, int test)
    {
        string path = Directory.CreateDirectory(folder.File("data")).FullName;
        foreach (var (prefix, count) in new[] { ("train", training), ("t10k", test) })
        {
            var samples = SyntheticTask.Samples(count, count);
            var image = new float[SyntheticTask.Size * SyntheticTask.Size];
            byte[] pixels = [.. Enumerable.Range(0, count).SelectMany(i =>
            {
                samples.Read(i, image);
                return Array.ConvertAll(image, value => (byte)value);
            })];
            File.WriteAllBytes(Path.Combine(path, $"{prefix}-images-idx3-ubyte"), IdxBytes.Idx(pixels, count, SyntheticTask.Size, SyntheticTask.Size));
            File.WriteAllBytes(Path.Combine(path, $"{prefix}-labels-idx1-ubyte"), IdxBytes.Idx([.. Enumerable.Range(0, count).Select(i => (byte)samples.LabelOf(i))], count));
        }
        return path;
    }

    private static AblationTrainer Trainer(DecodedImages images) => new(images, SyntheticTask.Normalization, _ => new CpuBackend(2), 2, CancellationToken.None);

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);
}
