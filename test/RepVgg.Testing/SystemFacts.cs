using System.ComponentModel;
using System.Diagnostics;
using Xunit;

namespace RepVgg.Testing;

/// <summary>A fact that needs signals, permissions and device files as Unix has them.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class UnixFactAttribute : FactAttribute
{
    public UnixFactAttribute() => Skip = SystemFacts.WhyNotUnix;
}

/// <summary>A theory that needs signals, permissions and device files as Unix has them.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class UnixTheoryAttribute : TheoryAttribute
{
    public UnixTheoryAttribute() => Skip = SystemFacts.WhyNotUnix;
}

/// <summary>A fact that runs a process with a library of its own before all others: it needs Linux and a C compiler.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class PreloadFactAttribute : FactAttribute
{
    public PreloadFactAttribute() => Skip = PreloadedLibrary.WhyMissing;
}

/// <summary>Libraries that are compiled by the tests and preloaded into processes by <c>LD_PRELOAD</c>.</summary>
internal static class PreloadedLibrary
{
    private static readonly Lazy<string?> _whyMissing = new(() =>
    {
        if (!OperatingSystem.IsLinux())
            return "It needs LD_PRELOAD, which only Linux has.";
        using var folder = new TemporaryFolder();
        try
        {
            Compile(folder.Write("empty.c", []), folder.File("empty.so"));
            return null;
        }
        catch (Exception error) when (error is Win32Exception or InvalidOperationException)
        {
            return $"The C compiler 'cc' is missing or fails: {error.Message}";
        }
    });

    /// <summary>Why this system has none; null if it has.</summary>
    public static string? WhyMissing => _whyMissing.Value;

    /// <summary>Compiles one.</summary>
    /// <param name="source">The C file.</param>
    /// <param name="library">The library to write.</param>
    /// <exception cref="Win32Exception">There is no compiler.</exception>
    /// <exception cref="InvalidOperationException">The file cannot be compiled.</exception>
    public static void Compile(string source, string library)
    {
        using var compiler = Process.Start(new ProcessStartInfo("cc", ["-shared", "-fPIC", "-o", library, source, "-ldl"]) { RedirectStandardError = true })!;
        string errors = compiler.StandardError.ReadToEnd();
        compiler.WaitForExit();
        if (compiler.ExitCode != 0)
            throw new InvalidOperationException(errors);
    }
}

/// <summary>Why tests are skipped on some systems.</summary>
internal static class SystemFacts
{
    public static string? WhyNotUnix => OperatingSystem.IsWindows() ? "Windows has no signals, permissions and device files of Unix." : null;
}
