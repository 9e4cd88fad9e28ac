using RepVgg.Threading;
using Xunit;

namespace Microsoft.ML.RepVgg.Tests.Threading;

public class WorkerPoolTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void Runs_every_item_once_and_numbers_workers_apart(int threads)
    {
        for (int round = 0; round < 200; round++)
        {
            var runs = new int[97];
            var inUse = new int[threads];
            int collisions = 0;
            WorkerPool.Shared.Run(runs.Length, threads, (item, worker) =>
            {
                if (Interlocked.Increment(ref inUse[worker]) != 1)
                    Interlocked.Increment(ref collisions);
                Interlocked.Increment(ref runs[item]);
                Interlocked.Decrement(ref inUse[worker]);
            });
            Assert.All(runs, count => Assert.Equal(1, count));
            Assert.Equal(0, collisions);
        }
    }

    [Fact]
    public void Several_callers_share_it()
    {
        var totals = new long[4];
        Parallel.For(0, totals.Length, new ParallelOptions { MaxDegreeOfParallelism = totals.Length }, caller =>
        {
            for (int round = 0; round < 300; round++)
                WorkerPool.Shared.Run(50, 3, (item, _) => Interlocked.Add(ref totals[caller], item));
        });
        Assert.All(totals, total => Assert.Equal(300L * 49 * 50 / 2, total));
    }

    [Fact]
    public void A_failure_reaches_the_caller_and_the_pool_goes_on()
    {
        for (int round = 0; round < 20; round++)
        {
            var failure = Assert.Throws<InvalidDataException>(() => WorkerPool.Shared.Run(40, 3, (item, _) =>
            {
                if (item == 17)
                    throw new InvalidDataException("item 17");
            }));
            Assert.Equal("item 17", failure.Message);
            int done = 0;
            WorkerPool.Shared.Run(40, 3, (_, _) => Interlocked.Increment(ref done));
            Assert.Equal(40, done);
        }
    }

    [Fact]
    public void Wakes_after_it_has_parked()
    {
        for (int round = 0; round < 5; round++)
        {
            int done = 0;
            WorkerPool.Shared.Run(40, 3, (_, _) => Interlocked.Increment(ref done));
            Assert.Equal(40, done);
            Thread.Sleep(20);
        }
    }
}
