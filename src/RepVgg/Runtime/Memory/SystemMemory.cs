using System.Runtime.InteropServices;

namespace RepVgg.Runtime.Memory;

/// <summary>Allocates zeroed native memory, and requests transparent huge pages for it.</summary>
/// <remarks>
/// On Linux, blocks of 128 KiB or more are mapped individually. The C library's allocator maps such blocks too, but only until the
/// first of them are freed; later it takes them from heaps that keep freed memory. Where the functions of the C library are not found, that allocator is used.
/// </remarks>
internal static unsafe partial class SystemMemory
{
    private const nuint SmallestMapping = 128 << 10;
    private static readonly bool _canMap = OperatingSystem.IsLinux() && HasFunctions();

    private const int ReadAndWrite = 3, PrivateAnonymous = 0x22, MadviseHugePage = 14;

    /// <summary>Allocates zeroed memory.</summary>
    /// <exception cref="OutOfMemoryException">There is not enough memory.</exception>
    public static void* Allocate(nuint bytes)
    {
        if (!IsMapped(bytes))
            return NativeMemory.AllocZeroed(bytes);
        void* start = Map(null, bytes, ReadAndWrite, PrivateAnonymous, -1, 0);
        return (nint)start != -1 ? start : throw new OutOfMemoryException($"{bytes} bytes of memory cannot be allocated.");
    }

    /// <summary>Frees memory from <see cref="Allocate"/>.</summary>
    /// <param name="start">Its address.</param>
    /// <param name="bytes">Its size, as it was allocated.</param>
    public static void Free(void* start, nuint bytes)
    {
        if (IsMapped(bytes))
            _ = Unmap(start, bytes);
        else
            NativeMemory.Free(start);
    }

    /// <summary>Advises Linux to use huge pages for a range, which reduces TLB misses when large buffers are read sequentially. Has no effect on other systems or if Linux ignores the advice.</summary>
    /// <param name="start">Start of the range; it must be aligned to a page.</param>
    /// <param name="bytes">Length of the range in bytes.</param>
    public static void AdviseHugePages(void* start, nuint bytes)
    {
        // The result is ignored: the memory is usable with or without huge pages.
        if (_canMap)
            _ = Advise(start, bytes, MadviseHugePage);
    }

    private static bool IsMapped(nuint bytes) => _canMap && bytes >= SmallestMapping;

    private static bool HasFunctions()
    {
        try
        {
            void* start = Map(null, SmallestMapping, ReadAndWrite, PrivateAnonymous, -1, 0);
            if ((nint)start != -1)
            {
                _ = Advise(start, SmallestMapping, MadviseHugePage);
                _ = Unmap(start, SmallestMapping);
            }
            return true;
        }
        catch (Exception error) when (error is DllNotFoundException or EntryPointNotFoundException)
        {
            return false;
        }
    }

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial void* Map(void* start, nuint bytes, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Unmap(void* start, nuint bytes);

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Advise(void* start, nuint bytes, int advice);
}
