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
    private const int RoundTripsOfBatch = 500;
    private const int Batches = 200;
    private const int RoundTrips = RoundTripsOfBatch * Batches;
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
            var other = new Thread(() => Answer((int*)(lines + CacheLineBytes), (int*)(lines + 3 * CacheLineBytes), buffer)) { IsBackground = true };
            other.Start();
            // The median, because the first batch waits for the thread to start, and others for other programs.
            var trips = new double[Batches];
            for (int batch = 0; batch < Batches; batch++)
            {
                long start = Stopwatch.GetTimestamp();
                RunRoundTrips(ref turn, batch * RoundTripsOfBatch, (batch + 1) * RoundTripsOfBatch);
                trips[batch] = Stopwatch.GetElapsedTime(start).TotalNanoseconds / RoundTripsOfBatch;
            }

            // Where both threads ran on the same core, nothing was exchanged.
            List<double> rewrites = [], reads = [], owns = [];
            for (int i = 0, value = 2 * RoundTrips; i < Repetitions; i++, value += 4)
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
            return rewrites.Count < Repetitions / 4 ? null : new CoreDistance(AlternatingRounds.Median(trips), Rate(reads), Rate(rewrites), Rate(owns));
        }
        finally
        {
            NativeMemory.AlignedFree(lines);
            NativeMemory.AlignedFree(buffer);
            NativeMemory.AlignedFree(own);
        }
    }

    /// <summary>The figures, in a sentence.</summary>
    public string Describe() => string.Create(
        CultureInfo.InvariantCulture,
        $"Two cores: round trip {RoundTripNanoseconds:F0} ns; reading what the other wrote {ReadGigabytes:F1} GB/s, writing what it read {RewriteGigabytes:F1} GB/s, writing own lines {OwnGigabytes:F0} GB/s.");

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
    private static void Answer(int* shared, int* core, byte* buffer)
    {
        ref int turn = ref *shared;
        for (int i = 0; i < RoundTrips; i++)
        {
            Wait(ref turn, 2 * i + 1);
            Volatile.Write(ref turn, 2 * i + 2);
        }
        for (int i = 0, value = 2 * RoundTrips; i < Repetitions; i++, value += 4)
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
