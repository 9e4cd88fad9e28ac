using System.Text;
using RepVgg.Testing;
using RepVgg.TorchSharp;
using Xunit;

namespace RepVgg.TorchSharp.Tests;

/// <summary>Error messages for versions and native libraries of TorchSharp that are missing or cannot be used.</summary>
public class RuntimeTests
{
    internal static string LibraryName =>
        OperatingSystem.IsWindows() ? "LibTorchSharp.dll" : OperatingSystem.IsMacOS() ? "libLibTorchSharp.dylib" : "libLibTorchSharp.so";

    internal static string LibraryPath => Directory.GetFiles(AppContext.BaseDirectory, LibraryName, SearchOption.AllDirectories)[0];

    [TorchSharpFact]
    public void Another_version_is_refused_by_naming_both()
    {
        var error = Assert.Throws<DeviceUnavailableException>(() => TorchRuntime.CheckVersion(new Version(0, 105, 2, 0), 0));
        Assert.Matches(@"^TorchSharp 0\.105\.2 is installed, but version 0\.107 is needed: .+ Reference the package TorchSharp-[a-z-]+ 0\.107\.0", error.Message);
        Assert.Matches(@"^TorchSharp is not installed; .+ Reference the package TorchSharp-cpu 0\.107\.0", Assert.Throws<DeviceUnavailableException>(() => TorchRuntime.CheckVersion(null, null)).Message);
        TorchRuntime.CheckVersion(new Version(0, 107, 0, 0), null);
    }

