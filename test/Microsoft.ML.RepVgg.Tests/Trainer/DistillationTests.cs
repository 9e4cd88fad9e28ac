using Microsoft.ML.Data;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Weights;
using RepVgg.Weights.Files;
using RepVgg.Weights.PyTorch;
using RepVgg.Weights.Safetensors;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>Teachers from files of every kind. The network has random labels and must learn the task from the teacher, whose classes are in another order.</summary>
public sealed class DistillationTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly MLContext _context = new(seed: 1);

    public void Dispose() => _folder.Dispose();

    private TransformerChain<RepVggTransformer> FitTeacher(Action<RepVggTrainer.Options>? change = null)
    {
        var options = Stripes.Options(epochs: 6);
        change?.Invoke(options);
        // The keys are in the order of the rows.
        return Stripes.Pipeline(_context, options).Fit(_context.Data.LoadFromEnumerable(Stripes.Rows(240, seed: 5).AsEnumerable().Reverse()));
    }

    private RepVggTransformer FitStudent(KnowledgeDistillation? distillation, Action<RepVggTrainer.Options>? change = null)
    {
        var random = new Random(6);
        var rows = Stripes.Rows(240, seed: 1);
        foreach (var row in rows.Skip(3))
            row.Label = Stripes.Names[random.Next(3)];
        var options = Stripes.Options(epochs: 6);
        options.ValidationSetFraction = 0;
        options.Distillation = distillation;
        change?.Invoke(options);
        return Stripes.Pipeline(_context, options).Fit(_context.Data.LoadFromEnumerable(rows)).LastTransformer;
    }

    /// <summary>Share of other images whose class has the right name.</summary>
    private double Accuracy(RepVggTransformer model)
    {
        var rows = Stripes.Rows(90, seed: 2);
        var predictions = _context.Data.CreateEnumerable<Stripes.Prediction>(model.Transform(_context.Data.LoadFromEnumerable(rows)), reuseRowObject: false);
        return rows.Zip(predictions).Average(pair => model.Labels[(int)pair.Second.PredictedLabel - 1] == pair.First.Label ? 1.0 : 0);
    }

    private string Refusal<TException>(KnowledgeDistillation distillation, Action<RepVggTrainer.Options>? change = null)
        where TException : Exception => Assert.Throws<TException>(() => FitStudent(distillation, change)).Message;

    [Fact]
    public void A_network_learns_from_teachers_in_every_kind_of_file()
    {
        string checkpoint = _folder.File("run.checkpoint"), zip = _folder.File("model.zip"), onnx = _folder.File("model.onnx"), safetensors = _folder.File("model.safetensors"), pth = _folder.File("model.pth");
        using var teacher = FitTeacher(options => options.CheckpointPath = checkpoint);
        var classifier = teacher.LastTransformer;
        Assert.NotEqual(Stripes.Names, classifier.Labels);
        _context.Model.SaveRepVgg(teacher, null, zip);
        classifier.ExportToOnnx(onnx);
        var weights = WeightsFile.Read(checkpoint);
        SafetensorsWriter.Write(weights.State, safetensors, weights.Describe() with { ClassLabels = [.. classifier.Labels] });
        using (var file = File.Create(pth))
            PthWriter.Write(weights.State, file);

        using (var alone = FitStudent(null))
            Assert.InRange(Accuracy(alone), 0, 0.8);
        var names = classifier.Labels;
        foreach (var distillation in (KnowledgeDistillation[])
        [
            new() { TeacherPath = zip, Weight = 1 },
            new() { TeacherPath = onnx, Weight = 1 },
            new() { TeacherPath = safetensors, Weight = 1 },
            new() { TeacherPath = checkpoint, Weight = 1, TeacherClasses = names },
            new() { TeacherPath = pth, Weight = 1, TeacherClasses = names, TeacherOptions = new WeightsFileOptions { Normalization = classifier.Network.Normalization, Strides = [1, 2, 2] } },
        ])
        {
            using var student = FitStudent(distillation);
            double accuracy = Accuracy(student);
            Assert.True(accuracy > 0.9, $"{Path.GetFileName(distillation.TeacherPath)}: {accuracy}");
        }
    }

    [Fact]
    public void Teachers_that_cannot_be_used_are_refused()
    {
        string checkpoint = _folder.File("run.checkpoint"), zip = _folder.File("model.zip");
        using var teacher = FitTeacher(options => (options.CheckpointPath, options.Epochs) = (checkpoint, 1));
        _context.Model.SaveRepVgg(teacher, null, zip);

        string start = $"Options.Distillation: the teacher '{checkpoint}' cannot be used. ";
        Assert.Equal($"{start}The file does not contain the names of its 3 classes. Give them, in the order of its logits, as Distillation.TeacherClasses.", Refusal<ArgumentException>(new() { TeacherPath = checkpoint }));
        Assert.Equal($"{start}2 names of classes were given for the 3 classes of the teacher.", Refusal<ArgumentException>(new() { TeacherPath = checkpoint, TeacherClasses = ["across", "down"] }));
        Assert.Equal($"{start}The teacher does not know the classes 'down', 'slanting'. It knows 'across', 'up', 'slant'.", Refusal<ArgumentException>(new() { TeacherPath = checkpoint, TeacherClasses = ["across", "up", "slant"] }));
        // The normalisation of a file with a description is that of its one channel.
        string grey = Refusal<ArgumentException>(new() { TeacherPath = WriteColourNetwork(), TeacherClasses = Stripes.Names });
        Assert.Contains("The teacher reads images of 3 channel(s), but the training images have 1.", grey, StringComparison.Ordinal);

        string text = _folder.File("text.zip");
        File.WriteAllText(text, "no model");
        Assert.Contains("is a text file", Refusal<InvalidDataException>(new() { TeacherPath = text }), StringComparison.Ordinal);
        Assert.ThrowsAny<IOException>(() => FitStudent(new() { TeacherPath = _folder.File("missing.zip") }));

        var rows = _context.Data.LoadFromEnumerable(Stripes.Rows(9, 1));
        var mapping = _context.Transforms.Conversion.MapValueToKey("Label").Fit(rows);
        string other = _folder.File("other.zip");
        _context.Model.Save(mapping, rows.Schema, other);
        Assert.Contains($"the teacher '{other}' cannot be loaded. It contains no RepVGG network that this library saved", Refusal<InvalidDataException>(new() { TeacherPath = other }), StringComparison.Ordinal);
    }

    /// <summary>The content of the file counts, not its path.</summary>
    [Fact]
    public void A_run_resumes_with_the_same_teacher_only()
    {
        string first = _folder.File("first.zip"), second = _folder.File("second.zip"), moved = _folder.File("moved.zip");
        using (var teacher = FitTeacher(options => options.Epochs = 1))
            _context.Model.SaveRepVgg(teacher, null, first);
        using (var teacher = FitTeacher(options => options.Epochs = 2))
            _context.Model.SaveRepVgg(teacher, null, second);
        var resumable = (RepVggTrainer.Options options) => { (options.Epochs, options.CheckpointPath) = (1, _folder.File("run.checkpoint")); };
        FitStudent(new() { TeacherPath = first }, resumable).Dispose();
        Assert.Contains("Distillation.TeacherHash was", Refusal<InvalidOperationException>(new() { TeacherPath = second }, resumable), StringComparison.Ordinal);
        File.Move(first, moved);
        FitStudent(new() { TeacherPath = moved }, resumable).Dispose();
    }

    private string WriteColourNetwork()
    {
        string path = _folder.File("colour.safetensors");
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, global::RepVgg.Architectures.SqueezeExcitation.None, (4, 1, 2), (6, 1, 2)), Stripes.Size, Stripes.Size, 3);
        SafetensorsWriter.Write(network.ExportState(), path, network.Describe());
        return path;
    }
}
