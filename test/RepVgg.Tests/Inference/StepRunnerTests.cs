using System.Collections.Concurrent;
using RepVgg.Inference.Execution;
using Xunit;

namespace RepVgg.Tests.Inference;

public class StepRunnerTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Steps_run_in_order_and_a_failure_reaches_the_caller(int threads)
    {
        var steps = new CountingStep[4];
        for (int i = 0; i < steps.Length; i++)
            steps[i] = new CountingStep(i == 0 ? null : steps[i - 1]);
        using var weights = new WeightArena();
        using var workspace = new Workspace(new Plan(new Stage([], [1]), new Stage(steps, [1]), BufferId.Input, 1, 1, 1, 1, weights), 1, threads);
        for (int round = 0; round < 50; round++)
        {
            bool fails = round % 2 == 1;
            foreach (var step in steps)
                step.Reset();
            steps[2].Fails = fails;
            if (fails)
                Assert.Equal("item 7", Assert.Throws<InvalidDataException>(() => Run(workspace)).Message);
            else
                Run(workspace);
            Assert.All(steps, step => Assert.False(step.CameEarly));
            Assert.Equal(CountingStep.Items, steps[1].Done);
            Assert.Equal(fails ? 0 : CountingStep.Items, steps[3].Done);
        }
    }

    [Fact]
    public void Each_item_runs_once_while_concurrent_runs_get_different_numbers_of_threads()
    {
        const int Callers = 4, Rounds = 20_000, Threads = 3;
        var failures = new ConcurrentQueue<string>();
        var callers = Enumerable.Range(0, Callers).Select(caller => new Thread(() =>
        {
            // Passes of fewer items than threads, of as many, and of more.
            TallyStep[] steps = [.. ((int[])[2, 1, 3, 1, 1, 7, 2, 20]).Select(items => new TallyStep(items))];
            using var weights = new WeightArena();
            using var workspace = new Workspace(new Plan(new Stage([], [1]), new Stage(steps, [1]), BufferId.Input, 1, 1, 1, 1, weights), 1, Threads);
            for (int round = 1; round <= Rounds; round++)
            {
                Run(workspace);
                foreach (var step in steps)
                {
                    if (!Array.TrueForAll(step.Runs, runs => runs == round))
                        failures.Enqueue($"Caller {caller}, round {round}, {step.Runs.Length} items: they ran {string.Join(", ", step.Runs)} times.");
                }
            }
        })).ToArray();
        Array.ForEach(callers, thread => thread.Start());
        Array.ForEach(callers, thread => thread.Join());
        Assert.Empty(failures);
    }

    private static unsafe void Run(Workspace workspace) => workspace.Run(null, null, 1);

    /// <summary>Counts its items and detects items that run before the previous step is complete.</summary>
    private sealed class CountingStep(CountingStep? before) : Step
    {
        public const int Items = 40;

        private int _done;

        public int Done => _done;

        public bool CameEarly { get; private set; }

        public bool Fails { get; set; }

        public void Reset() => _done = 0;

        public override int CountItems(StepContext context) => Items * context.Images;

        public override void RunItem(StepContext context, int item, int worker)
        {
            if (Fails && item == 7)
                throw new InvalidDataException("item 7");
            if (before is not null && Volatile.Read(ref before._done) != Items)
                CameEarly = true;
            Interlocked.Increment(ref _done);
        }
    }

    /// <summary>Counts how often each item ran.</summary>
    private sealed class TallyStep(int items) : Step
    {
        public int[] Runs { get; } = new int[items];

        public override int CountItems(StepContext context) => Runs.Length;

        public override void RunItem(StepContext context, int item, int worker) => Interlocked.Increment(ref Runs[item]);
    }
}
