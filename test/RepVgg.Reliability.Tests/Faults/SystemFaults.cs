using System.Runtime.InteropServices;
using RepVgg.Runtime.Files;

namespace RepVgg.Reliability.Tests.Faults;

/// <summary>The kinds of system calls that can fail, as in faults.c.</summary>
internal enum SystemCall
{
    Create,
    Write,
    Flush,
    Rename,
}

/// <summary>Lets system calls of this process fail: a certain one, by the library faults.c that is preloaded, or any write beyond a size of files.</summary>
internal static unsafe partial class SystemFaults
{
    private const int NoSpace = 28, InputOutput = 5, Denied = 13, Interrupted = 4, FileSizeLimit = 1, SizeSignal = 25;

    /// <summary>Environment variable with the path of the library.</summary>
    public const string Variable = "REPVGG_FAULTS";

    private static nint _library;

    /// <summary>Loads the library. Call it before the engine's first call of the C library.</summary>
    public static void Load()
    {
        _library = NativeLibrary.Load(Environment.GetEnvironmentVariable(Variable) ?? throw new InvalidOperationException($"{Variable} must name the library."));
        // The engine's own calls of the C library are not those of the process, which the preloaded library answers.
        NativeLibrary.SetDllImportResolver(typeof(AtomicFile).Assembly, (name, _, _) => name == "libc" ? _library : 0);
    }

    /// <summary>Lets one call fail, and counts calls from now on.</summary>
    /// <param name="folder">The folder of the files that are meant.</param>
    /// <param name="call">Kind of the call.</param>
    /// <param name="number">Number of the call, from 1; 0 for none.</param>
    public static void Fail(string folder, SystemCall call, long number) =>
        Fail(folder, call, number, call switch { SystemCall.Write => NoSpace, SystemCall.Flush => InputOutput, _ => Denied });

    /// <summary>Lets one call return early because of a signal, and counts calls from now on.</summary>
    /// <param name="folder">The folder of the files that are meant.</param>
    /// <param name="call">Kind of the call.</param>
    /// <param name="number">Number of the call, from 1.</param>
    public static void Interrupt(string folder, SystemCall call, long number) => Fail(folder, call, number, Interrupted);

    private static void Fail(string folder, SystemCall call, long number, int error)
    {
        byte[] path = [.. System.Text.Encoding.UTF8.GetBytes(folder), 0];
        fixed (byte* start = path)
            ((delegate* unmanaged<byte*, int, long, int, void>)NativeLibrary.GetExport(_library, "faults_set"))(start, (int)call, number, error);
    }

    /// <summary>The number of calls since then.</summary>
    /// <param name="call">Kind of the calls.</param>
    public static long Count(SystemCall call) => ((delegate* unmanaged<int, long>)NativeLibrary.GetExport(_library, "faults_count"))((int)call);

    /// <summary>Lets every write of this process fail that makes a file longer.</summary>
    /// <param name="bytes">The size; -1 for no limit.</param>
    public static void LimitFiles(long bytes)
    {
        // The signal of the limit would end the process; without it, the write fails.
        Signal(SizeSignal, 1);
        Limit limit;
        if (GetLimit(FileSizeLimit, &limit) != 0)
            throw new InvalidOperationException("The limit cannot be read.");
        limit.Soft = bytes < 0 ? limit.Hard : (ulong)bytes;
        if (SetLimit(FileSizeLimit, &limit) != 0)
            throw new InvalidOperationException("The limit cannot be set.");
    }

    [LibraryImport("libc", EntryPoint = "getrlimit")]
    private static partial int GetLimit(int resource, Limit* limit);

    [LibraryImport("libc", EntryPoint = "setrlimit")]
    private static partial int SetLimit(int resource, Limit* limit);

    [LibraryImport("libc", EntryPoint = "signal")]
    private static partial nint Signal(int number, nint handler);

    private struct Limit
    {
        public ulong Soft, Hard;
    }
}
