using System.Reflection;
using System.Text.Json;
using System.Xml.Linq;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;
using RepVgg.Testing;
using RepVgg.Tool.Classification;
using RepVgg.Tool.Images;
using RepVggNamespace;
using Xunit;

namespace RepVgg.Tool.Tests;

/// <summary>The command generate. The projects are built and run by <c>.ci/run</c>, from the packages.</summary>
[Collection(ConsoleCollection.Name)]
public sealed class GenerateTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("console", "Program.cs")]
    [InlineData("web", "ModelService.cs Program.cs appsettings.json")]
    public void A_project_has_the_names_that_are_given(string template, string files)
    {
        // The names contain those that are replaced.
        string project = _folder.File("2 Pets.RepVggNamespace-1");
        Programs.Tool.Succeeds("generate", project, "--template", template, "--name", "RepVggProject");
        Assert.Equal(
            Enumerable.Order([".gitignore", "2 Pets.RepVggNamespace-1.csproj", "RepVggProject.consumption.cs", "RepVggProject.evaluate.cs", "RepVggProject.training.cs", .. files.Split(' ')], StringComparer.Ordinal),
            Directory.GetFiles(project).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal));
        string[] code = [.. Directory.GetFiles(project, "*.cs").Select(File.ReadAllText)];
        Assert.All(code, text => Assert.Contains("\nnamespace _2_Pets.RepVggNamespace_1;", text.ReplaceLineEndings("\n"), StringComparison.Ordinal));
        Assert.Equal(3, code.Count(text => text.Contains("public partial class RepVggProject", StringComparison.Ordinal)));
        Assert.DoesNotContain("MLModel1", string.Concat(code), StringComparison.Ordinal);
        Assert.Contains("is not empty", Programs.Tool.Fails(1, "generate", project), StringComparison.Ordinal);
        string inFile = Path.Combine(_folder.Write("file", []), "Pets");
        Assert.Contains($"The output folder '{inFile}' cannot be written: ", Programs.Tool.Fails(1, "generate", inFile), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("console")]
    [InlineData("web")]
    public void A_project_uses_the_packages_of_this_version(string template)
    {
        string project = _folder.File("Pets");
        Programs.Tool.Succeeds("generate", project, "--template", template);
        var references = XDocument.Load(Path.Combine(project, "Pets.csproj")).Descendants("PackageReference").ToDictionary(item => (string)item.Attribute("Include")!, item => (string)item.Attribute("Version")!);
        Assert.Equal(typeof(RepVggTrainer).Assembly.GetName().Version!.ToString(3), references["Microsoft.ML.RepVgg"]);
        var versions = typeof(GenerateTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().ToDictionary(entry => entry.Key, entry => entry.Value);
        foreach (var (package, version) in references.Where(reference => reference.Key != "Microsoft.ML.RepVgg"))
            Assert.Equal(versions[package], version);
    }

    [Theory]
    [InlineData("class")]
    [InlineData("record")]
    [InlineData("2x")]
    [InlineData("a-b")]
    [InlineData("Console")]
    [InlineData("Program")]
    [InlineData("Microsoft")]
    [InlineData("System")]
    [InlineData("MLContext")]
    [InlineData("Predict")]
    [InlineData("ModelInput")]
    public void Names_of_models_that_cannot_be_compiled_are_refused(string name) =>
        Assert.Contains($"'{name}', --name, ", Programs.Tool.Fails(2, "generate", _folder.File("Pets"), "--name", name), StringComparison.Ordinal);

    [Theory]
    [InlineData("class")]
    [InlineData("Console")]
    [InlineData("Pets.Path")]
    [InlineData("System")]
    [InlineData("TorchSharp")]
    [InlineData("newtonsoft.json")]
    public void Names_of_folders_that_cannot_be_compiled_are_refused(string name)
    {
        Assert.Contains("the name of the folder DIR, is", Programs.Tool.Fails(2, "generate", _folder.File(name)), StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }

    [Theory]
    [InlineData("Pets", "Math")]
    [InlineData("Kinds", "Kinds")]
    [InlineData("app", "Random")]
    [InlineData("größe", "Größe")]
    [InlineData(".x.", "_1")]
    [InlineData("My.App-1", "MLModel1")]
    public void Other_names_are_accepted(string project, string name) => Programs.Tool.Succeeds("generate", _folder.File(project), "--name", name, "--template", "web");

    [Fact]
    public void A_project_has_the_model_of_a_run()
    {
        string pictures = Pictures.Folder(_folder, "pictures", 8), runs = _folder.File("runs"), run = Path.Combine(runs, "run");
        Programs.Tool.Succeeds("train", pictures, "--output", runs, "--name", "run", "--epochs", "3", "--batch-size", "6", "--device", "cpu");
        Programs.Tool.Succeeds("generate", _folder.File("Pets"), "--model", run);
        Check(Path.Combine(_folder.File("Pets"), "MLModel1.mlnet"), Path.Combine(run, "model.zip"), pictures);
        Assert.Contains("missing", Programs.Tool.Fails(1, "generate", _folder.File("None"), "--model", _folder.File("missing")), StringComparison.Ordinal);
    }

    [Fact]
    public void Models_with_other_columns_are_used_like_those_of_a_run()
    {
        string pictures = Pictures.Folder(_folder, "pictures", 8), path = _folder.File("old.zip");
        var context = new MLContext(1);
        var rows = ImageDataset.ReadFiles(pictures);
        var data = new ClassifierData(context, ["blue", "green", "red"], CancellationToken.None, "Image").Of(rows);
        using (var model = Trainer(context).Append(context.Transforms.Conversion.MapKeyToValue("PredictedLabel")).Fit(data))
            context.Model.SaveRepVgg(model, null, path);
        Programs.Tool.Succeeds("evaluate", path, pictures);
        Programs.Tool.Succeeds("explain", path, rows[0].ImagePath, _folder.File("heat.png"));
        Programs.Tool.Succeeds("score", path, "--input", pictures, "--output", _folder.File("scores"));
        Programs.Tool.Succeeds("generate", _folder.File("Pets"), "--name", "Kinds", "--model", path, "--template", "web");
        Check(Path.Combine(_folder.File("Pets"), "Kinds.mlnet"), path, pictures);
    }

    [Fact]
    public void Models_whose_classes_have_no_names_are_refused()
    {
        string path = _folder.File("numbers.zip"), pictures = Pictures.Folder(_folder, "pictures", 4);
        var context = new MLContext(1);
        var rows = ImageDataset.ReadFiles(pictures).Select(row => new NumberedRow { Image = File.ReadAllBytes(row.ImagePath), Label = row.Label.Length }).ToList();
        using (var model = context.Transforms.Conversion.MapValueToKey("Label").Append(Trainer(context)).Fit(context.Data.LoadFromEnumerable(rows)))
            context.Model.SaveRepVgg(model, null, path);
        Assert.Contains("have no names", Programs.Tool.Fails(1, "generate", _folder.File("Pets"), "--model", path), StringComparison.Ordinal);
    }

    /// <summary>Compares what the code of a project predicts with what the tool predicts with the model from which the project was made.</summary>
    private static void Check(string projectModel, string model, string pictures)
    {
        var pool = new MLModel1.PredictionPool(projectModel);
        Assert.Equal(["blue", "green", "red"], pool.Labels);
        string[] lines = Programs.Tool.Succeeds("predict", model, pictures, "--json").TrimEnd().Split('\n');
        int correct = 0;
        Parallel.ForEach(lines, line =>
        {
            using var json = JsonDocument.Parse(line);
            var expected = json.RootElement.GetProperty("predictions").EnumerateArray().Select(entry => KeyValuePair.Create(entry.GetProperty("label").GetString()!, entry.GetProperty("probability").GetSingle())).ToList();
            string path = json.RootElement.GetProperty("path").GetString()!;
            if (Path.GetFileName(Path.GetDirectoryName(path)) == expected[0].Key)
                Interlocked.Increment(ref correct);
            var input = new MLModel1.ModelInput { ImageSource = File.ReadAllBytes(path), Label = "green" };
            var output = pool.Predict(input);
            Assert.Equal((expected[0].Key, 2u), (output.PredictedLabel, output.Label));
            Assert.Equal(expected, pool.GetSortedScoresWithLabels(output));
            Assert.Equal(expected, pool.PredictAllLabels(input));
        });

        // The model can be evaluated by ML.NET, and in an application without this library.
        var context = new MLContext();
        using var loaded = context.Model.LoadRepVgg(projectModel, out _);
        var metrics = context.MulticlassClassification.Evaluate(loaded.Transform(MLModel1.LoadImageFromFolder(context, pictures)));
        Assert.Equal((double)correct / lines.Length, metrics.MicroAccuracy, 1e-9);
        Assert.NotNull(context.Model.Load(projectModel, out _).GetOutputSchema(Schema()).GetColumnOrNull("PredictedLabel"));

        static DataViewSchema Schema()
        {
            var schema = new DataViewSchema.Builder();
            schema.AddColumn("ImageSource", new Microsoft.ML.Transforms.Image.ImageDataViewType());
            schema.AddColumn("Label", TextDataViewType.Instance);
            return schema.ToSchema();
        }
    }

    private static RepVggTrainer Trainer(MLContext context) =>
        context.MulticlassClassification.Trainers.RepVgg(new RepVggTrainer.Options { FeatureColumnName = "Image", Epochs = 3, BatchSize = 6, ValidationSetFraction = 0, Seed = 1, Device = TrainingDevice.Cpu });

    private sealed class NumberedRow
    {
        public byte[] Image { get; set; } = [];

        public int Label { get; set; }
    }
}
