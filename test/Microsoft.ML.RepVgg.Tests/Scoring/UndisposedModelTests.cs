using System.Globalization;
using Microsoft.ML.RepVgg.Tests.Trainer;
using RepVgg.Architectures;
using RepVgg.Testing;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Scoring;

public class UndisposedModelTests
{
    [Fact]
    public async Task Models_and_prediction_engines_that_nobody_disposes_are_collected()
    {
        using var folder = new TemporaryFolder();
        var context = new MLContext(seed: 1);
        var options = Stripes.Options(epochs: 1);
        options.Architecture = new RepVggArchitecture
        {
            Name = "Wide",
            InputChannels = Stripes.Channels,
            Stages = [new("stage0", 64, 1, 1), new("stage1", 128, 2, 2), new("stage2", 256, 2, 2)],
            DefaultImageSize = Stripes.Size,
        };
        var data = context.Data.LoadFromEnumerable(Stripes.Rows(30, seed: 1));
        using var model = Stripes.Pipeline(context, options).Fit(data);
        context.Model.SaveRepVgg(model, data.Schema, folder.File("model.zip"));

        // In MB; a hundred models need more than 500.
        long[] memory = [.. (await Program.Child.RunAsync("undisposed-models", folder.File("model.zip"))).Split(' ').Select(number => long.Parse(number, CultureInfo.InvariantCulture))];
        Assert.True(memory[1] - memory[0] < 250, $"{memory[0]} MB grew to {memory[1]} MB.");
    }
}
