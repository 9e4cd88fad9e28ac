using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tests.Testing;

[Collection(nameof(AllocationsTests))]
public class AllocationsTests
{
    private static object? _last;

    [Fact]
    public void Is_exact_while_background_collections_run()
    {
        bool stop = false;
        var collector = new Thread(() =>
        {
            var kept = new byte[300][];
            for (int i = 0; !Volatile.Read(ref stop); i++)
            {
                kept[i % kept.Length] = new byte[1000 + i % 80_000];
                if (i % 50 == 0)
                    GC.Collect(2, GCCollectionMode.Forced, blocking: false);
            }
        });
        collector.Start();
        try
        {
            for (int i = 0; i < 10; i++)
            {
                // Leaves an unfinished allocation context behind.
                _last = new byte[100 + 500 * i];
                Assert.Equal(0, Allocations.Of(1, WaitForCollections));
            }
            Assert.InRange(Allocations.Of(1, () => _last = new object()), 24, 24 + 8192);
        }
        finally
        {
            Volatile.Write(ref stop, true);
            collector.Join();
        }
    }

    private static void WaitForCollections()
    {
        int before = GC.CollectionCount(2);
        while (GC.CollectionCount(2) < before + 2)
            Thread.SpinWait(20);
    }
}

[CollectionDefinition(nameof(AllocationsTests), DisableParallelization = true)]
public class AllocationsTestsRunAlone;
