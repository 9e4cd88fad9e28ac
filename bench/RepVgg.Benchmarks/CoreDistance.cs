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
    private const int RoundTrips = 100_000;
    private const int Bytes = 256 << 10;
    private const int Repetitions = 200;
    private const int CacheLineBytes = 64;

    /// <summary>Measures the cores on which two threads run, in about a tenth of a second; null where there is a single core.</summary>
    public static CoreDistance? Measure()
    {
        if (Environment.ProcessorCount < 2)
            return null;
        byte* lines = (byte*)NativeMemory.AlignedAlloc(4 * CacheLineBytes, CacheLineBytes);
        byte* buffer = (byte*)NativeMemory.AlignedAlloc(Bytes, CacheLineBytes), own = (byte*)NativeMemory.AlignedAlloc(Bytes, CacheLineBytes);
        NativeMemory.Clear(lines, 4 * CacheLineBytes);
        ref int turn = ref *(int*)(lines + CacheLineBytes);
        try
        {
            var other = new Thread(() => Answer((int*)(lines + CacheLineBytes), buffer)) { IsBackground = true };
            other.Start();
            // The first round trips also wait for the thread to start.
            RunRoundTrips(ref turn, 0, RoundTrips / 10);
            long start = Stopwatch.GetTimestamp();
            RunRoundTrips(ref turn, RoundTrips / 10, RoundTrips);
            double roundTrip = Stopwatch.GetElapsedTime(start).TotalNanoseconds / (RoundTrips - RoundTrips / 10);

            double[] rewrites = new double[Repetitions], reads = new double[Repetitions], owns = new double[Repetitions];
            for (int i = 0, value = 2 * RoundTrips; i < Repetitions; i++, value += 4)
            {
                // The other core has read the buffer; it is written here, read and written there, and read here.
                rewrites[i] = Time(() => Write(buffer));
                owns[i] = Time(() => Write(own));
                Volatile.Write(ref turn, value + 1);
                Wait(ref turn, value + 2);
                reads[i] = Time(() => Read(buffer));
                Volatile.Write(ref turn, value + 3);
                Wait(ref turn, value + 4);
            }
            other.Join();
            return new CoreDistance(roundTrip, Rate(reads), Rate(rewrites), Rate(owns));
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
    private static void Answer(int* shared, byte* buffer)
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
            Write(buffer);
            Volatile.Write(ref turn, value + 2);
            Wait(ref turn, value + 3);
            // Takes the lines back, so that the next write of the first core finds them here, as read.
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

    private static double Rate(double[] seconds) => Bytes / AlternatingRounds.Median(seconds) / 1e9;

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
