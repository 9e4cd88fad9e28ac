using System.Globalization;
using RepVgg.Backends;
using RepVgg.TorchSharp;
using RepVgg.Weights;

namespace RepVgg.TorchSharp.Tests;

/// <summary>Measures the memory that training steps request from the system, in a separate process.</summary>
internal static class HeapUse
{
    private const int Warm = 5, Steps = 10;

    /// <returns>Pages that the system provided in each step, and the MiB resident before and after the backend is disposed.</returns>
    public static (long PagesPerStep, long ResidentBefore, long ResidentAfter) Measure()
    {
        var backend = TorchBackends.Create(new TorchBackendOptions { Threads = 1, SelfTest = false });
        var kernel = backend.CreateParameter(new TensorData([16, 16, 3, 3], new float[16 * 16 * 9]));
        var images = new float[16 * 16 * 96 * 96];
        var gradient = new float[images.Length];
        long start = 0;
        for (int i = 0; i < Warm + Steps; i++)
        {
            if (i == Warm)
                start = MinorPageFaults();
            using (backend.BeginStep(training: true))
                backend.BackwardFrom(Forward(backend, kernel, images), gradient);
        }
        long pages = (MinorPageFaults() - start) / Steps, before = Environment.WorkingSet >> 20;
        kernel.Dispose();
        backend.Dispose();
        return (pages, before, Environment.WorkingSet >> 20);
    }

    private static Tensor Forward(Backend backend, Tensor kernel, float[] images)
    {
        var map = backend.CreateInput([16, 16, 96, 96], images);
        for (int layer = 0; layer < 4; layer++)
            map = backend.Relu(backend.Conv2d(map, kernel, null, 1, 1, 1));
        return map;
    }

    /// <summary>The process's minor page faults; see proc(5).</summary>
    private static long MinorPageFaults()
    {
        string status = File.ReadAllText("/proc/self/stat");
        return long.Parse(status[(status.LastIndexOf(')') + 2)..].Split(' ')[7], CultureInfo.InvariantCulture);
    }
}
