using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;

namespace RepVgg.Reliability.Tests.Fuzzing;

/// <summary>Gives damaged files to a reader, on several threads, and measures.</summary>
/// <param name="target">The reader.</param>
/// <param name="seed">The seed of all inputs.</param>
/// <param name="folder">Folder for temporary files, one for each thread.</param>
/// <param name="failures">Folder that inputs are written to that were not read as documented.</param>
internal sealed class FuzzRun(FuzzTarget target, int seed, string folder, string failures)
{
    /// <summary>The longest time for one input, far above what any needs: a reader that takes longer hangs.</summary>
    private static readonly TimeSpan _longest = TimeSpan.FromSeconds(60);

    private const int MaximumFailures = 20;

    private readonly ConcurrentDictionary<string, string> _failures = new();
    private readonly Lock _lock = new();
    private long _next, _first, _count, _accepted;
    private double _worstSeconds, _worstRatio;
    private long _worstBytes, _slowest, _largest;

    /// <summary>Reads the corpus, then damaged files of it.</summary>
    /// <param name="first">Index of the first input.</param>
    /// <param name="count">Number of inputs.</param>
    /// <param name="threads">Number of threads.</param>
    /// <returns>What was measured.</returns>
    /// <exception cref="FuzzException">A reader hangs, or did something else than documented.</exception>
    public FuzzReport Run(long first, long count, int threads)
    {
        // Compiles the code and fills the caches, which is not part of the measurement.
        foreach (var seed in target.Corpus.Value.Where(seed => !seed.IsFound))
            Try(new FuzzInput(seed.File, Path.Combine(folder, "corpus")), 0, isMeasured: false);
        (_first, _count) = (first, count);
        var workers = Enumerable.Range(0, threads).Select(i => new Worker(this, Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"input-{i}")))).ToArray();
        while (workers.Any(worker => !worker.HasEnded))
        {
            Thread.Sleep(100);
            if (Array.Find(workers, worker => worker.Elapsed > _longest) is { } hanging)
                throw new FuzzException($"{target.Name} hangs. {Describe(hanging.Index, hanging.Input)}");
        }
        if (!_failures.IsEmpty)
            throw new FuzzException(string.Join("\n\n", _failures.Values));
        return new FuzzReport(target.Name, count, _accepted, _worstSeconds, _slowest, _worstRatio, _worstBytes, _largest);
    }

    private void Try(FuzzInput input, long index, bool isMeasured = true)
    {
        long before = GC.GetAllocatedBytesForCurrentThread(), start = Stopwatch.GetTimestamp();
        bool accepted = false;
        foreach (var read in target.Reads)
        {
            try
            {
                read(input);
                accepted = true;
            }
            catch (Exception error)
            {
                if (!target.IsDocumented(error))
                    Fail($"{error.GetType()} {Origin(error)}", input.Bytes, index, error.ToString());
                else if (string.IsNullOrWhiteSpace(error.Message) || error.Message.Any(char.IsControl))
                    Fail($"message {Origin(error)}", input.Bytes, index, $"The message is empty or contains control characters: {error}");
            }
        }
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        if (!isMeasured)
            return;
        double bound = target.BytesPerByte * input.Bytes.Length + target.OtherBytes;
        if (allocated > bound)
            Fail("memory", input.Bytes, index, string.Create(CultureInfo.InvariantCulture, $"Reading {input.Bytes.Length} bytes allocated {allocated:n0} bytes, more than {bound:n0}."));
        lock (_lock)
        {
            _accepted += accepted ? 1 : 0;
            if (seconds > _worstSeconds)
                (_worstSeconds, _slowest) = (seconds, index);
            if (allocated > _worstBytes)
                (_worstBytes, _largest) = (allocated, index);
            _worstRatio = Math.Max(_worstRatio, (double)allocated / Math.Max(input.Bytes.Length, FuzzReport.SmallFile));
        }
    }

    private void Fail(string kind, byte[] input, long index, string message)
    {
        if (_failures.Count < MaximumFailures && !_failures.ContainsKey(kind))
            _failures.TryAdd(kind, $"{message}\n{Describe(index, input)}");
    }

    private string Describe(long index, byte[] input)
    {
        Directory.CreateDirectory(failures);
        string path = Path.Combine(failures, string.Create(CultureInfo.InvariantCulture, $"{target.Name}-{seed}-{index}"));
        File.WriteAllBytes(path, input);
        return string.Create(CultureInfo.InvariantCulture, $"The input was written to {path}. Again: dotnet run --project test/RepVgg.Reliability.Tests -c Release -- fuzz --reader {target.Name} --seed {seed} --first {index} --count 1");
    }

    private static string Origin(Exception error) => error.StackTrace?.Split('\n').FirstOrDefault(line => line.Contains("RepVgg", StringComparison.Ordinal))?.Trim() ?? "";

    private void Work(Worker worker, string path)
    {
        var corpus = target.Corpus.Value;
        // The corpus comes first, with indices below 0.
        for (long position; (position = Interlocked.Increment(ref _next) - 1) < corpus.Count + _count && _failures.Count < MaximumFailures;)
        {
            long index = position < corpus.Count ? position - corpus.Count : _first + position - corpus.Count;
            byte[] input = index < 0 ? corpus[(int)position].File : target.Input(seed, index);
            worker.Begin(index, input);
            Try(new FuzzInput(input, path), index);
            worker.End();
        }
    }

    private sealed class Worker
    {
        private readonly Thread _thread;
        private long _start;

        public Worker(FuzzRun run, string path)
        {
            // A reader that hangs must not keep the process alive.
            _thread = new Thread(() => run.Work(this, path)) { IsBackground = true };
            _thread.Start();
        }

        public long Index { get; private set; }

        public byte[] Input { get; private set; } = [];

        public bool HasEnded => !_thread.IsAlive;

        public TimeSpan Elapsed => Volatile.Read(ref _start) is var start and not 0 ? Stopwatch.GetElapsedTime(start) : TimeSpan.Zero;

        public void Begin(long index, byte[] input)
        {
            (Index, Input) = (index, input);
            Volatile.Write(ref _start, Stopwatch.GetTimestamp());
        }

        public void End() => Volatile.Write(ref _start, 0);
    }
}

/// <summary>What was measured.</summary>
/// <param name="Reader">The reader.</param>
/// <param name="Inputs">Number of inputs.</param>
/// <param name="Accepted">Number of inputs that one of the calls read without an error.</param>
/// <param name="WorstSeconds">The longest time for one input.</param>
/// <param name="Slowest">Index of that input.</param>
/// <param name="WorstRatio">The most managed memory that was allocated for each byte of an input; inputs below <see cref="SmallFile"/> count as that size.</param>
/// <param name="WorstBytes">The most managed memory that was allocated for one input.</param>
/// <param name="Largest">Index of that input.</param>
internal sealed record FuzzReport(string Reader, long Inputs, long Accepted, double WorstSeconds, long Slowest, double WorstRatio, long WorstBytes, long Largest)
{
    public const int SmallFile = 1024;

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Reader,-14} {Inputs,9:n0} inputs, {Accepted,9:n0} read, longest {1000 * WorstSeconds,8:n1} ms (input {Slowest}), memory at most {WorstRatio,6:n1} x size, {WorstBytes / 1024.0,8:n0} KiB (input {Largest})");
}

/// <summary>The exception for a reader that did something else than documented.</summary>
/// <param name="message">What, and how to repeat it.</param>
internal sealed class FuzzException(string message) : Exception(message);
