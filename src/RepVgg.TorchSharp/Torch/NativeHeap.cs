using System.Runtime.InteropServices;

namespace RepVgg.TorchSharp;

/// <summary>Configures glibc's heap to keep memory that libtorch frees, while libtorch trains on the CPU.</summary>
/// <remarks>
/// Every training step allocates and frees hundreds of megabytes. By default glibc returns the free memory at the end of its
/// heap to the operating system each time, and the system has to clear the pages for the next step. This takes about a tenth
/// of a step, with large variation. This class sets glibc to keep the memory until the last instance is disposed. The setting
/// applies to the whole process. It is not changed if MALLOC_TRIM_THRESHOLD_, MALLOC_MMAP_THRESHOLD_ or a malloc tunable in GLIBC_TUNABLES is set.
/// Threads other than the main thread have separate heaps, of which glibc keeps less. Other C libraries are not configured.
/// </remarks>
internal sealed partial class NativeHeap : IDisposable
{
    private const int TrimThresholdOption = -1;
    private const int MmapThresholdOption = -3;

    /// <summary>Threshold of the block size in bytes from which glibc allocates memory directly from the system (mmap). This is the largest value that glibc accepts, and the maximum of its own dynamic threshold.</summary>
    private const int MaximumMmapThreshold = 32 << 20;

    private static readonly Lock _lock = new();
    private static int _users;
    private bool _disposed;

    private NativeHeap()
    {
    }

    /// <summary>Keeps freed memory until the returned object is disposed.</summary>
    /// <returns>The object to dispose; null if the system does not use glibc or the user has set the thresholds.</returns>
    public static NativeHeap? RetainFreedMemory()
    {
        if (!OperatingSystem.IsLinux() || IsSetByUser())
            return null;
        lock (_lock)
        {
            try
            {
                SetOption(MmapThresholdOption, MaximumMmapThreshold);
                SetOption(TrimThresholdOption, int.MaxValue);
            }
            catch (Exception exception) when (exception is DllNotFoundException or EntryPointNotFoundException)
            {
                return null;
            }
            _users++;
            return new NativeHeap();
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            if (_disposed)
                return;
            _disposed = true;
            if (--_users > 0)
                return;
            // glibc's dynamic adjustment sets the trim threshold to twice the mmap threshold.
            SetOption(TrimThresholdOption, 2 * MaximumMmapThreshold);
            Trim(0);
        }
    }

    private static bool IsSetByUser() =>
        Environment.GetEnvironmentVariable("MALLOC_TRIM_THRESHOLD_") is not null
        || Environment.GetEnvironmentVariable("MALLOC_MMAP_THRESHOLD_") is not null
        || Environment.GetEnvironmentVariable("GLIBC_TUNABLES")?.Contains("glibc.malloc", StringComparison.Ordinal) == true;

    // The file name libc.so.6 is specific to glibc, so other C libraries are not called.
    [LibraryImport("libc.so.6", EntryPoint = "mallopt")]
    private static partial int SetOption(int option, int value);

    [LibraryImport("libc.so.6", EntryPoint = "malloc_trim")]
    private static partial int Trim(nuint left);
}
