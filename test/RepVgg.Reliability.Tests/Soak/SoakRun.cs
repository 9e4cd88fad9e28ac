using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.ML;
using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Tests.Trainer;
using RepVgg.Architectures;
using RepVgg.Inference;
using RepVgg.Networks;
using RepVgg.Runtime.Memory;
using RepVgg.Testing;
using RepVgg.Training;
using RepVgg.Weights.Onnx;

namespace RepVgg.Reliability.Tests.Soak;

/// <summary>Creates, opens, runs and disposes engines and models on many threads, trains short runs and cancels them, and measures the memory of the process.</summary>
/// <param name="threads">Number of threads.</param>
/// <param name="seed">Seed of what each thread does.</param>
/// <param name="log">Receives a line for each sample.</param>
internal sealed partial class SoakRun(int threads, int seed, Action<string> log)
{
    private const double Mebibyte = 1 << 20;

    /// <summary>Number of samples of a half from which the resident memory is judged: in shorter runs it still grows to what the threads need.</summary>
    private const int SamplesOfLongRun = 20;

    /// <summary>The memory that may be gained from the first half of a run to the second: noise of the allocators.</summary>
    private const double AllowedGrowth = 0.1, AllowedMebibytes = 24;

    private readonly DeployNetwork[] _networks =
    [
        RandomNetworks.Create(RandomNetworks.Architecture(1, 1, SqueezeExcitation.None, (8, 1, 1), (16, 2, 2)), 12, 12, 3),
        RandomNetworks.Create(RandomNetworks.Architecture(3, 1, SqueezeExcitation.AfterRelu, (16, 1, 2), (32, 2, 2), (48, 2, 2)), 32, 32, 10),
        RandomNetworks.Create(RandomNetworks.Architecture(3, 2, SqueezeExcitation.None, (32, 1, 2), (64, 2, 1), (96, 2, 2)), 48, 40, 100),
    ];

    private readonly float[][] _expected = new float[3][];
    private readonly float[][] _pixels = new float[3][];
    private readonly long[] _counts = new long[Enum.GetValues<Work>().Length];
    private Exception? _error;
    private volatile bool _ends;

    private enum Work
    {
        CreatedEngines,
        AbandonedEngines,
        OpenedEngines,
        PredictionEngines,
        TrainingRuns,
        CancelledRuns,
    }

    /// <summary>Runs for some time.</summary>
    /// <param name="time">The time.</param>
    /// <param name="interval">The time between two samples of the memory.</param>
    /// <exception cref="InvalidOperationException">Memory grows, or a result is wrong.</exception>
    public void Run(TimeSpan time, TimeSpan interval)
    {
        const int Batch = 8;
        using var folder = new TemporaryFolder();
        for (int i = 0; i < _networks.Length; i++)
        {
            OnnxWriter.Write(_networks[i], folder.File($"{i}.onnx"));
            _pixels[i] = RandomNetworks.Pixels(_networks[i], Batch);
            _expected[i] = new float[Batch * _networks[i].Classes];
            using var engine = new InferenceEngine(_networks[i], threads: 1);
            engine.Run(_pixels[i], Batch, _expected[i]);
        }
        var context = new MLContext(seed: 1);
        var rows = context.Data.LoadFromEnumerable(Stripes.Rows(30, seed: 1));
        context.Model.SaveRepVgg(Stripes.Pipeline(context, Stripes.Options(epochs: 1)).Fit(rows), rows.Schema, folder.File("model.zip"));

        var clock = Stopwatch.StartNew();
        var (first, quietAfterFirst) = Half(clock, time / 2, interval, folder.Path);
        var (second, quietAfterSecond) = Half(clock, time, interval, folder.Path);
        // Without threads that work, nothing but a leak is left.
        Judge("managed memory at rest", quietAfterFirst.Managed, quietAfterSecond.Managed, isJudged: true);
        Judge("the C library's heap at rest", quietAfterFirst.Heap, quietAfterSecond.Heap, isJudged: true);
        Judge("buffers of engines and backends at rest", quietAfterFirst.Buffers, quietAfterSecond.Buffers, isJudged: true);
        log(string.Create(CultureInfo.InvariantCulture, $"slope of resident memory in the second half: {Slope(second):n2} MiB per sample"));
        Judge("resident memory", Median(first[(first.Count / 2)..]), Median(second[(second.Count / 2)..]), isJudged: first.Count >= SamplesOfLongRun);
    }

    /// <summary>Works until a time, and waits until all threads have ended.</summary>
    /// <returns>The memory while they worked, and after that.</returns>
    private (List<Memory> Samples, Memory Quiet) Half(Stopwatch clock, TimeSpan end, TimeSpan interval, string folder)
    {
        _ends = false;
        var workers = Enumerable.Range(0, threads).Select(i => new Thread(() => Repeat(new Random(seed * 1000 + i), folder))).ToList();
        workers.ForEach(worker => worker.Start());
        var samples = new List<Memory>();
        while ((clock.Elapsed < end || samples.Count == 0) && _error is null)
        {
            Thread.Sleep(interval);
            samples.Add(Memory.Now());
            log(string.Create(CultureInfo.InvariantCulture, $"{clock.Elapsed.TotalSeconds,6:n0} s  {samples[^1]}  {string.Join(", ", Enum.GetValues<Work>().Select(work => $"{Interlocked.Read(ref _counts[(int)work])} {work}"))}"));
        }
        _ends = true;
        workers.ForEach(worker => worker.Join());
        if (_error is not null)
            throw new InvalidOperationException($"The soak failed: {_error.Message}", _error);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        // The finalizers have made more objects unreachable.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var quiet = Memory.Now();
        log($"at rest  {quiet}");
        return (samples, quiet);
    }

