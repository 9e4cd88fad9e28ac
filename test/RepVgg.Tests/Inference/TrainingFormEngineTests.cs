using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Testing;
using RepVgg.Weights;
using Xunit;

namespace RepVgg.Tests.Inference;

public class TrainingFormEngineTests
{
    /// <summary>The maps of two of these images have more values than are computed at a time.</summary>
    [Theory]
    [InlineData(TrainingForm.ReluInBranches)]
    [InlineData(TrainingForm.ResidualReorg)]
    public void Large_images_are_computed_one_by_one(TrainingForm form)
    {
        const int Size = 256, Count = 3;
        var architecture = RandomNetworks.Architecture(1, 1, SqueezeExcitation.None, (128, 1, 1), (4, 2, 2)) with { TrainingForm = form };
        Assert.InRange(TrainingFormEngine.ValuesPerImage(architecture, Size, Size), 32L << 20, 64L << 20);
        using var engine = new TrainingFormEngine(architecture, RandomStates.Training(architecture, 3), Size, Size, Normalization.Identity(1), 2);
        var images = RandomStates.Images(Count, 1, Size, Size);
        float[] together = new float[Count * 3], alone = new float[Count * 3];
        engine.Run(images.Values, Count, together);
        for (int i = 0; i < Count; i++)
            engine.Run(images.Values.AsSpan(i * Size * Size, Size * Size), 1, alone.AsSpan(3 * i, 3));
        Assert.Equal(alone, together);
        Assert.NotEqual(together[..3], together[3..6]);
    }
}
