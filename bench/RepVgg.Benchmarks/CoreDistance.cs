using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace RepVgg.Benchmarks;

/// <summary>
/// How fast two cores exchange cache lines. Cores that share a cache are near each other; virtual machines and processors of several core complexes also have
/// cores that are far apart, and a virtual machine can change from one to the other while it runs.
/// </summary>
/// <param name="RoundTripNanoseconds">Time in which a value goes to the other core and an answer comes back.</param>
/// <param name="ReadGigabytes">Gigabytes per second of reading a buffer that the other core has just written.</param>
/// <param name="RewriteGigabytes">Gigabytes per second of writing a buffer that the other core has just read.</param>
/// <param name="OwnGigabytes">Gigabytes per second of writing a buffer that no other core uses.</param>
internal sealed unsafe record CoreDistance(double RoundTripNanoseconds, double ReadGigabytes, double RewriteGigabytes, double OwnGigabytes)
{
    /// <summary>Nanoseconds of a round trip above which two cores are far apart. Neighbouring cores were seen to need 60 to 100, those that are far apart 330 to 500.</summary>
    public const double FarRoundTrip = 200;

    private const int RoundTripsOfBatch = 500;
    private const int Batches = 200;
    private const int BatchesOfQuickMeasurement = 20;
    private const int Bytes = 256 << 10;
    private const int Repetitions = 200;
    private const int CacheLineBytes = 64;

    /// <summary>Measures the cores on which two threads run, in about a tenth of a second; null where there is a single core, or the system ran both threads on one.</summary>
    public static CoreDistance? Measure()
    {
        if (Environment.ProcessorCount < 2)
            return null;
        byte* lines = (byte*)NativeMemory.AlignedAlloc(4 * CacheLineBytes, CacheLineBytes);
        byte* buffer = (byte*)NativeMemory.AlignedAlloc(Bytes, CacheLineBytes), own = (byte*)NativeMemory.AlignedAlloc(Bytes, CacheLineBytes);
        NativeMemory.Clear(lines, 4 * CacheLineBytes);
        ref int turn = ref *(int*)(lines + CacheLineBytes);
        ref int otherCore = ref *(int*)(lines + 3 * CacheLineBytes);
        try
        {
            var other = new Thread(() => Answer((int*)(lines + CacheLineBytes), (int*)(lines + 3 * CacheLineBytes), buffer, Batches, Repetitions)) { IsBackground = true };
            other.Start();
            double roundTrip = TimeRoundTrips(ref turn, Batches);

            // Where both threads ran on the same core, nothing was exchanged.
            List<double> rewrites = [], reads = [], owns = [];
            for (int i = 0, value = 2 * Batches * RoundTripsOfBatch; i < Repetitions; i++, value += 4)
            {
                int core = Thread.GetCurrentProcessorId();
                // Both cores have read the buffer; it is written here, written there, and read here.
                double rewrite = Time(() => Write(buffer)), ownTime = Time(() => Write(own));
                Volatile.Write(ref turn, value + 1);
                Wait(ref turn, value + 2);
                double read = Time(() => Read(buffer));
                Volatile.Write(ref turn, value + 3);
                Wait(ref turn, value + 4);
                if (core == otherCore || core != Thread.GetCurrentProcessorId())
                    continue;
                rewrites.Add(rewrite);
                reads.Add(read);
                owns.Add(ownTime);
            }
            other.Join();
            return rewrites.Count < Repetitions / 4 ? null : new CoreDistance(roundTrip, Rate(reads), Rate(rewrites), Rate(owns));
        }
        finally
        {
            NativeMemory.AlignedFree(lines);
            NativeMemory.AlignedFree(buffer);
            NativeMemory.AlignedFree(own);
        }
    }