    [Fact]
    public async Task Missing_natives_are_named_with_the_package_to_reference()
    {
        using var folder = CopyOfThisProgram();
        string errors = await FailToStart(folder);
        Assert.Contains("TorchSharp 0.107.0 is installed, but its native libraries (libtorch) are not. Reference the package TorchSharp-", errors, StringComparison.Ordinal);

        // The package TorchSharp contains this library but not libtorch.
        File.Copy(LibraryPath, folder.File(LibraryName));
        Assert.Contains("its native libraries (libtorch) are not. Reference the package TorchSharp-", await FailToStart(folder), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Broken_natives_are_named_with_the_loaders_reason()
    {
        using var folder = CopyOfThisProgram();
        await File.WriteAllTextAsync(folder.File(LibraryName), "no library");
        await File.WriteAllTextAsync(folder.File(LibraryName.Replace("LibTorchSharp", "torch_cpu")), "no library");
        string errors = await FailToStart(folder);
        Assert.Contains("its native libraries (libtorch) cannot be loaded: ", errors, StringComparison.Ordinal);
        if (OperatingSystem.IsLinux())
            Assert.Matches($"{LibraryName}: (file too short|invalid ELF header)\\. Reference the package TorchSharp-", errors);
    }

    [TorchSharpOnGlibcFact]
    public async Task A_cpp_library_that_is_too_old_is_named_with_the_systems_that_have_a_newer_one()
    {
        using var folder = CopyOfThisProgram();
        foreach (string file in Directory.GetFiles(Path.GetDirectoryName(LibraryPath)!, "*.so*").Where(file => Path.GetFileName(file) != LibraryName))
            File.CreateSymbolicLink(folder.File(Path.GetFileName(file)), file);

        await WriteForNewerSystem(folder);
        string errors = await FailToStart(folder);
        Assert.Contains("its libraries need the C++ library of GCC 13 or later (GLIBCXX_9.9.99), and the system's is older", errors, StringComparison.Ordinal);
        Assert.Contains("Ubuntu 24.04, Debian 13", errors, StringComparison.Ordinal);
        Assert.DoesNotContain("Reference the package", errors, StringComparison.Ordinal);
        Assert.DoesNotContain("DeviceUnavailableException: TorchSharp 0.107.0 is installed", errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("create-backbone")]
    [InlineData("create-block")]
    public async Task Modules_name_missing_natives_too(string command)
    {
        using var folder = CopyOfThisProgram();
        string errors = await FailToStart(folder, command);
        Assert.Contains("RepVgg.TorchSharp.DeviceUnavailableException: TorchSharp 0.107.0 is installed, but its native libraries (libtorch) are not. Reference the package TorchSharp-cpu", errors, StringComparison.Ordinal);
    }

    [TorchSharpOnGlibcFact]
    public async Task A_cpp_library_that_is_too_old_is_named_where_only_the_systems_loader_finds_libtorch()
    {
        using var folder = CopyOfThisProgram();
        await WriteForNewerSystem(folder);
        // The folder has no libtorch, but the loader's path has.
        var (exitCode, _, errors) = await Program.Child.RunInAsync(folder.Path, new Dictionary<string, string?> { ["LD_LIBRARY_PATH"] = Path.GetDirectoryName(LibraryPath)! }, "create-backend");
        Assert.NotEqual(0, exitCode);
        Assert.Contains("its libraries need the C++ library of GCC 13 or later (GLIBCXX_9.9.99), and the system's is older", errors, StringComparison.Ordinal);
        Assert.DoesNotContain("Reference the package", errors, StringComparison.Ordinal);
    }

    /// <summary>Messages of loaders, and what the explanation contains.</summary>
    public static TheoryData<string, string> LoaderMessages => new()
    {
        { "/lib/x86_64-linux-gnu/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by /app/libLibTorchSharp.so)", "the C++ library of GCC 13 or later (GLIBCXX_3.4.32), and the system's is older" },
        { "Unable to load shared library '/app/libLibTorchSharp.so' or one of its dependencies.\n/lib/x86_64-linux-gnu/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by /app/libLibTorchSharp.so)\n", "(GLIBCXX_3.4.32)" },
        { "/lib/x86_64-linux-gnu/libstdc++.so.6: Version »GLIBCXX_3.4.32« nicht gefunden (benötigt von /app/libLibTorchSharp.so)", "(GLIBCXX_3.4.32)" },
        { "/lib64/libstdc++.so.6: la version « GLIBCXX_3.4.30 » est introuvable (requise par /app/libtorch_cpu.so)", "(GLIBCXX_3.4.30)" },
        { "/usr/lib64/libstdc++.so.6: version `CXXABI_1.3.15' not found (required by ./libc10.so)", "the C++ library of GCC 13 or later (CXXABI_1.3.15)" },
        { "/lib64/libc.so.6: version `GLIBC_2.34' not found (required by /app/libtorch_cpu.so)", "a later C library (glibc, GLIBC_2.34), and the system's is older" },
        { "libstdc++.so.6: cannot open shared object file: No such file or directory", "the system lacks one of them (libstdc++.so.6: cannot open shared object file: No such file or directory)" },
        { "Error loading shared library ld-linux-x86-64.so.2: No such file or directory (needed by /app/libLibTorchSharp.so)", "need the C library glibc" },
    };

    [Theory]
    [MemberData(nameof(LoaderMessages))]
    public void A_system_that_is_too_old_is_explained_in_every_language(string message, string expected)
    {
        string explanation = TorchRuntime.ExplainSystem(message)!;
        Assert.Contains(expected, explanation, StringComparison.Ordinal);
        Assert.Contains("Ubuntu 24.04, Debian 13", explanation, StringComparison.Ordinal);
        Assert.DoesNotContain("package", explanation, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/app/libLibTorchSharp.so: file too short")]
    [InlineData("libtorch_cpu.so: cannot open shared object file: No such file or directory")]
    [InlineData("/app/libLibTorchSharp.so: wrong ELF class: ELFCLASS32")]
    [InlineData("Unable to load DLL 'LibTorchSharp' or one of its dependencies: The specified module could not be found. (0x8007007E)")]
    public void Other_reasons_are_not_the_systems(string message) => Assert.Null(TorchRuntime.ExplainSystem(message));

    /// <summary>Writes TorchSharp's library, changed so that it needs a version that no C++ library has yet.</summary>
    private static async Task WriteForNewerSystem(TemporaryFolder folder)
    {
        // The same length, so that nothing else in the file moves.
        byte[] library = await File.ReadAllBytesAsync(LibraryPath);
        byte[] version = Encoding.ASCII.GetBytes("GLIBCXX_3.4.30\0");
        int replaced = 0;
        for (int position; (position = library.AsSpan().IndexOf(version)) >= 0; replaced++)
            Encoding.ASCII.GetBytes("GLIBCXX_9.9.99").CopyTo(library, position);
        Assert.True(replaced > 0, "The library does not need GLIBCXX_3.4.30.");
        await File.WriteAllBytesAsync(folder.File(LibraryName), library);
    }

    /// <summary>The program and its managed libraries, without native ones.</summary>
    internal static TemporaryFolder CopyOfThisProgram()
    {
        var folder = new TemporaryFolder();
        foreach (string file in Directory.GetFiles(AppContext.BaseDirectory).Where(file => Path.GetExtension(file) is ".dll" or ".json" && Path.GetFileName(file) != LibraryName))
            File.Copy(file, folder.File(Path.GetFileName(file)));
        return folder;
    }

    private static async Task<string> FailToStart(TemporaryFolder folder, string command = "create-backend")
    {
        var (exitCode, output, errors) = await Program.Child.RunInAsync(folder.Path, command);
        Assert.NotEqual(0, exitCode);
        Assert.Equal("", output);
        return errors;
    }
}
