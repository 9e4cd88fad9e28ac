using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using RepVgg.Runtime.Simd;

namespace RepVgg.Benchmarks;

/// <summary>Where and when figures were taken.</summary>
internal static class Machine
{
    /// <summary>Processor, system and runtime.</summary>
    public static string Description => $"{Processor()}, {Environment.ProcessorCount} cores, {Vectors()}; {RuntimeInformation.OSDescription.Trim()}; {RuntimeInformation.FrameworkDescription}.";

    private static readonly Lazy<string> _cores = new(() => CoreDistance.Measure()?.Describe() ?? "");

    /// <summary>How far apart two cores were at the first use, which is at the end of a table, in a sentence; empty where there is a single core.</summary>
    public static string Cores => _cores.Value;

    /// <summary>How busy the machine is, in a sentence; empty where it isn't known.</summary>
    public static string Load => File.Exists("/proc/loadavg") ? $" Load average at the end: {File.ReadAllText("/proc/loadavg").Split(' ')[0]}." : "";

    public static string Today => DateTime.UtcNow.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

    private static string Vectors() =>
        Vector512.IsHardwareAccelerated ? "AVX-512" : Vector256.IsHardwareAccelerated ? "AVX2" : Vector128.IsHardwareAccelerated ? "128-bit vectors" : "no vectors";

    private static string Processor()
    {
        const string Info = "/proc/cpuinfo", Key = "model name";
        string? line = File.Exists(Info) ? File.ReadLines(Info).FirstOrDefault(text => text.StartsWith(Key, StringComparison.Ordinal)) : null;
        return line?[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim() ?? RuntimeInformation.ProcessArchitecture.ToString();
    }
}
