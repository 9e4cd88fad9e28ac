using System.Runtime.CompilerServices;
using RepVgg.Inference.Execution;
using Xunit;

namespace RepVgg.Tests.Inference;

public sealed class WorkspacePoolTests : IDisposable
{
    private readonly WeightArena _weights = new();
    private readonly WorkspacePool _pool;

    public WorkspacePoolTests() => _pool = CreatePool(_weights);

    public void Dispose()
    {
        _pool.Dispose();
        _weights.Dispose();
    }

    [Fact]
    public void What_a_burst_needed_is_freed_after_a_period_without_it()
    {
        var burst = Use(64, images: 1);
        // The rest of the period of the burst, and one more.
        for (int i = 0; i < 2 * WorkspacePool.PeriodReturns - 64; i++)
            Use(1, images: 1);
        Assert.Single(Use(64, images: 1).Intersect(burst));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(64)]
    public void Steady_use_creates_no_workspaces(int concurrent)
    {
        var first = Use(concurrent, images: 1);
        for (int i = 0; i < 5 * WorkspacePool.PeriodReturns; i++)
            Assert.Subset(first, Use(concurrent, images: 1));
    }

    [Fact]
    public void Use_that_comes_and_goes_within_a_period_creates_no_workspaces()
    {
        var first = Use(8, images: 1);
        for (int i = 0; i < 20; i++)
        {
            for (int j = 0; j < WorkspacePool.PeriodReturns / 2; j++)
                Use(1, images: 1);
            Assert.Subset(first, Use(8, images: 1));
        }
    }

    [Fact]
    public void A_tick_of_the_timer_soon_after_the_end_of_a_period_frees_nothing()
    {
        var large = Use(1, images: 32);
        for (int i = 1; i < WorkspacePool.PeriodReturns; i++)
            Use(1, images: 32);
        Use(1, images: 1);
        _pool.Tick();
        Assert.Equal(large, Use(1, images: 32));
        // A tick ends the period in which the workspace was used, and the next one that in which it was not.
        _pool.Tick();
        Use(1, images: 1);
        _pool.Tick();
        Assert.Empty(Use(1, images: 32).Intersect(large));
    }

    [Fact]
    public void Workspaces_for_larger_batches_are_freed_after_a_period_without_them()
    {
        var large = Use(1, images: 32).Single();
        Assert.Same(large, Use(1, images: 1).Single());
        for (int i = 0; i < 2 * WorkspacePool.PeriodReturns; i++)
            Use(1, images: 1);
        Assert.Equal(1, Use(1, images: 1).Single().Capacity);
        Assert.Equal(32, Use(1, images: 32).Single().Capacity);
    }

    [Fact]
    public void The_smallest_workspace_that_is_large_enough_is_rented()
    {
        Workspace large = _pool.Rent(32), small = _pool.Rent(1), middle = _pool.Rent(8);
        _pool.Return(large);
        _pool.Return(small);
        _pool.Return(middle);
        Assert.Same(middle, _pool.Rent(5));
        Assert.Same(small, _pool.Rent(1));
        Assert.Same(large, _pool.Rent(1));
    }

    [Fact]
    public void An_unused_period_frees_everything()
    {
        var used = Use(3, images: 1);
        _pool.EndPeriod();
        Assert.Equal(used, Use(3, images: 1));
        _pool.EndPeriod();
        _pool.EndPeriod();
        Assert.Empty(used.Intersect(Use(3, images: 1)));
    }

    [Fact]
    public void A_workspace_that_is_in_use_is_not_freed()
    {
        var rented = _pool.Rent(1);
        _pool.EndPeriod();
        _pool.EndPeriod();
        _pool.Return(rented);
        Assert.Same(rented, Use(1, images: 1).Single());
    }

    [Fact]
    public void A_pool_that_nobody_disposed_is_collected_although_its_timer_runs()
    {
        var pool = Forget(_weights);
        for (int i = 0; i < 10 && pool.IsAlive; i++)
            GC.Collect();
        Assert.False(pool.IsAlive);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static WeakReference Forget(WeightArena weights)
        {
            var pool = CreatePool(weights);
            pool.Return(pool.Rent(1));
            return new WeakReference(pool);
        }
    }

    /// <summary>Rents workspaces at the same time and returns them.</summary>
    private HashSet<Workspace> Use(int concurrent, int images)
    {
        Workspace[] rented = [.. Enumerable.Range(0, concurrent).Select(_ => _pool.Rent(images))];
        Array.ForEach(rented, _pool.Return);
        return [.. rented];
    }

    private static WorkspacePool CreatePool(WeightArena weights) => new(new Plan(new Stage([], [1]), new Stage([], [1]), BufferId.Input, 1, 1, 1, 1, weights), threads: 1);
}
