using System.Diagnostics;
using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Backends.Cpu;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Runtime.Memory;
using RepVgg.Testing;

namespace RepVgg.Tests.Inference;

/// <summary>Measures the native memory of engines and backends, in MB, in a process of its own.</summary>
internal static class MemoryUse
{
    private const int Engines = 300;
    private const int Callers = 64;

    /// <summary>Creates, uses and forgets engines.</summary>
    /// <returns>The memory of one engine, and the largest memory above that before.</returns>
    public static long[] OfUndisposedEngines()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (64, 1, 1), (128, 2, 2), (256, 2, 2)), 32, 32, classes: 10);
        float[] pixels = RandomNetworks.Pixels(network, 4);
        CreateEngine(network, pixels);
        return Measure(() => CreateEngine(network, pixels), Engines);
    }

    /// <summary>Creates, uses and forgets training backends.</summary>
    /// <returns>The memory of one backend, and the largest memory above that before.</returns>
    public static long[] OfUndisposedBackends()
    {
        var architecture = RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (64, 1, 1), (128, 2, 2), (256, 2, 2));
        CreateBackend(architecture);
        return Measure(() => CreateBackend(architecture), Engines);
    }

    /// <summary>Runs an engine on many threads at once and then on one thread, and again on many threads and then not at all.</summary>
    /// <returns>The memory before, after the burst, after the calls of one thread, after the second burst, and after a time without calls.</returns>
    public static long[] OfBurst()
    {
        var network = RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.None, (64, 1, 1), (64, 2, 2)), 64, 64, classes: 10);
        float[] pixels = RandomNetworks.Pixels(network, 4);
        using var engine = new InferenceEngine(network);
        Run(engine, pixels);
        long before = InUse();
        long burst = RunOnManyThreads(engine, pixels);
        for (int i = 0; i < 400; i++)
            Run(engine, pixels.AsSpan(0, engine.InputLength));
        long calm = InUse();
        long secondBurst = RunOnManyThreads(engine, pixels);
        var clock = Stopwatch.StartNew();
        while (InUse() > before && clock.Elapsed < TimeSpan.FromSeconds(45))
            Thread.Sleep(500);
        return [before, burst, calm, secondBurst, InUse()];
    }

    /// <returns>The memory afterwards.</returns>
    private static long RunOnManyThreads(InferenceEngine engine, float[] pixels)
    {
        using var together = new Barrier(Callers);
        Thread[] callers = [.. Enumerable.Range(0, Callers).Select(_ => new Thread(() =>
        {
            together.SignalAndWait();
            for (int i = 0; i < 4; i++)
                Run(engine, pixels);
        }))];
        Array.ForEach(callers, caller => caller.Start());
        Array.ForEach(callers, caller => caller.Join());
        return InUse();
    }

    private static long[] Measure(Action create, int count)
    {
        create();
        long before = InUse(), most = 0;
        for (int i = 0; i < count; i++)
        {
            create();
            most = Math.Max(most, InUse() - before);
        }
        return [before, most];
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void CreateEngine(DeployNetwork network, float[] pixels) => Run(new InferenceEngine(network), pixels);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void CreateBackend(RepVggArchitecture architecture)
    {
        var backend = new CpuBackend();
        var network = new TrainingNetwork(architecture, 10, backend, 1);
        network.ExportState();
    }

    private static void Run(InferenceEngine engine, ReadOnlySpan<float> pixels)
    {
        int count = pixels.Length / engine.InputLength;
        engine.Run(pixels, count, new float[count * engine.OutputLength]);
    }

    /// <summary>The native memory of engines and backends: unlike the resident memory, it contains neither stacks nor managed objects.</summary>
    private static long InUse() => NativeBuffer.BytesInUse >> 20;
}
