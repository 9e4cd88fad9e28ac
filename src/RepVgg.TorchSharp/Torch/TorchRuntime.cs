using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>Checks, before TorchSharp is used, whether TorchSharp, its native libraries and a device are available. Each failed check throws <see cref="DeviceUnavailableException"/>.</summary>
/// <remarks>TorchSharp itself reports missing libraries by a load trace on the console or a <see cref="TypeInitializationException"/>, so no TorchSharp code runs before the checks.</remarks>
internal static partial class TorchRuntime
{
    private static readonly Version _requiredVersion = typeof(TorchRuntime).Assembly.GetReferencedAssemblies().First(name => name.Name == "TorchSharp").Version!;

    // ConsoleOutputSuppressor replaces Console.Out. The lock ensures that it is restored before another thread replaces it.
    private static readonly Lock _initialization = new();

    /// <summary>The version of TorchSharp that is loaded.</summary>
    public static string Version { get; private set; } = _requiredVersion.ToString(3);

    /// <summary>Gets the text that names the package to reference for a device.</summary>
    private static string PackageAdvice(int? cudaDevice)
    {
        string version = _requiredVersion.ToString(3);
        string? cuda = cudaDevice is null ? null : OperatingSystem.IsWindows() ? "TorchSharp-cuda-windows" : OperatingSystem.IsLinux() ? "TorchSharp-cuda-linux" : null;
        return cuda is null
            ? $"Reference the package TorchSharp-cpu {version} in the application"
            : $"Reference the package {cuda} {version} in the application (TorchSharp-cpu to train on the CPU with libtorch)";
    }

    /// <summary>Checks that a device can be used.</summary>
    /// <param name="cudaDevice">Index of the CUDA device; null for the CPU.</param>
    /// <exception cref="DeviceUnavailableException">The device cannot be used; the message contains the reason.</exception>
    public static void EnsureAvailable(int? cudaDevice)
    {
        CheckVersion(FindAssembly(), cudaDevice);
        string? library = null;
        try
        {
            if (!FindNativeLibraries(out library))
                throw new DeviceUnavailableException($"TorchSharp {Version} is installed, but its native libraries (libtorch) are not. {PackageAdvice(cudaDevice)}.");
            // If TorchSharp cannot load the library, it copies libtorch into the application's folder. Loading the library here first prevents that.
            if (library is not null && OperatingSystem.IsLinux() && cudaDevice is null)
                NativeLibrary.Load(library);
            lock (_initialization)
            {
                using var suppressor = new ConsoleOutputSuppressor();
                if (cudaDevice is { } index)
                    CheckCuda(index);
                else
                    Initialize();
            }
        }
        catch (Exception exception) when (exception is NotSupportedException or TypeInitializationException or DllNotFoundException or EntryPointNotFoundException or BadImageFormatException or TypeLoadException or MissingMemberException)
        {
            throw new DeviceUnavailableException(LoadErrorMessage(library, exception, cudaDevice), exception);
        }
    }

    /// <summary>Checks that the application's version of TorchSharp is the one that this library was built for.</summary>
    internal static void CheckVersion(Version? found, int? cudaDevice)
    {
        if (found is null)
            throw new DeviceUnavailableException($"TorchSharp is not installed; training with libtorch needs version {_requiredVersion.ToString(2)}. {PackageAdvice(cudaDevice)}.");
        if (found.Major != _requiredVersion.Major || found.Minor != _requiredVersion.Minor)
            throw new DeviceUnavailableException($"TorchSharp {found.ToString(3)} is installed, but version {_requiredVersion.ToString(2)} is needed: other versions have other native libraries. {PackageAdvice(cudaDevice)}.");
        Version = found.ToString(3);
    }

    private static Version? FindAssembly()
    {
        try
        {
            return Assembly.Load("TorchSharp").GetName().Version;
        }
        catch (Exception exception) when (exception is FileNotFoundException or FileLoadException or BadImageFormatException)
        {
            return null;
        }
    }

    /// <summary>Searches the native libraries in the folders that .NET searches. In notebooks, TorchSharp itself collects the libraries from the package folders, so the result is true there.</summary>
    /// <remarks>LibTorchSharp is part of the package TorchSharp, and torch_cpu is part of a libtorch package.</remarks>
    /// <param name="library">Receives the path of TorchSharp's own native library, or null if none of those folders contains it.</param>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool FindNativeLibraries(out string? library)
    {
        string home = Path.GetDirectoryName(typeof(torch).Assembly.Location) ?? "";
        string searched = AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") as string ?? "";
        string[] folders = [.. searched.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries), AppContext.BaseDirectory, home];
        library = Find("LibTorchSharp");
        bool inPackageFolder = Path.GetFileName(Path.GetDirectoryName(home)) == "lib";
        return inPackageFolder
            || (library is not null && Find("torch_cpu") is not null)
            || NativeLibrary.TryLoad("LibTorchSharp", typeof(torch).Assembly, null, out _);

        string? Find(string name)
        {
            string file = OperatingSystem.IsWindows() ? $"{name}.dll" : OperatingSystem.IsMacOS() ? $"lib{name}.dylib" : $"lib{name}.so";
            return folders.Select(folder => Path.Combine(folder, file)).FirstOrDefault(File.Exists);
        }
    }

    /// <summary>Gets the message for a library that cannot be loaded, with the reason that the system's loader reports. TorchSharp's own message always mentions a missing package, even if the reason is another one.</summary>
    /// <param name="library">Path of TorchSharp's native library; null if it was not found.</param>
    /// <param name="exception">The exception that the loader or TorchSharp threw.</param>
    /// <param name="cudaDevice">Index of the requested CUDA device; null for the CPU.</param>
    private static string LoadErrorMessage(string? library, Exception exception, int? cudaDevice)
    {
        string reason = FirstLine(exception);
        if (library is not null)
        {
            try
            {
                NativeLibrary.Load(library);
            }
            catch (Exception loading) when (loading is DllNotFoundException or BadImageFormatException)
            {
                if (NeededCppVersion().Match(loading.Message) is { Success: true } match)
                {
                    return $"TorchSharp {Version} cannot be loaded on this system: its libraries need the C++ library of GCC 13 or later ({match.Value}), and the system's is older. "
                        + "Ubuntu 24.04, Debian 13, Fedora 38, RHEL 10 and later versions have it. TrainingDevice.Cpu trains without libtorch.";
                }
                reason = loading.Message.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)[^1];
            }
        }
        return $"TorchSharp {Version} is installed, but its native libraries (libtorch) cannot be loaded: {reason.TrimEnd('.')}. {PackageAdvice(cudaDevice)}, and no other TorchSharp package beside it.";
    }

    /// <summary>Matches, in the loader's message, the version of a C++ symbol that the system's C++ library does not have.</summary>
    [GeneratedRegex(@"(GLIBCXX|CXXABI)_[0-9.]+(?=' not found)")]
    private static partial Regex NeededCppVersion();

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Initialize() => torch.InitializeDeviceType(DeviceType.CPU);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void CheckCuda(int index)
    {
        if (!torch.cuda.is_available())
            throw new DeviceUnavailableException($"TorchSharp {Version} finds no CUDA device: there is no NVIDIA GPU, its driver is older than CUDA 12.8 needs, or the native libraries are those of TorchSharp-cpu. {PackageAdvice(index)}.");
        int count = torch.cuda.device_count();
        if (index >= count)
            throw new DeviceUnavailableException($"There is no CUDA device {index}: this machine has {count}, counted from 0.");
    }

    private static string FirstLine(Exception exception) => (exception.InnerException ?? exception).Message.Split('\n')[0].Trim();
}
