using System.Text;
using RepVgg.Testing;
using RepVgg.TorchSharp;
using Xunit;

namespace RepVgg.TorchSharp.Tests;

/// <summary>Error messages for versions and native libraries of TorchSharp that are missing or cannot be used.</summary>
public class RuntimeTests
{
    private static string LibraryName =>
        OperatingSystem.IsWindows() ? "LibTorchSharp.dll" : OperatingSystem.IsMacOS() ? "libLibTorchSharp.dylib" : "libLibTorchSharp.so";

    private static string LibraryPath => Directory.GetFiles(AppContext.BaseDirectory, LibraryName, SearchOption.AllDirectories)[0];

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

        // The same length, so that nothing else in the file moves: a version that no C++ library has yet.
        byte[] library = await File.ReadAllBytesAsync(LibraryPath);
        byte[] version = Encoding.ASCII.GetBytes("GLIBCXX_3.4.30\0");
        int replaced = 0;
        for (int position; (position = library.AsSpan().IndexOf(version)) >= 0; replaced++)
            Encoding.ASCII.GetBytes("GLIBCXX_9.9.99").CopyTo(library, position);
        Assert.True(replaced > 0, "The library does not need GLIBCXX_3.4.30.");
        await File.WriteAllBytesAsync(folder.File(LibraryName), library);

        string errors = await FailToStart(folder);
        Assert.Contains("its libraries need the C++ library of GCC 13 or later (GLIBCXX_9.9.99), and the system's is older", errors, StringComparison.Ordinal);
        Assert.Contains("Ubuntu 24.04, Debian 13", errors, StringComparison.Ordinal);
        Assert.DoesNotContain("Reference the package", errors, StringComparison.Ordinal);
        Assert.DoesNotContain("DeviceUnavailableException: TorchSharp 0.107.0 is installed", errors, StringComparison.Ordinal);
    }

    /// <summary>The program and its managed libraries, without native ones.</summary>
    private static TemporaryFolder CopyOfThisProgram()
    {
        var folder = new TemporaryFolder();
        foreach (string file in Directory.GetFiles(AppContext.BaseDirectory).Where(file => Path.GetExtension(file) is ".dll" or ".json" && Path.GetFileName(file) != LibraryName))
            File.Copy(file, folder.File(Path.GetFileName(file)));
        return folder;
    }

    private static async Task<string> FailToStart(TemporaryFolder folder)
    {
        var (exitCode, output, errors) = await Program.Child.RunInAsync(folder.Path, "create-backend");
        Assert.NotEqual(0, exitCode);
        Assert.Equal("", output);
        return errors;
    }
}
