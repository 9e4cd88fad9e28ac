using Microsoft.ML.Data;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Reparameterization;
using RepVgg.Testing;
using RepVgg.Weights.Files;
using RepVgg.Weights.PyTorch;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>Every training form through the trainer.</summary>
public sealed class TrainingFormTests
{
    private readonly MLContext _context = new(seed: 1);

    public static TheoryData<TrainingForm> Forms => [.. Enum.GetValues<TrainingForm>()];

    private static RepVggTrainer.Options Options(TrainingForm? form)
    {
        var options = Stripes.Options(epochs: 5);
        options.TrainingForm = form;
        return options;
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void Every_form_learns_in_a_pipeline_and_is_evaluated(TrainingForm form)
    {
        var data = _context.Data.LoadFromEnumerable(Stripes.Rows(150, seed: 1));
        using var folder = new TemporaryFolder();
        var options = Options(form);
        options.CheckpointPath = folder.File("run.checkpoint");
        using var model = Stripes.Pipeline(_context, options).Fit(data);
        var metrics = _context.MulticlassClassification.Evaluate(model.Transform(_context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 2))));
        Assert.InRange(metrics.MacroAccuracy, 0.7, 1);
        var transformer = model.LastTransformer;
        Assert.Equal(form, transformer.Architecture.TrainingForm);

        // The probabilities are those of the weights in the checkpoint, in their training form.
        var weights = WeightsFile.Read(options.CheckpointPath);
        Assert.Equal(form, weights.Architecture.TrainingForm);
        float[][] scores = [.. model.Transform(data).GetColumn<float[]>("Score")];
        var rows = _context.Data.CreateEnumerable<Stripes.Row>(data, reuseRowObject: false).ToArray();
        using var engine = new TrainingFormEngine(weights.Architecture, weights.State, weights.ImageHeight, weights.ImageWidth, weights.Description!.Normalization);
        var logits = new float[rows.Length * engine.OutputLength];
        engine.Run([.. rows.SelectMany(row => row.Features)], rows.Length, logits);
        for (int row = 0; row < rows.Length; row++)
        {
            double[] exponentials = [.. logits.AsSpan(row * engine.OutputLength, engine.OutputLength).ToArray().Select(logit => Math.Exp(logit))];
            Compare.Close([.. exponentials.Select(value => (float)(value / exponentials.Sum()))], scores[row], 1e-4);
        }

        if (Fusion.CanFuse(form))
        {
            _context.Model.Save(model, data.Schema, folder.File("model.zip"));
            transformer.ExportToOnnx(folder.File("model.onnx"));
            Assert.Equal(form, transformer.Network.Architecture.TrainingForm);
            return;
        }
        Assert.Contains($"training form {form} have no deploy form", Assert.Throws<NotSupportedException>(() => transformer.Network).Message);
        Assert.Contains($"training form {form} have no deploy form", Assert.Throws<NotSupportedException>(() => transformer.ExportToOnnx(folder.File("model.onnx"))).Message);
        Assert.Contains($"training form {form} have no deploy form", Assert.Throws<NotSupportedException>(() => _context.Model.Save(model, data.Schema, folder.File("model.zip"))).Message);
        Assert.False(File.Exists(folder.File("model.onnx")));
    }

    [Fact]
    public void The_form_of_the_architecture_applies_where_the_option_is_null()
    {
        var data = _context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 1));
        var options = Options(null);
        options.Epochs = 1;
        options.Architecture = options.Architecture! with { TrainingForm = TrainingForm.Plain };
        using var model = Stripes.Pipeline(_context, options).Fit(data);
        Assert.Equal(TrainingForm.Plain, model.LastTransformer.Architecture.TrainingForm);
    }

    [Fact]
    public void Options_without_a_meaning_for_the_form_are_refused()
    {
        var data = _context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 1));
        var options = Options(TrainingForm.Plain);
        options.StochasticDepth = 0.1f;
        Assert.Contains("StochasticDepth is 0.1, but the training form Plain", Assert.Throws<ArgumentException>(() => Stripes.Pipeline(_context, options).Fit(data)).Message);
        options = Options(TrainingForm.DiverseBranch);
        options.CustomL2 = true;
        Assert.Contains("not for the training form DiverseBranch", Assert.Throws<ArgumentException>(() => Stripes.Pipeline(_context, options).Fit(data)).Message);
        Assert.Contains("TrainingForm", Assert.Throws<ArgumentException>(() => Stripes.Pipeline(_context, Options((TrainingForm)99))).Message);
    }

    [Fact]
    public void Pretrained_weights_of_another_form_are_refused_with_both_names()
    {
        using var folder = new TemporaryFolder();
        var data = _context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 1));
        var options = Options(TrainingForm.Plain);
        PthWriter.Write(RandomStates.Training(options.Architecture! with { TrainingForm = TrainingForm.QARepVgg }, 3), folder.File("other.pth"));
        options.PretrainedWeightsPath = folder.File("other.pth");
        string message = Assert.Throws<ArgumentException>(() => Stripes.Pipeline(_context, options).Fit(data)).Message;
        Assert.Contains("training form Plain", message);
        Assert.Contains("names of the training form QARepVgg", message);
        Assert.Contains("Set Options.TrainingForm to QARepVgg", message);
        Assert.Contains("stage0.conv.weight", message);
        Assert.Contains("stage0.rbr_dense.conv.weight", message);
    }

    /// <summary>Forms whose weights have the same names, but compute something else: the checkpoint says which form it holds.</summary>
    [Theory]
    [InlineData(TrainingForm.ReluInBranches, TrainingForm.RepVgg)]
    [InlineData(TrainingForm.RepVgg, TrainingForm.ReluInBranches)]
    [InlineData(TrainingForm.Csla, TrainingForm.HyperSearch)]
    [InlineData(TrainingForm.HyperSearch, TrainingForm.Csla)]
    public void Checkpoints_of_a_form_with_the_same_names_are_refused(TrainingForm stored, TrainingForm wanted)
    {
        using var folder = new TemporaryFolder();
        var data = _context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 1));
        var options = Options(stored);
        (options.Epochs, options.CheckpointPath) = (1, folder.File("first.checkpoint"));
        Stripes.Pipeline(_context, options).Fit(data).Dispose();
        options = Options(wanted);
        options.PretrainedWeightsPath = folder.File("first.checkpoint");
        string message = Assert.Throws<ArgumentException>(() => Stripes.Pipeline(_context, options).Fit(data)).Message;
        Assert.Contains($"{stored}", message);
        Assert.Contains($"{wanted}", message);
        options.TrainingForm = null;
        options.Architecture = null;
        options.Epochs = 1;
        using var continued = Stripes.Pipeline(_context, options).Fit(data);
        Assert.Equal(stored, continued.LastTransformer.Architecture.TrainingForm);
    }
}
