using RepVgg.Runtime.Threading;
using RepVgg.Testing;
using Xunit;

namespace RepVgg.Tests.Runtime.Threading;

public class ParallelLoopTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void Runs_every_item_once_with_distinct_worker_indices(int threads)
    {
        var loop = new ParallelLoop(threads);
        for (int round = 0; round < 200; round++)
        {
            var runs = new int[97];
            var inUse = new int[threads];
            int collisions = 0;
            loop.Run(runs.Length, (item, worker) =>
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

    /// <summary>Other tests can occupy all worker threads, so the loop is repeated until two of them run items at the same time.</summary>
    [Fact]
    public void Worker_threads_take_part()
    {
        var loop = new ParallelLoop(3);
        var threads = new HashSet<int>();
        for (int attempt = 0; attempt < 5000 && threads.Count < 3; attempt++)
        {
            threads.Clear();
            int waiting = 3;
            loop.Run(3, (_, _) =>
            {
                lock (threads)
                    threads.Add(Environment.CurrentManagedThreadId);
                Interlocked.Decrement(ref waiting);
                SpinWait.SpinUntil(() => Volatile.Read(ref waiting) <= 0, TimeSpan.FromMilliseconds(20));
            });
        }
        Assert.Equal(3, threads.Count);
    }

    [Fact]
    public void Several_callers_share_the_worker_threads()
    {
        var totals = new long[4];
        Parallel.For(0, totals.Length, new ParallelOptions { MaxDegreeOfParallelism = totals.Length }, caller =>
        {
            var loop = new ParallelLoop(3);
            for (int round = 0; round < 300; round++)
                loop.Run(50, (item, _) => Interlocked.Add(ref totals[caller], item));
        });
        Assert.All(totals, total => Assert.Equal(300L * 49 * 50 / 2, total));
    }

    [Fact]
    public void A_loop_inside_an_item_runs_on_its_thread()
    {
        var loop = new ParallelLoop(3);
        int runs = 0, elsewhere = 0;
        loop.Run(20, (_, _) =>
        {
            int thread = Environment.CurrentManagedThreadId;
            loop.Run(10, (_, _) =>
            {
                Interlocked.Increment(ref runs);
                if (Environment.CurrentManagedThreadId != thread)
                    Interlocked.Increment(ref elsewhere);
            });
        });
        Assert.Equal(200, runs);
        Assert.Equal(0, elsewhere);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void An_exception_reaches_the_caller_and_the_loop_can_be_reused(int threads)
    {
        var loop = new ParallelLoop(threads);
        for (int round = 0; round < 20; round++)
        {
            var failure = Assert.Throws<InvalidDataException>(() => loop.Run(40, (item, _) =>
            {
                if (item == 17)
                    throw new InvalidDataException("item 17");
            }));
            Assert.Equal("item 17", failure.Message);
            int done = 0;
            loop.Run(40, (_, _) => Interlocked.Increment(ref done));
            Assert.Equal(40, done);
        }
    }

    [Fact]
    public void Wakes_blocked_worker_threads()
    {
        var loop = new ParallelLoop(3);
        for (int round = 0; round < 5; round++)
        {
            int done = 0;
            loop.Run(40, (_, _) => Interlocked.Increment(ref done));
            Assert.Equal(40, done);
            Thread.Sleep(20);
        }
    }

    [Fact]
    public void Allocates_nothing()
    {
        var loop = new ParallelLoop(3);
        Action<int, int> body = static (_, _) => { };
        Action run = () => loop.Run(40, body);
        for (int round = 0; round < 100; round++)
            run();
        Assert.Equal(0, Allocations.Of(100, run));
    }
}
