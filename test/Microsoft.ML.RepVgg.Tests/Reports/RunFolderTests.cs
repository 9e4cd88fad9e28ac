using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.ML.RepVgg.Reports;
using Microsoft.ML.RepVgg.Tests.Trainer;
using RepVgg.Testing;
using RepVgg.Training;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Reports;

public sealed class RunFolderTests : IDisposable
{
    private const string Header = "epoch,time,train/loss,metrics/accuracy_top1,metrics/accuracy_top5,val/loss,lr/pg0";

    private readonly TemporaryFolder _root = new();

    public void Dispose() => _root.Dispose();

    [Fact]
    public void Runs_without_a_name_are_numbered()
    {
        string[] names = [.. Enumerable.Range(0, 3).Select(_ => Path.GetFileName(RunFolder.Create(root: _root.File("runs")).DirectoryPath))];
        Assert.Equal(["train", "train2", "train3"], names);
    }

    [Fact]
    public void Runs_that_start_at_the_same_time_get_folders_of_their_own()
    {
        var names = new string[16];
        Parallel.For(0, names.Length, i => names[i] = RunFolder.Create(root: _root.Path).DirectoryPath);
        Assert.Equal(names.Length, names.Distinct().Count());
    }

    [Fact]
    public void An_existing_run_is_refused_unless_it_is_allowed()
    {
        var run = RunFolder.Create("flowers", _root.Path);
        run.Add(Epoch(1));
        var error = Assert.Throws<IOException>(() => RunFolder.Create("flowers", _root.Path));
        Assert.Contains($"The run folder '{_root.File("flowers")}' exists. Choose another name", error.Message, StringComparison.Ordinal);
        RunFolder.Create("flowers", _root.Path, existOk: true).Add(Epoch(2));
        Assert.Equal(3, File.ReadAllLines(run.ResultsPath).Length);
    }

    [Fact]
    public void Epochs_that_a_killed_run_did_not_add_are_added_from_the_history()
    {
        var (whole, killed) = (RunFolder.Create("whole", _root.Path), RunFolder.Create("killed", _root.Path));
        EpochResult[] history = [.. Enumerable.Range(1, 5).Select(Epoch)];
        foreach (var epoch in history)
        {
            whole.Add(epoch);
            if (epoch.Epoch != 3)
                killed.Add(epoch);
        }
        whole.AddMissing(history);
        killed.AddMissing(history);
        Assert.Equal(File.ReadAllText(whole.ResultsPath), File.ReadAllText(killed.ResultsPath));
        Assert.Equal(EventBytes(whole), EventBytes(killed));

        static long EventBytes(RunFolder run) => Directory.GetFiles(run.DirectoryPath, "*tfevents*", SearchOption.AllDirectories).Sum(file => new FileInfo(file).Length);
    }

    [Theory]
    [InlineData("")]
    [InlineData("..")]
    [InlineData("a/b")]
    [InlineData("a\0b")]
    public void Names_that_are_not_those_of_a_folder_are_refused(string name) =>
        Assert.Contains("is not the name of a folder", Assert.Throws<ArgumentException>(() => RunFolder.Create(name, _root.Path)).Message, StringComparison.Ordinal);

    [Fact]
    public void A_folder_that_cannot_be_created_is_named()
    {
        string file = _root.Write("file", [1]);
        var error = Assert.Throws<IOException>(() => RunFolder.Create("flowers", file));
        Assert.StartsWith($"The run folder '{Path.Combine(file, "flowers")}' cannot be written: ", error.Message, StringComparison.Ordinal);
        Assert.EndsWith("Choose a folder in which you may create files.", error.Message, StringComparison.Ordinal);
        Assert.Throws<IOException>(() => RunFolder.Create("file", _root.Path, existOk: true));
    }