    /// <summary>Measures the round trip alone, in a few milliseconds.</summary>
    /// <returns>Nanoseconds.</returns>
    public static double MeasureRoundTrip()
    {
        int* line = (int*)NativeMemory.AlignedAlloc(2 * CacheLineBytes, 2 * CacheLineBytes);
        *line = 0;
        try
        {
            var other = new Thread(() => Answer(line, null, null, BatchesOfQuickMeasurement, 0)) { IsBackground = true };
            other.Start();
            double roundTrip = TimeRoundTrips(ref *line, BatchesOfQuickMeasurement);
            other.Join();
            return roundTrip;
        }
        finally
        {
            NativeMemory.AlignedFree(line);
        }
    }

    /// <summary>The figures, in a sentence.</summary>
    public string Describe() => string.Create(
        CultureInfo.InvariantCulture,
        $"Two cores: round trip {RoundTripNanoseconds:F0} ns; reading what the other wrote {ReadGigabytes:F1} GB/s, writing what it read {RewriteGigabytes:F1} GB/s, writing own lines {OwnGigabytes:F0} GB/s.");

    // The median over the batches, because the first one waits for the thread to start, and others for other programs.
    private static double TimeRoundTrips(ref int turn, int batches)
    {
        var trips = new double[batches];
        for (int batch = 0; batch < batches; batch++)
        {
            long start = Stopwatch.GetTimestamp();
            RunRoundTrips(ref turn, batch * RoundTripsOfBatch, (batch + 1) * RoundTripsOfBatch);
            trips[batch] = Stopwatch.GetElapsedTime(start).TotalNanoseconds / RoundTripsOfBatch;
        }
        return AlternatingRounds.Median(trips);
    }

    private static void RunRoundTrips(ref int turn, int first, int last)
    {
        for (int i = first; i < last; i++)
        {
            Volatile.Write(ref turn, 2 * i + 1);
            Wait(ref turn, 2 * i + 2);
        }
    }

    /// <summary>The part of the other core.</summary>
    /// <param name="shared">The value that goes back and forth.</param>
    /// <param name="core">Receives the core of this thread.</param>
    /// <param name="buffer">The buffer that both cores use.</param>
    /// <param name="batches">Number of batches of round trips.</param>
    /// <param name="repetitions">How often the buffer is exchanged.</param>
    private static void Answer(int* shared, int* core, byte* buffer, int batches, int repetitions)
    {
        ref int turn = ref *shared;
        for (int i = 0; i < batches * RoundTripsOfBatch; i++)
        {
            Wait(ref turn, 2 * i + 1);
            Volatile.Write(ref turn, 2 * i + 2);
        }
        for (int i = 0, value = 2 * batches * RoundTripsOfBatch; i < repetitions; i++, value += 4)
        {
            Wait(ref turn, value + 1);
            *core = Thread.GetCurrentProcessorId();
            Write(buffer);
            Volatile.Write(ref turn, value + 2);
            Wait(ref turn, value + 3);
            // Both cores have read the lines then, so that the next write of the first core has to take them from this one.
            Read(buffer);
            Volatile.Write(ref turn, value + 4);
        }
    }

    private static void Wait(ref int turn, int value)
    {
        for (int spins = 0; Volatile.Read(ref turn) != value;)
        {
            // Where other programs use the cores, the other thread may have none.
            if (++spins % 100_000 == 0)
                Thread.Yield();
        }
    }

    private static double Time(Action action)
    {
        long start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private static double Rate(List<double> seconds) => Bytes / AlternatingRounds.Median(seconds) / 1e9;

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static void Write(byte* buffer)
    {
        for (byte* end = buffer + Bytes; buffer < end; buffer += sizeof(Vector256<byte>))
            Vector256<byte>.One.Store(buffer);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static Vector256<byte> Read(byte* buffer)
    {
        var sum = Vector256<byte>.Zero;
        for (byte* end = buffer + Bytes; buffer < end; buffer += sizeof(Vector256<byte>))
            sum ^= Vector256.Load(buffer);
        return sum;
    }
}
