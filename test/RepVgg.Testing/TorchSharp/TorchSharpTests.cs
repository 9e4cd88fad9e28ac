using System.Runtime.InteropServices;
using RepVgg.TorchSharp;
using Xunit;

namespace RepVgg.Testing;

/// <summary>Whether TorchSharp is there; where it is not, its tests are reported as skipped with the reason.</summary>
internal static class TorchSharpTests
{
    private static readonly Lazy<string?> _skip = new(() =>
    {
        try
        {
            TorchBackends.Create(new TorchBackendOptions { SelfTest = false }).Dispose();
            return null;
        }
        catch (DeviceUnavailableException exception)
        {
            return exception.Message;
        }
    });

    /// <summary>The reason to skip; null where TorchSharp can be used.</summary>
    public static string? Skip => _skip.Value;
}

/// <summary>A fact that needs TorchSharp.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class TorchSharpFactAttribute : FactAttribute
{
    public TorchSharpFactAttribute() => Skip = TorchSharpTests.Skip;
}

/// <summary>A fact that needs TorchSharp over glibc.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class TorchSharpOnGlibcFactAttribute : FactAttribute
{
    public TorchSharpOnGlibcFactAttribute() =>
        Skip = TorchSharpTests.Skip ?? (OperatingSystem.IsLinux() && NativeLibrary.TryLoad("libc.so.6", out _) ? null : "The C library is not glibc.");
}

/// <summary>A theory that needs TorchSharp.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class TorchSharpTheoryAttribute : TheoryAttribute
{
    public TorchSharpTheoryAttribute() => Skip = TorchSharpTests.Skip;
}

/// <summary>Marks a class that runs a shared test body on TorchSharp.</summary>
public sealed class NeedsTorchSharpAttribute : RequirementAttribute
{
    public override string? SkipReason => TorchSharpTests.Skip;
}