    [UnixFact]
    public void A_folder_without_write_permission_is_named()
    {
        // Nobody can create files there, not even the superuser.
        var error = Assert.Throws<IOException>(() => RunFolder.Create("flowers", "/proc"));
        Assert.StartsWith("The run folder '/proc/flowers' cannot be written: ", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Files_have_the_names_of_Ultralytics()
    {
        var run = RunFolder.Create("flowers", _root.Path);
        string[] paths = [run.ArgumentsPath, run.ResultsPath, run.BestWeightsPath(".pth"), run.LastWeightsPath(), run.ModelPath, run.OnnxPath, run.MetricsPath, run.PredictionsPath, run.ReportPath];
        Assert.Equal(
            ["args.json", "results.csv", "weights/best.pth", "weights/last.safetensors", "model.zip", "model.onnx", "metrics.json", "predictions.csv", "report.html"],
            paths.Select(path => Path.GetRelativePath(run.DirectoryPath, path).Replace('\\', '/')));
        Assert.True(Directory.Exists(Path.GetDirectoryName(run.BestWeightsPath())));
    }

    [Fact]
    public void Epochs_are_lines_of_results()
    {
        var run = RunFolder.Create("flowers", _root.Path);
        Assert.Equal([Header], File.ReadAllLines(run.ResultsPath));
        run.Add(Epoch(1));
        run.Add(new EpochResult(2, 1e-5f, 1234567, 0.5, null, null) { TrainingTime = TimeSpan.FromSeconds(0.25) });
        Assert.Equal([Header, "1,12.5,0.693147,0.8125,0.96875,0.333333,0.1", "2,12.75,1.23457e+06,,,,1e-05"], File.ReadAllLines(run.ResultsPath));
    }

    [Fact]
    public void A_run_that_resumes_replaces_the_epochs_that_it_repeats()
    {
        var run = RunFolder.Create("flowers", _root.Path);
        foreach (int epoch in new[] { 1, 2, 3, 2 })
            run.Add(Epoch(epoch));
        string[] lines = File.ReadAllLines(run.ResultsPath);
        Assert.Equal(["1,12.5", "2,25"], lines[1..].Select(line => string.Join(',', line.Split(',')[..2])));
    }

    [Fact]
    public void Another_file_of_that_name_is_not_overwritten()
    {
        var run = RunFolder.Create("flowers", _root.Path);
        File.WriteAllText(run.ResultsPath, "a,b\n1,2\n");
        Assert.Contains("is not the results of a training run", Assert.Throws<InvalidDataException>(() => run.Add(Epoch(1))).Message, StringComparison.Ordinal);
        File.WriteAllText(run.ResultsPath, Header + "\n1,abc\n");
        Assert.Contains("it has the line '1,abc'", Assert.Throws<InvalidDataException>(() => run.Add(Epoch(2))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Settings_are_written_as_JSON()
    {
        var run = RunFolder.Create("flowers", _root.Path);
        run.WriteArguments(new Dictionary<string, object?> { ["epochs"] = 3, ["data"] = "Blüten/é", ["rows"] = InvalidRowHandling.Skip, ["clip"] = float.NaN, ["seed"] = null });
        var json = JsonNode.Parse(File.ReadAllText(run.ArgumentsPath))!;
        Assert.Equal((3, "Blüten/é", "Skip", "NaN"), ((int)json["epochs"]!, (string)json["data"]!, (string)json["rows"]!, (string)json["clip"]!));
        run.WriteArguments(new { Epochs = 4 });
        Assert.Equal(4, (int)JsonNode.Parse(File.ReadAllText(run.ArgumentsPath))!["Epochs"]!);
    }

    [Fact]
    public void A_training_run_fills_its_folder()
    {
        var run = RunFolder.Create(root: _root.Path);
        var context = new MLContext(seed: 1);
        var options = Stripes.Options(epochs: 2);
        options.CheckpointPath = run.LastWeightsPath(".checkpoint");
        options.MetricsCallback = progress =>
        {
            if (progress.EpochResult is { } epoch)
                run.Add(epoch);
        };
        var data = context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 1));
        using var model = Stripes.Pipeline(context, options).Fit(data);
        var history = model.LastTransformer.History;
        var evaluation = ClassificationReport.FromScoredData(model.Transform(data));
        run.WriteArguments(new { options.Epochs, options.BatchSize });
        run.WriteEvaluation(evaluation);
        new TrainingReport { History = history, BestEpoch = model.LastTransformer.BestEpoch, Evaluation = evaluation }.Write(run.ReportPath);

        Assert.Equal(
            ["args.json", "metrics.json", "predictions.csv", "report.html", "results.csv", "train", "validation", "weights"],
            Directory.GetFileSystemEntries(run.DirectoryPath).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.True(File.Exists(run.LastWeightsPath(".checkpoint")));
        // The top-5 accuracy of three classes is left out.
        double?[][] lines = [.. File.ReadAllLines(run.ResultsPath)[1..].Select(line => line.Split(',').Select(value => value.Length == 0 ? (double?)null : double.Parse(value, CultureInfo.InvariantCulture)).ToArray())];
        foreach (var (line, epoch) in lines.Zip(history, (line, epoch) => (line, epoch)))
        {
            double?[] expected = [epoch.Epoch, line[1], epoch.TrainingLoss, epoch.ValidationAccuracy, null, epoch.ValidationLoss, epoch.LearningRate];
            Assert.Equal(expected, line, (a, b) => a is null ? b is null : Math.Abs(a.Value - b!.Value) <= 1e-5 * Math.Abs(a.Value));
        }
        Assert.Equal(history.Count, lines.Length);
        Assert.Equal(history.Sum(epoch => (epoch.TrainingTime + epoch.ValidationTime).TotalSeconds), lines[^1][1]!.Value, 1e-3);
    }

    internal static EpochResult Epoch(int epoch) => new(epoch, 0.1f, Math.Log(2), 0.75, 1.0 / 3, 0.8125)
    {
        TrainingImages = 100,
        TrainingTime = TimeSpan.FromSeconds(10),
        ValidationTime = TimeSpan.FromSeconds(2.5),
        ValidationTop5Accuracy = 0.96875,
    };
}
