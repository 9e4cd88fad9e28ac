using System.Runtime.InteropServices;

namespace RepVgg.TorchSharp;

/// <summary>What the C library does with memory that libtorch frees, while libtorch trains on the CPU.</summary>
/// <remarks>
/// Every step frees what it allocated, hundreds of megabytes, for the next one to allocate again. By default glibc gives
/// the end of its heap back to the system each time, and the system has to clear those pages again: a tenth of a step,
/// more or less by chance. It is told to keep them until the last of these objects is disposed. The setting is the
/// process's; where MALLOC_TRIM_THRESHOLD_, MALLOC_MMAP_THRESHOLD_ or GLIBC_TUNABLES say something else, they hold.
/// Threads other than the first have heaps of their own, of which glibc keeps less. Other C libraries are left alone.
/// </remarks>
internal sealed partial class NativeHeap : IDisposable
{
    private const int TrimThreshold = -1;
    private const int MapThreshold = -3;

    /// <summary>From here on glibc takes memory from the system directly; it accepts no more, and rises to it by itself.</summary>
    private const int LargestFromHeap = 32 << 20;

    private static readonly Lock _lock = new();
    private static int _users;
    private bool _disposed;

    private NativeHeap()
    {
    }

    /// <summary>Keeps freed memory until disposed.</summary>
    /// <returns>Null where there is nothing to be set.</returns>
    public static NativeHeap? KeepFreed()
    {
        if (!OperatingSystem.IsLinux() || IsSetByUser())
            return null;
        lock (_lock)
        {
            try
            {
                SetOption(MapThreshold, LargestFromHeap);
                SetOption(TrimThreshold, int.MaxValue);
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
            // Twice the other threshold, as glibc sets it by itself.
            SetOption(TrimThreshold, 2 * LargestFromHeap);
            Trim(0);
        }
    }

    private static bool IsSetByUser() =>
        Environment.GetEnvironmentVariable("MALLOC_TRIM_THRESHOLD_") is not null
        || Environment.GetEnvironmentVariable("MALLOC_MMAP_THRESHOLD_") is not null
        || Environment.GetEnvironmentVariable("GLIBC_TUNABLES")?.Contains("glibc.malloc", StringComparison.Ordinal) == true;

    // By glibc's own name, so that nothing else is asked.
    [LibraryImport("libc.so.6", EntryPoint = "mallopt")]
    private static partial int SetOption(int option, int value);

    [LibraryImport("libc.so.6", EntryPoint = "malloc_trim")]
    private static partial int Trim(nuint left);
}
