namespace Microsoft.ML.RepVgg.Tests.Trainer;

/// <summary>Trains on every thread of the thread pool, so that none is left, and cancels. It changes the process's thread pool and therefore runs in a child process.</summary>
internal static class PoolExhaustion
{
    /// <summary>When training is cancelled.</summary>
    public enum Phase
    {
        /// <summary>While the rows are read.</summary>
        Reading,

        /// <summary>In a training pass of an epoch that is not the last.</summary>
        Training,

        /// <summary>In a validation pass.</summary>
        Validation,

        /// <summary>In the training pass of the last epoch.</summary>
        LastEpoch,
    }

    /// <summary>Bounds a deadlock, far above the time of a sound run.</summary>
    private static readonly TimeSpan _deadlock = TimeSpan.FromMinutes(2);

    /// <returns>The exit code: 0 if every run was cancelled, 1 if one ended in another way, 3 if one did not end.</returns>
    public static int CancelIn(Phase phase)
    {
        int count = Environment.ProcessorCount;
        ThreadPool.SetMinThreads(1, 1);
        if (!ThreadPool.SetMaxThreads(count, count))
            throw new InvalidOperationException("The thread pool cannot be limited.");
        using var stop = new CancellationTokenSource();
        using var reached = new CountdownEvent(count);
        Task<bool>[] runs = [.. Enumerable.Range(1, count).Select(seed => Task.Run(() => IsCancelled(phase, seed, reached, stop.Token)))];
        if (!reached.Wait(_deadlock))
            return 3;
        stop.Cancel();
        foreach (var run in runs)
        {
            if (!((IAsyncResult)run).AsyncWaitHandle.WaitOne(_deadlock))
                return 3;
        }
        return runs.All(run => run.Result) ? 0 : 1;
    }

    private static bool IsCancelled(Phase phase, int seed, CountdownEvent reached, CancellationToken stop)
    {
        var context = new MLContext(seed: 1);
        bool isReached = false;
        var keys = context.Transforms.Conversion.MapValueToKey("Label").Fit(context.Data.LoadFromEnumerable(Stripes.Rows(60, seed: 1)));
        var data = keys.Transform(context.Data.LoadFromEnumerable(Rows()));
        var options = Stripes.Options(epochs: phase == Phase.LastEpoch ? 3 : 2000);
        options.Seed = seed;
        options.CancellationToken = stop;
        options.MetricsCallback = progress =>
        {
            bool isThere = phase switch
            {
                Phase.Training => progress is { Epoch: 2, Step: 2, IsValidation: false },
                Phase.Validation => progress is { Epoch: 2, Step: 1, IsValidation: true, EpochResult: null },
                Phase.LastEpoch => progress is { Epoch: 3, Step: 1, IsValidation: false },
                _ => false,
            };
            if (isThere)
                Reach();
        };
        try
        {
            context.MulticlassClassification.Trainers.RepVgg(options).Fit(data).Dispose();
            return false;
        }
        catch (OperationCanceledException)
        {
            return true;
        }

        IEnumerable<Stripes.Row> Rows()
        {
            var rows = Stripes.Rows(600, seed: 1);
            for (int i = 0; i < rows.Count; i++)
            {
                if (phase == Phase.Reading && i == 300)
                    Reach();
                yield return rows[i];
            }
        }

        // Training stands here until it is cancelled, so that the phase is certain.
        void Reach()
        {
            if (isReached)
                return;
            isReached = true;
            reached.Signal();
            stop.WaitHandle.WaitOne();
        }
    }
}