    private void Judge(string what, double before, double after, bool isJudged)
    {
        string verdict = string.Create(CultureInfo.InvariantCulture, $"{what}: {before:n0} MiB in the first half, {after:n0} MiB in the second");
        log(verdict);
        if (isJudged && after > before * (1 + AllowedGrowth) + AllowedMebibytes)
            throw new InvalidOperationException($"Memory grows. {verdict}.");
    }

    private static double Median(List<Memory> samples) => samples.Select(sample => sample.Resident).Order().ElementAt(samples.Count / 2);

    /// <summary>The slope of the line of least squares.</summary>
    private static double Slope(List<Memory> samples)
    {
        double middle = (samples.Count - 1) / 2.0, mean = samples.Average(sample => sample.Resident);
        double spread = samples.Select((_, i) => (i - middle) * (i - middle)).Sum();
        return spread == 0 ? 0 : samples.Select((sample, i) => (i - middle) * (sample.Resident - mean)).Sum() / spread;
    }

    private void Repeat(Random random, string folder)
    {
        try
        {
            var context = new MLContext(seed: 1);
            while (!_ends)
            {
                Work work = random.Next(100) switch
                {
                    < 50 => Work.CreatedEngines,
                    < 55 => Work.AbandonedEngines,
                    < 80 => Work.OpenedEngines,
                    < 90 => Work.PredictionEngines,
                    < 95 => Work.TrainingRuns,
                    _ => Work.CancelledRuns,
                };
                Do(work, random, context, folder);
                Interlocked.Increment(ref _counts[(int)work]);
            }
        }
        catch (Exception error)
        {
            _error ??= error;
            _ends = true;
        }
    }

    private void Do(Work work, Random random, MLContext context, string folder)
    {
        int which = random.Next(_networks.Length);
        switch (work)
        {
            case Work.CreatedEngines or Work.OpenedEngines:
                using (var engine = work == Work.OpenedEngines ? InferenceEngine.Open(Path.Combine(folder, $"{which}.onnx"), threads: 1 + random.Next(2)) : new InferenceEngine(_networks[which], threads: 1 + random.Next(2)))
                {
                    for (int i = random.Next(1, 6); i > 0; i--)
                        Score(engine, which, random);
                }
                break;
            case Work.AbandonedEngines:
                Score(new InferenceEngine(_networks[which], threads: 1), which, random);
                break;
            case Work.PredictionEngines:
                using (var model = context.Model.LoadRepVgg(Path.Combine(folder, "model.zip"), out _))
                using (var engine = context.Model.CreatePredictionEngine<Stripes.Row, Stripes.Prediction>(model))
                {
                    foreach (var row in Stripes.Rows(10, random.Next(3)))
                        Check(engine.Predict(row).Score.All(float.IsFinite), "a score is not finite");
                }
                break;
            case Work.TrainingRuns:
                Check(Train(CancellationToken.None) == StopReason.Completed, "a training run did not complete");
                break;
            default:
                using (var cancellation = new CancellationTokenSource(random.Next(50)))
                    Train(cancellation.Token);
                break;
        }
    }

    private void Score(InferenceEngine engine, int which, Random random)
    {
        int count = 1 + random.Next(8), classes = _networks[which].Classes;
        var logits = new float[count * classes];
        engine.Run(_pixels[which].AsSpan(0, count * engine.InputLength), count, logits);
        Check(logits.AsSpan().SequenceEqual(_expected[which].AsSpan(0, logits.Length)), "logits are wrong");
    }

    private static StopReason Train(CancellationToken cancellation)
    {
        var options = SyntheticTask.Options with { Epochs = 2, BatchSize = 16 };
        return SyntheticTask.Train(SyntheticTask.Samples(48, 1), SyntheticTask.Samples(16, 2), options, cancellation: cancellation, threads: 1).StopReason;
    }

    private static void Check(bool condition, string problem)
    {
        if (!condition)
            throw new InvalidOperationException(problem);
    }

    /// <summary>The memory of the process in MiB.</summary>
    /// <param name="Resident">Physical memory.</param>
    /// <param name="Managed">Managed objects, after a collection.</param>
    /// <param name="Heap">What is in use of the C library's heap; 0 where the C library does not tell.</param>
    /// <param name="Buffers">The buffers of engines and backends, of which the small ones are on the heap.</param>
    private sealed partial record Memory(double Resident, double Managed, double Heap, double Buffers)
    {
        public static Memory Now()
        {
            double managed = GC.GetTotalMemory(forceFullCollection: true) / Mebibyte;
            using var process = Process.GetCurrentProcess();
            return new Memory(process.WorkingSet64 / Mebibyte, managed, InUse() / Mebibyte, NativeBuffer.BytesInUse / Mebibyte);
        }

        public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Resident,6:n0} MiB resident, {Managed,5:n0} MiB managed, {Heap,5:n0} MiB heap, {Buffers,5:n0} MiB buffers");

        private static double InUse()
        {
            try
            {
                var information = Information();
                return OperatingSystem.IsLinux() ? information.Used + (double)information.Mapped : 0;
            }
            catch (Exception error) when (error is EntryPointNotFoundException or DllNotFoundException)
            {
                return 0;
            }
        }

        [LibraryImport("libc", EntryPoint = "mallinfo2")]
        private static partial HeapInformation Information();

        // The structure of glibc.
        [StructLayout(LayoutKind.Sequential)]
        private struct HeapInformation
        {
            public nuint Arena, FreeChunks, FastChunks, MappedRegions, Mapped, Unused, FreeFast, Used, Free, Top;
        }
    }
}
