using RepVgg.Testing;
using TorchSharp;
using Xunit;

namespace RepVgg.TorchSharp.Tests;

/// <summary>Sums while garbage is collected, during which TorchSharp's own sums fail within a second.</summary>
public class TensorSumsTests
{
    private const int Sums = 100_000;

    [TorchSharpFact]
    public void Garbage_collections_do_not_disturb_sums()
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
            using torch.Tensor one = torch.ones(1), total = torch.zeros(1);
            for (int i = 0; i < Sums; i++)
            {
                total.AddInPlace(one).AddInPlace(1);
                using torch.Tensor two = one.Plus(one), three = two.Plus(1);
                total.AddInPlace(three);
            }
            Assert.Equal(5 * Sums, total.item<float>());
        }
        finally
        {
            Volatile.Write(ref ended, true);
            collector.Join();
        }
    }
}
