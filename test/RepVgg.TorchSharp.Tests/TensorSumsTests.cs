using RepVgg.Testing;
using TorchSharp;
using TorchSharp.Modules;
using Xunit;

namespace RepVgg.TorchSharp.Tests;

/// <summary>Sums while garbage is collected, during which TorchSharp's own sums fail within a second.</summary>
public class TensorSumsTests
{
    private const int Sums = 100_000, Forwards = 3000;

    [TorchSharpFact]
    public void Garbage_collections_do_not_disturb_sums() => RunDuringCollections(() =>
    {
        using torch.Tensor one = torch.ones(1), total = torch.zeros(1);
        for (int i = 0; i < Sums; i++)
        {
            total.AddInPlace(one).AddInPlace(1);
            using torch.Tensor two = one.Plus(one), three = two.Plus(1);
            total.AddInPlace(three);
        }
        Assert.Equal(5 * Sums, total.item<float>());
    });

    [TorchSharpFact]
    public void Garbage_collections_do_not_disturb_the_batch_norms_of_a_block() => RunDuringCollections(() =>
    {
        using var block = new RepVggBlock(2, 2);
        using var input = torch.zeros(1, 2, 2, 2);
        var norms = block.modules().OfType<BatchNorm2d>().ToList();
        Assert.Equal(3, norms.Count);
        for (int i = 0; i < Forwards; i++)
            block.call(input).Dispose();
        Assert.All(norms, norm => Assert.Equal(Forwards, norm.num_batches_tracked!.item<long>()));
    });

    private static void RunDuringCollections(Action body)
    {
        bool ended = false;
        var collector = new Thread(() =>
        {
            while (!Volatile.Read(ref ended))
            {
                GC.Collect(0);
                GC.WaitForPendingFinalizers();
            }
        });
        collector.Start();
        try
        {
            body();
        }
        finally
        {
            Volatile.Write(ref ended, true);
            collector.Join();
        }
    }
}
