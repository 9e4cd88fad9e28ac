using System.Diagnostics;
using RepVgg.Testing;
using RepVgg.TorchSharp;
using Xunit;

namespace RepVgg.TorchSharp.Tests;

/// <summary>Batches that other threads prepare while libtorch computes.</summary>
[Collection(nameof(StagingTests))]
public class StagingTests
{
    private const int Stagers = 16;

    /// <summary>OpenMP keeps helpers for every thread that ever ran a parallel loop, and all of them share the cores.</summary>
    [TorchSharpFact]
    public void Staging_on_the_CPU_starts_no_helper_threads()
    {
        using var backend = TorchBackends.Create(new TorchBackendOptions { Threads = 2, SelfTest = false });
        int[] shape = [16, 3, 256, 256];
        var values = new float[16 * 3 * 256 * 256];
        using var staged = new CountdownEvent(Stagers);
        using var counted = new ManualResetEventSlim();
        Thread[] threads = [.. Enumerable.Range(0, Stagers).Select(_ => new Thread(Stage))];
        int before = ThreadsOfProcess();
        foreach (var thread in threads)
            thread.Start();
        staged.Wait();
        int started = ThreadsOfProcess() - before;
        counted.Set();
        foreach (var thread in threads)
            thread.Join();
        Assert.InRange(started, Stagers / 2, Stagers + Stagers / 2);

        void Stage()
        {
            backend.Stage(shape, values).Dispose();
            staged.Signal();
            counted.Wait();
        }
    }

    private static int ThreadsOfProcess()
    {
        using var process = Process.GetCurrentProcess();
        return process.Threads.Count;
    }
}

[CollectionDefinition(nameof(StagingTests), DisableParallelization = true)]
public class StagingTestsRunAlone;
